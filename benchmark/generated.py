"""What a generator made of a fold: its records seen by a twelve-lead encoder, and measured against the real ones.

Records are streamed: generated, measured, encoded and dropped. What is kept, and cached part by part, are a feature
vector and a few hundred numbers for each record; signals never are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock

from ..adapters.base import LEADS, Encoder, Generator
from ..adapters.errors import MibenchError
from .conformance import assert_sound
from .embed import PART_RECORDS, embed_signals, embedding_key
from .files import read_arrays, safe_name, sha256_json, write_arrays, write_json
from .frozen import NOTES, RefusedWeightsError, embeddings_of, read_notes
from .heartbeats import DETECTOR, heart_rates, rates_of, real_beats
from .home import home
from .protocols.request import Request
from .seeds import derive
from .signal_metrics import record_statistics
from .synthesis import OBSERVED, synthesize
from .weights import Weights

Part = Literal["train", "validation", "test"]
Arrays = dict[str, npt.NDArray[Any]]

RATE_LEADS = ("II", "V2", "V5")
"""Generated leads in which a heart rate is looked for: one of the limbs, and two of the chest that differ most."""

_VERSION = 1


@dataclass(frozen=True)
class Classifier:
    """The twelve-lead encoder behind the classifier of Table 2, with its weights.

    Attributes:
        request: its adapter on the data set.
        weights: that it is used with.

    Raises:
        MibenchError: the method is no encoder of twelve leads.
    """

    request: Request
    weights: Weights

    def __post_init__(self) -> None:
        adapter = self.request.adapter
        if not isinstance(adapter, Encoder) or set(adapter.spec.leads) != set(LEADS):
            raise MibenchError(f"{self.request.method} cannot classify twelve leads: choose ecgfounder-12lead")

    def identity(self) -> dict[str, Any]:
        """What determines its features."""
        return {**self.request.method_identity(), "weights": self.weights.identity()}

    def describe(self) -> dict[str, Any]:
        """The encoder as records keep it."""
        spec, weights = self.request.adapter.spec, self.weights
        return {
            "method": spec.name,
            "title": spec.title or spec.name,
            "preset": self.request.card.preset,
            "weights": {"source": weights.source, "name": weights.name, "sha256": weights.sha256, "seed": weights.seed},
        }

    def load(self) -> Encoder:
        """The encoder, ready on the device.

        Raises:
            RefusedWeightsError: the weights file does not fit.
        """
        encoder = self.request.adapter
        assert isinstance(encoder, Encoder)
        try:
            self.weights.load(encoder, self.request.batching.device)
        except MibenchError as problem:
            raise RefusedWeightsError(str(problem)) from problem
        return encoder


@dataclass(frozen=True)
class Generated:
    """The generated records of one part of a data set.

    Attributes:
        rows: of the data set, in the order of the arrays.
        features: (rows, embedding_dim) of the classifier's encoder.
        statistics: per record, as `signal_metrics.record_statistics` gives them; empty but for the test fold.
        notes: what loading the generator's weights found.
    """

    rows: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    statistics: Mapping[str, npt.NDArray[Any]]
    notes: tuple[str, ...] = ()


def real_features(classifier: Classifier) -> npt.NDArray[np.float32]:
    """(records, embedding_dim) of all real records, twelve leads each, from the cache or computed now."""
    return embeddings_of(classifier.request, classifier.weights, LEADS).embeddings


def generated_of(
    request: Request, weights: Weights, classifier: Classifier, part: Part, *, pass_through: bool
) -> Generated:
    """Generate one part of the request's data, from the cache or now.

    Args:
        request, weights: the generator.
        classifier: whose encoder sees the generated records.
        part: training, validation or test records with a diagnostic statement.
        pass_through: the recorded lead I takes the place of the generated one.

    Raises:
        RefusedWeightsError: a weights file does not fit.
        MibenchError: the method is no generator, or its output is no twelve finite leads.
    """
    data = request.data
    if not isinstance(request.adapter, Generator):
        raise MibenchError(f"{request.method} is an {request.adapter.spec.kind}: it generates nothing")
    rows = data.split()[part]
    key = embedding_key(
        {
            "generator": {**request.method_identity(), "weights": weights.identity()},
            "encoder": classifier.identity(),
            "part": [part, sha256_json(data.records[rows].tolist())],
            "pass_through": pass_through,
            "detector": DETECTOR,
            "version": _VERSION,
        },
        data.store,
        OBSERVED,
    )
    folder = home() / "generated" / safe_name(request.method) / key
    folder.mkdir(parents=True, exist_ok=True)
    stream = _Stream(request, weights, classifier, rows, folder, measured=part == "test", pass_through=pass_through)
    with FileLock(folder / ".lock"):
        arrays = stream.arrays(f"{request.method}, {part} records")
    features = arrays.pop("features")
    return Generated(rows, features, arrays, tuple(read_notes(folder).get("notes", ())))


def partners(rows: npt.NDArray[np.int64], patients: npt.NDArray[np.str_], seed: int = 0) -> npt.NDArray[np.int64]:
    """For each row another one, of another patient, so that every row is taken once.

    Raises:
        MibenchError: a patient has more than half of the records.
    """
    _, who = np.unique(patients[rows], return_inverse=True)
    largest = int(np.bincount(who).max())
    if 2 * largest > len(rows):
        raise MibenchError(
            f"of {len(rows)} records {largest} are of one patient: there are not enough others to exchange them with"
        )
    generator = np.random.default_rng(derive(seed, "partners"))
    shuffled = generator.permutation(len(rows))
    # Patients side by side in random order: a shift by the largest group leads out of every group.
    order = shuffled[np.argsort(generator.permutation(who.max() + 1)[who[shuffled]], kind="stable")]
    exchanged = np.empty_like(rows)
    exchanged[order] = rows[np.roll(order, largest)]
    return exchanged


class _Stream:
    """Parts of 512 records, each kept when it is done: what a kill can cost."""

    def __init__(
        self,
        request: Request,
        weights: Weights,
        classifier: Classifier,
        rows: npt.NDArray[np.int64],
        folder: Path,
        *,
        measured: bool,
        pass_through: bool,
    ) -> None:
        self.request, self.weights, self.classifier = request, weights, classifier
        self.rows, self.folder = rows, folder
        self.measured, self.pass_through = measured, pass_through
        self.seen = rows
        if request.adapter.spec.sees == "another-record":
            self.seen = partners(rows, request.data.patients)

    def arrays(self, title: str) -> Arrays:
        """All parts as one, by name."""
        files = [self.folder / f"part-{start:07d}.npz" for start in range(0, len(self.rows), PART_RECORDS)]
        missing = [number for number, file in enumerate(files) if read_arrays(file) is None]
        if missing:
            self._compute(files, missing, title)
        parts = [read_arrays(file) for file in files]
        found = [part for part in parts if part is not None]
        if len(found) < len(files):
            raise MibenchError(f"{self.folder} changes while it is read: run again when nothing else writes there")
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def _compute(self, files: list[Path], missing: list[int], title: str) -> None:
        generator, encoder = self._load_generator(), self.classifier.load()
        beats: list[npt.NDArray[np.int64]] = []
        if self.measured:
            beats = real_beats(self.request.data.store, self.rows, self.request.steps)
        bar = self.request.steps(f"generating with {title}", len(self.rows))
        for number in missing:
            first = number * PART_RECORDS
            last = min(first + PART_RECORDS, len(self.rows))
            batches = []
            for start in range(first, last, self.request.batching.batch_size):
                stop = min(start + self.request.batching.batch_size, last)
                batches.append(self._batch(generator, encoder, slice(start, stop), beats[start:stop]))
                bar(stop)
            part = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
            write_arrays(files[number], part)

    def _batch(
        self, generator: Generator, encoder: Encoder, chosen: slice, beats: list[npt.NDArray[np.int64]]
    ) -> Arrays:
        store, device = self.request.data.store, self.request.batching.device
        real = store.read(self.rows[chosen], LEADS)
        given = real if self.seen is self.rows else store.read(self.seen[chosen], LEADS)
        torch.manual_seed(derive(0, "synthesis", int(self.rows[chosen.start])))
        generated = synthesize(generator, given, store.sampling_rate, device, pass_through=self.pass_through)
        made = generated.cpu().numpy()
        self._assert_finite(made, chosen, "what it generates of")
        features = embed_signals(encoder, made, store.sampling_rate, LEADS, device)
        self._assert_finite(features, chosen, f"what {self.classifier.request.method} makes of the generated leads of")
        if not self.measured:
            return {"features": features}
        rates = [LEADS.index(lead) for lead in RATE_LEADS]
        return {
            "features": features,
            **record_statistics(real, made, beats, store.sampling_rate),
            "heart_rate": heart_rates(made[:, rates], store.sampling_rate),
            "real_heart_rate": rates_of(beats, store.sampling_rate),
        }

    def _load_generator(self) -> Generator:
        generator, device = self.request.adapter, self.request.batching.device
        assert isinstance(generator, Generator)
        try:
            notes = self.weights.load(generator, device).notes
        except MibenchError as problem:
            raise RefusedWeightsError(str(problem)) from problem
        for note in notes if self.weights.source == "published" else ():
            self.request.say(f"{self.weights.name}: {note}")
        observed = OBSERVED if generator.spec.sees == "observed" else LEADS
        assert_sound(generator, self.request.data.store, observed, device)
        write_json(self.folder / NOTES, {"notes": list(notes)})
        return generator

    def _assert_finite(self, found: npt.NDArray[Any], chosen: slice, what: str) -> None:
        broken = ~np.isfinite(found.reshape(len(found), -1)).all(axis=1)
        if broken.any():
            record = self.request.data.records[self.rows[chosen][int(np.flatnonzero(broken)[0])]]
            raise MibenchError(
                f"method {self.request.method}: {what} record {record} is not finite; look where it divides, or "
                f"whether its weights are"
            )
