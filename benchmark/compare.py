"""Two rows held against each other: AUC differences, which records flip, and which records they see most differently.

Differences are of all seeds. Flips and ranks are of one run each, since a threshold belongs to one classifier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import evidence, results
from .contestants import Contestant
from .ecg import MI_STATEMENTS
from .metrics import mid_ranks
from .multiplicity import holm

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SPECIFICITY = 0.9
RECORDS = 10


@dataclass(frozen=True)
class Counts:
    """How many records of one class two classifiers call present: one of them alone, both, neither.

    `p` is McNemar's exact test of whether the two differ; None where no record tells them apart.
    """

    first: int
    second: int
    both: int
    neither: int
    p: float | None


@dataclass(frozen=True)
class Flips:
    """One statement at each classifier's own threshold; `found_by_*` are the positives that only one finds."""

    statement: str
    positives: Counts
    negatives: Counts
    found_by_first: tuple[str, ...]
    found_by_second: tuple[str, ...]


@dataclass(frozen=True)
class Apart:
    """A record that the two see differently.

    Attributes:
        record: its identifier.
        present: its MI statements.
        statement: the one whose ranks lie furthest apart, and `positive` whether it is present.
        ranks: by statement, the share of test records that each of the two places below this one, 0 to 1.
    """

    record: str
    present: tuple[str, ...]
    statement: str
    positive: bool
    ranks: Mapping[str, tuple[float, float]]

    @property
    def distance(self) -> float:
        """The measure: difference of the ranks of `statement`, 0 to 1."""
        first, second = self.ranks[self.statement]
        return abs(first - second)


@dataclass(frozen=True)
class Contrast:
    """All that is found of two rows.

    Attributes:
        first, second: the rows.
        evidence: their differences in AUC on the records that both have.
        adjusted: p of each statement after Holm over the nine; the means are not part of that family.
        specificity: at which records flip, at least, in percent of the negatives.
        seeds: of the two runs that flips and ranks are of.
        positives: of each statement, among the common records.
        flips: by statement, those with both classes.
        apart: the most different records, the furthest first.
    """

    first: Contestant
    second: Contestant
    evidence: evidence.Comparison
    adjusted: Mapping[str, float]
    specificity: float
    seeds: tuple[int, int]
    positives: Mapping[str, int]
    flips: tuple[Flips, ...]
    apart: tuple[Apart, ...]


def contrast(
    first: Contestant, second: Contestant, *, specificity: float = SPECIFICITY, records: int = RECORDS
) -> Contrast:
    """Compare two rows on the test records that both have.

    Args:
        first, second: of the same data.
        specificity: each classifier's threshold leaves at least this share of the negatives below it or on it, 0 to 1.
        records: how many of the most different records.

    Raises:
        MibenchError: scores are missing, damaged or NaN, or the two disagree on labels.
    """
    found = evidence.compare(first.row.paths, second.row.paths)
    known = {name: found.differences[name] for name in MI_STATEMENTS}
    tested = {name: difference.p for name, difference in known.items() if difference is not None}
    seeds = _seeds(first.row.seeds, second.row.seeds)
    sides = [
        _scores(contestant.row.paths[contestant.row.seeds.index(seed)])
        for contestant, seed in zip((first, second), seeds, strict=True)
    ]
    names, labels, scores = _common(*sides)
    flips = [
        _flips(name, names, labels[:, k], [side[:, k] for side in scores], specificity)
        for k, name in enumerate(MI_STATEMENTS)
        if 0 < labels[:, k].sum() < len(labels)
    ]
    return Contrast(
        first=first,
        second=second,
        evidence=found,
        adjusted=dict(zip(tested, holm(list(tested.values())), strict=True)),
        specificity=specificity,
        seeds=seeds,
        positives=dict(zip(MI_STATEMENTS, labels.sum(axis=0).tolist(), strict=True)),
        flips=tuple(flips),
        apart=tuple(_apart(names, labels, scores, records)),
    )


def mcnemar(first: int, second: int) -> float | None:
    """Two-sided exact p of McNemar's test.

    Args:
        first, second: numbers of records that only the one, or only the other, calls present.

    Returns:
        None where there is no such record.
    """
    changed = first + second
    if not changed:
        return None
    tail = sum(math.comb(changed, k) for k in range(min(first, second) + 1))
    return float(min(1.0, 2 * tail / 2**changed))


def threshold(scores: NDArray[Any], present: NDArray[np.bool_], specificity: float) -> float:
    """The lowest score of a negative that leaves at least a share of the negatives at it or below.

    Args:
        scores: (records,).
        present: (records,); one negative at least.
        specificity: that share, 0 to 1. Scores above the threshold count as found.
    """
    negatives = np.sort(scores[~present])
    # 0.9 x 10 is a hair more than 9.
    return float(negatives[max(0, math.ceil(specificity * len(negatives) - 1e-9) - 1)])


def rank_shares(scores: NDArray[Any]) -> NDArray[np.float64]:
    """For each record, the share of records that lie below it, equal ones counted half, itself as one of them.

    Args:
        scores: (records, statements).
    """
    order = np.argsort(scores.T, axis=-1, kind="stable")
    ranks = np.empty(order.shape)
    np.put_along_axis(ranks, order, mid_ranks(np.take_along_axis(scores.T, order, axis=-1)), axis=-1)
    return np.asarray((ranks.T - 0.5) / len(scores))


def _seeds(ones: Sequence[int], others: Sequence[int]) -> tuple[int, int]:
    """The lowest seed that both have; the lowest of each where they share none."""
    shared = sorted(set(ones) & set(others))
    return (shared[0], shared[0]) if shared else (min(ones), min(others))


def _scores(path: Path) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    """Identifiers, labels and scores of the nine statements."""
    kept = results.predictions(path)
    columns = [kept["statements"].tolist().index(name) for name in MI_STATEMENTS]
    return kept["records"], kept["labels"][:, columns] != 0, kept["scores"][:, columns]


def _common(
    first: tuple[NDArray[Any], ...], second: tuple[NDArray[Any], ...]
) -> tuple[NDArray[Any], NDArray[np.bool_], tuple[NDArray[Any], NDArray[Any]]]:
    """The records that both have, their labels, and the scores of both."""
    names, here, there = np.intersect1d(first[0], second[0], return_indices=True)
    return names, first[1][here], (first[2][here], second[2][there])


def _flips(
    statement: str, names: NDArray[Any], present: NDArray[np.bool_], scores: Sequence[NDArray[Any]], specificity: float
) -> Flips:
    one, other = (side > threshold(side, present, specificity) for side in scores)
    return Flips(
        statement=statement,
        positives=_counts(one[present], other[present]),
        negatives=_counts(one[~present], other[~present]),
        found_by_first=tuple(names[present & one & ~other].tolist()),
        found_by_second=tuple(names[present & other & ~one].tolist()),
    )


def _counts(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> Counts:
    first, second = int((one & ~other).sum()), int((other & ~one).sum())
    both = int((one & other).sum())
    return Counts(first, second, both, len(one) - first - second - both, mcnemar(first, second))


def _apart(
    names: NDArray[Any], labels: NDArray[np.bool_], scores: tuple[NDArray[Any], NDArray[Any]], count: int
) -> list[Apart]:
    ranks = [rank_shares(side) for side in scores]
    distances = np.abs(ranks[0] - ranks[1])
    furthest = distances.argmax(axis=1)
    order = np.lexsort((names, -distances.max(axis=1)))[:count]
    return [
        Apart(
            record=str(names[i]),
            present=tuple(name for name, there in zip(MI_STATEMENTS, labels[i], strict=True) if there),
            statement=MI_STATEMENTS[furthest[i]],
            positive=bool(labels[i, furthest[i]]),
            ranks={name: (float(ranks[0][i, k]), float(ranks[1][i, k])) for k, name in enumerate(MI_STATEMENTS)},
        )
        for i in order
    ]
