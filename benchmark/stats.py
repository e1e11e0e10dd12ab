"""How certain an AUC is: 95 % intervals from a patient bootstrap, and from theory where positives are few.

Three of the nine statements have two to five test positives. A bootstrap of two positives covers the truth less than
half of the time, so statements with fewer than `ENOUGH_POSITIVES` get the standard error of Hanley and McNeil (1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..adapters.errors import MibenchError
from .ecg import FREQUENT_MI_STATEMENTS, MI_STATEMENTS
from .metrics import auc

ENOUGH_POSITIVES = 20
BOOTSTRAP = "patient bootstrap"
HANLEY_MCNEIL = "Hanley-McNeil (logit)"
AVERAGE = "bootstrap covariance with Hanley-McNeil (logit)"

_Z95 = 1.959963984540054
_BLOCK = 256
"""Resamples worked on at once: what they need stays in the processor's cache."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of an AUC, as fractions of one, and how it was made."""

    low: float
    high: float
    method: str

    def to_record(self) -> list[float | str]:
        """[low, high, method], as run records keep it."""
        return [self.low, self.high, self.method]


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
    values, truth, people = _checked(scores, labels, patients, statements)
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


def resample_weights(labels: ArrayLike, patients: ArrayLike, resamples: int, seed: int) -> NDArray[np.int16]:
    """How often each record counts in each bootstrap resample: whole patients are drawn, stratum by stratum.

    A patient's stratum is the rarest statement among those of all the patient's records, or none; each stratum keeps
    its number of patients. One set of weights therefore serves all statements jointly, and every method: it depends
    on nothing but the arguments, and not on the order of the records.

    Args:
        labels: (records, statements), 0 or 1.
        patients: (records,).
        resamples: how many, at least 2.
        seed: of the draws.

    Returns:
        (resamples, records).
    """
    if resamples < 2:
        raise ValueError(f"a bootstrap takes at least 2 resamples, not {resamples}")
    truth = np.asarray(labels) != 0
    names, person = np.unique(np.asarray(patients), return_inverse=True)
    carried = np.zeros((len(names), truth.shape[1]), dtype=bool)
    np.logical_or.at(carried, person, truth)
    rarity = np.where(carried, truth.sum(0), len(truth) + 1)
    stratum = np.where(carried.any(-1), rarity.argmin(-1), -1)
    members = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, len(names)), dtype=np.int16)
    for start in range(0, resamples, _BLOCK):
        block = drawn[start : start + _BLOCK]
        for group in members:
            size = (len(block), len(group))
            picks = generator.integers(len(group), size=size) + len(group) * np.arange(len(block))[:, None]
            block[:, group] = np.bincount(picks.ravel(), minlength=picks.size).reshape(size)
    return drawn[:, person]


def resampled_aucs(
    scores: NDArray[Any], labels: NDArray[np.bool_], weights: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """AUC of every statement in every resample, ties counted half; NaN where a resample lost one class.

    Args:
        scores: (records, statements).
        labels: (records, statements), True for present.
        weights: (resamples, records), how often each record counts.

    Returns:
        (resamples, statements).
    """
    plans = [_plan(scores[:, k], labels[:, k]) for k in range(scores.shape[1])]
    areas = np.empty((len(weights), len(plans)))
    for start in range(0, len(weights), _BLOCK):
        block = np.ascontiguousarray(weights[start : start + _BLOCK].T, dtype=np.int32)
        for k, (negative, positive, below, upto) in enumerate(plans):
            summed = np.zeros((len(negative) + 1, block.shape[1]), dtype=np.int32)
            np.cumsum(block[negative], axis=0, out=summed[1:])
            own = block[positive]
            won_twice = np.einsum("ij,ij->j", own, summed[below] + summed[upto], dtype=np.float64)
            pairs_twice = 2.0 * own.sum(0) * summed[-1]
            with np.errstate(invalid="ignore"):
                areas[start : start + _BLOCK, k] = won_twice / pairs_twice
    return areas


def hanley_mcneil_error(area: ArrayLike, positives: ArrayLike, negatives: ArrayLike) -> NDArray[np.float64]:
    """Standard error of an AUC (Hanley and McNeil 1982, exponential model).

    Continuity rule: an AUC of 0 or 1 is taken half a pair of records inside, so the error is never zero.
    """
    m, n = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    a = _inside(area, m, n)
    two_positives = a / (2 - a)
    two_negatives = 2 * a**2 / (1 + a)
    variance = (a * (1 - a) + (m - 1) * (two_positives - a**2) + (n - 1) * (two_negatives - a**2)) / (m * n)
    return np.asarray(np.sqrt(variance))


def hanley_mcneil_interval(area: float, positives: int, negatives: int) -> Interval:
    """95 % interval from Hanley and McNeil's standard error, on the logit scale: inside [0, 1] and never a point."""
    error = hanley_mcneil_error(area, positives, negatives)
    return _logit_interval(float(_inside(area, positives, negatives)), float(error), HANLEY_MCNEIL)


def _checked(
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


def _plan(
    scores: NDArray[Any], labels: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Negatives in order of score, the positives, and how many negatives lie below, and not above, each positive."""
    negative, positive = np.flatnonzero(~labels), np.flatnonzero(labels)
    negative = negative[np.argsort(scores[negative])]
    ranked = scores[negative]
    below = np.searchsorted(ranked, scores[positive], side="left")
    return negative, positive, below, np.searchsorted(ranked, scores[positive], side="right")


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
    centre = _inside(areas, positives, negatives)[picked].mean()
    return float(areas[picked].mean()), _logit_interval(float(centre), float(np.sqrt(variance)), AVERAGE)


def _inside(area: ArrayLike, positives: ArrayLike, negatives: ArrayLike) -> NDArray[np.float64]:
    """The AUC kept half a pair of records away from 0 and 1, where a logit is finite."""
    half_pair = 0.5 / (np.asarray(positives, dtype=np.float64) * np.asarray(negatives, dtype=np.float64))
    return np.clip(np.asarray(area, dtype=np.float64), half_pair, 1 - half_pair)


def _logit_interval(area: float, error: float, method: str) -> Interval:
    """area +- 1.96 errors on the logit scale (delta method), brought back to [0, 1]."""
    centre = np.log(area / (1 - area))
    reach = _Z95 * error / (area * (1 - area))
    low, high = (0.5 * (1 + np.tanh((centre + side * reach) / 2)) for side in (-1, 1))
    return Interval(float(low), float(high), method)
