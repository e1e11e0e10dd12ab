"""Linear probing (paper, Tables 1, 3 and 8): a frozen encoder, one linear layer, the AUCs of nine MI statements.

Each record is encoded once; all seeds and ratios are trained together on the cached embeddings; the validation fold
chooses the epoch, and the test fold is looked at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...adapters.base import LEADS
from ...adapters.options import plain
from ...adapters.signal import prepare
from .. import results
from ..frozen import Frozen, RefusedWeightsError, embeddings_of
from ..weights import Weights
from . import probing
from .request import Request

NAME = "linear_probe"


@dataclass(frozen=True)
class Settings(probing.Settings):
    """Settings of the protocol; those of the heads come from `probing.Settings`.

    Attributes:
        observed_leads: what was recorded; an encoder's other leads are silent.
    """

    observed_leads: tuple[str, ...] = ("I",)

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [lead for lead in self.observed_leads if lead not in LEADS]
        if unknown or not self.observed_leads:
            raise ValueError(
                f"observed_leads must be leads out of {', '.join(LEADS)}; got {', '.join(unknown) or 'none'}"
            )


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
    runs = plan(request, weights, settings, version, ratios, seeds)
    place = (request.results, request.data.name, f"{NAME}-v{version}", request.method)
    missing = probing.missing(request, weights, runs, place)
    if missing:
        assert_fitting(request, settings)
        started = time.monotonic()
        try:
            frozen = embeddings_of(request, weights, settings.observed_leads)
            places = [(run.ratio, run.seed) for run in missing]
            features = {part: frozen.embeddings[rows] for part, rows in split.items()}
            heads = probing.train(request, settings, split, places, features)
        except RefusedWeightsError:
            raise
        except Exception as problem:
            for failed in missing:
                record = _envelope(request, weights, settings, failed, split, None, started)
                results.write_failure(request.results, record, str(problem) or type(problem).__name__)
            raise
        for ready, head in zip(missing, heads, strict=True):
            record = _envelope(request, weights, settings, ready, split, frozen, started)
            scored = probing.score(request, settings, split, ready.ratio, ready.seed, head, features["test"])
            results.write(request.results, {**record, **scored.blocks}, scored.predictions)
    return [results.record_path(*place, run.key) for run in runs]


def plan(
    request: Request, weights: Weights, settings: Settings, version: int, ratios: Sequence[float], seeds: Sequence[int]
) -> list[probing.Run]:
    """The runs that `run` would make."""
    protocol = {"name": NAME, "version": version, "settings": plain(settings)}
    return probing.plan(protocol, request, weights, ratios, seeds)


def assert_fitting(request: Request, settings: Settings) -> None:
    """Refuse leads or a record length that the method does not take, before anything counts as a failed run."""
    store = request.data.store
    silence = torch.zeros(1, len(settings.observed_leads), store.samples)
    prepare(silence, store.sampling_rate, settings.observed_leads, request.adapter.spec)


def _envelope(
    request: Request,
    weights: Weights,
    settings: Settings,
    run: probing.Run,
    split: dict[str, npt.NDArray[np.int64]],
    frozen: Frozen | None,
    started: float,
) -> dict[str, Any]:
    data = request.data_record(settings.observed_leads, {part: len(rows) for part, rows in split.items()})
    if frozen is not None and frozen.without_tokens is not None:
        data["without_tokens"] = frozen.without_tokens
    return probing.envelope(request, weights, run, data, frozen.notes if frozen else (), started)
