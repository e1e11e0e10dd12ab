"""How far the rows of a view are from one of them, by the scores that lie beside their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean
from ..board import AVERAGES, Row
from ..ecg import MI_STATEMENTS
from ..evidence import LEVEL, Contest, Difference, contest
from .view import View


@dataclass(frozen=True)
class Gap:
    """A row minus the reference: the difference, and its p value after Holm over the rows that are shown."""

    difference: Difference
    p: float

    @property
    def sign(self) -> int:
        """1 where the row is better than the reference, -1 where it is worse, 0 where nobody can tell."""
        return 0 if self.p > LEVEL else 1 if self.difference.value > 0 else -1


@dataclass(frozen=True)
class Gaps:
    """What there is to draw.

    Attributes:
        reference: the row that others are compared with.
        rows: the others.
        found: by column one for each of them, None where undefined.
        notes: on what could not be compared.
    """

    reference: Row
    rows: list[Row]
    found: dict[str, list[Gap | None]]
    notes: list[str]


def gaps(view: View) -> Gaps:
    """Compare the rows of a view with its reference, as the tables do.

    Raises:
        MibenchError: fewer than two rows have scores, or the reference is none of them.
    """
    peers = view.peers
    reference = _reference(view)
    found = contest([row.paths for row in peers])
    place = _place(peers, reference)
    others = [_place(peers, row) for row in view.compared if row is not reference]
    others = [other for other in others if found.identities[other] is not None]
    if found.identities[place] is None or not others:
        why = f": {found.warnings[0]}" if found.warnings else ""
        raise MibenchError(
            f"differences need stored scores of two methods on {view.board.data}, and there are fewer{why}"
        )
    columns = (*AVERAGES, *MI_STATEMENTS)
    drawn = {column: [_gap(found, other, place, column, others) for other in others] for column in columns}
    pairs = [found.difference(other, place) for other in others]
    notes = list(found.warnings)
    if any(pair.dropped for pair in pairs):
        least = min(pair.records for pair in pairs)
        notes.append(f"Pairs are compared on the test records that both have, at least {least:,}.")
    return Gaps(reference, [peers[other] for other in others], drawn, notes)


def _gap(found: Contest, row: int, reference: int, column: str, others: Sequence[int]) -> Gap | None:
    difference = found.difference(row, reference).differences[column]
    p = found.adjusted(reference, row, column, others)
    return None if difference is None or p is None else Gap(difference, p)


def _place(rows: Sequence[Row], wanted: Row) -> int:
    return next(place for place, row in enumerate(rows) if row is wanted)


def _reference(view: View) -> Row:
    """The chosen row, a trained one first; the best one that can be compared when none was chosen."""
    finished = [row for row in view.peers if row.values["Avg"].auc is not None]
    if view.reference is None:
        return next((row for row in view.compared if row.paths), view.compared[0])
    fitting = [row for row in finished if view.reference in (row.method, f"{row.method}:{row.source}")]
    fitting.sort(key=lambda row: row.is_anchor)
    if not fitting:
        known = sorted({row.method for row in finished})
        raise MibenchError(
            f"--reference {view.reference}: no row is of that method{did_you_mean(view.reference, known)}"
        )
    return fitting[0]
