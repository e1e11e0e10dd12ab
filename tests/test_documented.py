"""What README, docs and help texts tell people to type exists and runs, and the plug-ins they are shown work."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch

from mibench.adapters import registry
from mibench.benchmark.cli import cli
from mibench.benchmark.data.dataset import Dataset

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "example" / "README.md"]
FENCE = re.compile(r"^```(?:sh)?\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)

READS = re.compile(
    r"mibench (table( all| [12])?( --.*)?|results (list|verify|export|schema|merge)( .*)?|compare .*|"
    r"methods( show \w+)?|weights|data|figure (forest|heatmap|critical-difference|roc) .*|report --out .*)"
)
"""What only reads results, or lists: run here, every time, on the example's records of the demo heart."""

REHEARSED = re.compile(r"mibench .*(rehearsal/|my-mimic|my-ptb-xl)")
"""What is written and run at small size in the slow tests."""

ELSEWHERE = {
    r"data download": "tests/benchmark/data/test_download.py, from a server on this machine",
    r"weights download": "tests/benchmark/commands/test_weights_download.py, from a server on this machine",
    r"data (add|show|verify|demo)": "tests/benchmark/data, on demo trees and real records",
    r"weights (add|convert)": "tests/benchmark/commands/test_commands.py and tests/benchmark/test_convert.py",
    r"methods check": "test_the_plug_ins_of_the_pages_run, below",
    r"torchrun": "needs a GPU for each process; tests/benchmark/training runs two processes on one CPU",
    r"run .*my_(adapter|generator)": "test_the_plug_ins_of_the_pages_run, below",
    r"run|pretrain": "needs hours at full size; tests/benchmark/commands runs every protocol on the demo heart",
    r"embed|doctor|fid|figure|profile|export|table|report": "tests of these commands, on the demo heart at small size",
}
"""Why a line is parsed with all of its options, and not run as it stands: the first that fits."""


def typed(page: Path) -> list[str]:
    """The commands of the fenced blocks of a page, as they are typed, without what other programs say before them."""
    lines = [line for block in FENCE.findall(page.read_text(encoding="utf-8")) for line in block.splitlines()]
    return [
        line[line.index("mibench ") :]
        for line in lines
        if re.match(r"(pip|torchrun|mibench) (.* )?mibench |mibench ", line)
    ]


def pages_lines() -> list[str]:
    return list(dict.fromkeys(line for page in PAGES for line in typed(page)))


def words(line: str) -> list[str]:
    """Arguments without comment and redirection."""
    found = shlex.split(line, comments=True)
    return found[1 : found.index(">")] if ">" in found else found[1:]


def fate(line: str) -> str:
    """What is done with a line: "run", "rehearsed", or why it is parsed alone.

    Raises:
        AssertionError: nobody has said so.
    """
    if REHEARSED.match(line):
        return "rehearsed"
    if READS.fullmatch(line.partition("#")[0].partition(">")[0].strip()):
        return "run"
    for pattern, why in ELSEWHERE.items():
        if re.match(rf"(mibench )({pattern})", line):
            return why
    raise AssertionError(f"say what tests `{line}`")


def all_commands(command: click.Command, name: str = "mibench") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from all_commands(found, f"{name} {child}")


def typed_lines() -> list[str]:
    lines = pages_lines()
    for _, command in all_commands(cli):
        lines += re.findall(r"^\s*(mibench .*)$", command.help or "", flags=re.MULTILINE)
    return list(dict.fromkeys(lines))


def parse(line: str) -> None:
    """Parse a command line as click would, without running it."""
    command: click.Command = cli
    context: click.Context | None = None
    rest = words(line)
    while isinstance(command, click.Group) and rest:
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"{line}: there is no command {rest[0]}"
        command, rest = found, rest[1:]
    command.make_context("mibench", list(rest), parent=context)


def test_there_are_examples_to_check() -> None:
    assert len(pages_lines()) > 80
    assert len(typed_lines()) > 150


@pytest.mark.parametrize("line", typed_lines())
def test_what_people_are_told_to_type_is_understood(line: str) -> None:
    parse(line)


def test_a_line_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        parse("mibench run --method selfmis --quickly")
    with pytest.raises(AssertionError):
        parse("mibench fly")


def test_it_is_known_of_every_line_what_tests_it() -> None:
    fates = {line: fate(line) for line in pages_lines()}
    kinds = list(fates.values())
    assert kinds.count("run") >= 25, "\n".join(f"{why:<12}  {line}" for line, why in fates.items())
    assert kinds.count("rehearsed") >= 6


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the example's results, where commands are typed."""
    for copy in ("results", "other"):
        ignored = shutil.ignore_patterns(".apart", "*.md")
        shutil.copytree(ROOT / "results" / "example", tmp_path / copy, ignore=ignored)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIBENCH_RESULTS", str(tmp_path / "results"))
    return tmp_path


def on_demo_data(line: str) -> list[str]:
    """The words of a line, with the names and places that only its reader has replaced by those of the example."""
    places = {"results/example": "results", "ptb-xl": "demo", "demo-runs": "other"}
    found = [places.get(word, word) for word in words(line)]
    return ["other" if word.startswith("/mnt/") else word for word in found]


def reading_lines() -> list[Any]:
    """What reads results, each once; the first of each command at every test, the others and what draws in the slow."""
    unlike = {tuple(on_demo_data(line)): line for line in pages_lines() if fate(line) == "run"}
    slow, seen = re.compile("mibench (figure|report|results verify)"), set[str]()
    found = []
    for arguments, line in unlike.items():
        command = " ".join(arguments[:2]) if arguments[0] == "results" else arguments[0]
        found.append(pytest.param(line, marks=pytest.mark.slow if slow.match(line) or command in seen else ()))
        seen.add(command)
    return found


@pytest.mark.parametrize("line", reading_lines())
def test_what_reads_results_does_so(line: str, mibench: Callable[..., Any], sandbox: Path) -> None:
    answer = mibench(*on_demo_data(line))
    assert answer.code == 0, answer.err
    found = words(line)
    if "--out" in found and "compare" not in found:  # whose pictures need the data
        assert (sandbox / found[found.index("--out") + 1]).exists()


@pytest.mark.slow
def test_the_rehearsal_runs_from_its_first_line_to_its_last(
    mibench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (line for line in pages_lines() if fate(line) == "rehearsed"):
        answer = mibench(*words(line))
        assert answer.code == 0, f"{line}\n{answer.err}"
    assert "CLOCS" in answer.out
    assert "demo data: not a result" in answer.out


def plug_ins(page: Path) -> list[str]:
    blocks = re.findall(r"```python[^\n]*\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [block for block in blocks if "MethodSpec(" in block]


def test_the_plug_in_of_the_readme_is_that_of_the_docs() -> None:
    (readme,) = plug_ins(ROOT / "README.md")
    assert plug_ins(ROOT / "docs" / "add-a-method.md")[0] == readme


def test_the_plug_ins_of_the_pages_run(
    mibench: Callable[..., Any], with_demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, generator = plug_ins(ROOT / "docs" / "add-a-method.md")
    (tmp_path / "my_adapter.py").write_text(encoder)
    (tmp_path / "my_generator.py").write_text(generator)
    monkeypatch.chdir(tmp_path)
    for plug_in in ("./my_adapter.py:MyNet", "./my_generator.py:Doubler"):
        checked = mibench("methods", "check", plug_in)
        assert checked.code == 0, checked.err
    run = mibench("run", "--method", "./my_adapter.py:MyNet", "--no-companions")
    assert run.code == 0, run.err
    assert "its own" in run.out
    torch.save(torch.nn.Conv1d(1, 16, 64, stride=8).state_dict(), "my_net.pt")
    trained = mibench("run", "--method", "./my_adapter.py:MyNet", "--weights", "my_net.pt", "--no-companions")
    assert trained.code == 0, trained.err
    assert "published" in trained.out


def test_the_hours_are_what_they_are_reckoned_from() -> None:
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| ([\d,]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", page, flags=re.MULTILINE)
    assert len(rows) == 13
    for name, records, epochs, giga, hours in rows:
        operations = float(records.replace(",", "")) * int(epochs) * 3 * float(giga) * 1e9 * 2
        assert float(hours) == pytest.approx(operations / 20e12 / 3600, rel=0.02, abs=0.06), name
        usual = registry.find(name).pretraining.get("epochs", 20)
        assert int(epochs) == (800 if name == "stmem" else usual), name


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    pytest.importorskip("material", reason="the extra `docs` is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    fields = (tmp_path / "site" / "schema" / "index.html").read_text(encoding="utf-8")
    assert all(name in fields for name in ("determinants", "weights.sha256", "provenance", "&lt;data&gt;"))
    assert "1_lead_ECGFounder.pth" in (tmp_path / "site" / "data" / "index.html").read_text(encoding="utf-8")
    assert not (tmp_path / "site" / "hooks.py").exists()
