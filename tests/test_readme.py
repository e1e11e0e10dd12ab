"""What the README and the help texts tell people to type exists, and the plug-in they are shown works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch

from mibench.benchmark.cli import cli
from mibench.benchmark.data.dataset import Dataset

README = Path(__file__).resolve().parents[1] / "README.md"
EXAMPLE = README.parent / "results" / "example" / "README.md"


def all_commands(command: click.Command, name: str = "mibench") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from all_commands(found, f"{name} {child}")


def typed_lines() -> list[str]:
    lines = []
    for file in (README, EXAMPLE):
        lines += re.findall(r"^(mibench .*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for _, command in all_commands(cli):
        lines += re.findall(r"^\s*(mibench .*)$", command.help or "", flags=re.MULTILINE)
    return list(dict.fromkeys(lines))


def parse(line: str) -> None:
    """Parse a command line as click would, without running it."""
    words = shlex.split(line, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    command: click.Command = cli
    context: click.Context | None = None
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"{line}: there is no command {rest[0]}"
        command, rest = found, rest[1:]
    command.make_context("mibench", list(rest), parent=context)


def test_there_are_examples_to_check() -> None:
    assert len(typed_lines()) > 25


@pytest.mark.parametrize("line", typed_lines())
def test_what_people_are_told_to_type_is_understood(line: str) -> None:
    parse(line)


def test_a_line_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        parse("mibench run --method selfmis --quickly")
    with pytest.raises(AssertionError):
        parse("mibench fly")


def test_the_plug_in_of_the_readme_runs(
    mibench: Callable[..., Any], with_demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "my_adapter.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    checked = mibench("methods", "check", "./my_adapter.py:MyNet")
    assert checked.code == 0, checked.err
    run = mibench("run", "--method", "./my_adapter.py:MyNet", "--no-companions")
    assert run.code == 0, run.err
    assert "its own" in run.out
    torch.save(torch.nn.Conv1d(1, 16, 64, stride=8).state_dict(), "my_net.pt")
    trained = mibench("run", "--method", "./my_adapter.py:MyNet", "--weights", "my_net.pt", "--no-companions")
    assert trained.code == 0, trained.err
    assert "published" in trained.out
