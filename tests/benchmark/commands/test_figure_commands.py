"""`mibench figure NAME` and `mibench figure all`: files, sentences, and no torch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from board_runs import Invented, write_runs

from mibench.benchmark.figures.catalog import NAMES

Command = Callable[..., Any]
MakeRecord = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(make_record: MakeRecord, tmp_path: Path) -> Path:
    """Two methods: too few for ranks."""
    methods = [Invented("selfmis", "SelfMIS", 1.2), Invented("clocs", "CLOCS", 0.3)]
    write_runs(tmp_path / "results", make_record, methods, records=300)
    return tmp_path / "results"


def test_help_lists_every_figure_with_a_line(mibench: Command) -> None:
    answer = mibench("figure", "--help")
    assert answer.code == 0
    for name in (*NAMES, "all", "generation", "latent"):
        assert re.search(rf"^  {name} +\S", answer.out, re.MULTILINE), name
    assert "..." not in answer.out.split("Commands:")[1], "no line is cut short"
    single = mibench("figure", "roc", "--help")
    for option in ("--data", "--protocol", "--method", "--ratio", "--reference", "--out", "--format", "--results"):
        assert option in single.out


def test_several_files_and_formats_at_once(mibench: Command, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    answer = mibench("figure", "forest", "--results", folder, "--out", out / "a.png", out / "b.PDF")
    assert answer.code == 0, answer.err
    assert answer.out.count("written: ") == 2
    assert (out / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "b.PDF").read_bytes().startswith(b"%PDF")
    again = mibench("figure", "forest", "--results", folder, "--out", out / "v1.2", "--format", "png", "pdf")
    assert again.code == 0, again.err
    assert (out / "v1.2.png").read_bytes() == (out / "a.png").read_bytes()
    assert (out / "v1.2.pdf").is_file()


def test_all_writes_what_it_can_says_what_it_cannot_and_never_imports_torch(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from mibench.benchmark.cli import cli; "
        f"cli.main(['figure', 'all', '--results', {str(folder)!r}, '--out-dir', {str(tmp_path / 'figures')!r}], "
        "standalone_mode=False); print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split()[-2:] == ["False", "False"]
    written = {file.stem for file in (tmp_path / "figures" / "ptb-xl-linear-probe-v1-012345").iterdir()}
    assert written == set(NAMES) - {"ratios", "critical-difference"}
    assert "not drawn: ratios" in found.stderr
    assert "not drawn: critical-difference" in found.stderr
    assert "three methods at least" in found.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("forest --out a.svg", r"\.png or \.pdf"),
        ("forest --ratio 50", "learnt from that share"),
        ("forest --ratio 0", "range"),
        ("forest --data mine", "no run fits what was asked for"),
        ("heatmap --protocol generative", "no board fits generative"),
        ("roc --method selfmiss", "did you mean `selfmis`"),
        ("ratios", "mibench run --ratio 25 50 100"),
        ("critical-difference", "three methods at least"),
        ("differences --reference ecgfounder", "no row is of that method"),
        ("all --method clocks", "no run of `clocks`"),
        ("forrest", "No such command"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    line: str, says: str, mibench: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = mibench("figure", *line.split(), "--results", folder)
    assert answer.code == 2, answer.out
    assert re.search(says, answer.err), answer.err
    assert "Traceback" not in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_without_records_there_is_nothing_to_draw(mibench: Command, tmp_path: Path) -> None:
    for name in ("pareto", "all"):
        answer = mibench("figure", name, "--results", tmp_path / "none")
        assert answer.code == 2
        assert "there is no run to show in" in answer.err
