"""AUC against cost: which methods no other one beats at less cost, the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ...adapters.errors import MibenchError
from ..board import Row
from .method_costs import BATCH, MEASURED, MEMORY, PRECISION, TITLES, Cost, costs, memory_kind
from .pareto_front import front, stairs
from .placing import foot, place
from .sheet import INK, MARGIN, QUIET, SMALL_POINTS, TEXT_POINTS, WIDTH, key, per_mm, plain, sheet, shorten
from .style import COLOURS, text_width
from .view import View

HIGH, KEY, HEAD, BELOW, LEFT, BETWEEN = 66.0, 6.0, 3.0, 9.5, 9.0, 8.0
FRONT_COLOUR, BEHIND_COLOUR = COLOURS[0], "0.45"
LONGEST = 34.0
"""Millimetres of a label."""


def draw(view: View) -> Figure:
    """Avg against what the competing methods cost, a panel for each cost that is known; inside `house_style`.

    Raises:
        MibenchError: no method has a known cost.
    """
    rows = view.compared
    panels = costs(view, rows)
    if not panels:
        raise MibenchError(
            f"nobody knows what the methods of {view.board.protocol} on {view.board.data} cost: "
            "`mibench profile --method NAME` measures it"
        )
    notes = _notes(rows, panels, memory_kind(view, rows))
    page = sheet(view, "Avg against cost, with the Pareto front", KEY + HEAD + HIGH + BELOW, notes=notes)
    sizes = {cost.own for found in panels.values() for cost in found if cost}
    key(page, _key(sizes), MARGIN, 0)
    wide = (WIDTH - 2 * MARGIN - LEFT + BETWEEN) / len(panels) - BETWEEN
    called = [shorten(name, LONGEST, SMALL_POINTS, "bold") for name in view.names(rows)]
    limits = _limits(rows, panels)
    for number, (name, found) in enumerate(panels.items()):
        axes = page.axes(MARGIN + LEFT + number * (wide + BETWEEN), KEY + HEAD, wide, HIGH)
        axes.set_ylim(limits)
        _panel(axes, rows, called, found, wide)
        axes.set_xlabel(TITLES[name], fontsize=SMALL_POINTS + 0.5, color=QUIET, labelpad=2)
        axes.tick_params(labelleft=number == 0)
        if number == 0:
            axes.set_ylabel("Avg AUC (x100)", fontsize=TEXT_POINTS, color=QUIET)
    return page.figure


def _panel(axes: Axes, rows: Sequence[Row], called: Sequence[str], found: Sequence[Cost | None], wide: float) -> None:
    known = [number for number, cost in enumerate(found) if cost is not None]
    own = [number for number in known if (cost := found[number]) and cost.own]
    at = {n: (cost.value, 100 * (rows[n].values["Avg"].auc or 0)) for n in known if (cost := found[n])}
    members = [own[i] for i in front([at[n] for n in own])]
    _axes(axes, [at[n][0] for n in known])
    if members:
        _draw_front(axes, [at[n] for n in members])
    for n in members:
        value = rows[n].values["Avg"]
        if value.low is not None and value.high is not None:
            ends = [100 * value.low, 100 * value.high]
            axes.plot([at[n][0]] * 2, ends, color=FRONT_COLOUR, alpha=0.25, linewidth=2.4, zorder=1, gid="interval")
    for n in known:
        shade = FRONT_COLOUR if n in members else BEHIND_COLOUR
        axes.plot(
            *at[n],
            marker="o" if n in members else "s",
            markersize=5 if n in members else 3.6,
            color=shade,
            markerfacecolor=shade if n in own else "white",
            zorder=4,
            gid=f"{'front' if n in members else 'behind'} {called[n]}",
        )
    _label(axes, {n: at[n] for n in known}, called, members, wide)


def _draw_front(axes: Axes, members: Sequence[tuple[float, float]]) -> None:
    """A staircase: who pays more than a member and gets less is below it."""
    across, up = zip(*members, strict=True)
    low, high = axes.get_ylim()[0], axes.get_xlim()[1]
    axes.plot(
        [across[0], *across, high],
        [low, *up, up[-1]],
        drawstyle="steps-post",
        color=FRONT_COLOUR,
        linewidth=0.9,
        zorder=2,
        gid="front",
    )


def _limits(rows: Sequence[Row], panels: dict[str, list[Cost | None]]) -> tuple[float, float]:
    """Of AUCs, the same in all panels: every mark, and the interval of the best one."""
    drawn = [row for i, row in enumerate(rows) if any(found[i] for found in panels.values())]
    means = [100 * (row.values["Avg"].auc or 0) for row in drawn]
    best = drawn[means.index(max(means))].values["Avg"]
    return min(means) - 4, max(max(means), 100 * (best.high or 0), min(means) + 10) + 2


def _axes(axes: Axes, across: Sequence[float]) -> None:
    plain(axes, spines=("bottom", "left"))
    axes.set_xscale("log")
    axes.set_xlim(min(across) / 2.0, max(across) * 2.5)
    axes.yaxis.set_major_locator(MaxNLocator(7, integer=True))
    low, high = axes.get_xlim()
    steps = [float(s * 10.0**p) for p in range(-4, 7) for s in (1, 2, 5)]
    shown = [step for step in steps if low <= step <= high]
    if len(shown) > 7:
        shown = [step for step in shown if f"{step:e}"[0] == "1"]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(LogLocator(subs=range(1, 10)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=1, width=0.4, color=QUIET)
    axes.grid(axis="y", color="0.94", linewidth=0.5)


def _label(
    axes: Axes, at: dict[int, tuple[float, float]], called: Sequence[str], members: Sequence[int], wide: float
) -> None:
    """A name beside each mark, with a line where it has to stand away."""
    scale = axes.transData + axes.transAxes.inverted()
    marks = [(float(x) * wide, float(y) * HIGH) for x, y in scale.transform(list(at.values()))]
    weights = ["bold" if n in members else "normal" for n in at]
    sizes = [
        (text_width(called[n], SMALL_POINTS, weight) + 0.4, per_mm(SMALL_POINTS) * 1.1)
        for n, weight in zip(at, weights, strict=True)
    ]
    steps = [mark for n, mark in zip(at, marks, strict=True) if n in members]
    places = place(marks, sizes, (0.5, 0.5, wide + 2, HIGH + 2), stairs(steps, wide))
    for n, mark, size, weight, found in zip(at, marks, sizes, weights, places, strict=True):
        shade = FRONT_COLOUR if n in members else INK
        if found.led:
            x, y = foot(mark, (found.left, found.bottom, found.left + size[0], found.bottom + size[1]))
            axes.plot(
                [mark[0] / wide, x / wide],
                [mark[1] / HIGH, y / HIGH],
                transform=axes.transAxes,
                color="0.6",
                linewidth=0.4,
                zorder=3,
                clip_on=False,
            )
        text = axes.text(
            found.left / wide,
            (found.bottom + size[1] / 2) / HIGH,
            called[n],
            transform=axes.transAxes,
            va="center",
            fontsize=SMALL_POINTS,
            color=shade,
            fontweight=weight,
            zorder=5,
            gid="name",
        )
        text.set_parse_math(False)


def _key(sizes: set[bool]) -> list[Line2D]:
    """Only what is there to be explained."""
    looks: dict[str, Any] = {"linestyle": "none", "marker": "s", "markersize": 3.6, "color": BEHIND_COLOUR}
    handles = []
    if True in sizes:
        handles = [
            Line2D([], [], color=FRONT_COLOUR, marker="o", markersize=5, linewidth=0.9, label="Pareto front"),
            Line2D([], [], color=FRONT_COLOUR, alpha=0.25, linewidth=3, label="95 % interval of those on the front"),
            Line2D([], [], label="as good or better at no more cost exists", **looks),
        ]
    if False in sizes:
        handles.append(Line2D([], [], label="ran in another size", markerfacecolor="white", **looks))
    return handles


def _notes(rows: Sequence[Row], panels: dict[str, list[Cost | None]], kind: str) -> list[str]:
    notes = [
        "The front is that of the means; the intervals say how much of it may be noise. "
        "Parameters and multiply-accumulates are those of the network that is used after pre-training"
        + (", for one window of a record." if rows[0].pass_through is not None else ".")
    ]
    if MEMORY in panels:
        how = "allocated on a GPU" if kind == MEASURED else "of live tensors, counted without a GPU,"
        notes.append(f"Memory: {how} at batch {BATCH}, {PRECISION}.")
    else:
        notes.append(f"Memory is left out: no profile tells it at batch {BATCH}, {PRECISION} (`mibench profile`).")
    if any(cost and not cost.own for found in panels.values() for cost in found):
        notes.append("Hollow: the cost is that of the full size, and another size was measured; these make no front.")
    missing = [row.name for i, row in enumerate(rows) if any(found[i] is None for found in panels.values())]
    if missing:
        notes.append(f"Of unknown cost in a panel, and not there: {', '.join(missing)}.")
    return notes
