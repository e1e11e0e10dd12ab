"""The page of a board's figure: what it shows above, where numbers come from below, panels in millimetres between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .style import COLOURS, MM_PER_POINT, blank, line_height, text_width, wrap, write
from .view import View

WIDTH = 180.0
"""Millimetres: two columns of most journals."""
NARROW = 85.0
"""Millimetres: one column."""
DPI = 300.0
MARGIN = 4.0

TITLE_POINTS, TEXT_POINTS, SMALL_POINTS = 9.0, 7.0, 6.0
INK, QUIET, PALE = "0.1", "0.4", "0.85"
"""Greys of what is read first, of what is read second, and of what is only there."""
PAPER_COLOUR = COLOURS[1]
"""Of the paper's figures, which are hollow everywhere."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""One more than there are colours: 42 methods look different before the first look comes again."""


@dataclass(frozen=True)
class Sheet:
    """A page with its words; `top` and `bottom` are where its body begins and ends, mm below the upper edge."""

    figure: Figure
    width: float
    height: float
    top: float
    bottom: float

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes whose left upper corner lies so many mm from the page's left edge and below the body's top."""
        return self.figure.add_axes(
            (
                left / self.width,
                1 - (self.top + top + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )

    def text(self, left: float, top: float, text: str, points: float = TEXT_POINTS, **looks: object) -> None:
        """A line whose upper end is so many mm below the body's top."""
        write(self.figure, left, self.top + top, [text], points, **looks)


def sheet(
    view: View, title: str, body: float, *, width: float = WIDTH, about: str | None = None, notes: Sequence[str] = ()
) -> Sheet:
    """A page whose body is so many mm high.

    Args:
        about: below the title, in place of data, release, protocol and share of the training records.
        notes: how to read the figure; what the board says below its tables follows them.
    """
    board = view.board
    across = width - 2 * MARGIN
    heads = wrap(title, across, TITLE_POINTS, "bold")
    warnings = wrap(board.warning, across, TEXT_POINTS, "bold") if board.warning else []
    abouts = wrap(about or view.about, across, TEXT_POINTS)
    below = " ".join([*([f"{board.warning}."] if board.warning else []), *notes, view.positives, *board.footer])
    feet = wrap(below, across, SMALL_POINTS)
    foot = 2.6
    top = MARGIN + len(heads) * line_height(TITLE_POINTS)
    bottom = top + len(warnings + abouts) * line_height(TEXT_POINTS) + 2 + body
    height = bottom + 3 + len(feet) * foot + MARGIN
    page = blank(width, height)
    write(page, MARGIN, MARGIN, heads, TITLE_POINTS, fontweight="bold", color=INK)
    write(page, MARGIN, top, warnings, TEXT_POINTS, fontweight="bold", color=PAPER_COLOUR)
    write(page, MARGIN, top + len(warnings) * line_height(TEXT_POINTS), abouts, TEXT_POINTS, color=QUIET)
    for number, line in enumerate(feet):
        write(page, MARGIN, bottom + 3 + number * foot, [line], SMALL_POINTS, color=QUIET)
    return Sheet(page, width, height, bottom - body, bottom)


def plain(axes: Axes, *, spines: Sequence[str] = ("bottom",)) -> None:
    """Take away all lines around a panel but the named ones, and all ticks of the others."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in spines)
        spine.set_color(QUIET)
    axes.tick_params(
        length=2,
        width=0.5,
        color=QUIET,
        labelcolor=INK,
        labelsize=SMALL_POINTS + 0.5,
        left="left" in spines,
        labelleft="left" in spines,
        bottom="bottom" in spines,
        labelbottom="bottom" in spines,
    )
    axes.set_axisbelow(True)


def key(page: Sheet, handles: Sequence[Line2D | Patch], left: float, top: float, columns: int | None = None) -> None:
    """What the marks mean, in a line whose upper end is so many mm below the body's top."""
    legend = page.figure.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(left / page.width, 1 - (page.top + top) / page.height),
        ncols=columns or len(handles),
        borderaxespad=0,
        borderpad=0,
        handletextpad=0.5,
        handlelength=1.8,
        columnspacing=1.6,
        frameon=False,
        fontsize=TEXT_POINTS,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def shorten(text: str, width: float, points: float = TEXT_POINTS, weight: str = "normal") -> str:
    """The text, or as much of its beginning as takes so many mm with three dots behind it."""
    if text_width(text, points, weight) <= width:
        return text
    cut = text
    while cut and text_width(cut + "\N{HORIZONTAL ELLIPSIS}", points, weight) > width:
        cut = cut[:-1].rstrip(" ,(")
    return cut + "\N{HORIZONTAL ELLIPSIS}"


def marker(number: int) -> str:
    """The shape of the method of that number."""
    return MARKERS[number % len(MARKERS)]


def per_mm(points: float) -> float:
    """Millimetres of so many points."""
    return points * MM_PER_POINT
