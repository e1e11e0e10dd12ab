"""A forest plot: the means of every row of a board with their intervals, in the order of the board."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..board import AVERAGES, Row
from .sheet import INK, MARGIN, PAPER_COLOUR, QUIET, SMALL_POINTS, TEXT_POINTS, Sheet, key, plain, sheet, shorten
from .style import COLOURS, line_height, text_width
from .view import View, weights_words

ROW, APART, ABOVE, BELOW = 7.0, 5.0, 10.0, 9.0
"""Millimetres: of a row, before the anchors, above the first row, and for the axis below the last."""
RANK, NAME, PANEL, NUMBERS = 6.0, 46.0, 37.0, 23.0
METHOD_COLOUR, ANCHOR_COLOUR = COLOURS[0], "0.45"
NOTE = "Bars are the uncertainty of the test records; the thin bar below Avg is the spread over seeds, another thing."
WEIGHTS_BELOW = 2.8
"""Millimetres from a name to the weights below it."""
SEEDS_BELOW = 1.6
"""Millimetres between an interval and the spread of its seeds."""
PAPER_ABOVE = 1.6
"""Millimetres between an interval and the paper's figure: neither hides the other."""


def draw(view: View) -> Figure:
    """Avg and Avg6 of all rows; inside `house_style`.

    Raises:
        MibenchError: no row has a result.
    """
    groups = [group for group in (view.methods, view.anchors) if group]
    depths: dict[int, float] = {}
    depth = ABOVE
    for number, group in enumerate(groups):
        depth += APART if number else 0
        for row in group:
            depths[id(row)] = depth + ROW / 2
            depth += ROW
    rows = [row for group in groups for row in group]
    page = sheet(
        view,
        "Mean AUC over the nine statements, and over the six frequent ones",
        depth + BELOW,
        notes=[NOTE, *view.failures],
    )
    key(page, _key(rows), MARGIN, 0)
    _words(page, rows, depths)
    if len(groups) > 1:
        _heading(page, depths[id(groups[1][0])] - ROW / 2 - APART)
    limits = _limits(rows)
    for number, column in enumerate(AVERAGES):
        left = MARGIN + RANK + NAME + number * (PANEL + NUMBERS)
        axes = page.axes(left, ABOVE, PANEL, depth - ABOVE)
        axes.set(xlim=limits, ylim=(depth, ABOVE))
        _panel(axes, column)
        for row in rows:
            _mark(
                axes,
                row,
                column,
                depths[id(row)],
                METHOD_COLOUR if row in groups[0] and view.methods else ANCHOR_COLOUR,
            )
            page.text(
                left + PANEL + 2,
                depths[id(row)] - line_height(TEXT_POINTS) / 2 + 0.4,
                _numbers(row, column),
                color=INK,
            )
    return page.figure


def _words(page: Sheet, rows: Sequence[Row], depths: dict[int, float]) -> None:
    for row in rows:
        top = depths[id(row)] - line_height(TEXT_POINTS) / 2 + 0.4
        rank = "" if row.rank is None else str(row.rank)
        page.text(MARGIN + RANK - 2.5 - text_width(rank, TEXT_POINTS), top, rank, color=QUIET)
        name = shorten(row.name, NAME - 3, weight="bold")
        page.text(MARGIN + RANK, top - WEIGHTS_BELOW / 2, name, color=INK, fontweight="bold")
        weights = shorten(weights_words(row), NAME - 3, SMALL_POINTS)
        page.text(MARGIN + RANK, top + WEIGHTS_BELOW / 2 + 0.2, weights, SMALL_POINTS, color=QUIET)


def _heading(page: Sheet, top: float) -> None:
    page.text(MARGIN + RANK, top + 1.4, "Anchors", color=QUIET, fontstyle="italic")


def _panel(axes: Axes, column: str) -> None:
    plain(axes)
    axes.grid(axis="x", color="0.9", linewidth=0.5)
    low, high = axes.get_xlim()
    if low < 50 < high:
        axes.axvline(50, color=QUIET, linewidth=0.6, linestyle=(0, (2, 2)), gid="chance")
    axes.set_title(column, fontsize=TEXT_POINTS, fontweight="bold", color=INK, pad=3)
    axes.set_xlabel("AUC (x100)", fontsize=SMALL_POINTS + 0.5, color=QUIET, labelpad=2)


def _mark(axes: Axes, row: Row, column: str, depth: float, colour: str) -> None:
    value = row.values[column]
    if value.auc is None:
        return
    if value.low is not None and value.high is not None:
        axes.plot(
            [100 * value.low, 100 * value.high], [depth] * 2, color=colour, linewidth=1.4, gid=f"interval {column}"
        )
    axes.plot(100 * value.auc, depth, "o", color=colour, markersize=4, gid=f"mean {column}")
    if column == "Avg" and row.spread is not None:
        ends = [100 * (value.auc - row.spread), 100 * (value.auc + row.spread)]
        axes.plot(
            ends, [depth + SEEDS_BELOW] * 2, color="black", linewidth=0.7, marker="|", markersize=2.5, gid="seeds"
        )
    if row.paper:
        axes.plot(
            row.paper.values[column],
            depth - PAPER_ABOVE,
            "D",
            markersize=4.5,
            markerfacecolor="none",
            markeredgecolor=PAPER_COLOUR,
            markeredgewidth=0.9,
            gid=f"paper {column}",
        )


def _numbers(row: Row, column: str) -> str:
    value = row.values[column]
    if value.auc is None:
        return "--"
    if value.low is None or value.high is None:
        return f"{100 * value.auc:.1f}"
    return f"{100 * value.auc:.1f} ({100 * value.low:.0f}\N{EN DASH}{100 * value.high:.0f})"


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Per cent, on multiples of five, around everything that is drawn."""
    found: list[float] = []
    for row in rows:
        for column in AVERAGES:
            value = row.values[column]
            found += [100 * end for end in (value.auc, value.low, value.high) if end is not None]
            found += [row.paper.values[column]] if row.paper else []
    return 5 * math.floor(min(found) / 5 - 0.1), 5 * math.ceil(max(found) / 5 + 0.1)


def _key(rows: Sequence[Row]) -> list[Line2D]:
    """Only what is there to be explained."""
    handles = [Line2D([], [], color=METHOD_COLOUR, marker="o", markersize=4, linewidth=1.4, label="AUC, 95 % interval")]
    if any(row.spread is not None for row in rows):
        looks = {"color": "black", "marker": "|", "markersize": 3.5, "linewidth": 0.7}
        handles.append(Line2D([], [], label="\N{PLUS-MINUS SIGN}1 SD over seeds", **looks))  # type: ignore[arg-type]
    if any(row.paper for row in rows):
        handles.append(
            Line2D(
                [],
                [],
                linestyle="none",
                marker="D",
                markersize=4.5,
                markerfacecolor="none",
                label="paper",
                markeredgecolor=PAPER_COLOUR,
            )
        )
    return handles
