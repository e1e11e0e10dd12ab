"""What all pictures share: pages in millimetres, colours that all can tell apart, files that repeat to the byte."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import TextToPath

from ...adapters.errors import MibenchError
from ..files import atomic_path

MM_PER_INCH = 25.4
MM_PER_POINT = MM_PER_INCH / 72

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito, without yellow, which vanishes on paper, and black, which is kept for what is real."""

FORMATS: Mapping[str, Mapping[str, Any]] = {
    ".png": {"Software": "mibench"},
    # None takes an entry out: times and versions would make every file another one.
    ".pdf": {"Creator": "mibench", "Producer": None, "CreationDate": None},
}

_HOUSE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7.0,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # journals take no Type 3 fonts
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw as mibench does whatever the user's matplotlibrc says, and leave matplotlib as it was."""
    with style.context(["default", _HOUSE]):
        yield


def colour(number: int) -> str:
    """The colour of the generator of that number; from the seventh on they begin again."""
    return COLOURS[number % len(COLOURS)]


def blank(width: float, height: float) -> Figure:
    """An empty white page of some millimetres."""
    return Figure(figsize=(width / MM_PER_INCH, height / MM_PER_INCH), facecolor="white")


def write(page: Figure, left: float, top: float, lines: list[str], points: float, **looks: Any) -> None:
    """Set lines of text on a page, `left` mm from its left edge and `top` mm below its upper one."""
    width, height = page.get_size_inches() * MM_PER_INCH
    for number, line in enumerate(lines):
        y = height - top - number * line_height(points)
        page.add_artist(
            Text(
                left / width,
                y / height,
                line,
                fontsize=points,
                va="top",
                transform=page.transSubfigure,
                parse_math=False,
                **looks,
            )
        )


def line_height(points: float) -> int:
    """Whole millimetres that a line of text takes."""
    return round(points * MM_PER_POINT * 1.35)


def text_width(text: str, points: float, weight: str = "normal") -> float:
    """Millimetres that a line of text takes; `house_style` must be on."""
    font = FontProperties(size=points, weight=weight)
    width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(width) * MM_PER_POINT


def wrap(text: str, width: float, points: float, weight: str = "normal") -> list[str]:
    """Break a text into lines of at most `width` mm, at spaces where that can be done; no-break spaces stay."""
    lines: list[str] = []
    for word in filter(None, text.split(" ")):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, points, weight) <= width:
            lines[-1] = longer
            continue
        while text_width(word, points, weight) > width and len(word) > 1:
            fits = max((n for n in range(1, len(word)) if text_width(word[:n], points, weight) <= width), default=1)
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return lines


def check_out(out: Path) -> None:
    """Refuse a file that could not be written, before anything takes its time.

    Raises:
        MibenchError: another suffix than .png or .pdf, or a folder that cannot be written.
    """
    if out.suffix.lower() not in FORMATS:
        raise MibenchError(f"{out}: pictures are written as {' or '.join(FORMATS)}; choose one of these endings")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(out, problem) from problem
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise MibenchError(f"{out}: no file can be written there; choose another one")


def save(page: Figure, out: Path, *, title: str, dpi: float) -> None:
    """Write a page as PNG or PDF by its suffix, whole or not at all; the same page gives the same bytes.

    Args:
        dpi: pixels per inch of a PNG, and of what is not vectors in a PDF.

    Raises:
        MibenchError: as of `check_out`.
    """
    check_out(out)
    suffix = out.suffix.lower()
    try:
        with atomic_path(out) as temporary:
            page.savefig(temporary, format=suffix[1:], dpi=dpi, metadata={"Title": title, **FORMATS[suffix]})
    except OSError as problem:
        raise _unwritable(out, problem) from problem


def _unwritable(out: Path, problem: OSError) -> MibenchError:
    return MibenchError(f"{out}: cannot be written ({problem.strerror or problem}); choose another file")
