"""Paired differences from one method: who is better or worse than it, and where nobody can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..board import AVERAGES
from ..ecg import MI_STATEMENTS
from ..evidence import LEVEL
from .paired_gaps import Gap, Gaps, gaps
from .sheet import INK, MARGIN, QUIET, SMALL_POINTS, TEXT_POINTS, WIDTH, Sheet, plain, sheet, shorten
from .style import COLOURS
from .view import View

LOOKS = {1: (COLOURS[0], ">"), -1: (COLOURS[1], "<"), 0: ("0.55", "o")}
"""By the sign of a difference: colour, and the shape that says the same without colours."""
NAME, BETWEEN, ROW, HEAD, BELOW = 36.0, 4.0, 3.6, 6.0, 8.0
WIDE = (WIDTH - 2 * MARGIN - NAME - 2 * BETWEEN) / 3
ENOUGH = 20
"""Positives from which on statements share a scale: the intervals of rarer ones would make theirs useless."""


def draw(view: View) -> Figure:
    """Eleven panels, the means first; inside `house_style`.

    Raises:
        MibenchError: as of `gaps`.
    """
    found = gaps(view)
    (name,) = view.names([found.reference])
    strip = HEAD + len(found.rows) * ROW + BELOW
    page = sheet(view, f"AUC minus that of {name}, on the same test records", 4 * strip, notes=_notes(found, name))
    called = view.names(found.rows)
    scales = _scales(view, found)
    for number, column in enumerate((*AVERAGES, "", *MI_STATEMENTS)):
        line, place = divmod(number, 3)
        left, top = MARGIN + NAME + place * (WIDE + BETWEEN), line * strip + HEAD
        if place == 0:
            _names(page, called, top)
        if not column:
            _explain(page, left, top)
            continue
        axes = page.axes(left, top, WIDE, len(found.rows) * ROW)
        _panel(axes, column, view.board.positives.get(column), scales[column], len(found.rows))
        for depth, gap in enumerate(found.found[column]):
            if gap is not None:
                _mark(axes, gap, depth + 0.5, scales[column], f"{column} {called[depth]}")
    return page.figure


def _panel(axes: Axes, column: str, positives: str | None, scale: float, rows: int) -> None:
    plain(axes)
    axes.set(xlim=(-scale, scale), ylim=(rows, 0))
    axes.axvline(0, color=QUIET, linewidth=0.6, zorder=1)
    for depth in range(rows):
        axes.axhline(depth + 0.5, color="0.94", linewidth=0.4, zorder=0)
    ticks = (-scale, -scale / 2, 0, scale / 2, scale)
    axes.set_xticks(ticks, [f"{tick:+g}".replace("-", "\N{MINUS SIGN}") if tick else "0" for tick in ticks])
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    high = 1 + 0.9 / (rows * ROW)
    axes.text(0, high, column, transform=axes.transAxes, fontweight="bold", color=INK, va="bottom")
    beside = (
        f"n+ = {positives}" if positives else {"Avg": "nine statements", "Avg6": "six frequent ones"}.get(column, "")
    )
    axes.text(1, high, beside, transform=axes.transAxes, ha="right", va="bottom", color=QUIET, fontsize=SMALL_POINTS)


def _mark(axes: Axes, gap: Gap, depth: float, scale: float, name: str) -> None:
    """An interval may reach past the panel: it then ends in an arrow."""
    low, high = (100 * end for end in (gap.difference.low, gap.difference.high))
    shade, shape = LOOKS[gap.sign]
    axes.plot(
        [max(low, -scale), min(high, scale)],
        [depth] * 2,
        color=shade,
        linewidth=1.1,
        solid_capstyle="butt",
        gid=f"interval {name}",
    )
    for end, limit, caret in ((low, -scale, 8), (high, scale, 9)):  # carets to the left and to the right
        if abs(end) > scale:
            axes.plot(limit, depth, marker=caret, markersize=3, color=shade, clip_on=False)
    axes.plot(
        100 * gap.difference.value,
        depth,
        marker=shape,
        markersize=3.8,
        color=shade,
        gid=f"mean {name}",
        zorder=3,
    )


def _names(page: Sheet, called: Sequence[str], top: float) -> None:
    for number, name in enumerate(called):
        page.text(
            MARGIN,
            top + number * ROW + 0.75,
            shorten(name, NAME - 2, SMALL_POINTS + 0.5),
            SMALL_POINTS + 0.5,
            color=INK,
        )


def _explain(page: Sheet, left: float, top: float) -> None:
    """The key, in the place that is free beside the means."""
    texts = {1: "better than the reference", -1: "worse than the reference", 0: "the test records cannot tell"}
    handles = [
        Line2D([], [], color=shade, marker=shape, markersize=4, linewidth=1.1, label=texts[sign])
        for sign, (shade, shape) in LOOKS.items()
    ]
    page.figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=((left + 2) / page.width, 1 - (page.top + top) / page.height),
        borderaxespad=0,
        borderpad=0,
        handlelength=2.2,
        handletextpad=0.6,
        labelspacing=0.7,
        frameon=False,
        fontsize=TEXT_POINTS,
    )


def _scales(view: View, found: Gaps) -> dict[str, float]:
    """Half the width of each panel's axis: one for the means, one for frequent statements, one for rare ones."""

    def rare(column: str) -> bool:
        return int(view.board.positives.get(column, "0").split("-")[0]) < ENOUGH

    groups = (AVERAGES, [c for c in MI_STATEMENTS if not rare(c)], [c for c in MI_STATEMENTS if rare(c)])
    scales: dict[str, float] = {}
    for group in groups:
        ends = [
            100 * max(abs(gap.difference.low), abs(gap.difference.high))
            for column in group
            for gap in found.found[column]
            if gap is not None
        ]
        scales.update(dict.fromkeys(group, min(100.0, 10 * math.ceil(max(ends, default=10) / 10))))
    return scales


def _notes(found: Gaps, name: str) -> list[str]:
    methods = sorted({gap.difference.method for column in found.found.values() for gap in column if gap})
    return [
        f"Points of AUC x100, each method minus {name}; bars are 95 % intervals of the difference: "
        f"{' or '.join(methods)}. "
        f"Better and worse: p of at most {LEVEL:g} after Holm over the {len(found.rows)} methods of a panel. "
        "Scales differ between means, statements with 20 positives or more, and rarer ones.",
        *found.notes,
    ]
