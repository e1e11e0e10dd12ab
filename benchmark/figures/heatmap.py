"""A heat map: methods by statements, each cell an AUC with its interval, what may be chance hatched."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..board import AVERAGES, COLUMNS, Row, Value
from .sheet import INK, MARGIN, QUIET, SMALL_POINTS, TEXT_POINTS, WIDTH, Sheet, sheet, shorten
from .style import line_height, text_width
from .view import View

CELL_HIGH, APART, HEAD = 7.4, 5.0, 9.0
"""Millimetres: of a row, before the anchors, and above the first row."""
RANK, NAME, BEFORE_MEANS = 6.0, 36.0, 1.6
CELL_WIDE = (WIDTH - 2 * MARGIN - RANK - NAME - BEFORE_MEANS) / len(COLUMNS)
SCALE_HIGH = 11.0

LEAST, MOST = 0.5, 1.0
"""Ends of the colours: what is below chance is as white as chance."""
DARK = 0.62
"""Share of the scale from which on letters are white."""
HATCH_COLOUR, CHANCE_INK = "0.75", "0.35"
BELOW_COLOUR = "#f8d9c4"
"""Of an AUC whose whole interval lies below chance: the scores are the wrong way round."""


def colours() -> Colormap:
    """White to the blue of the house, lightness falling evenly: it survives a copier."""
    return LinearSegmentedColormap.from_list("mibench", ["#ffffff", "#c6dff0", "#6aaed8", "#0072B2", "#003f66"])


def draw(view: View) -> Figure:
    """AUCs of all rows and statements; inside `house_style`.

    Raises:
        MibenchError: no row has a result.
    """
    groups = [group for group in (view.methods, view.anchors) if group]
    rows = [row for group in groups for row in group]
    called = view.names(rows)
    body = HEAD + len(rows) * CELL_HIGH + (len(groups) - 1) * APART + SCALE_HIGH
    note = "Hatched: the 95 % interval includes .5, so that the method may know nothing of the statement."
    page = sheet(view, "AUC by method and statement", body, notes=[note, *view.failures])
    axes = page.axes(0, 0, WIDTH, body)
    axes.set(xlim=(0, WIDTH), ylim=(body, 0))
    axes.set_axis_off()
    _head(page, view)
    depth = HEAD
    for number, group in enumerate(groups):
        if number:
            page.text(MARGIN + RANK, depth + 1.4, "Anchors", color=QUIET, fontstyle="italic")
            depth += APART
        for row in group:
            _words(page, row, called[rows.index(row)], depth)
            for column in COLUMNS:
                _cell(axes, column, row.values[column], depth)
            depth += CELL_HIGH
    below = any(not may_be_chance(row.values[c]) and (row.values[c].auc or 1) < LEAST for row in rows for c in COLUMNS)
    _scale(page, axes, depth + 3.5, below)
    return page.figure


def left_of(column: str) -> float:
    """Where a column begins, mm from the left edge."""
    number = COLUMNS.index(column)
    return MARGIN + RANK + NAME + number * CELL_WIDE + (BEFORE_MEANS if column in AVERAGES else 0)


def may_be_chance(value: Value) -> bool:
    """Whether an AUC's interval includes one half."""
    return value.low is not None and value.high is not None and value.low <= 0.5 <= value.high


def _head(page: Sheet, view: View) -> None:
    for column in COLUMNS:
        centre = left_of(column) + CELL_WIDE / 2
        bold = text_width(column, TEXT_POINTS, "bold")
        page.text(centre - bold / 2, 1.0, column, fontweight="bold", color=INK)
        count = view.board.positives.get(column)
        below = f"n+ = {count}" if count is not None else {"Avg": "of nine", "Avg6": "of six"}.get(column, "")
        page.text(centre - text_width(below, SMALL_POINTS) / 2, 4.6, below, SMALL_POINTS, color=QUIET)


def _words(page: Sheet, row: Row, name: str, depth: float) -> None:
    top = depth + (CELL_HIGH - line_height(TEXT_POINTS)) / 2 + 0.4
    rank = "" if row.rank is None else str(row.rank)
    page.text(MARGIN + RANK - 2.5 - text_width(rank, TEXT_POINTS), top, rank, color=QUIET)
    page.text(MARGIN + RANK, top, shorten(name, NAME - 2), color=INK)


def _cell(axes: Axes, column: str, value: Value, depth: float) -> None:
    left = left_of(column)
    share = Normalize(LEAST, MOST, clip=True)(value.auc or 0)
    chance = value.auc is None or may_be_chance(value)
    face = "white" if chance else BELOW_COLOUR if (value.auc or 0) < LEAST else colours()(share)
    looks: dict[str, Any] = (
        {"hatch": "////", "edgecolor": HATCH_COLOUR} if chance and value.auc is not None else {"edgecolor": "0.9"}
    )
    box = Rectangle((left + 0.25, depth + 0.25), CELL_WIDE - 0.5, CELL_HIGH - 0.5, facecolor=face, linewidth=0, **looks)
    box.set_gid(f"{column} chance" if chance else column)
    axes.add_patch(box)
    ink = CHANCE_INK if chance else ("white" if share > DARK else INK)
    halo = {"facecolor": "white", "edgecolor": "none", "pad": 0.6} if chance else None
    middle = left + CELL_WIDE / 2
    if value.auc is None:
        axes.text(middle, depth + CELL_HIGH / 2, "--", ha="center", va="center", color=QUIET)
        return
    bold = "normal" if chance else "bold"
    many = value.low is not None and value.high is not None
    place = depth + (CELL_HIGH * 0.32 if many else CELL_HIGH / 2)
    text = f"{100 * value.auc:.1f}"
    axes.text(middle, place, text, ha="center", va="center", color=ink, fontweight=bold, bbox=halo)
    if many:
        ends = f"{100 * (value.low or 0):.0f}\N{EN DASH}{100 * (value.high or 0):.0f}"
        axes.text(
            middle,
            depth + CELL_HIGH * 0.72,
            ends,
            ha="center",
            va="center",
            color=ink,
            fontsize=SMALL_POINTS,
            bbox=halo,
        )


def _scale(page: Sheet, axes: Axes, depth: float, below: bool) -> None:
    """The colours with their AUCs, and what hatching is."""
    left, wide, high, steps = MARGIN + RANK + NAME, 50.0, 2.6, 100
    for step in range(steps):
        axes.add_patch(
            Rectangle(
                (left + wide * step / steps, depth),
                wide / steps * 1.02,
                high,
                facecolor=colours()(step / steps),
                linewidth=0,
            )
        )
    axes.add_patch(Rectangle((left, depth), wide, high, fill=False, edgecolor=QUIET, linewidth=0.4))
    for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        text = f"{100 * share:.0f}"
        at = left + wide * (share - LEAST) / (MOST - LEAST)
        page.text(at - text_width(text, SMALL_POINTS) / 2, depth + high + 0.8, text, SMALL_POINTS, color=QUIET)
    page.text(left + wide + 3, depth, "AUC (x100)", SMALL_POINTS, color=QUIET)
    _sample(
        page, axes, left + wide + 20, depth, "may be chance", facecolor="white", hatch="////", edgecolor=HATCH_COLOUR
    )
    if below:
        _sample(page, axes, left + wide + 48, depth, "below chance", facecolor=BELOW_COLOUR)


def _sample(page: Sheet, axes: Axes, left: float, depth: float, text: str, **looks: Any) -> None:
    axes.add_patch(Rectangle((left, depth), 7, 2.6, linewidth=0, **looks))
    axes.add_patch(Rectangle((left, depth), 7, 2.6, fill=False, edgecolor=QUIET, linewidth=0.4))
    page.text(left + 8.5, depth, text, SMALL_POINTS, color=QUIET)
