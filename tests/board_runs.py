"""Invented runs with test scores on disk: what figures and comparisons of a board read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mibench.benchmark import results
from mibench.benchmark.ecg import MI_STATEMENTS
from mibench.benchmark.stats import summarize

POSITIVES = (29, 35, 236, 48, 268, 5, 3, 20, 2)
"""Of PTB-XL's test fold."""


@dataclass(frozen=True)
class Invented:
    """A method of the tests: how far it moves positives up, in standard deviations of its scores."""

    name: str
    title: str
    shift: float
    source: str = "published"


def truth(records: int, positives: Sequence[int]) -> NDArray[np.int8]:
    """(records, statements) labels with so many positives each."""
    random = np.random.default_rng(1)
    labels = np.zeros((records, len(positives)), dtype=np.int8)
    for column, count in enumerate(positives):
        labels[random.choice(records, count, replace=False), column] = 1
    return labels


def write_runs(
    root: Path,
    make_record: Callable[..., dict[str, Any]],
    methods: Sequence[Invented],
    *,
    ratios: Sequence[float] = (1.0,),
    seeds: int = 1,
    records: int = 400,
    positives: Sequence[int] = (20, 24, 40, 30, 45, 5, 3, 20, 2),
    resamples: int = 50,
    **others: Any,
) -> list[results.StoredRecord]:
    """Runs of all methods, ratios and seeds, measured as runs are, with their scores beside them."""
    labels = truth(records, positives)
    patients = np.arange(records) // 2
    ids = np.array([f"{number:05d}" for number in range(records)])
    common = np.random.default_rng(2).normal(size=labels.shape)
    written = []
    for place, method in enumerate(methods):
        # Some statements suit a method better than others do, whatever the seed.
        taste = np.random.default_rng(100 + place).normal(0, 0.25, len(MI_STATEMENTS))
        for ratio in ratios:
            for seed in range(seeds):
                noise = np.random.default_rng([place, round(100 * ratio), seed]).normal(size=labels.shape)
                own = np.random.default_rng([place, 7]).normal(size=labels.shape)
                shift = (method.shift + taste) * (1 + 0.25 * np.log2(ratio)) if method.shift else 0.0
                scores = 0.6 * common + 0.7 * own + 0.4 * noise + shift * labels
                summary = summarize(scores, labels, patients, resamples=resamples, seed=0)
                record = make_record(
                    method=method.name,
                    title=method.title,
                    source=method.source,
                    ratio=ratio,
                    seed=seed,
                    **others,
                )
                metrics: Mapping[str, Any] = {**summary.to_record(), "macro_trained": summary.avg}
                arrays = {
                    "records": ids,
                    "patients": patients,
                    "statements": np.array(MI_STATEMENTS),
                    "scores": scores.astype(np.float32),
                    "labels": labels,
                }
                written.append(results.read(results.write(root, {**record, "metrics": metrics}, arrays)))
    return written
