"""Pieces of HTML. Whatever comes out of a record goes through here: to a browser it is text, never markup."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable
from typing import Any

from ..grid import Cell

_BETWEEN = {"-": "&ndash;", " to ": " to ", " + ": " + "}
_STANDINGS = {"best": "b", "second": "u"}

escape = html.escape


def element(tag: str, content: str = "", /, **attributes: object) -> str:
    """An element around markup; attributes are escaped, None and False leave one out, True is one without a value.

    Names may end in an underscore (`class_`); one within stands for a dash (`data_ratio`).
    """
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return f"<{tag}{written}>{content}</{tag}>"


def sentences(texts: Iterable[str], **attributes: object) -> str:
    """Plain texts as a list; nothing for none."""
    items = "\n".join(element("li", escape(text)) for text in texts)
    return element("ul", f"\n{items}\n", **attributes) if items else ""


def cell_content(cell: Cell, prefix: str) -> str:
    """What stands in a cell; its mark leads to the note with the id `prefix-N`."""
    text = escape(cell.text)
    if cell.standing:
        text = element(_STANDINGS[cell.standing], text)
    note = f'<a href="#{prefix}-{cell.mark}">{cell.mark}</a>' if cell.mark else ""
    marks = ",".join(filter(None, (escape(cell.sign), note)))
    text += f"<sup>{marks}</sup>" if marks else ""
    if cell.second:
        text += f"<small>{_BETWEEN[cell.between].join(map(escape, cell.second))}</small>"
    return text


def embedded_json(value: Any, ident: str) -> str:
    """A value for scripts to read, in an element that no content can end or turn into a script."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{escape(ident)}">{text}</script>'


def source_hash(text: str) -> str:
    """What a Content-Security-Policy calls an inline script or style sheet."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
