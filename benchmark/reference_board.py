"""The small table below a board: how far every row is from the row of reference, and how sure that is."""

from __future__ import annotations

from .board import COLUMNS, Board, Gap, Row
from .grid import Cell, Grid, Kind, Line, has_abouts, has_ratios


def reference_grid(board: Board) -> Grid | None:
    """Paired differences of AUC with 95 % intervals and Holm-adjusted p; None where nothing was compared."""
    if not any(row.gaps for row in board.rows):
        return None
    lines: list[Line] = []
    previous: Row | None = None
    for row in board.rows:
        if not row.gaps:
            continue
        together = previous is not None and (previous.ratio, previous.origin) == (row.ratio, row.origin)
        lines += _lines(board, row, "row" if together else "first")
        previous = row
    shares = ["Train %"] * has_ratios(board)
    header = ("Method", "Weights", *["Data"] * has_abouts(board), *shares, *COLUMNS)
    return Grid(_caption(board), f"{board.label}-reference", header, tuple(lines), (), _footer(board))


def written_p(p: float) -> str:
    """Three decimals; what is smaller is said to be."""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def _lines(board: Board, row: Row, kind: Kind) -> list[Line]:
    abouts, share = has_abouts(board), Cell("--" if row.ratio is None else f"{100 * row.ratio:g}")
    words = [Cell(row.name), Cell(row.weights), *[Cell(row.about)] * abouts, *[share] * has_ratios(board)]
    empty = [Cell()] * (1 + abouts + has_ratios(board))
    gaps = [row.gaps.get(name) for name in COLUMNS]
    tests = [Cell("" if gap is None else written_p(gap.p)) for gap in gaps]
    return [Line(kind, (*words, *map(_cell, gaps))), Line("Holm p", (Cell("Holm p"), *empty, *tests))]


def _cell(gap: Gap | None) -> Cell:
    if gap is None:
        return Cell("--")
    return Cell(f"{100 * gap.value:+.2f}", (f"{100 * gap.low:+.1f}", f"{100 * gap.high:+.1f}"), " to ")


def _caption(board: Board) -> str:
    version = "" if board.mixed else f" v{board.version}"
    text = f"Paired differences of ROC AUC (x100) from {_names(board)}; {board.protocol}{version} on {board.data}."
    return f"{board.warning}. {text}" if board.warning else text


def _footer(board: Board) -> tuple[str, ...]:
    lines = [
        "Row minus reference on the test records that both have, means over seeds, with 95 % intervals; p: two-sided, "
        "after Holm over all rows that are compared with the reference in a column."
    ]
    if has_ratios(board):
        lines.append("Each row is compared at its own share of the training records.")
    return tuple(lines)


def _names(board: Board) -> str:
    return " and ".join(dict.fromkeys(f"{row.name}, {row.weights}" for row in board.rows if row.is_reference))
