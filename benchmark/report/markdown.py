"""Markdown to HTML, as much as the files that come with mibench use: headings, paragraphs, lists, tables, code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .markup import element, escape

_TABLE, _ITEM, _HEADING = r"\|.*\|$", r"- ", r"(#{1,6}) (.*)"


def html(text: str, *, level: int, left_out: int = 0) -> str:
    """A document whose topmost headings become `<h{level}>`.

    Args:
        text: the document.
        level: of the headings that have one `#`.
        left_out: how many headings, from the top, are left out because the page has its own.
    """
    blocks = []
    for block in _blocks(text):
        heading = re.fullmatch(_HEADING, block[0])
        if heading and left_out:
            left_out -= 1
        elif heading:
            blocks.append(element(f"h{min(6, len(heading[1]) + level - 1)}", _inline(heading[2])))
        elif re.fullmatch(_TABLE, block[0]):
            blocks.append(_table(block))
        elif block[0].startswith("- "):
            blocks.append(_list(block))
        else:
            blocks.append(element("p", _inline(" ".join(block))))
    return "\n".join(blocks)


def _blocks(text: str) -> Iterator[list[str]]:
    """Lines that belong together; a heading stands alone, and a table or list may follow a paragraph at once."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        alone = bool(re.fullmatch(_HEADING, line))
        kind = _kind(line)
        continues = bool(block) and bool(line.strip()) and not alone
        if continues and (kind == _kind(block[0]) or (kind == "text" and _kind(block[0]) == "list")):
            block.append(line)
            continue
        if block:
            yield block
        block = [line] if line.strip() and not alone else []
        if alone:
            yield [line]


def _kind(line: str) -> str:
    return "table" if re.fullmatch(_TABLE, line) else "list" if re.match(_ITEM, line) else "text"


def _list(lines: list[str]) -> str:
    items: list[str] = []
    for line in lines:
        if line.startswith("- "):
            items.append(line[2:])
        else:
            items[-1] += " " + line.strip()
    return element("ul", "".join(element("li", _inline(item)) for item in items))


def _table(lines: list[str]) -> str:
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rows = [row for row in rows if not all(re.fullmatch(r":?-+:?", cell) for cell in row)]
    head = "".join(element("th", _inline(cell), scope="col") for cell in rows[0])
    body = "".join(element("tr", "".join(element("td", _inline(cell)) for cell in row)) + "\n" for row in rows[1:])
    table = element("table", f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>", class_="words")
    return element("div", table, class_="wide", tabindex=0, role="region", aria_label=f"Table: {rows[0][0]}")


_INLINE: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"`([^`]+)`", lambda found: element("code", escape(found[1]))),
    (r"\*\*([^*]+)\*\*", lambda found: element("strong", _inline(found[1]))),
    (r"\*([^*\s][^*]*)\*", lambda found: element("em", _inline(found[1]))),
    (r"\[([^\]]+)\]\((https://[^)\s]+)\)", lambda found: element("a", _inline(found[1]), href=found[2])),
)


def _inline(text: str) -> str:
    """Code, emphasis and links in a line, whichever comes first; everything else is escaped."""
    found = [(match, write) for pattern, write in _INLINE if (match := re.search(pattern, text))]
    if not found:
        return escape(text)
    match, write = min(found, key=lambda entry: entry[0].start())
    return escape(text[: match.start()]) + write(match) + _inline(text[match.end() :])
