"""Leaderboards read back from their formats, for the tests that hold the formats together."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from typing import Any

from mibench.benchmark import tables

ODD = r"50% of_my & net #1 $x {y} ~z ^w \q <b>|</b>"
"""A name with every character that some format gives a meaning to."""


def failed(record: dict[str, Any], error: str) -> dict[str, Any]:
    return {**record, "status": "failed", "metrics": None, "predictions": None, "error": error}


def csv_rows(found: list[tables.Board]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(tables.render_all(found, "csv"))))


class Table(HTMLParser):
    """Rows of cells of an HTML page, and a complaint about every tag that is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def cells(text: str, form: str) -> list[list[str]]:
    """The table's cells, read back from one of the formats."""
    if form == "html":
        page = Table()
        page.feed(text)
        assert page.open == []
        return page.rows
    if form == "markdown":
        lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|-")]
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", line[:-2])] for line in lines]


def assert_sound_latex(text: str) -> None:
    """Braces and environments in order, and no special character that is not escaped."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    environments: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]*)\}", code):
        if kind == "begin":
            environments.append(name)
        else:
            assert environments.pop() == name
    assert environments == []
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", code.replace(r"\\", "")):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    bare = re.sub(r"\$\\times\$|\\label\{[^}]*\}|\\\\", "", code.replace("{!}{%\n", "{!}{\n"))
    assert not re.search(r"(?<!\\)[%#$_^]", bare)
