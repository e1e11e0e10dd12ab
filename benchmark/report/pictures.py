"""Figures of the catalog, embedded: drawings as SVG, and as PNG where so many marks make that the smaller file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...adapters.errors import MibenchError
from .markup import element, escape, sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..figures.view import View

_LARGEST_DRAWING = 600_000
"""Bytes of SVG beyond which a PNG is taken."""
_DPI = 170


def figures(views: Sequence[View]) -> str:
    """Every figure that the boards allow, with a list of those that they do not; nothing where none can be drawn."""
    from ..figures import catalog

    drawn, missing = [], dict[str, str]()
    for view in views:
        for name, words in catalog.NAMES.items():
            try:
                page = catalog.draw(name, view)
            except MibenchError as problem:
                missing.setdefault(f"{name} ({view.about})", str(problem))
                continue
            drawn.append(_figure(page, name, words, view))
    left_out = sentences((f"{name}: {reason}" for name, reason in missing.items()), class_="below")
    if left_out:
        left_out = element("details", element("summary", "Figures that were not drawn, and why") + left_out)
    return "\n".join([*drawn, left_out])


def _figure(page: Figure, name: str, words: str, view: View) -> str:
    text = f"{words[0].upper()}{words[1:]}. {view.about}."
    if view.board.warning:
        text = f"{view.board.warning}. {text}"
    image = f'<img src="{_embedded(page)}" alt="{escape(f"Figure {name}: {words}; its numbers are in the board.")}">'
    return element("figure", image + element("figcaption", escape(text)))


def _embedded(page: Figure) -> str:
    """A data URL of the figure; the same figure gives the same characters."""
    from matplotlib import rc_context

    drawing = io.BytesIO()
    # Text as paths looks the same everywhere; without the salt and the date every file would be another one.
    with rc_context({"svg.hashsalt": "mibench", "svg.fonttype": "path"}):
        page.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    kind, data = "svg+xml", drawing.getvalue()
    if len(data) > _LARGEST_DRAWING:
        picture = io.BytesIO()
        page.savefig(picture, format="png", dpi=_DPI, metadata={"Software": "mibench"})
        if len(picture.getvalue()) < len(data):
            kind, data = "png", picture.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
