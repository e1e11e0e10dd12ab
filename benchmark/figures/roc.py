"""ROC curves statement by statement, every positive record a tick: how many there are is what a curve is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...adapters.errors import MibenchError
from ..board import Row, Value
from ..ecg import MI_STATEMENTS
from ..paired_scores import load
from .roc_points import Positions, positions
from .sheet import INK, MARGIN, QUIET, SMALL_POINTS, TEXT_POINTS, WIDTH, key, plain, sheet, shorten
from .style import COLOURS, colour, text_width
from .view import View

MOST = len(COLOURS)
UNASKED = 4
"""Methods that are drawn when none was chosen."""
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (5, 1, 1, 1)), (0, (1, 1)), (0, (7, 1, 1, 1, 1, 1)))
"""Of the first method, the second ...: curves are told apart without colours too."""

ACROSS, LEFT, SIDE, NUMBERS, BETWEEN = 3, 9.0, 37.0, 15.0, 2.5
HEAD, TICKS, BELOW = 6.0, 2.3, 7.5
KEY = 4.5


def draw(view: View) -> Figure:
    """Nine panels of curves; inside `house_style`.

    Raises:
        MibenchError: more methods than can be told apart, or no stored scores.
    """
    rows, unread = _chosen(view)
    curves = [positions(load(row.paths)) for row in rows]
    called = view.names(rows)
    strip = HEAD + SIDE + len(rows) * TICKS + BELOW
    across = _key_columns(called)
    lines = -(-len(rows) // across)
    body = lines * KEY + 3 * strip + 1
    page = sheet(view, "ROC curves: every tick is a positive test record", body, notes=_notes(rows, unread))
    key(page, _key(called), MARGIN, 0, across)
    for number, statement in enumerate(MI_STATEMENTS):
        line, place = divmod(number, ACROSS)
        left = MARGIN + LEFT + place * (SIDE + NUMBERS + BETWEEN)
        top = lines * KEY + line * strip
        axes = page.axes(left, top + HEAD, SIDE, SIDE)
        _panel(axes, statement, view.board.positives.get(statement, "0"), place == 0)
        ticks = page.axes(left, top + HEAD + SIDE + 0.6, SIDE, len(rows) * TICKS)
        _strip(ticks, len(rows), last=line == ACROSS - 1)
        for index, (row, found) in enumerate(zip(rows, curves, strict=True)):
            if statement not in found:
                continue
            _curve(axes, ticks, found[statement], index)
            depth = top + HEAD + SIDE + 0.6 + index * TICKS - 0.05
            page.text(left + SIDE + 1.5, depth, _number(row.values[statement]), SMALL_POINTS, color=colour(index))
        if not any(statement in found for found in curves):
            axes.text(0.5, 0.5, "no AUC without\npositives", ha="center", va="center", color=QUIET)
    return page.figure


def _chosen(view: View) -> tuple[list[Row], int]:
    """The rows to draw, and how many more there are."""
    rows = [row for row in view.compared if row.paths]
    if not rows:
        raise MibenchError(
            f"ROC curves need stored scores, and no run of {view.board.protocol} on {view.board.data} has any: "
            "run it again with --force"
        )
    if view.chosen and len(rows) > MOST:
        raise MibenchError(f"{len(rows)} curves in one panel cannot be told apart; choose up to {MOST} with --method")
    shown = rows if view.chosen else rows[:UNASKED]
    return shown, len(rows) - len(shown)


def _panel(axes: Axes, statement: str, positives: str, leftmost: bool) -> None:
    plain(axes, spines=("bottom", "left"))
    axes.set(xlim=(0, 1), ylim=(0, 1.005))
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=0.6, zorder=1, gid="chance")
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.tick_params(labelbottom=False, bottom=False, labelleft=leftmost)
    axes.text(0, 1.035, statement, transform=axes.transAxes, fontweight="bold", color=INK)
    axes.text(1, 1.035, f"n+ = {positives}", transform=axes.transAxes, ha="right", color=QUIET)
    if leftmost:
        axes.set_ylabel("true positive rate", fontsize=SMALL_POINTS + 0.5, color=QUIET, labelpad=1)


def _strip(axes: Axes, rows: int, *, last: bool) -> None:
    """Room for the ticks of each method, on the same axis as the panel above it."""
    plain(axes, spines=("bottom",))
    axes.set(xlim=(0, 1), ylim=(rows, 0))
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    if last:
        axes.set_xlabel("false positive rate", fontsize=SMALL_POINTS + 0.5, color=QUIET, labelpad=1)


def _curve(axes: Axes, ticks: Axes, found: Positions, index: int) -> None:
    shade = colour(index)
    axes.plot(
        *found.steps(),
        color=shade,
        linestyle=LINES[index],
        linewidth=1.1,
        zorder=9 - index,
        gid=f"curve {index}",
        clip_on=False,
    )
    many = len(found.shares)
    ticks.vlines(
        found.shares,
        index + 0.15,
        index + 0.85,
        color=shade,
        linewidth=1.0 if many < 30 else 0.4,
        alpha=1.0 if many < 60 else 0.6,
        clip_on=False,
        gid=f"positives {index}",
    )


def _number(value: Value) -> str:
    if value.auc is None:
        return "--"
    if value.low is None or value.high is None:
        return f"{100 * value.auc:.0f}"
    return f"{100 * value.auc:.0f} ({100 * value.low:.0f}\N{EN DASH}{100 * value.high:.0f})"


def _key(called: Sequence[str]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour(index), linestyle=LINES[index], linewidth=1.4, label=shorten(name, 50))
        for index, name in enumerate(called)
    ]


def _key_columns(called: Sequence[str]) -> int:
    """As many names in a line as fit, in columns of one width."""
    widest = max(text_width(shorten(name, 50), TEXT_POINTS) for name in called) + 14
    return max(1, min(len(called), int((WIDTH - 2 * MARGIN) / widest)))


def _notes(rows: Sequence[Row], more: int) -> list[str]:
    seeds = (
        "; mean over seeds, so that the area is the AUC of the tables" if any(len(r.seeds) > 1 for r in rows) else ""
    )
    notes = [
        "A tick is a positive's place among the negatives: the share of them that score higher, and the false positive "
        f"rate at which the method finds it{seeds}. Beside the ticks AUC x100 and its 95 % interval. "
        "No bands: with few positives an honest one would fill the panel."
    ]
    if more:
        notes.append(f"Drawn are the first {len(rows)} of {len(rows) + more} methods; --method chooses others.")
    return notes
