"""The small table below a board of generators: how near the generated leads come to the real ones.

Its figures are of the generator and the test records alone, so rows that differ in their seeds or their share of
training records make one line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .board import Board, Row
from .grid import Cell, Grid, Line, has_abouts

Figures = Mapping[str, float]


@dataclass(frozen=True)
class _Column:
    """A column: its header, the figure, how it is written, and two more that belong to it."""

    header: str
    figure: str
    write: Callable[[float], str]
    second: tuple[str, str] | None = None


def _decimals(count: int) -> Callable[[float], str]:
    """Writers that never print a zero with a sign."""
    return lambda value: f"{value:.{count}f}" if round(value, count) else f"{0:.{count}f}"


def _percent(value: float) -> str:
    return _decimals(1)(100 * value)


def _significant(value: float) -> str:
    """Three significant digits and no exponents: distances between features have the scale of the features."""
    if abs(value) < 5e-7:
        return "0"
    return f"{value:.{min(6, max(0, 2 - math.floor(math.log10(abs(value)))))}f}"


def _with_interval(header: str, figure: str, write: Callable[[float], str]) -> _Column:
    return _Column(header, figure, write, (f"{figure}_low", f"{figure}_high"))


_COLUMNS = (
    _with_interval("MSE (mV²)", "missing_mse", _decimals(4)),
    _with_interval("MAE (mV)", "missing_mae", _decimals(3)),
    _with_interval("Pearson r", "missing_pearson", _decimals(3)),
    _Column("r of 12", "twelve_pearson", _decimals(3)),
    _Column("Variance ratio", "variance_ratio", _decimals(2)),
    _Column("Frontal plane (%)", "frontal_plane", _percent),
    _Column("R slope", "r_amplitude_slope", _decimals(2)),
    _Column("Rate error (bpm)", "heart_rate_mae", _decimals(1)),
    _Column("FID", "fid", _significant, ("fid_mean", "fid_covariance")),
    _Column("FID inf.", "fid_infinite", _significant),
    _Column("FID floor", "fid_floor", _significant),
    _with_interval("Paired", "paired_distance", _significant),
    _with_interval("Cosine", "cosine", _decimals(3)),
)


def fidelity_grid(board: Board) -> Grid | None:
    """The table "Signals and latent space" of a board; None where no row knows any of its figures."""
    rows = _distinct(board)
    columns = [column for column in _COLUMNS if any(column.figure in row.fidelity for row in rows)]
    if not columns:
        return None
    lines = []
    for i, row in enumerate(rows):
        notice = [Cell(row.about)] * has_abouts(board)
        figures = [_cell(row.fidelity, column) for column in columns]
        lines.append(Line("row" if i else "first", (Cell(row.name), Cell(row.weights), *notice, *figures)))
    header = ["Method", "Weights", *["Data"] * has_abouts(board), *(column.header for column in columns)]
    version = "" if board.mixed else f" v{board.version}"
    text = f"Signals and latent space of the generated leads, {board.protocol}{version} on {board.data}."
    caption = f"{board.warning}. {text}" if board.warning else text
    return Grid(caption, f"{board.label}-signals", tuple(header), tuple(lines), (), _footer(board, rows))


def _distinct(board: Board) -> list[Row]:
    """In the order of the board, the first row of each generator that has figures."""
    rows: dict[tuple[str, ...], Row] = {}
    for row in board.rows:
        if row.fidelity:
            rows.setdefault((row.method, row.variant, row.weights, row.about), row)
    return list(rows.values())


def _cell(figures: Figures, column: _Column) -> Cell:
    if column.figure not in figures:
        return Cell("--")
    text = column.write(figures[column.figure])
    if column.second is None or any(name not in figures for name in column.second):
        return Cell(text)
    first, last = (column.write(figures[name]) for name in column.second)
    if column.figure == "fid":
        return Cell(text, (first, last), " + ")
    return Cell(text, (first, last), " to " if "-" in first + last else "-")


def _footer(board: Board, rows: list[Row]) -> tuple[str, ...]:
    known = {name for row in rows for name in row.fidelity}
    lines = []
    if "missing_mse" in known:
        lines.append(
            f"{_count(rows, 'signal_records')}, generated against real. MSE, MAE and Pearson r: over the eleven "
            "missing leads, with 95 % intervals; r of 12: with lead I. Variance ratio: of generated to real leads, "
            "mean of the eleven. Frontal plane: rms of what III, aVR, aVL and aVF deviate from what I and II make of "
            f"them, % of the real lead, mean of the four{_reference(rows)}. R slope: of generated on real R "
            "amplitudes, mean of V1-V6. Rate error: mean absolute error of the heart rate, where one is found."
        )
    if "fid" in known and board.classifier is not None:
        lines.append(
            f"FID: Frechet distance of {_count(rows, 'latent_records')} in the features of {board.classifier.words}, "
            "its mean and its covariance part; inf.: extrapolated to infinitely many records; floor: between halves of "
            "the real ones. Paired: mean squared distance of a record's real and generated features; cosine: of the "
            "same; with 95 % intervals. Only values of one encoder and one number of records compare."
        )
    return (*lines, *_notes(rows))


def _notes(rows: list[Row]) -> list[str]:
    """What must be said of the latent space, with the names of the rows where it is not of all."""
    measured = [row for row in rows if "fid" in row.fidelity]
    said: dict[str, list[str]] = {}
    for row in measured:
        for note in row.fidelity_notes:
            said.setdefault(note, []).append(row.name)
    return [note if len(of) == len(measured) else f"{', '.join(of)}: {note}" for note, of in said.items()]


def _count(rows: list[Row], figure: str) -> str:
    counts = sorted({round(row.fidelity[figure]) for row in rows if figure in row.fidelity})
    return f"{'-'.join(f'{count:,}' for count in sorted({counts[0], counts[-1]})) if counts else 'Some'} test records"


def _reference(rows: list[Row]) -> str:
    real = [row.fidelity["frontal_plane_real"] for row in rows if "frontal_plane_real" in row.fidelity]
    return f" ({_percent(real[0])} in the real records)" if real else ""
