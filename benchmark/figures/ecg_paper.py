"""Twelve leads on ECG paper: 25 mm/s and 10 mm/mV, true to scale on the printed page.

Everything is placed in millimetres on one pair of axes that covers the page, so a second is 25 of its units and a
millivolt 10. At 254 dpi a millimetre is ten pixels and every line of the grid falls on one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...adapters.errors import MibenchError
from ..ecg import LEADS
from .ecg_layout import GAP, LARGE_MM, MM_PER_MILLIVOLT, MM_PER_SECOND, NAME_POINTS, Layout, Piece, Sheet
from .style import (
    COLOURS,
    MM_PER_INCH,
    blank,
    colour,
    house_style,
    line_height,
    save,
    text_width,
    wrap,
    write,
)

PULSE_SECONDS = 0.2
SECONDS = 10.0
"""What is drawn of a longer record unless more is asked for."""

DPI = 254.0
SAMPLE_DPI = 127.0
MOST_MM = 2000
"""A taller page is no ECG any more, and its pixels would not fit into memory."""
MOST_GENERATED = 2 * len(COLOURS)

MARGIN, NAMES, PULSE, LEAST_WIDTH = 6, 10, 10, 150
TITLE_POINTS, LEGEND_POINTS, FOOTER_POINTS = 10.0, 8.0, 6.5
LEGEND_LINE, LEGEND_SPACE = 8, 6
SMALL_COLOUR, LARGE_COLOUR = "#F8DCDC", "#EBA9A9"
REAL_MM, GENERATED_MM, SMALL_MM, BOLD_MM = 0.22, 0.45, 0.1, 0.2


def draw_generation(
    real: NDArray[Any],
    generated: Mapping[str, NDArray[Any]],
    sampling_rate: float,
    out: Path,
    *,
    title: str,
    footer: str,
    seconds: float | None = None,
    layout: Layout = "rows",
    dpi: float = DPI,
) -> None:
    """Draw twelve recorded leads in black, and in colour what generators made of lead I, to a PNG or PDF.

    Args:
        real: (12, samples) in mV, in the order of `LEADS`.
        generated: the same for each generator, by its title; at most twelve.
        sampling_rate: Hz.
        out: the file; .png or .pdf.
        title: one line or a few above the paper.
        footer: where the signals come from, and any notice.
        seconds: how much is drawn, from the beginning; None is the record, or its first ten seconds.
        layout: "rows" is a row for each lead; "clinical" is three rows of four leads, a quarter of the time each, and
            lead II over the whole time beneath.
        dpi: pixels per inch of a PNG; with 254 a millimetre is ten.

    Raises:
        MibenchError: signals of other shapes, NaN, millivolts that no paper holds, a time that the record does not
            have, or a file that cannot be written.
    """
    with house_style():
        page = generation_page(
            real, generated, sampling_rate, title=title, footer=footer, seconds=seconds, layout=layout
        )
        save(page, out, title=title, dpi=dpi)


def draw_sample(
    real: NDArray[Any], generated: NDArray[Any], sampling_rate: float, out: Path, *, title: str, footer: str
) -> None:
    """Draw what a generator in training makes of one record: the clinical layout, true to scale, in few pixels.

    Args:
        real, generated: (12, samples) in mV, in the order of `LEADS`.

    Raises:
        MibenchError: as of `draw_generation`.
    """
    made = {"generated": generated}
    draw_generation(real, made, sampling_rate, out, title=title, footer=footer, layout="clinical", dpi=SAMPLE_DPI)


def generation_page(
    real: NDArray[Any],
    generated: Mapping[str, NDArray[Any]],
    sampling_rate: float,
    *,
    title: str,
    footer: str,
    seconds: float | None = None,
    layout: Layout = "rows",
) -> Figure:
    """The page of `draw_generation`, not yet written; inside `house_style`."""
    signals = _checked(real, generated)
    available = signals[0].shape[1] / sampling_rate
    shown = min(available, SECONDS) if seconds is None else seconds
    if not 4 / sampling_rate <= shown <= available:
        raise MibenchError(f"{shown:g} s cannot be drawn of a record of {available:g} s; choose fewer seconds, over 0")
    samples = round(shown * sampling_rate)
    sheet = Sheet([signal[:, :samples] for signal in signals], ["real", *generated], sampling_rate, layout)
    part = "" if samples == signals[0].shape[1] else f"; the first {shown:g} of {available:g} s"
    return _page(sheet, title, f"{MM_PER_SECOND:g} mm/s, {MM_PER_MILLIVOLT:g} mm/mV{part}. {footer}")


def _checked(real: NDArray[Any], generated: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float64]]:
    if len(generated) > MOST_GENERATED:
        raise MibenchError(f"{len(generated)} generators on one sheet cannot be told apart; choose {MOST_GENERATED}")
    signals = []
    for name, values in {"the record": real, **generated}.items():
        signal = np.asarray(values, dtype=np.float64)
        if signal.ndim != 2 or len(signal) != len(LEADS) or signal.shape != np.shape(real):
            raise MibenchError(f"{name}: (12, samples) as long as the record can be drawn, not {signal.shape}")
        bad = [lead for lead, values in zip(LEADS, signal, strict=True) if not np.isfinite(values).all()]
        if bad:
            raise MibenchError(f"{name}: lead {', '.join(bad)} holds values that are no numbers, and is not drawn")
        signals.append(signal)
    return signals


def _page(sheet: Sheet, title: str, footer: str) -> Figure:
    depths, height = sheet.baselines()
    if height > MOST_MM:
        most = max(float(np.abs(signal).max()) for signal in sheet.signals)
        raise MibenchError(
            f"values of up to {most:,.4g} mV would take a page of {height / 1000:,.4g} m: is this an ECG in mV?"
        )
    names = NAMES if sheet.layout == "rows" else 0
    grid = PULSE + LARGE_MM * ceil(sheet.samples / sheet.rate * MM_PER_SECOND / LARGE_MM) + LARGE_MM
    width = max(LEAST_WIDTH, 2 * MARGIN + names + grid)
    head = wrap(title, width - 2 * MARGIN, TITLE_POINTS, "bold")
    foot = wrap(footer, width - 2 * MARGIN, FOOTER_POINTS)
    legend = _legend_places(sheet.names, width)
    legend_top = MARGIN + len(head) * line_height(TITLE_POINTS) + 1
    top = legend_top + (1 + legend[-1][0]) * line_height(LEGEND_POINTS) + GAP
    total = top + height + GAP + len(foot) * line_height(FOOTER_POINTS) + MARGIN

    page = blank(width, total)
    axes = page.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, total))
    axes.set_axis_off()
    left, bottom = MARGIN + names, total - top - height
    draw_grid(axes, left, bottom, grid, height)
    for piece in sheet.pieces():
        _draw_piece(axes, sheet, piece, left, total - top - depths[piece.row])
    for depth in depths:
        draw_pulse(axes, left, total - top - depth)
    _draw_legend(axes, sheet.names, legend, total - legend_top)
    write(page, MARGIN, MARGIN, head, TITLE_POINTS, fontweight="bold")
    write(page, MARGIN, top + height + GAP, foot, FOOTER_POINTS, color="0.25")
    return page


def draw_grid(axes: Axes, left: int, bottom: int, width: int, height: int) -> None:
    """The millimetre grid, on axes whose unit is a millimetre."""
    for step, shade, thick, name in ((1, SMALL_COLOUR, SMALL_MM, "small"), (LARGE_MM, LARGE_COLOUR, BOLD_MM, "large")):
        upright = [[(left + x, bottom), (left + x, bottom + height)] for x in range(0, width + 1, step)]
        level = [[(left, bottom + y), (left + width, bottom + y)] for y in range(0, height + 1, step)]
        axes.add_collection(
            LineCollection([*upright, *level], colors=shade, linewidths=points(thick), gid=f"grid {name}"),
            autolim=False,
        )


def _draw_piece(axes: Axes, sheet: Sheet, piece: Piece, left: int, baseline: int) -> None:
    start = left + PULSE + piece.first / sheet.rate * MM_PER_SECOND
    across = start + np.arange(piece.last - piece.first) / sheet.rate * MM_PER_SECOND
    cut = sheet.cut(piece)
    # Thin black over broad colour: both are seen where they agree.
    for number in [*range(1, len(cut)), 0]:
        axes.plot(
            across,
            baseline + cut[number] * MM_PER_MILLIVOLT,
            gid=f"{sheet.names[number]} {LEADS[piece.lead]}",
            solid_joinstyle="round",
            **_looks(number),
        )
    if sheet.layout == "rows":
        place = {"x": left - 1.5, "y": float(baseline), "ha": "right", "va": "center"}
    else:
        place = {"x": start + 0.5, "y": baseline + sheet.name_height(piece), "ha": "left", "va": "bottom"}
        if piece.first:
            axes.plot([start, start], [baseline - 2.5, baseline + 2.5], color="black", linewidth=points(REAL_MM))
    axes.text(s=LEADS[piece.lead], fontsize=NAME_POINTS, fontweight="bold", **place)  # type: ignore[arg-type]


def draw_pulse(axes: Axes, left: int, baseline: int) -> None:
    """One millivolt for 200 ms: what every electrocardiograph draws before it measures."""
    flank = (PULSE - PULSE_SECONDS * MM_PER_SECOND) / 2
    rise, fall = left + flank, left + PULSE - flank
    high = baseline + MM_PER_MILLIVOLT
    axes.plot(
        [left, rise, rise, fall, fall, left + PULSE],
        [baseline, baseline, high, high, baseline, baseline],
        color="black",
        linewidth=points(REAL_MM),
        solid_joinstyle="miter",
        gid="calibration",
    )


def _legend_places(names: Sequence[str], width: float) -> list[tuple[int, float]]:
    """Line and left end of each entry of the legend, in mm."""
    places: list[tuple[int, float]] = []
    line, left = 0, float(MARGIN)
    for name in names:
        needed = LEGEND_LINE + 1.5 + text_width(name, LEGEND_POINTS)
        if left > MARGIN and left + needed > width - MARGIN:
            line, left = line + 1, float(MARGIN)
        places.append((line, left))
        left += needed + LEGEND_SPACE
    return places


def _draw_legend(axes: Axes, names: Sequence[str], places: Sequence[tuple[int, float]], top: float) -> None:
    for number, (name, (line, left)) in enumerate(zip(names, places, strict=True)):
        y = top - (line + 0.5) * line_height(LEGEND_POINTS)
        axes.plot([left, left + LEGEND_LINE], [y, y], gid=f"legend {name}", **_looks(number))
        axes.text(left + LEGEND_LINE + 1.5, y, name, fontsize=LEGEND_POINTS, va="center_baseline", parse_math=False)


def _looks(number: int) -> dict[str, Any]:
    """Colour and line of a signal: 0 is the real one; the second half of the generated ones is dashed."""
    if number == 0:
        return {"color": "black", "linewidth": points(REAL_MM), "zorder": 4}
    dashes = "solid" if number <= len(COLOURS) else (0, (2.0, 1.0))
    return {"color": colour(number - 1), "linewidth": points(GENERATED_MM), "linestyle": dashes, "zorder": 3}


def points(millimetres: float) -> float:
    """The width of a line as matplotlib takes it."""
    return millimetres / MM_PER_INCH * 72
