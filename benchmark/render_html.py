"""Tables as one HTML page, without scripts and fetching nothing."""

from __future__ import annotations

import html
from collections.abc import Sequence

from .grid import Cell, Grid, Line

_BETWEEN = {"-": "&ndash;", " to ": " to ", " + ": " + "}
_STANDINGS = {"best": "b", "second": "u"}
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #1b1f24; background: #fff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
caption { text-align: left; font-weight: 600; padding: 0 0 .6rem; }
th, td { padding: .35rem .6rem; text-align: right; vertical-align: top; }
th.left, td.left { text-align: left; }
thead th { border-top: 2px solid; border-bottom: 1px solid; }
tbody tr.first td { border-top: 1px solid #9aa4af; }
tbody tr.beneath td { color: #57606a; font-style: italic; padding-top: 0; }
tbody tr.beneath td.left { padding-left: 1.8rem; }
table { border-bottom: 2px solid; }
small { display: block; color: #57606a; }
ul { color: #57606a; font-size: 13px; padding-left: 1.2rem; max-width: 75rem; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; }
  small, ul, tbody tr.beneath td { color: #9aa4af; }
}
"""


def page(grids: Sequence[Grid]) -> str:
    """A whole document."""
    return _document("\n".join(map(_section, grids)))


def joined(parts: Sequence[tuple[str, str, str]]) -> str:
    """One document of several: of each its title, its page, and a sentence; page and sentence may be empty."""
    sections = []
    for title, text, sentence in parts:
        body = text.partition("<body>\n")[2].rpartition("\n</body>")[0]
        said = f"<p>{html.escape(sentence)}</p>" if sentence else ""
        sections.append("\n".join(part for part in (f"<h2>{html.escape(title)}</h2>", said, body) if part))
    return _document("\n".join(sections))


def _document(sections: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>mibench</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{sections}\n</body>\n</html>\n"
    )


def _section(grid: Grid) -> str:
    sides = grid.alignment
    header = "".join(_tagged("th", side, html.escape(name)) for name, side in zip(grid.header, sides, strict=True))
    body = "\n".join(
        f'<tr class="{_classes(line)}">'
        + "".join(_tagged("td", side, _content(entry)) for entry, side in zip(line.cells, sides, strict=True))
        + "</tr>"
        for line in grid.lines
    )
    below = "\n".join(f"<li>{html.escape(sentence)}</li>" for sentence in grid.below)
    return (
        f'<section>\n<div class="wide"><table>\n<caption>{html.escape(grid.caption)}</caption>\n'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n<ul>\n{below}\n</ul>\n</section>"
    )


def _tagged(tag: str, side: str, content: str) -> str:
    return f'<{tag} class="left">{content}</{tag}>' if side == "left" else f"<{tag}>{content}</{tag}>"


def _classes(line: Line) -> str:
    name = line.kind.lower().replace(" ", "-")
    return f"{name} beneath" if line.beneath else name


def _content(cell: Cell) -> str:
    text = html.escape(cell.text)
    if cell.standing:
        tag = _STANDINGS[cell.standing]
        text = f"<{tag}>{text}</{tag}>"
    marks = ",".join(part for part in (cell.sign, str(cell.mark or "")) if part)
    text += f"<sup>{marks}</sup>" if marks else ""
    return text + (f"<small>{_BETWEEN[cell.between].join(cell.second)}</small>" if cell.second else "")
