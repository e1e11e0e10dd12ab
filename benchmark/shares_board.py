"""Avg by share of the training records, at a glance: what the paper's Table 3 is read for."""

from __future__ import annotations

from .board import COLUMNS, Board, Row
from .grid import BENEATH, Cell, Grid, Kind, Line, auc_cell, beneath, has_abouts, sign_of


def shares_grid(board: Board) -> Grid:
    """One line per method and weights, one column per share, the smallest first; the paper's figures below ours."""
    shares = sorted({row.ratio for row in board.rows if row.ratio is not None})
    abouts = has_abouts(board)
    lines: list[Line] = []
    for place, rows in enumerate(_by_method(board)):
        head = rows[0]
        of = {row.ratio: row for row in rows}
        words = [Cell(head.name, sign=sign_of(head)), Cell(head.weights), *[Cell(head.about)] * abouts]
        figures = [auc_cell(of[share], "Avg") if share in of else Cell("--") for share in shares]
        lines.append(Line("row" if place else "first", (*words, *figures)))
        empty = [Cell()] * (1 + abouts)
        for name in BENEATH:
            below = [_beneath(of.get(share), name) for share in shares]
            if any(below):
                lines.append(Line(name, (Cell(name), *empty, *map(Cell, below))))
    header = ("Method", "Weights", *["Data"] * abouts, *(f"Avg at {100 * share:g} %" for share in shares))
    version = "" if board.mixed else f" v{board.version}"
    what = "Avg of nine ROC AUCs (x100)" if board.metric == "auc" else f"Avg of the statements: {board.measure}"
    text = f"{what} by share of the training records, {board.protocol}{version} on {board.data}."
    text += f" {board.remark}" if board.remark else ""
    caption = f"{board.warning}. {text}" if board.warning else text
    return Grid(caption, f"{board.label}-shares", header, tuple(lines), (), _footer(board))


def _by_method(board: Board) -> list[list[Row]]:
    """The rows that differ in their share alone, in the order of their best place."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in sorted(board.rows, key=lambda row: -(row.ratio or 0)):
        groups.setdefault((row.method, row.variant, row.weights, row.origin), []).append(row)
    return list(groups.values())


def _beneath(row: Row | None, name: Kind) -> str:
    figures = {} if row is None else beneath(row)
    return figures[name][COLUMNS.index("Avg")] if name in figures else ""


def _footer(board: Board) -> tuple[str, ...]:
    certain = any(row.values["Avg"].low is not None for row in board.rows)
    means = "Means over seeds with the 95 % intervals of the test records" if certain else "Means over seeds"
    lines = [f"{means}; the statements stand in the table below."]
    marks = {row.marks.get("Avg") for row in board.rows} - {None}
    if marks:
        lines.append("Marked as there, among the rows of one share.")
    return tuple(lines)
