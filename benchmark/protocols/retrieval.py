"""Retrieval (paper, Table 5): lead I of a held-out record looks for the twelve leads of the same record.

The queries are what the student says of lead I, the gallery what the teacher says of twelve leads, of the records that
pre-training was watched by. Beside the recalls stand the validation losses that the objective itself gives in batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from ...adapters.base import Taught
from ...adapters.errors import MibenchError
from ...adapters.options import plain
from .. import results
from ..frozen import RefusedWeightsError
from ..provenance import now, provenance
from ..seeds import derive
from ..signal_summary import mean_intervals
from ..synthesis import OBSERVED
from ..teacher_student import Embedded, Pair, embed_pairs
from .ranks import ranks_in_batches, ranks_of_partners
from .request import Request

NAME = "retrieval"
DEPTHS = (1, 5, 10)


@dataclass(frozen=True)
class Settings:
    """Settings of the protocol.

    Attributes:
        gallery: "full" looks among all held-out records, "batch" among those of the query's batch.
        loss_batch: records in a batch of the losses, and of that gallery; in record order. A short last batch is left
            out, because these losses depend on the size; fewer records than one batch are one batch.
        resamples: of the bootstrap.
    """

    gallery: Literal["full", "batch"] = "full"
    loss_batch: int = 128
    resamples: int = 2000

    def __post_init__(self) -> None:
        if self.loss_batch < 2 or self.resamples < 2:
            raise ValueError(f"loss_batch and resamples must be at least 2; got {self.loss_batch} and {self.resamples}")


def run(request: Request, pair: Pair, settings: Settings, version: int) -> Path:
    """Look for every held-out record; what is done already stays.

    Returns:
        The run record.

    Raises:
        MibenchError: the method has no teacher, fewer than two records are held out, or an embedding is not finite; the
            last is recorded.
    """
    rows = request.data.held_out_rows()
    if len(rows) < 2:
        raise MibenchError(f"{request.data.name} holds out {len(rows)} records: retrieval needs two or more")
    found = determinants(request, pair, settings, version)
    key = results.run_key(found)
    place = (request.results, request.data.name, f"{NAME}-v{version}", request.method, key)
    if not request.force and results.exists(*place):
        request.say(f"{request.method}, {pair.weights.name}: its retrieval is done already")
        return results.record_path(*place)
    started = time.monotonic()
    envelope = _envelope(request, pair, found, key, len(rows))
    try:
        embedded = embed_pairs(request, pair, rows)
        block, ranks = measure(embedded, request, settings, rows)
    except RefusedWeightsError:
        raise
    except Exception as problem:
        results.write_failure(request.results, envelope, str(problem) or type(problem).__name__)
        raise
    envelope["provenance"] = provenance(str(request.batching.device), time.monotonic() - started)
    queries = rows[: len(ranks)]
    kept = {"records": request.data.records[queries], "patients": request.data.patients[queries], "ranks": ranks}
    return results.write(request.results, {**envelope, "retrieval": block}, kept)


def determinants(request: Request, pair: Pair, settings: Settings, version: int) -> dict[str, Any]:
    """Whatever determines the figures."""
    return {
        "protocol": {"name": NAME, "version": version, "settings": plain(settings)},
        "method": request.method_identity(),
        "weights": pair.weights.identity(),
        "objective": pair.sha256,
        "data": request.data.manifest,
    }


def measure(
    embedded: Embedded, request: Request, settings: Settings, rows: npt.NDArray[np.int64]
) -> tuple[dict[str, Any], npt.NDArray[np.int64]]:
    """The record's `retrieval` block, and the rank of each query's own record, 0 for the first."""
    device, data = request.batching.device, request.data
    student, teacher = (torch.from_numpy(array).to(device) for array in (embedded.student, embedded.teacher))
    size = min(settings.loss_batch, len(rows))
    whole = settings.gallery == "full"
    ranks = ranks_of_partners(student, teacher) if whole else ranks_in_batches(student, teacher, size)
    gallery = len(rows) if whole else size
    hits = np.stack([ranks < depth for depth in DEPTHS], axis=1).astype(np.float64)
    patients = data.patients[rows[: len(ranks)]]
    seed = derive(0, "retrieval", data.manifest)
    intervals = mean_intervals(hits, patients, settings.resamples, seed)
    # Where all queries fare alike, resamples do as well, and that is no certainty.
    intervals = [ends if ends and ends[0] < ends[1] else None for ends in intervals]
    losses, batches = _losses(embedded.objective, student, teacher, size)
    return {
        "queries": len(ranks),
        "patients": len(np.unique(patients)),
        "gallery": gallery,
        "recall": {str(depth): float(value) for depth, value in zip(DEPTHS, hits.mean(axis=0), strict=True)},
        "interval": {str(depth): interval for depth, interval in zip(DEPTHS, intervals, strict=True)},
        "chance": {str(depth): min(1.0, depth / gallery) for depth in DEPTHS},
        "median_rank": float(np.median(ranks)) + 1,
        "loss_batch": size,
        "loss_batches": batches,
        "losses": losses,
        "infonce_chance": math.log(size),
    }, ranks


def _losses(
    objective: Taught, student: torch.Tensor, teacher: torch.Tensor, size: int
) -> tuple[Mapping[str, float], int]:
    """Means over full batches in record order of whatever the objective gives, and the number of batches."""
    found: dict[str, list[float]] = {}
    starts = range(0, len(student) - size + 1, size)
    with torch.inference_mode():
        for start in starts:
            values = objective.losses(student[start : start + size], teacher[start : start + size])
            for name, value in values.items():
                found.setdefault(name, []).append(float(value))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    broken = [name for name, value in means.items() if not math.isfinite(value)]
    if broken:
        raise MibenchError(f"the validation losses {', '.join(broken)} are not finite: no result was made of them")
    return means, len(starts)


def _envelope(request: Request, pair: Pair, found: dict[str, Any], key: str, held_out: int) -> dict[str, Any]:
    records = {"train": len(request.data.training_rows()), "validation": held_out}
    return {
        "schema": results.SCHEMA_VERSION,
        "key": key,
        "created": now(),
        "protocol": found["protocol"],
        "method": request.method_record(),
        "weights": pair.weights.to_record(),
        "data": request.data_record(OBSERVED, records),
        "ratio": None,
        "seed": None,
        "determinants": found,
        "provenance": provenance(str(request.batching.device), 0.0),
    }
