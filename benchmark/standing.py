"""Which figures of a board stand out, and how far its rows are from a chosen one: no more than paired scores allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..adapters.errors import MibenchError
from ..adapters.options import did_you_mean
from .board import COLUMNS, Board, Gap, Mark, Row
from .evidence import Contest, contest
from .generation_block import UNTRAINED

SOURCES = ("published", "pretrained", "own", *UNTRAINED)
"""What may follow a method's name after a colon: where the weights of the row came from."""

MARKED = (
    "Bold (* in plain text): best of its column and significantly above every competing row below it; underlined (+): "
    "second, likewise. Paired differences on the same test records, Holm over those rows, 5 %."
)
UNMARKED = (
    "Nothing is marked as best or second: in no column is a row significantly above every competing row below it "
    "(paired differences on the same test records, Holm over those rows, 5 %)."
)
UNPAIRED = "Nothing is marked as best or second: rows of different test records cannot be paired."


@dataclass(frozen=True)
class Judged:
    """A board whose rows were compared, and sentences on what could not be."""

    board: Board
    warnings: tuple[str, ...]


def judged(board: Board, *, reference: str | None = None, cache: Path | None = None) -> Judged:
    """The board with its best and second figures marked, and its distance from a row of reference where one is named.

    Rows compete within their share of training records and their test records.

    Args:
        board: as `tables.leaderboards` makes it: its rows know the files of their runs.
        reference: a method, `METHOD` or `METHOD:SOURCE` with a source of weights; its best trained row is taken.
        cache: where comparisons are kept; in mibench's home unless told.
    """
    rows = list(board.rows)
    warnings: list[str] = []
    alone: list[Row] = []
    for places in _groups(rows).values():
        found = contest([rows[place].paths for place in places], cache=cache)
        warnings += found.warnings
        group = [rows[place] for place in places]
        origin = _reference(group, reference) if reference else None
        marks = {} if _test_sets(board) > 1 else _marks(found, group)
        for here, place in enumerate(places):
            gaps = {} if origin is None or here == origin else _gaps(found, origin, here)
            rows[place] = replace(group[here], marks=marks.get(here, {}), gaps=gaps, is_reference=here == origin)
        alone += [row for row, known in zip(group, found.identities, strict=True) if row.competes and known is None]
        warnings += _partners(found)
    footer = (*board.footer, *_sentences(board, rows, alone))
    return Judged(replace(board, rows=tuple(rows), footer=footer), tuple(dict.fromkeys(warnings)))


def assert_reference(boards: Sequence[Board], reference: str) -> None:
    """Refuse a reference that is nowhere.

    Raises:
        MibenchError: no row of any board is of that method.
    """
    rows = [row for board in boards for row in board.rows if row.values["Avg"].auc is not None]
    if any(_is_of(row, reference) for row in rows):
        return
    names = sorted({row.method for row in rows})
    raise MibenchError(
        f"--reference {reference}: no row is of that method{did_you_mean(reference, names)}; METHOD:SOURCE names one "
        f"of its weights, {', '.join(SOURCES)}"
    )


def _groups(rows: Sequence[Row]) -> dict[tuple[object, ...], list[int]]:
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault((row.ratio, row.origin.manifest), []).append(place)
    return groups


def _test_sets(board: Board) -> int:
    return len({row.origin.manifest for row in board.rows})


def _marks(found: Contest, rows: Sequence[Row]) -> dict[int, dict[str, Mark]]:
    marks: dict[int, dict[str, Mark]] = {}
    for column in COLUMNS:
        areas = {place: row.values[column].auc for place, row in enumerate(rows) if row.competes}
        known = {place: area for place, area in areas.items() if area is not None}
        order = sorted(known, key=lambda place: -known[place])
        names: tuple[Mark, ...] = ("best", "second")
        for rank, name in enumerate(names):
            below = order[rank + 1 :]
            if below and found.separated(order[rank], below, column):
                marks.setdefault(order[rank], {})[column] = name
    return marks


def _is_of(row: Row, reference: str) -> bool:
    method, _, source = reference.rpartition(":")
    if method and source in SOURCES and (row.method, row.source) == (method, source):
        return True
    return row.method == reference


def _reference(rows: Sequence[Row], reference: str) -> int | None:
    """The place of the row: the best trained one of that method, else its best."""
    fitting = [place for place, row in enumerate(rows) if _is_of(row, reference) and row.values["Avg"].auc is not None]
    trained = [place for place in fitting if rows[place].source not in UNTRAINED]
    return next(iter([*trained, *fitting]), None)


def _gaps(found: Contest, reference: int, place: int) -> Mapping[str, Gap]:
    gaps: dict[str, Gap] = {}
    for column, difference in found.difference(place, reference).differences.items():
        p = found.adjusted(reference, place, column)
        if difference is not None and p is not None:
            gaps[column] = Gap(difference.value, difference.low, difference.high, p)
    return gaps


def _partners(found: Contest) -> list[str]:
    """What is said where rows were scored on different test records."""
    short = [pair for pair in found.pairs.values() if pair.records and pair.dropped]
    if not short:
        return []
    least, most = min(pair.records for pair in short), max(pair.dropped for pair in short)
    return [
        f"rows have scores of different test records: each pair is compared on those that both have, at least "
        f"{least:,}; at most {most:,} were left out"
    ]


def _sentences(board: Board, rows: Sequence[Row], alone: Sequence[Row]) -> list[str]:
    rivals = max(sum(rows[place].competes for place in places) for places in _groups(rows).values())
    if _test_sets(board) > 1:
        lines = [UNPAIRED]
    elif rivals < 2:
        return []
    else:
        lines = [MARKED if any(row.marks for row in rows) else UNMARKED]
    if alone:
        names = ", ".join(f"{row.name} ({row.weights})" for row in alone)
        lines.append(f"Not compared, for want of test scores that can be read: {names}.")
    return lines
