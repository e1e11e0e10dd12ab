"""How certain the AUCs of one run are: a 95 % interval of every statement, and of their means.

Three of the nine statements have two to five test positives. A bootstrap of two positives covers the truth less than
half of the time, so statements with fewer than `ENOUGH_POSITIVES` get the standard error of Hanley and McNeil (1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...adapters.errors import MibenchError
from ..ecg import FREQUENT_MI_STATEMENTS, MI_STATEMENTS
from ..metrics import auc
from .bootstrap import resample_weights, resampled_aucs
from .intervals import (
    BOOTSTRAP,
    ENOUGH_POSITIVES,
    Interval,
    hanley_mcneil_error,
    hanley_mcneil_interval,
    inside,
    logit_interval,
)

AVERAGE = "bootstrap covariance with Hanley-McNeil (logit)"


@dataclass(frozen=True)
class Summary:
    """AUCs of one run on its test records; None where a statement has no positive or no negative.

    `avg` is the mean over all statements, `avg6` over the six frequent ones; `left_out` are those without an AUC.
    """

    auc: dict[str, float | None]
    interval: dict[str, Interval | None]
    positives: dict[str, int]
    avg: float | None
    avg6: float | None
    avg_interval: Interval | None
    avg6_interval: Interval | None
    left_out: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """The `metrics` block of a run record."""

        def ends(interval: Interval | None) -> list[float | str] | None:
            return interval.to_record() if interval else None

        return {
            "auc": dict(self.auc),
            "interval": {name: ends(interval) for name, interval in self.interval.items()},
            "positives": dict(self.positives),
            "avg": self.avg,
            "avg6": self.avg6,
            "avg_interval": ends(self.avg_interval),
            "avg6_interval": ends(self.avg6_interval),
            "left_out": list(self.left_out),
        }


def summarize(
    scores: ArrayLike,
    labels: ArrayLike,
    patients: ArrayLike,
    statements: Sequence[str] = MI_STATEMENTS,
    *,
    resamples: int = 2000,
    seed: int,
) -> Summary:
    """AUC of every statement and their means, each with a 95 % interval.

    Per statement: the percentile interval of the patient bootstrap, or Hanley-McNeil on the logit scale under
    `ENOUGH_POSITIVES` positives (and where the resamples do not vary, as at an AUC of 1). Means: their standard
    error is that of the bootstrap covariance between statements, wherein the variance of each statement with few
    positives is the larger of the bootstrap's and Hanley-McNeil's; a normal interval on the logit scale.

    Args:
        scores: (records, statements), any increasing scale.
        labels: (records, statements), 0 or 1.
        patients: (records,), whatever identifies the patient of each record.
        statements: names of the columns.
        resamples: number of bootstrap resamples.
        seed: of the resamples. Give every method on the same data the same seed: comparisons are then paired.

    Raises:
        MibenchError: a score is NaN.
        ValueError: the shapes do not belong together.
    """
    values, truth, people = checked(scores, labels, patients, statements)
    positives = truth.sum(0)
    negatives = len(truth) - positives
    defined = [k for k in range(len(statements)) if positives[k] and negatives[k]]
    counts = positives[defined], negatives[defined]
    areas = auc(values[:, defined], truth[:, defined])
    weights = resample_weights(truth, people, resamples, seed)
    resampled = resampled_aucs(values[:, defined], truth[:, defined], weights)
    covariance = _covariance(areas, resampled, *counts)
    names = [statements[k] for k in defined]
    single = {
        name: _statement_interval(areas[i], resampled[:, i], int(counts[0][i]), int(counts[1][i]))
        for i, name in enumerate(names)
    }
    avg, avg_interval = _mean(areas, covariance, *counts, [True] * len(names))
    avg6, avg6_interval = _mean(areas, covariance, *counts, [name in FREQUENT_MI_STATEMENTS for name in names])
    known = dict(zip(names, areas.tolist(), strict=True))
    return Summary(
        auc={name: known.get(name) for name in statements},
        interval={name: single.get(name) for name in statements},
        positives=dict(zip(statements, positives.tolist(), strict=True)),
        avg=avg,
        avg6=avg6,
        avg_interval=avg_interval,
        avg6_interval=avg6_interval,
        left_out=tuple(name for name in statements if name not in known),
    )


def checked(
    scores: ArrayLike, labels: ArrayLike, patients: ArrayLike, statements: Sequence[str]
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    values, truth, people = np.asarray(scores), np.asarray(labels) != 0, np.asarray(patients)
    if values.shape != (len(people), len(statements)) or truth.shape != values.shape:
        raise ValueError(
            f"scores {values.shape}, labels {truth.shape}, {len(people)} patients and {len(statements)} statements "
            "do not belong together"
        )
    bad = int(np.isnan(values).any(-1).sum())
    if bad:
        raise MibenchError(
            f"the scores of {bad} of {len(values)} test records are not numbers (NaN): check the embeddings and the "
            "probe's learning rate; no result was made of them"
        )
    return values, truth, people


def _statement_interval(area: float, resampled: NDArray[np.float64], positives: int, negatives: int) -> Interval:
    known = resampled[np.isfinite(resampled)]
    if positives >= ENOUGH_POSITIVES and len(known) > 1:
        low, high = np.quantile(known, [0.025, 0.975])
        if low < high:
            return Interval(float(low), float(high), BOOTSTRAP)
    return hanley_mcneil_interval(area, positives, negatives)


def _covariance(
    areas: NDArray[np.float64],
    resampled: NDArray[np.float64],
    positives: NDArray[np.int_],
    negatives: NDArray[np.int_],
) -> NDArray[np.float64]:
    """Covariance between the statements' AUCs; few positives or no spread: at least Hanley-McNeil's variance."""
    complete = resampled[np.isfinite(resampled).all(-1)]
    size = len(areas)
    covariance = np.cov(complete.T).reshape(size, size) if len(complete) > 1 else np.zeros((size, size))
    variance = covariance.diagonal()
    theory = hanley_mcneil_error(areas, positives, negatives) ** 2
    doubtful = (positives < ENOUGH_POSITIVES) | (variance <= 0)
    wanted = np.where(doubtful, np.maximum(variance, theory), variance)
    return np.asarray(covariance + np.diag(wanted - variance))


def _mean(
    areas: NDArray[np.float64],
    covariance: NDArray[np.float64],
    positives: NDArray[np.int_],
    negatives: NDArray[np.int_],
    chosen: Sequence[bool],
) -> tuple[float | None, Interval | None]:
    """Mean of the chosen statements' AUCs and its interval; nothing when none is chosen."""
    picked = np.flatnonzero(chosen)
    if not len(picked):
        return None, None
    variance = covariance[np.ix_(picked, picked)].mean()
    centre = inside(areas, positives, negatives)[picked].mean()
    return float(areas[picked].mean()), logit_interval(float(centre), float(np.sqrt(variance)), AVERAGE)
