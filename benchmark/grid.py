"""What stands where in a table, whatever its format: cells, lines and notes, and those of the nine AUCs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .board import COLUMNS, Board, Mark, Row
from .leaks import SIGNS

WORDS = ("Method", "Weights", "Precision", "Data", "Statement", "Statement (positives)", "Record", "Labels")
"""Columns that hold words: these stand to the left."""


Kind = Literal["first", "row", "paper", "difference", "Holm p"]
BENEATH: tuple[Kind, ...] = ("paper", "difference", "Holm p")
"""Names of lines that belong to the row above: what the paper printed, ours minus that, and a test's p."""


@dataclass(frozen=True)
class Cell:
    """A figure or words; `second` are two smaller figures with what stands between them.

    `mark` points to a note, `sign` to a sentence of the footer that begins with it; `standing` is what is printed bold
    or underlined.
    """

    text: str = ""
    second: tuple[str, str] | None = None
    between: Literal["-", " to ", " + "] = "-"
    mark: int | None = None
    sign: str = ""
    standing: Mark | None = None


@dataclass(frozen=True)
class Line:
    """A line of a table; `kind` "first" opens another ratio, one of `BENEATH` belongs to the row above."""

    kind: Kind
    cells: tuple[Cell, ...]

    @property
    def beneath(self) -> bool:
        """Whether it belongs to the row above."""
        return self.kind in BENEATH


@dataclass(frozen=True)
class Grid:
    """A whole table; `label` tells it from the other tables of a document, `notes` are what marks point to."""

    caption: str
    label: str
    header: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    footer: tuple[str, ...]

    @property
    def alignment(self) -> list[str]:
        """For each column, "left" or "right"."""
        return ["left" if name in WORDS else "right" for name in self.header]

    @property
    def below(self) -> list[str]:
        """All sentences for below the table, notes first."""
        return [*(f"[{i}] {note}" for i, note in enumerate(self.notes, 1)), *self.footer]


def auc_grid(board: Board) -> Grid:
    """The nine AUCs and their means, with the paper's figures below ours."""
    ratios, spreads, abouts = has_ratios(board), has_spreads(board), has_abouts(board)
    header = ["#", "Method", "Weights", *["Data"] * abouts, *["Train %"] * ratios]
    header += [f"{name} ({board.positives[name]})" if name in board.positives else name for name in COLUMNS]
    header += ["Seed SD (n)"] * spreads
    lines: list[Line] = []
    notes: list[str] = []
    previous: Row | None = None
    for row in board.rows:
        if row.note:
            notes.append(row.note)
        kind: Kind = "row" if previous and _one_group(previous, row) else "first"
        lines.append(Line(kind, _row_cells(board, row, len(notes) if row.note else None)))
        empty = [Cell()] * (1 + abouts + ratios)
        for name, figures in beneath(row).items():
            lines.append(Line(name, (Cell(), Cell(name), *empty, *map(Cell, figures), *[Cell()] * spreads)))
        previous = row
    return Grid(board.caption, board.label, tuple(header), tuple(lines), tuple(notes), board.footer)


def beneath(row: Row) -> dict[Kind, list[str]]:
    """The lines below a row that the paper has too: its figures, and ours minus these."""
    if row.paper is None:
        return {}
    lines: dict[Kind, list[str]] = {"paper": [f"{row.paper.values[name]:.2f}" for name in COLUMNS]}
    gaps = [differing(row, name) for name in COLUMNS]
    if any(gap is not None for gap in gaps):
        lines["difference"] = ["" if gap is None else f"{gap:+.2f}" for gap in gaps]
    return lines


def differing(row: Row, column: str) -> float | None:
    """Ours minus the paper's, AUC x100; None where either has no figure."""
    value = row.values[column].auc
    return None if value is None or row.paper is None else 100 * value - row.paper.values[column]


def has_spreads(board: Board) -> bool:
    """Whether a row has more than one seed."""
    return any(row.spread is not None for row in board.rows)


def has_abouts(board: Board) -> bool:
    """Whether rows must say which data they are of."""
    return any(row.about for row in board.rows)


def _one_group(one: Row, other: Row) -> bool:
    return (one.ratio, one.origin) == (other.ratio, other.origin)


def _row_cells(board: Board, row: Row, mark: int | None) -> tuple[Cell, ...]:
    spread = "--" if row.spread is None else f"{100 * row.spread:.2f}"
    return (
        Cell("--" if row.rank is None else str(row.rank)),
        Cell(row.name, mark=mark, sign=sign_of(row)),
        Cell(row.weights),
        *[Cell(row.about)] * has_abouts(board),
        *[Cell("--" if row.ratio is None else f"{100 * row.ratio:g}")] * has_ratios(board),
        *(auc_cell(row, name) for name in COLUMNS),
        *[Cell(f"{spread} ({len(row.seeds)})")] * has_spreads(board),
    )


def has_ratios(board: Board) -> bool:
    """Whether a row was trained on less than everything: only then is the share worth a column."""
    return any(row.ratio not in (None, 1.0) for row in board.rows)


def sign_of(row: Row) -> str:
    """The sign of its leak, which the footer explains."""
    return SIGNS.get(row.leak, "")


def auc_cell(row: Row, column: str) -> Cell:
    """A figure with its interval, marked where it stands out."""
    value = row.values[column]
    if value.auc is None:
        return Cell("--")
    ends = None
    if value.low is not None and value.high is not None:
        ends = (f"{100 * value.low:.1f}", f"{100 * value.high:.1f}")
    return Cell(f"{100 * value.auc:.2f}", ends, standing=row.marks.get(column))
