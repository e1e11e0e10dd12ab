"""Ranks of methods over statements, and which of them Nemenyi's test cannot tell apart (Demsar 2006).

The statements are measured on the same records and are few, so this is a picture of how steady an order is. What is
significant is for `comparison` to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...adapters.errors import MibenchError


@dataclass(frozen=True)
class Ranks:
    """Of some methods, in the order given.

    Attributes:
        average: rank of each method, 1 for the best, equal ones sharing theirs; a mean over statements.
        statements: number of statements that every method has a value of.
        statistic, p: Friedman's chi-squared, corrected for ties, and the p value of all methods being one.
        critical_difference: average ranks further apart than this differ at 5 % (Nemenyi).
        cliques: the largest groups that do not differ, each from the best rank to the worst, as places in `average`;
            these are the bars of the diagram.
    """

    average: tuple[float, ...]
    statements: int
    statistic: float
    p: float
    critical_difference: float
    cliques: tuple[tuple[int, ...], ...]


def rank_methods(values: ArrayLike) -> Ranks:
    """Rank methods by values such as AUCs, the highest first.

    Args:
        values: (methods, statements); statements with a NaN are left out.

    Raises:
        MibenchError: there are fewer than two methods, or two statements that all of them have a value of.
    """
    from scipy.special import chdtrc
    from scipy.stats import rankdata, studentized_range

    table = np.asarray(values, dtype=np.float64)
    table = table[:, np.isfinite(table).all(0)]
    methods, statements = table.shape
    if methods < 2 or statements < 2:
        raise MibenchError(
            f"ranks need at least two methods and two statements that all of them have an AUC of; here are {methods} "
            f"and {statements}"
        )
    ranks = rankdata(-table, axis=0)
    average = ranks.mean(1)
    # Without ties the variance of ranks is (k^2 - 1) / 12; with them it is what it is.
    spread = ((ranks - (methods + 1) / 2) ** 2).sum() / (statements * (methods - 1))
    statistic = float(statements * ((average - (methods + 1) / 2) ** 2).sum() / spread) if spread else 0.0
    quantile = float(studentized_range.ppf(0.95, methods, np.inf))
    critical = quantile / np.sqrt(2) * np.sqrt(methods * (methods + 1) / (6 * statements))
    return Ranks(
        tuple(average.tolist()),
        statements,
        statistic,
        float(chdtrc(methods - 1, statistic)),
        float(critical),
        _cliques(average, float(critical)),
    )


def _cliques(average: NDArray[np.float64], critical: float) -> tuple[tuple[int, ...], ...]:
    order = np.argsort(average, kind="stable")
    ranked = average[order]
    ends = np.searchsorted(ranked, ranked + critical, side="right")
    bars = [
        (start, int(end)) for start, end in enumerate(ends) if end - start > 1 and (start == 0 or end > ends[start - 1])
    ]
    return tuple(tuple(order[start:end].tolist()) for start, end in bars)
