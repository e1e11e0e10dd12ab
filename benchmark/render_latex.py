"""Tables as LaTeX floats, with the rules of booktabs."""

from __future__ import annotations

import re

from .grid import Cell, Grid, Line

_BETWEEN = {"-": "--", " to ": " to ", " + ": " + "}
_STANDINGS = {"best": r"\textbf", "second": r"\underline"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "²": r"\textsuperscript{2}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}

_FITTED = r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"
"""Made as narrow as the page where it is wider, and never wider than it is."""

_PLAIN = re.compile(r"[\d.+-]*")
"""Figures: most of what there is to escape."""

_NEGATIVE = re.compile(r"-[\d.]+")


def _tex(text: str) -> str:
    """Escaped, with the typography that LaTeX has for it."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))
    return re.sub(r"\bx100\b", r"$\\times$100", escaped)


def latex(grid: Grid) -> str:
    """One table as a float over both columns, that needs the packages booktabs and graphicx."""
    body: list[str] = []
    for i, line in enumerate(grid.lines):
        if line.kind == "first" and i:
            body.append(r"\midrule")
        body.append(" & ".join(_cell(entry, line) for entry in line.cells) + r" \\")
    notes = [rf"\textsuperscript{{{i}}}~{_tex(note)}" for i, note in enumerate(grid.notes, 1)]
    lines = [
        r"% \usepackage{booktabs,graphicx}",
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{_tex(grid.caption)}}}",
        rf"\label{{tab:{grid.label}}}",
        _FITTED,
        rf"\begin{{tabular}}{{{''.join(side[0] for side in grid.alignment)}}}",
        r"\toprule",
        " & ".join(map(_tex, grid.header)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        "",
        r"\smallskip",
        r"\begin{minipage}{\textwidth}\scriptsize",
        *(f"{sentence}\\par" for sentence in [*notes, *map(_tex, grid.footer)]),
        r"\end{minipage}",
        r"\end{table*}",
        "",
    ]
    return "\n".join(lines)


def _cell(cell: Cell, line: Line) -> str:
    text = _number(cell.text)
    if cell.standing:
        text = rf"{_STANDINGS[cell.standing]}{{{text}}}"
    marks = _tex(cell.sign) + ("," if cell.sign and cell.mark else "") + (str(cell.mark) if cell.mark else "")
    text += rf"\textsuperscript{{{marks}}}" if marks else ""
    if cell.second:
        ends = _BETWEEN[cell.between].join(map(_number, cell.second))
        # The figure stands on the line of the row's name, its interval below.
        return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{text}\\[-4pt]{{\tiny {ends}}}\end{{tabular}}"
    if line.beneath and text:
        return rf"\quad\textit{{{text}}}" if cell.text == line.kind else rf"\textit{{{text}}}"
    return text


def _number(text: str) -> str:
    """A minus in front of a number is one, not a hyphen."""
    return rf"\textminus{{}}{text[1:]}" if _NEGATIVE.fullmatch(text) else _tex(text)
