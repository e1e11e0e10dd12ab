"""A critical-difference diagram: average ranks over the statements, and who cannot be told apart by them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...adapters.errors import MibenchError
from ..board import Row
from ..ecg import MI_STATEMENTS
from .average_ranks import Ranks, average_ranks, cliques
from .sheet import INK, MARGIN, QUIET, SMALL_POINTS, TEXT_POINTS, WIDTH, sheet, shorten
from .style import COLOURS
from .view import View

LEAST_METHODS, LEAST_STATEMENTS = 3, 2
SIDE, TO_BAR, TO_AXIS, TO_CLIQUES, CLIQUE, NAME = 46.0, 6.0, 15.0, 3.0, 1.9, 4.6
"""Millimetres: beside the axis for names; from the top to the bar of the critical difference and to the axis; from
there to the first clique, from clique to clique, and from name to name."""


def draw(view: View) -> Figure:
    """Ranks of the competing methods; inside `house_style`.

    Raises:
        MibenchError: fewer than three methods, or than two statements with an AUC of all.
    """
    rows = view.compared
    statements = [name for name in MI_STATEMENTS if all(row.values[name].auc is not None for row in rows)]
    where = f"{view.board.protocol} on {view.board.data}"
    if len(rows) < LEAST_METHODS:
        raise MibenchError(f"ranks need three methods at least, and {where} has {len(rows)}: run others too")
    if len(statements) < LEAST_STATEMENTS:
        raise MibenchError(f"ranks need two statements with an AUC of every method, and {where} has {len(statements)}")
    ranks = average_ranks([[row.values[name].auc or 0.0 for name in statements] for row in rows])
    order = sorted(range(len(rows)), key=lambda number: ranks.average[number])
    values = [float(ranks.average[number]) for number in order]
    groups = cliques(values, ranks.distance)
    first_name = TO_AXIS + TO_CLIQUES + len(groups) * CLIQUE + 3.0
    body = first_name + math.ceil(len(rows) / 2) * NAME
    page = sheet(view, f"Average ranks over {len(statements)} statements", body, notes=_notes(ranks, rows, statements))
    axes = page.axes(0, 0, WIDTH, body)
    axes.set(xlim=(0, WIDTH), ylim=(body, 0))
    axes.set_axis_off()
    scale = _Scale(len(rows))
    _axis(axes, scale)
    _distance(axes, scale, ranks.distance)
    for line, (first, last) in enumerate(groups):
        depth = TO_AXIS + TO_CLIQUES + line * CLIQUE
        ends = [scale.at(values[first]) - 0.6, scale.at(values[last]) + 0.6]
        axes.plot(ends, [depth] * 2, color=COLOURS[0], linewidth=2.6, solid_capstyle="round", gid="clique")
    called = view.names(rows)
    for place, number in enumerate(order):
        _method(axes, scale, place, len(rows), called[number], values[place], first_name)
    return page.figure


class _Scale:
    """Ranks on the page: the best one on the left."""

    def __init__(self, methods: int) -> None:
        self.methods = methods

    def at(self, rank: float) -> float:
        """Millimetres from the left edge."""
        wide = WIDTH - 2 * (MARGIN + SIDE)
        return MARGIN + SIDE + wide * (rank - 1) / (self.methods - 1)


def _axis(axes: Axes, scale: _Scale) -> None:
    axes.plot([scale.at(1), scale.at(scale.methods)], [TO_AXIS] * 2, color=INK, linewidth=0.8, gid="axis")
    for rank in range(1, scale.methods + 1):
        axes.plot([scale.at(rank)] * 2, [TO_AXIS - 1.4, TO_AXIS], color=INK, linewidth=0.6)
        axes.text(scale.at(rank), TO_AXIS - 2, str(rank), ha="center", va="bottom", color=INK)
    axes.text(scale.at(1) - 3, TO_AXIS - 2, "average rank", ha="right", va="bottom", color=QUIET, fontsize=SMALL_POINTS)


def _distance(axes: Axes, scale: _Scale, distance: float) -> None:
    """The critical difference as a length; it may be longer than the axis."""
    left = scale.at(1)
    right = left + (scale.at(2) - scale.at(1)) * distance
    axes.plot([left, right], [TO_BAR] * 2, color=COLOURS[0], linewidth=1.2, marker="|", markersize=5, gid="distance")
    text = f"critical difference {distance:.2f}"
    axes.text((left + right) / 2, TO_BAR - 1.4, text, ha="center", va="bottom", color=COLOURS[0])


def _method(axes: Axes, scale: _Scale, place: int, methods: int, name: str, rank: float, first: float) -> None:
    """From its rank down, then outwards to its name: the better half to the left, the other to the right."""
    half = math.ceil(methods / 2)
    left = place < half
    depth = first + (place if left else methods - 1 - place) * NAME
    edge = MARGIN + SIDE - 2 if left else WIDTH - MARGIN - SIDE + 2
    at = scale.at(rank)
    axes.plot(
        [at, at, edge], [TO_AXIS, depth, depth], color=QUIET, linewidth=0.6, solid_joinstyle="miter", gid=f"rank {name}"
    )
    axes.plot(at, TO_AXIS, "o", markersize=2.6, color=INK, gid=f"mark {name}")
    beside, side = (edge - 1, "right") if left else (edge + 1, "left")
    shown = shorten(name, SIDE - 11)
    text = f"{shown}  {rank:.1f}" if left else f"{rank:.1f}  {shown}"
    label = axes.text(beside, depth, text, ha=side, va="center", color=INK, fontsize=TEXT_POINTS)
    label.set_parse_math(False)


def _notes(ranks: Ranks, rows: Sequence[Row], statements: Sequence[str]) -> list[str]:
    return [
        f"Methods under one bar cannot be told apart (Nemenyi, 5 %, {len(rows)} methods, {len(statements)} statements; "
        f"Friedman p {'< .001' if ranks.p < 0.001 else f'= {ranks.p:.3f}'}). Every statement counts alike, whatever "
        "its number of positives, and they share their records: a coarse view, to be read with the paired differences."
    ]
