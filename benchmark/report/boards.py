"""Grids as HTML that can be sorted and filtered: a row and the paper's line below it are one group, and move as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..board import Board, Row
from ..fidelity_board import fidelity_grid
from ..grid import Grid, Line, auc_grid, has_ratios
from ..shares_board import shares_grid
from .markup import cell_content, element, escape

NAME, NOTICE = "Method", "Data"
"""The column that names a row, and the one that says what its numbers are not: below the name it stays in sight."""

Tags = Mapping[str, object]

_WAYS = {
    "linear_probe": "Linear probe",
    "generative": "Generated leads",
    "supervised": "Trained end to end",
}


def titles(boards: Sequence[Board]) -> list[str]:
    """A heading for each board; release, version and manifest where the rest would be the same."""
    short = [_title(board) for board in boards]
    return [
        title if short.count(title) == 1 else f"{title} ({board.release}, v{board.version}, {board.manifest[:6]})"
        for title, board in zip(short, boards, strict=True)
    ]


def board_sections(board: Board, title: str) -> str:
    """A leaderboard, its table of shares where there are several, and of generators that of their signals."""
    shared: Tags = {"data_data": board.data, "data_protocol": board.protocol}
    parts = [section(auc_grid(board), title, [{**shared, **_tags(row)} for row in board.rows])]
    more = {"signals and latent space": fidelity_grid(board)}
    if has_ratios(board):
        more["shares of the training records (Table 3)"] = shares_grid(board)
    # Lines of these are of a method and its weights, whatever the share.
    rows = {(row.name, row.weights): {**_tags(row), "data_ratio": None} for row in reversed(board.rows)}
    for what, grid in more.items():
        if grid is not None:
            tags = [{**shared, **rows.get(_words(line), {})} for line in grid.lines if not line.beneath]
            parts.append(section(grid, f"{title}: {what}", tags))
    return "\n".join(parts)


def section(grid: Grid, title: str, tags: Sequence[Tags] = (), *, level: int = 3) -> str:
    """A grid with its heading, caption and notes; `tags` are the attributes of its rows that filters look at.

    Raises:
        ValueError: there are tags, but not one for each row.
    """
    groups = list(_groups(grid.lines))
    if tags and len(tags) != len(groups):
        raise ValueError(f"{len(groups)} rows of a table have {len(tags)} tags")
    ident = grid.label
    head = "".join(
        element("th", _heading(name), scope="col", class_="left" if side == "left" else None)
        for name, side in _columns(grid)
    )
    bodies = "\n".join(_group(grid, group, ident, tags[place] if tags else {}) for place, group in enumerate(groups))
    caption = element("caption", element("span", escape(grid.caption)), id=f"{ident}-caption")
    table = element("table", f"{caption}\n<thead><tr>{head}</tr></thead>\n{bodies}\n", class_="sortable")
    wide = element("div", table, class_="wide", tabindex=0, role="region", aria_labelledby=f"{ident}-caption")
    return element(
        "section", f"\n{element(f'h{level}', escape(title))}\n{wide}\n{_below(grid, ident)}\n", id=ident, class_="board"
    )


def _tags(row: Row) -> dict[str, object]:
    return {
        "data_method": row.method,
        "data_ratio": None if row.ratio is None else f"{100 * row.ratio:g}",
        "data_source": row.source,
        "data_anchor": row.is_anchor,
    }


def _title(board: Board) -> str:
    title = f"{_WAYS.get(board.protocol, board.protocol)} on {board.data}"
    read_by = board.classifier
    if read_by is None:
        return title
    trained = ", trained on generated records" * (read_by.trained_on == "generated")
    return f"{title}, read by {read_by.words}{trained}"


def _words(line: Line) -> tuple[str, str]:
    return line.cells[0].text, line.cells[1].text


def _groups(lines: Sequence[Line]) -> Iterator[list[Line]]:
    group: list[Line] = []
    for line in lines:
        if group and not line.beneath:
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _columns(grid: Grid) -> list[tuple[str, str]]:
    return [(name, side) for name, side in zip(grid.header, grid.alignment, strict=True) if name != NOTICE]


def _heading(name: str) -> str:
    """A column's name, with what stands in brackets below it."""
    words, bracket, rest = name.partition(" (")
    return f"{escape(words)}<br><small>({escape(rest)}</small>" if bracket else escape(name)


def _group(grid: Grid, lines: Sequence[Line], ident: str, tags: Tags) -> str:
    rows = "".join(_row(grid, line, ident) for line in lines)
    return element("tbody", rows, class_="first" if lines[0].kind == "first" else None, **tags)


def _row(grid: Grid, line: Line, ident: str) -> str:
    cells = dict(zip(grid.header, line.cells, strict=True))
    notice = cells[NOTICE].text if NOTICE in cells else ""
    text = ""
    for name, side in _columns(grid):
        content = cell_content(cells[name], f"{ident}-note")
        if name == NAME:
            content += f'<small class="notice">{escape(notice)}</small>' if notice else ""
            text += element("th", content, scope="row")
        else:
            text += element("td", content, class_="left" if side == "left" else None)
    return element("tr", text, class_="beneath" if line.beneath else None)


def _below(grid: Grid, ident: str) -> str:
    notes = [element("li", f"[{i}] {escape(note)}", id=f"{ident}-note-{i}") for i, note in enumerate(grid.notes, 1)]
    items = "\n".join([*notes, *(element("li", escape(sentence)) for sentence in grid.footer)])
    return element("ul", f"\n{items}\n", class_="below") if items else ""
