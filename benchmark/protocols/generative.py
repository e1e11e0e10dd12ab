"""The generative pipeline (paper, Table 2): lead I -> generator -> twelve leads -> a classifier of twelve leads.

The classifier is a linear probe on a frozen twelve-lead encoder, trained on real records: the same one for every
generator. Trained on generated records instead, it is another board: what the two differ by is the gap between real
and generated features, and what remains is what the generator cannot know.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ...adapters.base import LEADS
from ...adapters.errors import MibenchError
from ...adapters.options import plain
from .. import heads, results
from ..frozen import RefusedWeightsError
from ..generated import RATE_LEADS, Classifier, Generated, Part, generated_of, real_features
from ..latent import summarize_latent
from ..probe import Head, ProbeSettings
from ..provenance import now, provenance
from ..seeds import derive
from ..signal_summary import summarize_signals
from ..synthesis import OBSERVED
from ..weights import Weights
from . import probing
from .request import Request

NAME = "generative"

_HEADS = [entry.name for entry in fields(ProbeSettings)] + ["labels", "nested"]
"""Settings that determine the heads; the others are of the pipeline and of the intervals."""


@dataclass(frozen=True)
class Settings(probing.Settings):
    """Settings of the protocol; those of the heads come from `probing.Settings`.

    Attributes:
        classifier, classifier_preset: the encoder of twelve leads behind the classifier.
        classifier_normalization: how it scales millivolts, "own" as it is published. Under "zscore-lead" the size of
            a lead is nothing to it, and a lead that is a multiple of lead I is lead I.
        trained_on: whether the classifier's training and validation records are real or generated.
        pass_through: the recorded lead I takes the place of the generated one.
        check_order: refuse a generator whose leads look like other leads.
    """

    classifier: str = "ecgfounder-12lead"
    classifier_preset: str = "full"
    classifier_normalization: Literal["own", "zscore-lead", "zscore-record"] = "own"
    trained_on: Literal["real", "generated"] = "real"
    pass_through: bool = True
    check_order: bool = True


def run(
    request: Request,
    weights: Weights,
    classifier: Classifier,
    settings: Settings,
    version: int,
    ratios: Sequence[float],
    seeds: Sequence[int],
) -> list[Path]:
    """Generate the test fold and classify it, at every ratio and seed of the classifier; what is done stays.

    Args:
        request, weights: the generator.
        classifier: the encoder behind the classifier, on the same data.

    Returns:
        The run records, one per ratio and seed.

    Raises:
        MibenchError: the data have no folds, or the generator's output is wrong; the failure is recorded.
    """
    split = request.data.split()
    runs = plan(request, weights, classifier, settings, version, ratios, seeds)
    place = (request.results, request.data.name, f"{NAME}-v{version}", request.method)
    missing = probing.missing(request, weights, runs, place)
    if missing:
        started = time.monotonic()
        envelopes = [_envelope(request, weights, classifier, settings, version, ready) for ready in missing]
        try:
            real = real_features(classifier)
            test = generated_of(request, weights, classifier, "test", pass_through=settings.pass_through)
            trained = _train(request, weights, classifier, settings, missing, real)
            about = _about(request, settings, test, real[split["test"]])
        except RefusedWeightsError:
            raise
        except Exception as problem:
            for envelope in envelopes:
                results.write_failure(request.results, envelope, str(problem) or type(problem).__name__)
            raise
        for ready, envelope, head in zip(missing, envelopes, trained, strict=True):
            scored = probing.score(request, settings, split, ready.ratio, ready.seed, head, test.features)
            record = {**envelope, **scored.blocks, "generation": {**envelope["generation"], **about}}
            record["weights"] = weights.to_record(test.notes)
            record["provenance"] = provenance(str(request.batching.device), time.monotonic() - started)
            results.write(request.results, record, scored.predictions)
    return [results.record_path(*place, run.key) for run in runs]


def plan(
    request: Request,
    weights: Weights,
    classifier: Classifier,
    settings: Settings,
    version: int,
    ratios: Sequence[float],
    seeds: Sequence[int],
) -> list[probing.Run]:
    """The runs that `run` would make."""
    shared = {
        "protocol": {"name": NAME, "version": version, "settings": plain(settings)},
        "method": request.method_identity(),
        "weights": weights.identity(),
        "classifier": classifier.identity(),
        "data": request.data.manifest,
    }
    return probing.runs_of(shared, ratios, seeds)


def _train(
    request: Request,
    weights: Weights,
    classifier: Classifier,
    settings: Settings,
    runs: Sequence[probing.Run],
    real: probing.Features,
) -> list[Head]:
    """A head for every run: of real records from the cache, whoever's generator is asked about."""
    split = request.data.split()
    places = [(run.ratio, run.seed) for run in runs]
    if settings.trained_on == "real":
        features = {part: real[split[part]] for part in ("train", "validation")}
        determinants = {
            "classifier": classifier.identity(),
            "data": request.data.manifest,
            "settings": {name: plain(settings)[name] for name in _HEADS},
        }
        return heads.cached(
            lambda wanted: probing.train(request, settings, split, wanted, features),
            determinants,
            places,
            request.batching.device,
        )
    parts: dict[str, probing.Features] = {}
    learning: tuple[Part, ...] = ("train", "validation")
    for part in learning:
        made = generated_of(request, weights, classifier, part, pass_through=settings.pass_through)
        parts[part] = made.features
    return probing.train(request, settings, split, places, parts)


def _about(request: Request, settings: Settings, test: Generated, real: probing.Features) -> dict[str, Any]:
    """How near the generated test records come to the real ones: as signals, and in the latent space."""
    data = request.data
    patients = data.patients[test.rows]
    signal = summarize_signals(
        test.statistics,
        patients,
        resamples=settings.resamples,
        seed=derive(0, "bootstrap", data.manifest),
    )
    if signal["order"] and settings.check_order:
        order = ", ".join(f"{lead} like {other}" for lead, other in signal["order"].items())
        raise MibenchError(
            f"method {request.method}: its leads seem to be in another order ({order}); give them as "
            f"{', '.join(LEADS)}, or say that they are right with --set protocol.check_order=false"
        )
    signal["heart_rate"] = {"leads": list(RATE_LEADS), **signal["heart_rate"]}
    latent = None
    if len(test.rows) > 1:
        latent = summarize_latent(
            real,
            test.features,
            patients,
            seed=derive(0, "latent", data.manifest),
            resamples=settings.resamples,
        )
    return {"signal": signal, "latent": latent}


def _envelope(
    request: Request,
    weights: Weights,
    classifier: Classifier,
    settings: Settings,
    version: int,
    run: probing.Run,
) -> dict[str, Any]:
    split = request.data.split()
    return {
        "schema": results.SCHEMA_VERSION,
        "key": run.key,
        "created": now(),
        "protocol": {"name": NAME, "version": version, "settings": plain(settings)},
        "method": request.method_record(),
        "weights": weights.to_record(),
        "generation": {
            "classifier": {**classifier.describe(), "trained_on": settings.trained_on},
            "pass_through": settings.pass_through and request.adapter.spec.sees != "another-record",
            "sees": request.adapter.spec.sees,
        },
        "data": request.data_record(OBSERVED, {part: len(rows) for part, rows in split.items()}),
        "ratio": run.ratio,
        "seed": run.seed,
        "determinants": run.determinants,
        "provenance": provenance(str(request.batching.device), 0.0),
    }
