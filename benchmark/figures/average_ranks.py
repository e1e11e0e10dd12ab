"""Average ranks of methods over statements, and how far apart they must be to count (Demsar 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.05


@dataclass(frozen=True)
class Ranks:
    """Attributes:
    average: (methods,) average rank over statements, 1 the best; ties share their mean.
    distance: ranks further apart than this differ at 5 % (Nemenyi).
    p: of the Friedman test, that all methods are alike.
    """

    average: NDArray[np.float64]
    distance: float
    p: float


def average_ranks(areas: ArrayLike) -> Ranks:
    """Rank (methods, statements) AUCs, the highest first.

    Raises:
        ValueError: fewer than three methods or two statements.
    """
    from scipy.stats import friedmanchisquare, rankdata

    values = np.asarray(areas, dtype=np.float64)
    methods, statements = values.shape
    if methods < 3 or statements < 2:
        raise ValueError(f"ranks take three methods and two statements at least, not {methods} and {statements}")
    average = rankdata(-values, axis=0).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = float(friedmanchisquare(*values).pvalue)
    return Ranks(average, critical_distance(methods, statements), 1.0 if np.isnan(p) else p)


def critical_distance(methods: int, statements: int) -> float:
    """Nemenyi's critical difference at 5 %: the studentised range over root two, times the error of a mean rank."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - LEVEL, methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * statements)))


def cliques(ranks: Sequence[float], distance: float) -> list[tuple[int, int]]:
    """Groups of neighbours that cannot be told apart, as first and last place among the sorted ranks.

    None is part of another one, and none is of a single method.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(place for place in range(first, len(ranks)) if ranks[place] - ranks[first] <= distance)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
