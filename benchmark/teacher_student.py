"""A pre-trained student with its teacher: found, loaded, and asked once for the records that were held out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor, nn

from ..adapters.base import LEADS, Pretrainable, Taught
from ..adapters.checkpoints import load_into, read_weights
from ..adapters.errors import MibenchError
from .embed import embedding_folder, embedding_key
from .files import read_arrays, sha256_file, write_arrays
from .frozen import RefusedWeightsError
from .protocols.pretrain import FINISHED, OBJECTIVE, WEIGHTS
from .protocols.request import Request
from .seeds import derive
from .training.batches import leads_of, prepared_views
from .weights import Weights

PAIRS = "pairs.npz"


@dataclass(frozen=True)
class Pair:
    """Weights of a student, as other protocols know them, and the file that its teacher is in as well.

    Attributes:
        weights: of the student.
        objective, sha256: the file and its digest; None for random weights.
    """

    weights: Weights
    objective: Path | None = None
    sha256: str | None = None

    def identity(self) -> dict[str, Any]:
        """What determines both networks: part of every key."""
        return {"sha256": self.sha256, "random_seed": self.weights.seed}


def weights_beside(choice: str) -> str:
    """What `--weights` means where a pre-training's folder, or its objective, is named: the weights beside them."""
    path = Path(choice).expanduser()
    folder = path if path.is_dir() else path.parent if path.name == OBJECTIVE else None
    return choice if folder is None else str(folder / WEIGHTS)


def pair_of(method: str, weights: Weights) -> Pair:
    """The student's weights with the objective beside them.

    Raises:
        MibenchError: there is none, or it is not the one that was written with these weights.
    """
    if weights.source == "random":
        return Pair(weights)
    file = weights.path.with_name(OBJECTIVE) if weights.path else None
    if file is None or not file.is_file():
        raise MibenchError(
            f"retrieval needs the teacher of {method} beside its student, and {weights.path or weights.name} holds the "
            f"student alone: give the folder of a pre-training, or its {OBJECTIVE}, with --weights; "
            f"mibench pretrain --method {method} makes one (with --force where it was made before teachers were kept)"
        )
    digest = sha256_file(file)
    wanted = _finished(file.parent).get("objective_sha256") or digest
    if digest != wanted:
        raise MibenchError(f"{file} is not what its pre-training wrote: pre-train again with --force")
    return Pair(weights, file, digest)


@dataclass(frozen=True)
class Embedded:
    """What student and teacher say of some records.

    Attributes:
        student, teacher: (records, features).
        objective: for its losses; on the device, in evaluation mode.
    """

    student: npt.NDArray[np.float32]
    teacher: npt.NDArray[np.float32]
    objective: Taught


def embed_pairs(request: Request, pair: Pair, rows: npt.NDArray[np.int64]) -> Embedded:
    """Both embeddings of some records, from the cache or computed now.

    Raises:
        RefusedWeightsError: the method has no teacher, or the file does not fit it.
        MibenchError: an embedding is not finite; the record is named.
    """
    store = request.data.store
    objective = _objective(request, pair)
    identity = {**request.method_identity(), "pair": pair.identity(), "rows": request.data.records[rows].tolist()}
    folder = embedding_folder(request.method, embedding_key(identity, store, LEADS))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        kept = read_arrays(folder / PAIRS, ["student", "teacher"])
        if kept is None or {len(array) for array in kept.values()} != {len(rows)}:
            kept = _compute(request, objective, rows)
            write_arrays(folder / PAIRS, kept)
    return Embedded(kept["student"], kept["teacher"], objective)


def _objective(request: Request, pair: Pair) -> Any:
    """Student and teacher as they were trained, on the device, in evaluation mode."""
    method, device = request.adapter, request.batching.device
    if not isinstance(method, Pretrainable):
        raise RefusedWeightsError(f"{request.method} has no pre-training in mibench, so it has no teacher to retrieve")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(pair.weights.seed or 0, "weights", request.method))
        try:
            objective: nn.Module = method.objective({})
            if pair.objective is not None and isinstance(objective, Taught):
                state, _ = read_weights(pair.objective)
                expected = "the objective of a pre-training with the same --preset and --set method options"
                load_into(objective, state, source=pair.objective, expected=expected)
        except MibenchError as problem:
            raise RefusedWeightsError(str(problem)) from problem
    if not isinstance(objective, Taught):
        raise RefusedWeightsError(
            f"{request.method} learns without a teacher of twelve leads: there is nothing to retrieve"
        )
    return objective.to(device).eval().requires_grad_(False)


def _compute(request: Request, objective: Taught, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float32]]:
    size, records = request.batching.batch_size, request.data.records
    bar = request.steps(f"embedding student and teacher of {request.method}", len(rows))
    parts: dict[str, list[npt.NDArray[np.float32]]] = {"student": [], "teacher": []}
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        with torch.inference_mode():
            views = _views(request, chosen)
            outputs = {"student": objective.learn(views), "teacher": objective.teach(views[objective.teacher_view])}
        for name, output in outputs.items():
            array = output.float().cpu().numpy()
            if not np.isfinite(array).all():
                record = records[chosen[int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])]]
                raise MibenchError(f"method {request.method}: what the {name} says of record {record} is not finite")
            parts[name].append(array)
        bar(start + len(chosen))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _views(request: Request, rows: npt.NDArray[np.int64]) -> Mapping[str, Tensor]:
    """Every view of some records, (records, leads, samples), on the device."""
    method, store = request.adapter, request.data.store
    assert isinstance(method, Pretrainable)
    leads = leads_of(method.views)
    millivolt = torch.from_numpy(store.read(rows, leads)).to(request.batching.device, non_blocking=True)
    return prepared_views(millivolt, store.sampling_rate, leads, method.views)


def _finished(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / FINISHED).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
