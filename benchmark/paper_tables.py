"""The paper's tables by their numbers, out of run records: what each shows, and the command that fills it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..adapters.errors import MibenchError
from . import standing, tables
from .board import Board
from .render import SHARES, render_all

BOARDS = ("1", "2", SHARES)
"""Those that are leaderboards."""

TITLES: Mapping[str, str] = {
    "1": "Table 1: linear probing",
    "2": "Table 2: the generative pipeline",
    "3": "Table 3: shares of the training records",
    "4": "Table 4: resources",
    "5": "Table 5: ablations",
}
FILLED_BY: Mapping[str, str] = {
    "1": "mibench run --method selfmis",
    "2": "mibench run --method mcma --companions",
    "3": "mibench run --method selfmis ecgfounder --ratio 25 50 100",
    "4": "mibench profile --method selfmis",
    "5": "mibench run --suite ablation",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ask:
    """What is wanted of a table.

    Attributes:
        records: as `results.scan` gives them.
        form: of `render.FORMATS`.
        data: only this data set.
        mixed: different data and versions of a protocol may share a board.
        reference: the method that rows are compared with.
        folder: where the records were looked for.
        say: takes warnings.
        metric: what boards show; other figures than "auc" come from the stored scores.
    """

    records: Sequence[Mapping[str, Any]]
    form: str
    data: str | None
    mixed: bool
    reference: str | None
    folder: Path
    say: Say
    metric: str = "auc"


def all_boards(ask: Ask) -> str:
    """Every leaderboard that the records make.

    Raises:
        MibenchError: there is none, or no row of reference.
    """
    found = _boards(ask)
    return render_all(_judged(found, ask), ask.form)


def table(number: str, ask: Ask) -> str:
    """One of the paper's tables.

    Raises:
        MibenchError: no record belongs to it; the sentence names the command that changes that.
    """
    if ask.metric != "auc" and number not in BOARDS:
        raise MibenchError(f"Table {number} is no leaderboard: --metric goes with {', '.join(BOARDS)}, or no number")
    if number in BOARDS:
        return render_all(_judged(_numbered(number, ask), ask), ask.form)
    return _RESOURCES_AND_ABLATIONS[number](ask)


def everything(ask: Ask) -> str:
    """All tables that have records, one after another, and a sentence for each that has none.

    Raises:
        MibenchError: none of them has any.
    """
    boards, texts, missing = _gathered(ask)
    if not boards and not texts:
        lines = [f"  {sentence}" for sentence in missing.values()]
        raise MibenchError("\n".join(["there is no table to show:", *lines]))
    if ask.reference:
        standing.assert_reference([board for found in boards.values() for board in found], ask.reference)
    shown = {number: _judge(found, ask) for number, found in boards.items()}
    if ask.form == "csv":
        sheets = [render_all([board for found in shown.values() for board in found], "csv")] if shown else []
        for sentence in missing.values():
            ask.say(sentence)
        return "\n".join([*sheets, *texts.values()])
    texts |= {number: render_all(found, ask.form) for number, found in shown.items()}
    return _document([(number, texts.get(number, ""), missing.get(number, "")) for number in TITLES], ask.form)


def _gathered(ask: Ask) -> tuple[dict[str, list[Board]], dict[str, str], dict[str, str]]:
    """By number: the boards, the texts of the tables that are none, and why a table cannot be shown."""
    boards: dict[str, list[Board]] = {}
    texts: dict[str, str] = {}
    missing: dict[str, str] = {}
    for number in TITLES:
        try:
            if number in BOARDS:
                boards[number] = _numbered(number, ask)
            else:
                texts[number] = table(number, ask)
        except MibenchError as problem:
            # A document travels: the folder it was made of stays behind.
            missing[number] = str(problem).replace(f" in {ask.folder}", "")
    return boards, texts, missing


def _numbered(number: str, ask: Ask) -> list[Board]:
    """The boards of Table 1, 2 or 3; the last one holds only what was trained on more than one share."""
    protocol, ratios = ("generative", None) if number == "2" else ("linear_probe", [1.0] if number == "1" else None)
    try:
        found = _boards(ask, protocols=[protocol], ratios=ratios)
    except MibenchError:
        found = []
    if number == SHARES:
        found = [board for board in map(_of_shares, found) if board.rows]
    if not found:
        where = f" on {ask.data}" if ask.data else ""
        raise MibenchError(
            f"there is no run of Table {number} to show in {ask.folder}{where}: `{FILLED_BY[number]}` makes one"
        )
    return [replace(board, number=number) for board in found]


def _boards(ask: Ask, **choice: Any) -> list[Board]:
    choice |= {"data": ask.data, "mixed": ask.mixed, "folder": ask.folder, "metric": ask.metric}
    return tables.leaderboards(ask.records, tables.load_paper(), **choice)


def _of_shares(board: Board) -> Board:
    """Smallest share first, as the paper has it; rows that know only the whole are left to Table 1."""
    kinds = {(row.method, row.variant, row.weights, row.origin) for row in board.rows if row.ratio not in (None, 1.0)}
    rows = [row for row in board.rows if (row.method, row.variant, row.weights, row.origin) in kinds]
    return replace(board, rows=tuple(sorted(rows, key=lambda row: row.ratio or 0)))


def _judged(boards: Sequence[Board], ask: Ask) -> list[Board]:
    if ask.reference:
        standing.assert_reference(boards, ask.reference)
    return _judge(boards, ask)


def _judge(boards: Sequence[Board], ask: Ask) -> list[Board]:
    if ask.metric != "auc":
        return list(boards)  # paired differences are of ROC AUCs
    found = [standing.judged(board, reference=ask.reference) for board in boards]
    for sentence in dict.fromkeys(warning for one in found for warning in one.warnings):
        ask.say(sentence)
    return [one.board for one in found]


def _resources(ask: Ask) -> str:
    from . import profile_table

    return profile_table.table(ask.records, tables.load_paper(), ask.form, data=ask.data, folder=ask.folder)


def _ablations(ask: Ask) -> str:
    from . import ablation_table
    from .suites.file import load_suite

    suite = load_suite("ablation")
    return ablation_table.table(ask.records, suite, tables.load_paper(), ask.form, data=ask.data, folder=ask.folder)


_RESOURCES_AND_ABLATIONS: Mapping[str, Callable[[Ask], str]] = {"4": _resources, "5": _ablations}


def _document(parts: Sequence[tuple[str, str, str]], form: str) -> str:
    """One document of tables by number: of each its text, or the sentence that stands in its place."""
    if form == "html":
        from .render_html import joined

        return joined([(TITLES[number], text, sentence) for number, text, sentence in parts])
    sections = []
    for number, text, sentence in parts:
        title = TITLES[number]
        if form == "latex":
            body = text or "\n".join(f"% {line}" for line in sentence.splitlines())
            sections.append(f"% {title}\n{body.rstrip()}\n")
        elif form == "markdown":
            sections.append(f"## {title}\n\n{(text or sentence).rstrip()}\n")
        else:
            sections.append(f"{title}\n{'=' * len(title)}\n\n{(text or sentence).rstrip()}\n")
    return "\n".join(sections)
