"""Data-ratio curves (Table 3): what a method reaches with less of the training records."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .placing import spread
from .share_curves import Curve, curves
from .sheet import (
    MARGIN,
    PALE,
    QUIET,
    TEXT_POINTS,
    WIDTH,
    Sheet,
    key,
    marker,
    per_mm,
    plain,
    sheet,
    shorten,
)
from .style import COLOURS, colour
from .view import View

MOST_TOGETHER = len(COLOURS)
"""Of more methods each gets a panel of its own."""
LEFT, KEY, BELOW, NAMES = 12.0, 8.0, 10.0, 38.0
HIGH = 72.0
ACROSS, BETWEEN, SMALL_HIGH, HEAD = 4, 4.0, 29.0, 6.5


def draw(view: View) -> Figure:
    """Avg against the share of the training records; inside `house_style`.

    Raises:
        MibenchError: as of `curves`.
    """
    found = curves(view)
    return _together(view, found) if len(found) <= MOST_TOGETHER else _apart(view, found)


def _page(view: View, body: float) -> Sheet:
    note = "Bands are 95 % intervals of the test records. Methods share these: bands may overlap where methods differ."
    return sheet(view, "Avg against the share of the training records", body, about=view.about_board, notes=[note])


def _together(view: View, found: Sequence[Curve]) -> Figure:
    page = _page(view, KEY + HIGH + BELOW)
    _key(page, found, own=True)
    axes = page.axes(MARGIN + LEFT, KEY, WIDTH - 2 * MARGIN - LEFT - NAMES, HIGH)
    _panel(axes, found)
    for number, curve in enumerate(found):
        _draw(axes, curve, number)
    low, high = axes.get_ylim()
    places = spread([curve.means[-1] for curve in found], per_mm(TEXT_POINTS) * 1.25 * (high - low) / HIGH)
    for number, (curve, place) in enumerate(zip(found, places, strict=True)):
        _name(axes, curve, place, colour(number))
    axes.set_ylabel("Avg AUC (x100)", fontsize=TEXT_POINTS, color=QUIET)
    axes.set_xlabel("share of the training records (%)", fontsize=TEXT_POINTS, color=QUIET)
    return page.figure


def _apart(view: View, found: Sequence[Curve]) -> Figure:
    """A panel for each method, all others behind it in grey."""
    lines = math.ceil(len(found) / ACROSS)
    wide = (WIDTH - 2 * MARGIN - LEFT - (ACROSS - 1) * BETWEEN) / ACROSS
    page = _page(view, KEY + lines * (SMALL_HIGH + HEAD) + BELOW)
    _key(page, found, own=False)
    for number, curve in enumerate(found):
        line, place = divmod(number, ACROSS)
        axes = page.axes(
            MARGIN + LEFT + place * (wide + BETWEEN), KEY + line * (SMALL_HIGH + HEAD) + HEAD - 2, wide, SMALL_HIGH
        )
        _panel(axes, found)
        for other in found:
            if other is not curve:
                axes.plot(other.shares, other.means, color=PALE, linewidth=0.7, zorder=1)
        _draw(axes, curve, 0)
        lowest = number + ACROSS >= len(found)
        axes.tick_params(labelleft=place == 0, labelbottom=lowest)
        axes.set_title(
            shorten(curve.name, wide, weight="bold"), fontsize=TEXT_POINTS, fontweight="bold", loc="left", pad=2
        )
        axes.title.set_parse_math(False)
    middle = KEY + lines * (SMALL_HIGH + HEAD) / 2
    page.figure.text(
        MARGIN / page.width,
        1 - (page.top + middle) / page.height,
        "Avg AUC (x100)",
        rotation=90,
        ha="left",
        va="center",
        color=QUIET,
    )
    page.text(MARGIN + LEFT, KEY + lines * (SMALL_HIGH + HEAD) + 3.5, "share of the training records (%)", color=QUIET)
    return page.figure


def _panel(axes: Axes, found: Sequence[Curve]) -> None:
    plain(axes, spines=("bottom", "left"))
    shares = sorted({share for curve in found for share in curve.shares})
    values = [value for curve in found for value in (*curve.ends(True), *curve.ends(False))]
    values += [value for curve in found for _, value in curve.printed]
    axes.set_xscale("log", base=2)
    axes.set_xlim(shares[0] / 1.12, shares[-1] * 1.12)
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_ylim(5 * math.floor(min(values) / 5 - 0.1), 5 * math.ceil(max(values) / 5 + 0.1))
    axes.grid(axis="y", color="0.92", linewidth=0.5)


def _draw(axes: Axes, curve: Curve, number: int) -> None:
    shade = colour(number)
    axes.fill_between(curve.shares, curve.ends(True), curve.ends(False), color=shade, alpha=0.11, linewidth=0, zorder=2)
    axes.plot(
        curve.shares,
        curve.means,
        color=shade,
        marker=marker(number),
        markersize=4,
        linewidth=1.3,
        zorder=4,
        gid=curve.name,
    )
    if curve.printed:
        axes.plot(
            *zip(*curve.printed, strict=True),
            color=shade,
            marker=marker(number),
            markersize=5,
            markerfacecolor="white",
            markeredgewidth=0.9,
            linewidth=0.7,
            linestyle=(0, (2, 2)),
            zorder=3,
            gid=f"paper {curve.name}",
        )


def _name(axes: Axes, curve: Curve, place: float, shade: str) -> None:
    share, mean = curve.shares[-1], curve.means[-1]
    right = axes.get_xlim()[1] * 1.03
    axes.plot([share * 1.03, right], [mean, place], color=shade, linewidth=0.5, clip_on=False)
    text = axes.text(right * 1.012, place, shorten(curve.name, NAMES - 3), va="center", color=shade, fontweight="bold")
    text.set_parse_math(False)


def _key(page: Sheet, found: Sequence[Curve], *, own: bool) -> None:
    shade = "0.3" if own else colour(0)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=shade, marker="o", markersize=4, linewidth=1.3, label="Avg, mean over seeds"),
        Patch(facecolor=shade, alpha=0.2, label="95 % interval"),
    ]
    if any(curve.printed for curve in found):
        handles.append(
            Line2D(
                [],
                [],
                color=shade,
                marker="o",
                markersize=5,
                markerfacecolor="white",
                linewidth=0.7,
                label="paper",
                linestyle=(0, (2, 2)),
            )
        )
    if not own:
        handles.append(Line2D([], [], color=PALE, linewidth=0.9, label="the other methods"))
    key(page, handles, MARGIN, 0)
