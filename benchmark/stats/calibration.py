"""Are the scores probabilities? Brier score, and logistic recalibration of the logits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]

_STEPS = 100
_TOLERANCE = 1e-10


class Recalibration(NamedTuple):
    """By statement, NaN where undefined; 1 and 0 are perfect.

    `slope` and `intercept` are those of the line through the logits that predicts best (Cox 1958): a slope under 1
    means scores that are too sure. `in_the_large` is the intercept with the slope held at 1.
    """

    slope: Float
    intercept: Float
    in_the_large: Float


def brier(logits: ArrayLike, labels: ArrayLike) -> Float:
    """Mean squared distance of the probabilities from what was so, by statement; NaN without a record.

    Args:
        logits: (records, statements).
        labels: (records, statements), 0 or 1.
    """
    found = squared_errors(logits, labels)
    return found.mean(0) if len(found) else np.full(found.shape[1], np.nan)


def squared_errors(logits: ArrayLike, labels: ArrayLike) -> Float:
    """What the Brier score is the mean of: (records, statements)."""
    truth = (np.asarray(labels) != 0).astype(np.float64)
    return np.asarray((_probability(np.asarray(logits, dtype=np.float64)) - truth) ** 2)


def recalibrate(logits: ArrayLike, labels: ArrayLike) -> Recalibration:
    """Logistic regression of each statement on its own logit, by maximum likelihood.

    Undefined without a positive or a negative, and where one threshold parts both classes (scores without any spread
    among them): the likelihood then has no maximum.

    Args:
        logits: (records, statements).
        labels: (records, statements), 0 or 1.
    """
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels) != 0
    slope, intercept, large = (np.full(truth.shape[1], np.nan) for _ in range(3))
    for k in np.flatnonzero(truth.any(0) & ~truth.all(0)):
        column, present = values[:, k], truth[:, k]
        large[k] = _fit(np.ones((len(column), 1)), present, column)[0]
        own, others = column[present], column[~present]
        if others.max() > own.min() and own.max() > others.min():
            intercept[k], slope[k] = _line(column, present)
    return Recalibration(slope, intercept, large)


def _line(column: Float, present: NDArray[np.bool_]) -> tuple[float, float]:
    """Intercept and slope, found on standardised logits, where Newton's steps are well conditioned."""
    centre, scale = column.mean(), column.std()
    design = np.stack([np.ones(len(column)), (column - centre) / scale], axis=1)
    start, slope = _fit(design, present, np.zeros(len(column)))
    return float(start - slope * centre / scale), float(slope / scale)


def _fit(design: Float, present: NDArray[np.bool_], offset: Float) -> Float:
    """Maximum likelihood of a logistic regression by Newton's method; steps that make it worse are halved."""

    def loss(weights: Float) -> float:
        logit = design @ weights + offset
        return float(np.logaddexp(0, np.where(present, -logit, logit)).sum())

    found = np.zeros(design.shape[1])
    now = loss(found)
    for _ in range(_STEPS):
        probability = _probability(design @ found + offset)
        gradient = design.T @ (present - probability)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        # Newton's decrement: how much there is left to gain.
        if gradient @ step < _TOLERANCE:
            return found
        while (after := loss(found + step)) > now and np.abs(step).max() > 1e-12:
            step = step / 2
        found, now = found + step, after
    return np.full(design.shape[1], np.nan)


def _probability(logits: Float) -> Float:
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)))
