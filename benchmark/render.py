"""Boards as text: LaTeX for papers, markdown, HTML, plain text for a terminal, CSV for other programs."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .board import COLUMNS, Board, Row, Value
from .ecg import MI_STATEMENTS

FORMATS = ("latex", "markdown", "csv", "html", "text")


@dataclass(frozen=True)
class _Cell:
    text: str = ""
    interval: tuple[str, str] | None = None
    mark: int | None = None


@dataclass(frozen=True)
class _Line:
    """A line of a table; `kind` "paper" belongs to the row above, "first" opens another ratio."""

    kind: Literal["first", "row", "paper"]
    cells: tuple[_Cell, ...]


@dataclass(frozen=True)
class _Grid:
    header: tuple[str, ...]
    lines: tuple[_Line, ...]
    notes: tuple[str, ...]


def render(board: Board, format: str) -> str:
    """One board as text, in one of `FORMATS`."""
    return render_all([board], format)


def render_all(boards: Sequence[Board], format: str) -> str:
    """Several boards, one after another; CSV and HTML make one document of all.

    Raises:
        ValueError: no such format.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {format!r}")
    if format == "csv":
        return _csv(boards)
    if format == "html":
        return _html(boards)
    one = {"latex": _latex, "markdown": _markdown, "text": _text}[format]
    return "\n".join(map(one, boards))


def _grid(board: Board) -> _Grid:
    """What stands where, whatever the format."""
    ratios, spreads = _has_ratios(board), _has_spreads(board)
    header = ["#", "Method", "Weights", *["Data"] * bool(board.row_notice), *["Train %"] * ratios]
    header += [f"{name} ({board.positives[name]})" if name in board.positives else name for name in COLUMNS]
    header += ["Seed SD (n)"] * spreads
    lines: list[_Line] = []
    notes: list[str] = []
    previous: Row | None = None
    for row in board.rows:
        if row.note:
            notes.append(row.note)
        kind: Literal["first", "row"] = "first" if previous is None or previous.ratio != row.ratio else "row"
        lines.append(_Line(kind, _row_cells(board, row, len(notes) if row.note else None)))
        if row.paper:
            printed = [_Cell(f"{row.paper.values[name]:.2f}") for name in COLUMNS]
            empty = [_Cell()] * (1 + bool(board.row_notice) + ratios)
            lines.append(_Line("paper", (_Cell(), _Cell("paper"), *empty, *printed, *[_Cell()] * spreads)))
        previous = row
    return _Grid(tuple(header), tuple(lines), tuple(notes))


def _row_cells(board: Board, row: Row, mark: int | None) -> tuple[_Cell, ...]:
    title = f"{row.title} ({row.variant})" if row.variant else row.title
    spread = "--" if row.spread is None else f"{100 * row.spread:.2f}"
    return (
        _Cell("--" if row.rank is None else str(row.rank)),
        _Cell(title, mark=mark),
        _Cell(row.weights),
        *([_Cell(board.row_notice)] if board.row_notice else []),
        *[_Cell("--" if row.ratio is None else f"{100 * row.ratio:g}")] * _has_ratios(board),
        *(_auc_cell(row.values[name]) for name in COLUMNS),
        *[_Cell(f"{spread} ({len(row.seeds)})")] * _has_spreads(board),
    )


def _has_ratios(board: Board) -> bool:
    """Whether a row was trained on less than everything: only then is the share worth a column."""
    return any(row.ratio not in (None, 1.0) for row in board.rows)


def _has_spreads(board: Board) -> bool:
    return any(row.spread is not None for row in board.rows)


def _auc_cell(value: Value) -> _Cell:
    if value.auc is None:
        return _Cell("--")
    if value.low is None or value.high is None:
        return _Cell(f"{100 * value.auc:.2f}")
    return _Cell(f"{100 * value.auc:.2f}", (f"{100 * value.low:.1f}", f"{100 * value.high:.1f}"))


def _below(board: Board, grid: _Grid) -> list[str]:
    return [*(f"[{i}] {note}" for i, note in enumerate(grid.notes, 1)), *board.footer]


def _markdown(board: Board) -> str:
    from tabulate import tabulate

    def safe(text: str) -> str:
        return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

    def cell(cell: _Cell, kind: str) -> str:
        text = safe(cell.text) + (f" ({cell.interval[0]}-{cell.interval[1]})" if cell.interval else "")
        text += f" [{cell.mark}]" if cell.mark else ""
        return f"&emsp;*{text}*" if kind == "paper" and text == "paper" else text

    grid = _grid(board)
    body = [[cell(entry, line.kind) for entry in line.cells] for line in grid.lines]
    table = tabulate(body, list(map(safe, grid.header)), "pipe", disable_numparse=True, colalign=_alignment(grid))
    below = "".join(f"- {safe(sentence)}\n" for sentence in _below(board, grid))
    return f"**{safe(board.caption)}**\n\n{table}\n\n{below}"


def _text(board: Board) -> str:
    """For a terminal: one decimal, intervals below the figures, weights below the method's name."""
    from tabulate import tabulate

    spread = _has_spreads(board)
    header = ["#", "Method\nweights"]
    header += [f"{name}\n({board.positives[name]})" if name in board.positives else name for name in COLUMNS]
    header += ["Seed SD\n(n)"] * spread + [""] * bool(board.row_notice)
    body: list[list[str]] = []
    notes = [row.note for row in board.rows if row.note]
    for row in board.rows:
        mark = f" [{notes.index(row.note) + 1}]" if row.note else ""
        title = f"{row.title} ({row.variant})" if row.variant else row.title
        ratio = "" if row.ratio in (None, 1.0) else f", {100 * (row.ratio or 0):g} % of training"
        cells = ["--" if row.rank is None else str(row.rank), f"{title}{mark}\n  {row.weights}{ratio}"]
        cells += [_text_auc(row.values[name]) for name in COLUMNS]
        cells += [("--" if row.spread is None else f"{100 * row.spread:.2f}") + f"\n({len(row.seeds)})"] * spread
        # The intervals' line prints numbers too.
        cells += [f"{board.row_notice}\n{board.row_notice}"] * bool(board.row_notice)
        body.append([" ".join(cells[0].split()), *cells[1:]])
        if row.paper:
            body.append(["", "  paper", *(f"{row.paper.values[name]:.2f}" for name in COLUMNS), *[""] * spread])
    alignment = ["right", "left", *["right"] * (len(COLUMNS) + spread), *["left"] * bool(board.row_notice)]
    table = tabulate(body, header, "simple", disable_numparse=True, colalign=alignment, preserve_whitespace=True)
    below = [*(f"[{i}] {note}" for i, note in enumerate(notes, 1)), *board.footer]
    return "\n".join([board.caption, "", table, "", *below, ""])


def _text_auc(value: Value) -> str:
    if value.auc is None:
        return "--"
    if value.low is None or value.high is None:
        return f"{100 * value.auc:.1f}"
    return f"{100 * value.auc:.1f}\n{100 * value.low:.0f}-{100 * value.high:.0f}"


def _alignment(grid: _Grid) -> list[str]:
    words = ("Method", "Weights", "Data")
    return ["left" if name in words else "right" for name in grid.header]


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def _tex(text: str) -> str:
    """Escaped, with the typography that LaTeX has for it."""
    escaped = "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))
    return re.sub(r"\bx100\b", r"$\\times$100", escaped)


def _latex(board: Board) -> str:
    def cell(cell: _Cell, kind: str) -> str:
        text = _tex(cell.text) + (rf"\textsuperscript{{{cell.mark}}}" if cell.mark else "")
        if cell.interval:
            return rf"\shortstack[r]{{{text}\\{{\tiny {cell.interval[0]}--{cell.interval[1]}}}}}"
        if kind == "paper" and text:
            return r"\quad\textit{paper}" if text == "paper" else rf"\textit{{{text}}}"
        return text

    grid = _grid(board)
    columns = "".join(side[0] for side in _alignment(grid))
    body: list[str] = []
    for i, line in enumerate(grid.lines):
        if line.kind == "first" and i:
            body.append(r"\midrule")
        body.append(" & ".join(cell(entry, line.kind) for entry in line.cells) + r" \\")
    notes = [rf"\textsuperscript{{{i}}}~{_tex(note)}" for i, note in enumerate(grid.notes, 1)]
    below = [*notes, *map(_tex, board.footer)]
    label = re.sub(r"[^a-z0-9]+", "-", f"{board.data} {board.protocol} v{board.version} {board.manifest[:6]}".lower())
    lines = [
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{_tex(board.caption)}}}",
        rf"\label{{tab:{label}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_tex, grid.header)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        "",
        r"\smallskip",
        r"\begin{minipage}{\textwidth}\scriptsize",
        *(f"{sentence}\\par" for sentence in below),
        r"\end{minipage}",
        r"\end{table*}",
        "",
    ]
    return "\n".join(lines)


_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: #1b1f24; background: #fff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
caption { text-align: left; font-weight: 600; padding: 0 0 .6rem; }
th, td { padding: .35rem .6rem; text-align: right; vertical-align: top; }
th.left, td.left { text-align: left; }
thead th { border-top: 2px solid; border-bottom: 1px solid; }
tbody tr.first td { border-top: 1px solid #9aa4af; }
tbody tr.paper td { color: #57606a; font-style: italic; padding-top: 0; }
tbody tr.paper td.left { padding-left: 1.8rem; }
table { border-bottom: 2px solid; }
small { display: block; color: #57606a; }
ul { color: #57606a; font-size: 13px; padding-left: 1.2rem; max-width: 75rem; }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117; }
  small, ul, tbody tr.paper td { color: #9aa4af; }
}
"""


def _html(boards: Sequence[Board]) -> str:
    sections = "\n".join(map(_html_section, boards))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>mibench</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{sections}\n</body>\n</html>\n"
    )


def _html_section(board: Board) -> str:
    grid = _grid(board)
    sides = _alignment(grid)

    def cell(tag: str, side: str, content: str) -> str:
        return f'<{tag} class="left">{content}</{tag}>' if side == "left" else f"<{tag}>{content}</{tag}>"

    def content(cell: _Cell) -> str:
        text = html.escape(cell.text) + (f"<sup>{cell.mark}</sup>" if cell.mark else "")
        return text + (f"<small>{cell.interval[0]}&ndash;{cell.interval[1]}</small>" if cell.interval else "")

    header = "".join(cell("th", side, html.escape(name)) for name, side in zip(grid.header, sides, strict=True))
    body = "\n".join(
        f'<tr class="{line.kind}">'
        + "".join(cell("td", side, content(entry)) for entry, side in zip(line.cells, sides, strict=True))
        + "</tr>"
        for line in grid.lines
    )
    below = "\n".join(f"<li>{html.escape(sentence)}</li>" for sentence in _below(board, grid))
    return (
        f'<section>\n<div class="wide"><table>\n<caption>{html.escape(board.caption)}</caption>\n'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n<ul>\n{below}\n</ul>\n</section>"
    )


def _csv(boards: Sequence[Board]) -> str:
    """One line per row of a board; AUCs, ends of intervals and the paper's figures are x100, empty where unknown."""
    text = io.StringIO()
    rows = [_csv_row(board, row) for board in boards for row in board.rows]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _csv_row(board: Board, row: Row) -> dict[str, str | int | float | None]:
    def hundredfold(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 6)

    line: dict[str, str | int | float | None] = {
        "data": board.data,
        "notice": board.warning,
        "release": board.release,
        "manifest": board.manifest,
        "protocol": board.protocol,
        "protocol_version": board.version,
        "rank": row.rank,
        "method": row.method,
        "title": row.title,
        "variant": row.variant,
        "weights_source": row.source,
        "weights": row.weights,
        "weights_name": row.weights_name,
        "options": json.dumps(row.options, sort_keys=True),
        "ratio": row.ratio,
        "seeds": " ".join(map(str, row.seeds)),
        "seed_sd": hundredfold(row.spread),
    }
    for name in COLUMNS:
        value = row.values[name]
        line[f"{name}_auc"] = hundredfold(value.auc)
        line[f"{name}_low"] = hundredfold(value.low)
        line[f"{name}_high"] = hundredfold(value.high)
        line[f"{name}_interval"] = value.method
        if name in MI_STATEMENTS:
            line[f"{name}_positives"] = board.positives.get(name)
        line[f"{name}_paper"] = round(row.paper.values[name], 4) if row.paper else None
    line["note"] = row.note
    return line
