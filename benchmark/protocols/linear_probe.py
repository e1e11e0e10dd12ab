"""Linear probing (paper, Tables 1, 3 and 8): a frozen encoder, one linear layer, the AUCs of nine MI statements.

Each record is encoded once; all seeds and ratios are trained together on the cached embeddings; the validation fold
chooses the epoch, and the test fold is looked at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from ...adapters.base import LEADS
from ...adapters.errors import MibenchError
from ...adapters.options import plain
from ...adapters.signal import prepare
from .. import results
from ..ecg import MI_STATEMENTS
from ..frozen import Frozen, RefusedWeightsError, embeddings_of
from ..metrics import auc, macro
from ..probe import Head, HeadTask, ProbeSettings, train_heads
from ..provenance import now, provenance
from ..seeds import derive
from ..stats import summarize
from ..weights import Weights
from .request import Request

NAME = "linear_probe"


@dataclass(frozen=True)
class Settings(ProbeSettings):
    """Settings of the protocol; those of the heads come from `ProbeSettings`.

    Attributes:
        observed_leads: what was recorded; an encoder's other leads are silent.
        labels: "44" trains all diagnostic statements, "mi9" the nine reported ones alone.
        nested: smaller training subsets lie inside larger ones.
        resamples: of the bootstrap.
    """

    observed_leads: tuple[str, ...] = ("I",)
    labels: Literal["44", "mi9"] = "44"
    nested: bool = True
    resamples: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [lead for lead in self.observed_leads if lead not in LEADS]
        if unknown or not self.observed_leads:
            raise ValueError(
                f"observed_leads must be leads out of {', '.join(LEADS)}; got {', '.join(unknown) or 'none'}"
            )


@dataclass(frozen=True)
class _Run:
    """One row to be: a training ratio and a seed, with the key they determine."""

    ratio: float
    seed: int
    key: str
    determinants: dict[str, Any]


def run(
    request: Request, weights: Weights, settings: Settings, version: int, ratios: Sequence[float], seeds: Sequence[int]
) -> list[Path]:
    """Probe a method at every ratio with every seed; what is done already stays.

    Returns:
        The run records, one per ratio and seed.

    Raises:
        MibenchError: the data have no folds, or the method's outputs are wrong; the failure is recorded.
    """
    split = request.data.split()
    runs = [_plan(request, weights, settings, version, ratio, seed) for ratio in ratios for seed in seeds]
    place = (request.results, request.data.name, f"{NAME}-v{version}", request.method)
    missing = [run for run in runs if request.force or not results.exists(*place, run.key)]
    if len(missing) < len(runs):
        request.say(
            f"{request.method}, {weights.name}: {len(runs) - len(missing)} of {len(runs)} runs are done already"
        )
    if missing:
        _assert_fitting(request, settings)
        started = time.monotonic()
        try:
            frozen = embeddings_of(request, weights, settings.observed_leads)
            heads = _train(request, settings, split, missing, frozen.embeddings)
        except RefusedWeightsError:
            raise
        except Exception as problem:
            for failed in missing:
                record = _envelope(request, weights, settings, version, failed, split, None, started)
                results.write_failure(request.results, record, str(problem) or type(problem).__name__)
            raise
        for ready, head in zip(missing, heads, strict=True):
            record = _envelope(request, weights, settings, version, ready, split, frozen, started)
            _finish(request, record, head, frozen.embeddings, split, settings)
    return [results.record_path(*place, run.key) for run in runs]


def training_subset(
    rows: npt.NDArray[np.int64], ratio: float, seed: int, *, nested: bool = True
) -> npt.NDArray[np.int64]:
    """The training records of a ratio: the same for every method, and nested unless told otherwise."""
    generator = np.random.default_rng(derive(seed, "subset") if nested else derive(seed, "subset", ratio))
    count = max(1, round(ratio * len(rows)))
    return np.sort(rows[generator.permutation(len(rows))[:count]])


def _plan(request: Request, weights: Weights, settings: Settings, version: int, ratio: float, seed: int) -> _Run:
    determinants = {
        "protocol": {"name": NAME, "version": version, "settings": plain(settings)},
        "method": request.method_identity(),
        "weights": weights.identity(),
        "data": request.data.manifest,
        "ratio": ratio,
        "seed": seed,
    }
    return _Run(ratio, seed, results.run_key(determinants), determinants)


def _assert_fitting(request: Request, settings: Settings) -> None:
    """Refuse leads or a record length that the method does not take, before anything counts as a failed run."""
    store = request.data.store
    silence = torch.zeros(1, len(settings.observed_leads), store.samples)
    prepare(silence, store.sampling_rate, settings.observed_leads, request.adapter.spec)


def _train(
    request: Request,
    settings: Settings,
    split: dict[str, npt.NDArray[np.int64]],
    runs: Sequence[_Run],
    embeddings: npt.NDArray[np.float32],
) -> list[Head]:
    device = request.batching.device
    columns = _trained_columns(request, settings)
    labels = request.data.labels[:, columns]
    if not labels[split["validation"]].any():
        raise MibenchError(f"{request.data.name}: the validation fold has no positive of any statement to select on")
    position = {row: place for place, row in enumerate(split["train"].tolist())}
    tasks = [
        HeadTask(
            rows=np.array(
                [
                    position[row]
                    for row in training_subset(split["train"], run.ratio, run.seed, nested=settings.nested).tolist()
                ],
                dtype=np.int64,
            ),
            seed=run.seed,
        )
        for run in runs
    ]

    def tensors(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        rows = split[part]
        return torch.from_numpy(embeddings[rows]).to(device), torch.from_numpy(labels[rows]).to(device)

    monitored = None
    if settings.monitor == "auc9":
        monitored = [columns.index(column) for column in request.data.mi_columns()]
    bar = request.steps(f"training {len(tasks)} heads", settings.epochs)
    heads = train_heads(tasks, tensors("train"), tensors("validation"), settings, monitored, bar)
    bar(settings.epochs)
    return heads


def _trained_columns(request: Request, settings: Settings) -> list[int]:
    return request.data.mi_columns() if settings.labels == "mi9" else list(range(len(request.data.statements)))


def _envelope(
    request: Request,
    weights: Weights,
    settings: Settings,
    version: int,
    run: _Run,
    split: dict[str, npt.NDArray[np.int64]],
    frozen: Frozen | None,
    started: float,
) -> dict[str, Any]:
    data = request.data_record(settings.observed_leads, {part: len(rows) for part, rows in split.items()})
    if frozen is not None and frozen.without_tokens is not None:
        data["without_tokens"] = frozen.without_tokens
    return {
        "schema": results.SCHEMA_VERSION,
        "key": run.key,
        "created": now(),
        "protocol": {"name": NAME, "version": version, "settings": plain(settings)},
        "method": request.method_record(),
        "weights": {
            "source": weights.source,
            "name": weights.name,
            "sha256": weights.sha256,
            "seed": weights.seed,
            "notes": list(frozen.notes) if frozen else [],
            "pretraining": weights.pretraining,
        },
        "data": data,
        "ratio": run.ratio,
        "seed": run.seed,
        "determinants": run.determinants,
        "provenance": provenance(str(request.batching.device), time.monotonic() - started),
    }


def _finish(
    request: Request,
    record: dict[str, Any],
    head: Head,
    embeddings: npt.NDArray[np.float32],
    split: dict[str, npt.NDArray[np.int64]],
    settings: Settings,
) -> None:
    """Score the test fold, once, and write the record with its predictions."""
    data, test = request.data, split["test"]
    features = torch.from_numpy(embeddings[test]).to(head.weight.device)
    scores = head.scores(features)
    columns = _trained_columns(request, settings)
    nine = [columns.index(column) for column in data.mi_columns()]
    labels = data.labels[test][:, columns]
    summary = summarize(
        scores[:, nine],
        labels[:, nine],
        data.patients[test],
        MI_STATEMENTS,
        resamples=settings.resamples,
        seed=derive(0, "bootstrap", data.manifest),
    )
    every = float(macro(auc(scores, labels)))
    record = {
        **record,
        "status": "done",
        "error": None,
        "metrics": {**summary.to_record(), "macro_trained": every if np.isfinite(every) else None},
        "training": {
            "records": len(training_subset(split["train"], record["ratio"], record["seed"], nested=settings.nested)),
            "epochs": head.epochs,
            "best_epoch": head.best_epoch,
            "validation": list(head.validation),
        },
    }
    predictions = {
        "records": data.records[test],
        "patients": data.patients[test],
        "statements": np.array([data.statements[column] for column in columns]),
        "scores": scores,
        "labels": labels,
    }
    results.write(request.results, record, predictions)
