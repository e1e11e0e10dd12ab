"""What stands where in a table, whatever its format: cells, lines and notes, and those of the nine AUCs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .board import COLUMNS, Board, Row, Value

WORDS = ("Method", "Weights", "Data", "Statement", "Statement (positives)", "Record", "Labels")
"""Columns that hold words: these stand to the left."""


@dataclass(frozen=True)
class Cell:
    """A figure or words; `second` are two smaller figures with what stands between them, `mark` points to a note."""

    text: str = ""
    second: tuple[str, str] | None = None
    between: Literal["-", " to ", " + "] = "-"
    mark: int | None = None


@dataclass(frozen=True)
class Line:
    """A line of a table; `kind` "paper" belongs to the row above, "first" opens another ratio."""

    kind: Literal["first", "row", "paper"]
    cells: tuple[Cell, ...]


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
    ratios, spreads = _has_ratios(board), has_spreads(board)
    header = ["#", "Method", "Weights", *["Data"] * bool(board.row_notice), *["Train %"] * ratios]
    header += [f"{name} ({board.positives[name]})" if name in board.positives else name for name in COLUMNS]
    header += ["Seed SD (n)"] * spreads
    lines: list[Line] = []
    notes: list[str] = []
    previous: Row | None = None
    for row in board.rows:
        if row.note:
            notes.append(row.note)
        kind: Literal["first", "row"] = "first" if previous is None or previous.ratio != row.ratio else "row"
        lines.append(Line(kind, _row_cells(board, row, len(notes) if row.note else None)))
        if row.paper:
            printed = [Cell(f"{row.paper.values[name]:.2f}") for name in COLUMNS]
            empty = [Cell()] * (1 + bool(board.row_notice) + ratios)
            lines.append(Line("paper", (Cell(), Cell("paper"), *empty, *printed, *[Cell()] * spreads)))
        previous = row
    return Grid(board.caption, board.label, tuple(header), tuple(lines), tuple(notes), board.footer)


def has_spreads(board: Board) -> bool:
    """Whether a row has more than one seed."""
    return any(row.spread is not None for row in board.rows)


def _row_cells(board: Board, row: Row, mark: int | None) -> tuple[Cell, ...]:
    spread = "--" if row.spread is None else f"{100 * row.spread:.2f}"
    return (
        Cell("--" if row.rank is None else str(row.rank)),
        Cell(row.name, mark=mark),
        Cell(row.weights),
        *([Cell(board.row_notice)] if board.row_notice else []),
        *[Cell("--" if row.ratio is None else f"{100 * row.ratio:g}")] * _has_ratios(board),
        *(_auc_cell(row.values[name]) for name in COLUMNS),
        *[Cell(f"{spread} ({len(row.seeds)})")] * has_spreads(board),
    )


def _has_ratios(board: Board) -> bool:
    """Whether a row was trained on less than everything: only then is the share worth a column."""
    return any(row.ratio not in (None, 1.0) for row in board.rows)


def _auc_cell(value: Value) -> Cell:
    if value.auc is None:
        return Cell("--")
    if value.low is None or value.high is None:
        return Cell(f"{100 * value.auc:.2f}")
    return Cell(f"{100 * value.auc:.2f}", (f"{100 * value.low:.1f}", f"{100 * value.high:.1f}"))
