"""The records that two methods see most differently: lead I on ECG paper, and beside it how both rank the record."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...adapters.errors import MibenchError
from ..compare import Apart, Contrast
from ..compare_table import nearer, said
from ..ecg import MI_STATEMENTS
from ..files import safe_name
from .ecg_layout import GAP, LARGE_MM, MM_PER_MILLIVOLT, MM_PER_SECOND
from .ecg_paper import DPI, MARGIN, MOST_MM, PULSE, REAL_MM, SECONDS, draw_grid, draw_pulse, points
from .style import blank, colour, house_style, line_height, save, wrap, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..data.dataset import Dataset

LEAD = "I"
PAGE_DPI = 127.0
TITLE_POINTS, HEAD_POINTS, NAME_POINTS, FOOTER_POINTS = 10.0, 8.5, 6.5, 6.5
PANEL, NAMES, ROW = 62, 13, 4
"""Millimetres: width of the ranks, of the statements' names, and the height of one of these."""
LEAST_HEIGHT = ROW * (len(MI_STATEMENTS) + 2)
PALE = "0.8"
MARKS = ("o", "s")


@dataclass(frozen=True)
class _Strip:
    """A record on its way to the paper; `above` and `height` are of its grid, in mm."""

    apart: Apart
    signal: NDArray[np.float64]
    rate: float
    above: int
    height: int


def draw_compared(found: Contrast, data: Dataset, out: Path, *, footer: str) -> list[Path]:
    """Draw the most different records to one page, or to a PNG each in a folder; the files.

    Args:
        found: the comparison.
        data: the data set it was made on.
        out: a file, .png or .pdf; without such an ending a folder.
        footer: on which data.

    Raises:
        MibenchError: a record is not in the data, too many for one page, or a file that cannot be written.
    """
    strips = [_strip(apart, data) for apart in found.apart]
    title = said(found, f"A: {found.first.title}. B: {found.second.title}")
    with house_style():
        if out.suffix:
            save(_page(strips, title, footer), out, title=title, dpi=PAGE_DPI)
            return [out]
        files = []
        for place, strip in enumerate(strips, 1):
            file = out / f"{place:02d}-{safe_name(strip.apart.record)}.png"
            save(_page([strip], title, footer), file, title=title, dpi=DPI)
            files.append(file)
        return files


def _strip(apart: Apart, data: Dataset) -> _Strip:
    rows = np.flatnonzero(data.records == apart.record)
    if len(rows) != 1:
        raise MibenchError(f"record {apart.record} is not among those of {data.name}: run the methods on it again")
    rate = data.store.sampling_rate
    signal = data.store.read(rows, [LEAD])[0, 0, : round(SECONDS * rate)].astype(np.float64)
    high = max(MM_PER_MILLIVOLT, float(signal.max()) * MM_PER_MILLIVOLT) + GAP
    low = max(0.0, -float(signal.min()) * MM_PER_MILLIVOLT) + GAP
    above, below = (LARGE_MM * ceil(part / LARGE_MM) for part in (high, low))
    spare = max(0, LARGE_MM * ceil((LEAST_HEIGHT - above - below) / LARGE_MM))
    return _Strip(apart, signal, rate, above + LARGE_MM * (spare // LARGE_MM // 2), above + below + spare)


def _page(strips: list[_Strip], title: str, footer: str) -> Figure:
    grid = PULSE + LARGE_MM * ceil(max(len(s.signal) / s.rate for s in strips) * MM_PER_SECOND / LARGE_MM) + LARGE_MM
    width = 2 * MARGIN + grid + LARGE_MM + PANEL
    head = wrap(title, width - 2 * MARGIN, TITLE_POINTS, "bold")
    text = (
        f"Lead {LEAD}, {MM_PER_SECOND:g} mm/s, {MM_PER_MILLIVOLT:g} mm/mV. Right: share (%) of the test records that A "
        f"and B rank below this one, by statement; those in bold are present, the line is where they differ most. "
    )
    foot = wrap(text + footer, width - 2 * MARGIN, FOOTER_POINTS)
    top = MARGIN + len(head) * line_height(TITLE_POINTS) + GAP
    each = [line_height(HEAD_POINTS) + 1 + strip.height + 2 * GAP for strip in strips]
    height = top + sum(each) + len(foot) * line_height(FOOTER_POINTS) + MARGIN
    if height > MOST_MM:
        raise MibenchError(f"{len(strips)} records do not fit on one page: give fewer with --records, or a folder")
    page = blank(width, height)
    axes = page.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    write(page, MARGIN, MARGIN, head, TITLE_POINTS, fontweight="bold")
    for strip, taken in zip(strips, each, strict=True):
        write(page, MARGIN, top, [_heading(strip.apart)], HEAD_POINTS)
        under = height - top - line_height(HEAD_POINTS) - 1
        draw_grid(axes, MARGIN, round(under - strip.height), grid, strip.height)
        _draw_lead(axes, strip, round(under - strip.above))
        _draw_ranks(axes, strip.apart, MARGIN + grid + LARGE_MM, under)
        top += taken
    write(page, MARGIN, top, foot, FOOTER_POINTS, color="0.25")
    return page


def _heading(apart: Apart) -> str:
    first, second = (100 * rank for rank in apart.ranks[apart.statement])
    state = "present" if apart.positive else "absent"
    return (
        f"Record {apart.record}: {', '.join(apart.present) or 'no MI'}.   {apart.statement} ({state}) is ranked "
        f"{first:.0f} by A and {second:.0f} by B; nearer to the label: {nearer(apart)}"
    )


def _draw_lead(axes: Axes, strip: _Strip, baseline: int) -> None:
    draw_pulse(axes, MARGIN, baseline)
    across = MARGIN + PULSE + np.arange(len(strip.signal)) / strip.rate * MM_PER_SECOND
    axes.plot(across, baseline + strip.signal * MM_PER_MILLIVOLT, color="black", linewidth=points(REAL_MM))


def _draw_ranks(axes: Axes, apart: Apart, left: float, top: float) -> None:
    """A line per statement from 0 to 100 %, with the marks of A and B."""
    start, span = left + NAMES, PANEL - NAMES - 3
    small: dict[str, Any] = {"fontsize": NAME_POINTS, "va": "center"}
    for number, letter in enumerate("AB"):
        place = start + number * 9
        _mark(axes, place, top - ROW / 2, number)
        axes.text(place + 2, top - ROW / 2, letter, **small)
    for row, name in enumerate(MI_STATEMENTS, 1):
        y = top - (row + 0.5) * ROW
        axes.text(left, y, name, fontweight="bold" if name in apart.present else "normal", **small)
        axes.plot([start, start + span], [y, y], color=PALE, linewidth=0.5, zorder=1)
        ends = [start + rank * span for rank in apart.ranks[name]]
        if name == apart.statement:
            axes.plot(ends, [y, y], color="0.35", linewidth=1.4, zorder=2)
        for number, x in enumerate(ends):
            _mark(axes, x, y, number)
    under = top - (len(MI_STATEMENTS) + 1.5) * ROW
    for share in (0, 50, 100):
        x = start + span * share / 100
        axes.plot([x, x], [under + ROW / 2, top - ROW], color=PALE, linewidth=0.5, zorder=1)
        axes.text(x, under, f"{share} %" if share == 100 else str(share), ha="center", **small)


def _mark(axes: Axes, x: float, y: float, number: int) -> None:
    axes.plot([x], [y], MARKS[number], color=colour(number), markersize=3.6, markeredgewidth=0, zorder=3)
