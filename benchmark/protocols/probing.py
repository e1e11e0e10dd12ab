"""What every protocol with a linear probe does: which records train it, how it is trained, and how it is scored.

The validation fold chooses the epoch; the test fold is looked at once, for the scores that the record keeps.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from ...adapters.errors import MibenchError
from .. import results
from ..ecg import MI_STATEMENTS
from ..metrics import auc, macro
from ..probe import Head, HeadTask, ProbeSettings, train_heads
from ..provenance import now, provenance
from ..seeds import derive
from ..stats import summarize
from ..weights import Weights
from .request import Request

Rows = npt.NDArray[np.int64]
Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Settings(ProbeSettings):
    """Settings of the heads, and of which records and statements they see.

    Attributes:
        labels: "44" trains all diagnostic statements, "mi9" the nine reported ones alone.
        nested: smaller training subsets lie inside larger ones.
        resamples: of the bootstrap.
    """

    labels: Literal["44", "mi9"] = "44"
    nested: bool = True
    resamples: int = 2000


@dataclass(frozen=True)
class Run:
    """One row to be: a training ratio and a seed, with the key they determine."""

    ratio: float
    seed: int
    key: str
    determinants: dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """What a head said of the test fold: blocks of the run record, and the arrays kept beside it."""

    blocks: dict[str, Any]
    predictions: dict[str, npt.NDArray[Any]]


def plan(
    protocol: Mapping[str, Any], request: Request, weights: Weights, ratios: Sequence[float], seeds: Sequence[int]
) -> list[Run]:
    """The runs of every ratio and seed, with their keys; nothing is looked at but names and hashes.

    Args:
        protocol: its name, version and settings, as records keep them.
    """
    shared = {
        "protocol": dict(protocol),
        "method": request.method_identity(),
        "weights": weights.identity(),
        "data": request.data.manifest,
    }
    return runs_of(shared, ratios, seeds)


def runs_of(shared: Mapping[str, Any], ratios: Sequence[float], seeds: Sequence[int]) -> list[Run]:
    """A run for every ratio and seed, out of what determines all of them."""
    runs = []
    for ratio, seed in itertools.product(ratios, seeds):
        determinants = {**shared, "ratio": ratio, "seed": seed}
        runs.append(Run(ratio, seed, results.run_key(determinants), determinants))
    return runs


def envelope(
    request: Request, weights: Weights, run: Run, data: Mapping[str, Any], notes: Sequence[str], started: float
) -> dict[str, Any]:
    """What a run's record holds beside its figures.

    Args:
        data: as `Request.data_record` gives it.
        notes: what loading the weights found.
        started: by the monotonic clock.
    """
    return {
        "schema": results.SCHEMA_VERSION,
        "key": run.key,
        "created": now(),
        "protocol": run.determinants["protocol"],
        "method": request.method_record(),
        "weights": weights.to_record(notes),
        "data": dict(data),
        "ratio": run.ratio,
        "seed": run.seed,
        "determinants": run.determinants,
        "provenance": provenance(str(request.batching.device), time.monotonic() - started),
    }


def missing(request: Request, weights: Weights, runs: Sequence[Run], place: tuple[Path, str, str, str]) -> list[Run]:
    """The runs that are still to be made, and a word on the others.

    Args:
        place: results folder, data, protocol and method, as `results.exists` takes them.
    """
    left = [run for run in runs if request.force or not results.exists(*place, run.key)]
    if len(left) < len(runs):
        request.say(f"{request.method}, {weights.name}: {len(runs) - len(left)} of {len(runs)} runs are done already")
    return left


def training_subset(
    rows: npt.NDArray[np.int64], ratio: float, seed: int, *, nested: bool = True
) -> npt.NDArray[np.int64]:
    """The training records of a ratio: the same for every method, and nested unless told otherwise."""
    generator = np.random.default_rng(derive(seed, "subset") if nested else derive(seed, "subset", ratio))
    count = max(1, round(ratio * len(rows)))
    return np.sort(rows[generator.permutation(len(rows))[:count]])


def train(
    request: Request,
    settings: Settings,
    split: Mapping[str, Rows],
    places: Sequence[tuple[float, int]],
    features: Mapping[str, Features],
) -> list[Head]:
    """One head for every ratio and seed, all together.

    Args:
        split: rows of the data set by part.
        places: (ratio, seed) of each head.
        features: (rows of the part, dimensions) by part, "train" and "validation".

    Raises:
        MibenchError: the validation fold has no positive of any statement.
    """
    device = request.batching.device
    labels = request.data.labels[:, trained_columns(request, settings)]
    assert_selectable(request, settings, split)
    position = {row: place for place, row in enumerate(split["train"].tolist())}
    tasks = []
    for ratio, seed in places:
        subset = training_subset(split["train"], ratio, seed, nested=settings.nested)
        tasks.append(HeadTask(np.array([position[row] for row in subset.tolist()], dtype=np.int64), seed))

    def tensors(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(features[part]).to(device), torch.from_numpy(labels[split[part]]).to(device)

    monitored = monitored_columns(request, settings)
    bar = request.steps(f"training {len(tasks)} heads", settings.epochs)
    heads = train_heads(tasks, tensors("train"), tensors("validation"), settings, monitored, bar)
    bar(settings.epochs)
    return heads


def score(
    request: Request,
    settings: Settings,
    split: Mapping[str, Rows],
    ratio: float,
    seed: int,
    head: Head,
    features: Features,
) -> Scored:
    """Score the test fold, once.

    Args:
        features: (test rows, dimensions).
    """
    data, test = request.data, split["test"]
    scores = head.scores(torch.from_numpy(features).to(head.weight.device))
    columns = trained_columns(request, settings)
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
    blocks = {
        "status": "done",
        "error": None,
        "metrics": {**summary.to_record(), "macro_trained": every if np.isfinite(every) else None},
        "training": {
            "records": len(training_subset(split["train"], ratio, seed, nested=settings.nested)),
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
    return Scored(blocks, predictions)


def trained_columns(request: Request, settings: Settings) -> list[int]:
    """The label columns that the heads are trained on."""
    return request.data.mi_columns() if settings.labels == "mi9" else list(range(len(request.data.statements)))


def monitored_columns(request: Request, settings: Settings) -> list[int]:
    """Those among the trained columns that early stopping looks at."""
    columns = trained_columns(request, settings)
    nine = request.data.mi_columns()
    return [place for place, column in enumerate(columns) if settings.monitor != "auc9" or column in nine]


def assert_selectable(request: Request, settings: Settings, split: Mapping[str, Rows]) -> None:
    """Refuse data on which no epoch can be chosen.

    Raises:
        MibenchError: the validation fold has no positive of any statement.
    """
    if not request.data.labels[split["validation"]][:, trained_columns(request, settings)].any():
        raise MibenchError(f"{request.data.name}: the validation fold has no positive of any statement to select on")
