"""Boards as text: LaTeX for papers, markdown, HTML, plain text for a terminal, CSV for other programs."""

from __future__ import annotations

from collections.abc import Sequence

from .board import COLUMNS, Board, Mark, Value
from .fidelity_board import fidelity_grid
from .grid import Cell, Grid, Line, auc_grid, beneath, has_abouts, has_spreads, sign_of
from .reference_board import reference_grid
from .render_csv import sheet
from .render_html import page
from .render_latex import latex
from .shares_board import shares_grid

FORMATS = ("latex", "markdown", "csv", "html", "text")
SHARES = "3"
"""The paper's table of the shares of the training records."""

STANDINGS: dict[Mark | None, str] = {None: " ", "best": "*", "second": "+"}
"""Where nothing can be bold or underlined."""


def render(board: Board, format: str) -> str:
    """One board as text, in one of `FORMATS`."""
    return render_all([board], format)


def render_all(boards: Sequence[Board], format: str) -> str:
    """Several boards, one after another; CSV and HTML make one document of all.

    A board of generators is followed by a table of their signals and latent space, one that was compared with a
    reference by the differences; before one of shares of the training records stands Avg by share.

    Raises:
        ValueError: no such format.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got {format!r}")
    if format == "csv":
        return sheet(boards)
    if format == "text":
        return "\n".join(map(_text, boards))
    grids = [grid for board in boards for grid in (*_before(board), auc_grid(board), *_after(board))]
    if format == "html":
        return page(grids)
    return "\n".join(map(latex if format == "latex" else markdown, grids))


def markdown(grid: Grid) -> str:
    from tabulate import tabulate

    def safe(text: str) -> str:
        return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

    def cell(cell: Cell, line: Line) -> str:
        text = safe(cell.text)
        if cell.standing:
            text = f"**{text}**" if cell.standing == "best" else f"<u>{text}</u>"
        text += cell.sign + (f" ({cell.between.join(cell.second)})" if cell.second else "")
        text += f" [{cell.mark}]" if cell.mark else ""
        return f"&emsp;*{text}*" if line.beneath and text == line.kind else text

    body = [[cell(entry, line) for entry in line.cells] for line in grid.lines]
    table = tabulate(body, list(map(safe, grid.header)), "pipe", disable_numparse=True, colalign=grid.alignment)
    below = "".join(f"- {safe(sentence)}\n" for sentence in grid.below)
    return f"**{safe(grid.caption)}**\n\n{table}\n\n{below}"


def _before(board: Board) -> list[Grid]:
    return [shares_grid(board)] if board.number == SHARES else []


def _after(board: Board) -> list[Grid]:
    return [grid for grid in (fidelity_grid(board), reference_grid(board)) if grid is not None]


def _text(board: Board) -> str:
    return "\n".join([*map(grid_text, _before(board)), _auc_text(board), *map(grid_text, _after(board))])


def _auc_text(board: Board) -> str:
    """For a terminal: one decimal, intervals below the figures, weights below the method's name."""
    from tabulate import tabulate

    spread, abouts = has_spreads(board), has_abouts(board)
    marked = {name for row in board.rows for name in row.marks}
    header = ["#", "Method\nweights"]
    header += [f"{name}\n({board.positives[name]})" if name in board.positives else name for name in COLUMNS]
    header += ["Seed SD\n(n)"] * spread + [""] * abouts
    body: list[list[str]] = []
    notes = [row.note for row in board.rows if row.note]
    for row in board.rows:
        mark = sign_of(row) + (f" [{notes.index(row.note) + 1}]" if row.note else "")
        ratio = "" if row.ratio in (None, 1.0) else f", {100 * (row.ratio or 0):g} % of training"
        cells = ["--" if row.rank is None else str(row.rank), f"{row.name}{mark}\n  {row.weights}{ratio}"]
        cells += [_text_auc(row.values[name], STANDINGS[row.marks.get(name)] * (name in marked)) for name in COLUMNS]
        cells += [("--" if row.spread is None else f"{100 * row.spread:.2f}") + f"\n({len(row.seeds)})"] * spread
        # The intervals' line prints numbers too.
        cells += [f"{row.about}\n{row.about}".strip()] * abouts
        body.append([" ".join(cells[0].split()), *cells[1:]])
        body += [["", f"  {name}", *figures, *[""] * (spread + abouts)] for name, figures in beneath(row).items()]
    alignment = ["right", "left", *["right"] * (len(COLUMNS) + spread), *["left"] * abouts]
    table = tabulate(body, header, "simple", disable_numparse=True, colalign=alignment, preserve_whitespace=True)
    below = [*(f"[{i}] {note}" for i, note in enumerate(notes, 1)), *board.footer]
    return "\n".join([board.caption, "", table, "", *below, ""])


def _text_auc(value: Value, standing: str) -> str:
    """The figure above its interval; `standing` is one sign, or nothing where no figure of the column has one."""
    if value.auc is None:
        return f"--{' ' * len(standing)}"
    if value.low is None or value.high is None:
        return f"{100 * value.auc:.1f}{standing}"
    return f"{100 * value.auc:.1f}{standing}\n{100 * value.low:.0f}-{100 * value.high:.0f}{' ' * len(standing)}"


def grid_text(grid: Grid) -> str:
    """For a terminal: second figures below the first, the second column's words below the method's name."""
    from tabulate import tabulate

    left = sum(side == "left" for side in grid.alignment)

    def cell(cell: Cell) -> str:
        text = cell.text + (STANDINGS[cell.standing] if cell.standing else "") + cell.sign
        text += f" [{cell.mark}]" if cell.mark else ""
        return text + (f"\n{cell.between.join(cell.second)}" if cell.second else "")

    def name(line: Line) -> str:
        if line.beneath:
            return f"  {line.cells[0].text}"
        return f"{cell(line.cells[0])}\n  {line.cells[1].text}".rstrip()

    body = [
        [
            name(line),
            *map(cell, line.cells[left:]),
            # The second line prints numbers too.
            *(f"{notice.text}\n{notice.text}".strip() for notice in line.cells[2:left]),
        ]
        for line in grid.lines
    ]
    figures = [name.replace(" ", "\n", 1) for name in grid.header[left:]]
    header = [f"Method\n{grid.header[1].lower()}", *figures, *[""] * (left - 2)]
    alignment = ["left", *["right"] * (len(grid.header) - left), *["left"] * (left - 2)]
    table = tabulate(body, header, "simple", disable_numparse=True, colalign=alignment, preserve_whitespace=True)
    return "\n".join([grid.caption, "", table, "", *grid.below, ""])
