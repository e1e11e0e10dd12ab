"""Simulated test folds on which intervals and tests are tried out: how often they hold the truth, how wide they are.

Records and patients are the same here; scores of both classes are normal with one variance, or exponential, which is
the model that Hanley and McNeil's error was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ecg import FREQUENT_MI_STATEMENTS, MI_STATEMENTS
from ..metrics import auc
from .bootstrap import resample_weights, resampled_means
from .comparison import differences_under
from .intervals import Z95, hanley_mcneil_error, hanley_mcneil_interval, score_ends

MODELS = ("normal", "exponential")
FOLD = (29, 35, 236, 48, 268, 5, 3, 20, 2)
"""Positives of the nine statements in PTB-XL's test fold, release 1.0.1."""

PERCENTILE = "percentile bootstrap"

Float = NDArray[np.float64]
Ends = tuple[Float, Float]


@dataclass(frozen=True)
class Found:
    """Of intervals on many folds: the share that held the truth, the mean width, and the share that excluded 0."""

    coverage: float
    width: float
    rejected: float = 0.0


def scores_of(uniform: Float, area: float, model: str) -> Float:
    """Scores out of uniform numbers, such that their AUC against those of area 0.5 is `area`."""
    from scipy.special import ndtri

    if model == "exponential":
        return np.asarray(-np.log1p(-uniform) * area / (1 - area))
    return np.asarray(ndtri(uniform) + ndtri(area) * np.sqrt(2))


def plain_ends(areas: Float, positives: int, negatives: int) -> Ends:
    """Hanley and McNeil's normal interval, cut off at 0 and 1: the one whose widths the protocol quotes."""
    reach = Z95 * hanley_mcneil_error(areas, positives, negatives)
    return np.maximum(areas - reach, 0), np.minimum(areas + reach, 1)


def logit_ends(areas: Float, positives: int, negatives: int) -> Ends:
    """The interval that stands in the tables where positives are few."""
    found = [hanley_mcneil_interval(float(area), positives, negatives) for area in areas]
    return np.array([interval.low for interval in found]), np.array([interval.high for interval in found])


THEORIES: dict[str, Callable[[Float, int, int], Ends]] = {
    "plain": plain_ends,
    "logit": logit_ends,
    "score": score_ends,
}


def try_intervals(
    positives: int, area: float, model: str, *, negatives: int, repeats: int, resamples: int
) -> dict[str, Found]:
    """Intervals of one AUC: by name, all on the same folds."""
    generator = np.random.default_rng([positives, int(1000 * area), MODELS.index(model)])
    truth = np.arange(positives + negatives)[:, None] < positives
    weights = resample_weights(truth, np.arange(len(truth)), resamples, 0)
    estimates, drawn_ends = np.empty(repeats), np.empty((2, repeats))
    for repeat in range(repeats):
        uniform = generator.random(truth.shape)
        scores = np.where(truth, scores_of(uniform, area, model), scores_of(uniform, 0.5, model))
        estimates[repeat] = auc(scores, truth)[0]
        drawn = resampled_means(scores[None], truth, weights)[:, 0]
        drawn_ends[:, repeat] = np.quantile(drawn, [0.025, 0.975])
    ends = {name: theory(estimates, positives, negatives) for name, theory in THEORIES.items()}
    ends[PERCENTILE] = (drawn_ends[0], drawn_ends[1])
    return {name: _found(low, high, area) for name, (low, high) in ends.items()}


def try_differences(
    positives: int,
    areas: tuple[float, float],
    correlation: float,
    model: str,
    *,
    negatives: int,
    repeats: int,
    resamples: int,
) -> Found:
    """Paired differences on one statement.

    Args:
        areas: true AUCs of the two methods; where they are equal, `rejected` is the rate of false alarms.
        correlation: between the methods' scores of a record, before they are shifted.
    """
    labels = np.arange(positives + negatives)[:, None] < positives
    key = [positives, *(int(1000 * area) for area in areas), int(100 * correlation), MODELS.index(model)]
    return _try_pairs(labels, ("PMI",), areas, correlation, model, np.random.default_rng(key), repeats, resamples)[
        "PMI"
    ]


def try_means(
    areas: tuple[float, float], correlation: float, model: str, *, records: int, repeats: int, resamples: int
) -> dict[str, Found]:
    """Paired differences of Avg and Avg6 on folds with the positives of PTB-XL's."""
    key = [records, *(int(1000 * area) for area in areas), int(100 * correlation), MODELS.index(model)]
    generator = np.random.default_rng(key)
    labels = np.zeros((records, len(FOLD)), dtype=bool)
    for k, count in enumerate(FOLD):
        labels[generator.choice(records, count, replace=False), k] = True
    found = _try_pairs(labels, MI_STATEMENTS, areas, correlation, model, generator, repeats, resamples)
    return {name: found[name] for name in ("Avg", "Avg6", *FREQUENT_MI_STATEMENTS)}


def _try_pairs(
    labels: NDArray[np.bool_],
    statements: Sequence[str],
    areas: tuple[float, float],
    correlation: float,
    model: str,
    generator: np.random.Generator,
    repeats: int,
    resamples: int,
) -> dict[str, Found]:
    from scipy.special import ndtr

    patients = np.arange(len(labels))
    weights = resample_weights(labels, patients, resamples, 0)
    ends = []
    for _ in range(repeats):
        # Half of what a record adds is the same for all its statements, which therefore hang together.
        shared = np.sqrt(0.5) * (generator.normal(size=(len(labels), 1)) + generator.normal(size=labels.shape))
        own = generator.normal(size=(2, *labels.shape))
        uniform = ndtr(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)
        rows = [
            np.where(labels, scores_of(uniform[i], area, model), scores_of(uniform[i], 0.5, model))[None]
            for i, area in enumerate(areas)
        ]
        found = differences_under(weights, rows, labels, patients, statements)
        ends.append((found.low[0, 1], found.high[0, 1]))
    low, high = np.moveaxis(np.array(ends), 1, 0)
    truth = areas[0] - areas[1]
    return {
        name: _found(low[:, place], high[:, place], truth)
        for place, name in enumerate(found.columns)
        if np.isfinite(low[:, place]).all()
    }


def _found(low: Float, high: Float, truth: float) -> Found:
    held, excluded = (low <= truth) & (truth <= high), (low > 0) | (high < 0)
    return Found(float(held.mean()), float((high - low).mean()), float(excluded.mean()))
