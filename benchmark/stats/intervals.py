"""Intervals of one AUC: what they are, and those that theory gives where positives are few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

ENOUGH_POSITIVES = 20
BOOTSTRAP = "patient bootstrap"
HANLEY_MCNEIL = "Hanley-McNeil (logit)"

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of an AUC, as fractions of one, and how it was made."""

    low: float
    high: float
    method: str

    def to_record(self) -> list[float | str]:
        """[low, high, method], as run records keep it."""
        return [self.low, self.high, self.method]


def hanley_mcneil_error(area: ArrayLike, positives: ArrayLike, negatives: ArrayLike) -> NDArray[np.float64]:
    """Standard error of an AUC (Hanley and McNeil 1982, exponential model).

    Continuity rule: an AUC of 0 or 1 is taken half a pair of records inside, so the error is never zero.
    """
    m, n = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    a = inside(area, m, n)
    two_positives = a / (2 - a)
    two_negatives = 2 * a**2 / (1 + a)
    variance = (a * (1 - a) + (m - 1) * (two_positives - a**2) + (n - 1) * (two_negatives - a**2)) / (m * n)
    return np.asarray(np.sqrt(variance))


def hanley_mcneil_interval(area: float, positives: int, negatives: int) -> Interval:
    """95 % interval from Hanley and McNeil's standard error, on the logit scale: inside [0, 1] and never a point."""
    error = hanley_mcneil_error(area, positives, negatives)
    return logit_interval(float(inside(area, positives, negatives)), float(error), HANLEY_MCNEIL)


def score_ends(
    area: ArrayLike, positives: int, negatives: int, z: ArrayLike = Z95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and highest true AUC that lie within `z` of *their own* Hanley-McNeil errors of an estimate.

    The interval of a score test: it keeps its size near 0 and 1, where the error of the estimate vanishes. With
    1.96 it covers as the logit interval does and is narrower (`coverage`); differences between methods rest on it.

    Args:
        area: estimates.
        z: how many errors, broadcast against `area`.
    """
    estimate, errors = np.broadcast_arrays(np.asarray(area, dtype=np.float64), np.asarray(z, dtype=np.float64))

    def end(edge: float) -> NDArray[np.float64]:
        near, far = estimate.copy(), np.full_like(estimate, edge)
        for _ in range(45):
            middle = (near + far) / 2
            held = np.abs(estimate - middle) <= errors * hanley_mcneil_error(middle, positives, negatives)
            near, far = np.where(held, middle, near), np.where(held, far, middle)
        return near

    return end(0.0), end(1.0)


def inside(area: ArrayLike, positives: ArrayLike, negatives: ArrayLike) -> NDArray[np.float64]:
    """The AUC kept half a pair of records away from 0 and 1, where a logit is finite."""
    half_pair = 0.5 / (np.asarray(positives, dtype=np.float64) * np.asarray(negatives, dtype=np.float64))
    return np.clip(np.asarray(area, dtype=np.float64), half_pair, 1 - half_pair)


def logit_interval(area: float, error: float, method: str) -> Interval:
    """area +- 1.96 errors on the logit scale (delta method), brought back to [0, 1]."""
    centre = np.log(area / (1 - area))
    reach = Z95 * error / (area * (1 - area))
    low, high = (0.5 * (1 + np.tanh((centre + side * reach) / 2)) for side in (-1, 1))
    return Interval(float(low), float(high), method)
