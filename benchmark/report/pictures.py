"""Figures of the catalog, embedded: drawings as SVG, and as PNG where so many marks make that the smaller file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...adapters.errors import MibenchError
from ..progress import steps
from .markup import element, escape, sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..board import Board
    from ..figures.view import View

_LARGEST_DRAWING = 600_000
"""Bytes of SVG beyond which a PNG is taken."""
_DPI = 170
_PIXELS_PER_INCH = 120
"""A quarter more than on paper: a screen is further away."""


def figures(boards: Sequence[Board], profiles: Sequence[Mapping[str, Any]], paper: Mapping[str, Any]) -> str:
    """Every figure that the boards allow, and a list of those that they do not; nothing for no board.

    Of boards of one data set and one protocol the first is drawn.
    """
    from ..figures import catalog
    from ..figures.view import View

    whole = View(tuple(boards), tuple(profiles), paper)
    first = {(board.data, board.protocol): board for board in reversed(boards)}
    views = [whole.on(board) for board in boards if first[board.data, board.protocol] is board]
    wanted = [(view, name) for view in views for name in catalog.NAMES]
    bar = steps("drawing", len(wanted))
    drawn, missing = [], []
    for number, (view, name) in enumerate(wanted, 1):
        try:
            drawn.append(_figure(catalog.draw(name, view), name, catalog.NAMES[name], view))
        except MibenchError as problem:
            missing.append(f"{name}, {view.board.protocol} on {view.board.data}: {problem}")
        bar(number)
    if missing:
        drawn.append(element("details", element("summary", "Not drawn, and why") + sentences(missing, class_="below")))
    return "\n".join(drawn)


def _figure(page: Figure, name: str, words: str, view: View) -> str:
    text = f"{words[0].upper()}{words[1:]}. {view.about}."
    if view.board.warning:
        text = f"{view.board.warning}. {text}"
    width, height = (round(_PIXELS_PER_INCH * inches) for inches in page.get_size_inches())
    alternative = escape(f"Figure {name}: {words}; its numbers are in the board.")
    image = f'<img src="{embedded(page)}" alt="{alternative}" width="{width}" height="{height}">'
    # A phone scrolls the figure, as it does a table: shrunk to its width nobody could read it.
    wide = element("div", image, class_="wide", tabindex=0, role="region", aria_label=f"Figure {name}")
    return element("figure", wide + element("figcaption", escape(text)))


def embedded(page: Figure) -> str:
    """A data URL of the figure; the same figure gives the same characters."""
    from matplotlib import rc_context

    from ..figures.style import house_style

    drawing = io.BytesIO()
    # Text as paths looks the same everywhere; without the salt and the date every file would be another one.
    with house_style(), rc_context({"svg.hashsalt": "mibench", "svg.fonttype": "path"}):
        page.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    kind, data = "svg+xml", drawing.getvalue()
    if len(data) > _LARGEST_DRAWING:
        picture = io.BytesIO()
        page.savefig(picture, format="png", dpi=_DPI, metadata={"Software": "mibench"})
        if len(picture.getvalue()) < len(data):
            kind, data = "png", picture.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
