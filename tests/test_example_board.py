"""The committed example: whole, labelled, small, kept apart, and its boards are what the command makes of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mibench.benchmark import results, verify
from mibench.benchmark.data.catalog import silent
from mibench.benchmark.ecg import DEMO_NOTICE
from support import assert_valid

Command = Callable[..., Any]

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "results" / "example"
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
THIRTEEN = {
    *("simclr", "wav2vec2", "3kg", "clocs", "w2v-cmsc", "stmem", "heartlang", "ecgfounder", "selfmis"),
    *("pix2pix", "cyclegan", "ekgan", "mcma"),
}


def test_every_record_is_right_and_of_the_demo() -> None:
    verdicts = verify.verify(EXAMPLE, silent, intervals=False)
    assert [verdict for verdict in verdicts if verdict.faults] == []
    assert verify.orphans(EXAMPLE) == []
    found, warnings = results.scan(EXAMPLE)
    assert warnings == []
    assert {record["data"]["notice"] for record in found} == {DEMO_NOTICE}
    assert {record["method"]["name"] for record in found} >= THIRTEEN
    assert {record["status"] for record in found} == {"done"}
    for record in found:
        assert_valid(record)


@pytest.mark.slow
def test_every_interval_is_right() -> None:
    verdicts = verify.verify(EXAMPLE, silent)
    assert [verdict for verdict in verdicts if verdict.faults or verdict.remarks] == []


def test_nothing_tells_where_it_was_made() -> None:
    machine = re.compile(r'"(?:/|~|[A-Za-z]:\\)|/(?:home|root|tmp|Users|work)/')
    assert machine.search('"/data/weights.pth"')
    for path in (*results.record_files(EXAMPLE), *EXAMPLE.glob("board.*")):
        assert not machine.search(path.read_text(encoding="utf-8")), path


def test_it_is_small_and_kept_apart() -> None:
    assert sum(file.stat().st_size for file in EXAMPLE.rglob("*") if file.is_file()) < 1_500_000
    assert (EXAMPLE / results.APART).is_file()
    assert not [path for path in results.record_files(ROOT / "results") if EXAMPLE in path.parents]


def table_commands() -> list[list[str]]:
    """The commands of the README that make the boards."""
    return [shlex.split(line)[1:] for line in re.findall(r"^mibench table .*$", README, flags=re.MULTILINE)]


@pytest.mark.parametrize("command", table_commands(), ids=lambda command: command[-1])
def test_the_boards_are_made_again_of_the_records(
    command: list[str], mibench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    committed = ROOT / command[-1]
    assert committed.parent == EXAMPLE
    again = tmp_path / committed.name
    answer = mibench(*command[:-1], again)
    assert answer.code == 0, answer.err
    assert again.read_bytes() == committed.read_bytes(), f"make {committed.name} again: mibench {shlex.join(command)}"
    assert DEMO_NOTICE in again.read_text(encoding="utf-8")


def test_all_its_boards_are_among_those_commands() -> None:
    assert {command[-1] for command in table_commands()} == {
        str(file.relative_to(ROOT)) for file in EXAMPLE.glob("board.*")
    }
