"""The scores of rows, brought together record by record, and compared."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..adapters.errors import MibenchError
from . import results
from .board import COLUMNS
from .ecg import MI_STATEMENTS
from .seeds import derive
from .stats.comparison import Differences, paired_differences


@dataclass(frozen=True)
class Scores:
    """The test scores of a row's seeds on the records that all of them have, in the order of the records' names.

    Attributes:
        path: of the first seed's record.
        records, patients: (records,).
        labels: (records, 9), in the order of the MI statements.
        scores: (seeds, records, 9).
    """

    path: Path
    records: NDArray[Any]
    patients: NDArray[Any]
    labels: NDArray[np.bool_]
    scores: NDArray[Any]

    def of(self, rows: NDArray[np.intp]) -> Scores:
        """The same of some records."""
        return Scores(self.path, self.records[rows], self.patients[rows], self.labels[rows], self.scores[:, rows])


@dataclass(frozen=True)
class Outcome:
    """Of two rows; `differences` as [value, low, high, p] by column, None where undefined.

    `problem` says why they were not compared, and is empty when they were.
    """

    records: int
    dropped: int
    differences: tuple[list[float] | None, ...]
    methods: tuple[str, ...]
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """As comparisons are kept."""
        return {
            "records": self.records,
            "dropped": self.dropped,
            "differences": list(self.differences),
            "methods": list(self.methods),
            "problem": self.problem,
        }


def load(paths: Sequence[Path]) -> Scores:
    """Read the scores of a row's seeds.

    Raises:
        MibenchError: they are missing, damaged, NaN, not of all nine statements, or do not belong together.
    """
    seeds = [_seed(path) for path in paths]
    if not seeds:
        raise MibenchError("a row without a finished run has no scores to compare")
    common = seeds[0].records
    for other in seeds[1:]:
        common = np.intersect1d(common, other.records)
    aligned = [seed.of(np.searchsorted(seed.records, common)) for seed in seeds]
    for other in aligned[1:]:
        problem = _disagreement(aligned[0], other)
        if problem:
            raise MibenchError(f"{aligned[0].path} and {other.path} {problem}")
    first = aligned[0]
    return Scores(first.path, common, first.patients, first.labels, np.concatenate([one.scores for one in aligned]))


def outcomes(rows: Sequence[Scores], *, resamples: int, seed_of: str) -> dict[tuple[int, int], Outcome]:
    """Compare all pairs of rows, each on the records that both have.

    Args:
        seed_of: what the seed of the resamples is derived from: the data's manifest, as for the intervals of a run.
    """
    from .progress import steps

    groups: dict[bytes, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(row.records.tobytes() + row.labels.tobytes() + row.patients.tobytes(), []).append(place)
    members = list(groups.values())
    kinds = list(itertools.combinations_with_replacement(range(len(members)), 2))
    meetings = [(members[g], members[h]) for g, h in kinds if g != h or len(members[g]) > 1]
    bar = steps("comparing rows", sum(len({*first, *second}) for first, second in meetings))
    found: dict[tuple[int, int], Outcome] = {}
    finished = 0
    for first, second in meetings:
        here = sorted({*first, *second})

        def done(count: int, before: int = finished) -> None:
            bar(before + count)

        pairs = {(min(i, j), max(i, j)) for i in first for j in second if i != j}
        found.update(_meeting([rows[i] for i in here], here, pairs, resamples, derive(0, "bootstrap", seed_of), done))
        finished += len(here)
    bar(finished)
    return found


def _meeting(
    rows: Sequence[Scores],
    places: Sequence[int],
    pairs: Iterable[tuple[int, int]],
    resamples: int,
    seed: int,
    done: Callable[[int], None],
) -> dict[tuple[int, int], Outcome]:
    """The wanted pairs of rows that meet on the same records.

    Args:
        places: what the rows are called in `pairs`.
        done: called with the number of rows that were worked on.
    """
    common = rows[0].records
    for row in rows[1:]:
        if row.records is not common and not np.array_equal(row.records, common):
            common = np.intersect1d(common, row.records)
    met = [row.of(np.searchsorted(row.records, common)) for row in rows]
    at = {place: number for number, place in enumerate(places)}
    dropped = {(i, j): len(rows[at[i]].records) + len(rows[at[j]].records) - 2 * len(common) for i, j in pairs}
    problems = {(i, j): _disagreement(met[at[i]], met[at[j]]) for i, j in dropped}
    if not len(common) or any(problems.values()):
        nothing = (None,) * len(COLUMNS), ("",) * len(COLUMNS)
        why = "have no test record in common"
        return {pair: Outcome(len(common), dropped[pair], *nothing, problems[pair] or why) for pair in dropped}
    found = paired_differences(
        [row.scores for row in met],
        met[0].labels,
        met[0].patients,
        MI_STATEMENTS,
        resamples=resamples,
        seed=seed,
        done=done,
    )
    return {(i, j): _outcome(found, at[i], at[j], len(common), left) for (i, j), left in dropped.items()}


def _outcome(found: Differences, first: int, second: int, records: int, dropped: int) -> Outcome:
    numbers = np.stack([found.value, found.low, found.high, found.p], axis=-1)[first, second]
    differences = tuple(four.tolist() if np.isfinite(four).all() else None for four in numbers)
    return Outcome(records, dropped, differences, found.method)


def _seed(path: Path) -> Scores:
    """The scores of one run, its records in the order of their names."""
    kept = results.predictions(path)
    names = [str(name) for name in kept.get("statements", ())]
    lacking = {"records", "patients", "scores", "labels"} - kept.keys()
    absent = [name for name in MI_STATEMENTS if name not in names]
    if lacking or absent:
        raise MibenchError(f"{path} keeps no scores of {', '.join(sorted(lacking) + absent)}: it cannot be compared")
    nine = [names.index(name) for name in MI_STATEMENTS]
    records, order = np.unique(kept["records"], return_index=True)
    if len(records) < len(kept["records"]):
        raise MibenchError(f"{path} keeps scores of the same test record twice: run it again with --force")
    scores = kept["scores"][order][:, nine]
    bad = int((~np.isfinite(scores)).any(-1).sum())
    if bad:
        raise MibenchError(
            f"{path}: the scores of {bad} of {len(scores)} test records are not numbers: run it again with --force"
        )
    return Scores(path, records, kept["patients"][order], kept["labels"][order][:, nine] != 0, scores[None])


def _disagreement(first: Scores, second: Scores) -> str:
    """What two rows say differently of the same records; empty when nothing."""
    for what, one, other in (
        ("labels", first.labels, second.labels),
        ("patient", first.patients[:, None], second.patients[:, None]),
    ):
        differs = np.flatnonzero((one != other).any(-1))
        if len(differs):
            return f"disagree on the {what} of {len(differs)} test records, {first.records[differs[0]]} among them"
    return ""
