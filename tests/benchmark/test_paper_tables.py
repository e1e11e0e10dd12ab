"""`mibench table` by number: what belongs to which table, all of them as one document, and what is said of the rest."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_texts import ODD, Table, assert_sound_latex, failed
from scored_runs import write_scored

from mibench.benchmark import results
from mibench.benchmark.ecg import DEMO_NOTICE
from mibench.benchmark.render import FORMATS

MakeRecord = Callable[..., dict[str, Any]]
Command = Callable[..., Any]
ABLATION = {"source": "random", "protocol": "supervised"}


@pytest.fixture
def folder(make_record: MakeRecord, make_generative: MakeRecord, tmp_path: Path) -> Path:
    """Runs for Tables 1, 2, 3 and 5: two methods at three shares, one that knows the whole alone, a generator."""
    for ratio in (0.25, 0.5, 1.0):
        ours = {"title": "SelfMIS", "source": "pretrained", "pretrained_on": "mimic-iv-ecg", "ratio": ratio}
        write_scored(tmp_path, make_record(**ours), 1.0 + 2 * ratio, noise=1)
        write_scored(tmp_path, make_record(method="ecgfounder", title="ECGFounder", ratio=ratio), ratio, noise=2)
    write_scored(tmp_path, make_record(method="clocs", title="CLOCS"), 0.3, noise=3)
    results.write(tmp_path, make_generative(title="MCMA"), None)
    results.write(tmp_path, make_record(0.66, **ABLATION), None)
    return tmp_path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_number_has_its_rows(folder: Path, mibench: Command) -> None:
    shown = {}
    for number in ("1", "2", "3"):
        answer = mibench("table", number, "--format", "csv", "--results", folder)
        assert answer.code == 0, answer.err
        shown[number] = [(row["table"], row["method"], row["ratio"]) for row in rows(answer.out)]
    assert shown["1"] == [("1", name, "1.0") for name in ("selfmis", "ecgfounder", "clocs")]
    assert shown["2"] == [("2", "mcma", "1.0")]
    assert shown["3"] == [("3", name, ratio) for ratio in ("0.25", "0.5", "1.0") for name in ("selfmis", "ecgfounder")]
    ablations = mibench("table", "5", "--format", "csv", "--results", folder)
    assert [float(row["avg_auc"]) for row in rows(ablations.out) if row["avg_auc"]] == pytest.approx([66])


def test_shares_are_read_at_a_glance(folder: Path, mibench: Command) -> None:
    text = mibench("table", "3", "--format", "markdown", "--results", folder).out
    glance, statements = text.split("the paper's Table 3")
    assert "| Avg at 25 % | Avg at 50 % | Avg at 100 % |" in " ".join(glance.replace("|", " | ").split()).replace(
        "| |", "|"
    )
    assert "73.25" in glance
    assert "82.55" in glance
    assert glance.count("(") >= 6  # intervals
    assert "CLOCS" not in text
    assert "PMI" not in glance
    assert "PMI" in statements


def test_without_a_number_there_are_all_boards(folder: Path, mibench: Command) -> None:
    shown = rows(mibench("table", "--format", "csv", "--results", folder).out)
    assert {row["protocol"] for row in shown} == {"linear_probe", "generative", "supervised"}
    assert {row["table"] for row in shown} == {""}


@pytest.mark.parametrize("form", FORMATS)
def test_all_is_one_document_that_says_what_is_missing(form: str, folder: Path, mibench: Command) -> None:
    answer = mibench("table", "all", "--format", form, "--results", folder)
    assert answer.code == 0, answer.err
    told = answer.err if form == "csv" else answer.out
    assert "mibench profile" in told
    order = [answer.out.index(sign) for sign in ("CLOCS", "MCMA", "w/o Alignment")]
    assert order == sorted(order)
    if form == "html":
        page = Table()
        page.feed(answer.out)
        assert page.open == []
        assert answer.out.count("<!doctype html>") == 1
        assert answer.out.count("<h2>") == 5
    elif form == "latex":
        assert_sound_latex(answer.out)
        labels = [line for line in answer.out.splitlines() if line.startswith(r"\label")]
        assert len(set(labels)) == len(labels) == answer.out.count(r"\begin{table*}")
    elif form == "csv":
        boards, ablations = answer.out.split("\n\n")
        assert {row["table"] for row in rows(boards)} == {"1", "2", "3"}
        assert len(rows(ablations)) == 5
    else:
        assert [f"Table {number}: " in answer.out for number in range(1, 6)] == [True] * 5


def test_nothing_at_all_is_an_error_that_names_the_commands(tmp_path: Path, mibench: Command) -> None:
    answer = mibench("table", "all", "--results", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    for words in ("mibench run --method selfmis`", "--companions", "--ratio 25 50 100", "--suite ablation"):
        assert words in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("number", ["1", "2", "3", "4", "5"])
def test_an_empty_table_names_the_command_that_fills_it(number: str, tmp_path: Path, mibench: Command) -> None:
    answer = mibench("table", number, "--results", tmp_path, "--data", "ptb-xl")
    assert answer.code == 2
    assert "to show in" in answer.err
    assert "`mibench " in answer.err


def test_a_reference_is_looked_for_in_what_is_shown(folder: Path, mibench: Command) -> None:
    shown = mibench("table", "all", "--format", "text", "--reference", "ecgfounder", "--results", folder)
    assert shown.code == 0, shown.err
    assert shown.out.count("Paired differences of ROC AUC") == 2  # Tables 1 and 3
    refused = mibench("table", "2", "--reference", "ecgfounder", "--results", folder)
    assert refused.code == 2
    assert "--reference ecgfounder: no row is of that method" in refused.err


def test_bad_files_are_warnings_and_the_table_comes_out(
    folder: Path, make_record: MakeRecord, mibench: Command
) -> None:
    (folder / "torn.json").write_text('{"schema": 1')
    (folder / "newer.json").write_text('{"schema": 99}')
    changed = write_scored(folder, make_record(method="stmem"), 0.1, noise=6)
    changed.with_suffix(".npz").write_bytes(b"something else")
    lost = write_scored(folder, make_record(method="simclr"), 0.1, noise=7)
    scores = {**results.predictions(lost)}
    scores["scores"][3] = np.nan
    results.write(folder, results.read(lost), scores)
    write_scored(folder, make_record(method="3kg"), 0.1, noise=8, tested=np.arange(300))
    answer = mibench("table", "1", "--format", "csv", "--results", folder)
    assert answer.code == 0
    assert {row["method"] for row in rows(answer.out)} >= {"stmem", "simclr", "3kg", "selfmis"}
    told = ("torn.json is damaged", "newer.json has schema 99", "its sha256 differs", "are not numbers", "at least 300")
    for words in told:
        assert words in answer.err, words
    assert "Traceback" not in answer.err


def test_the_command_reads_no_torch_and_once_compared_no_numpy(folder: Path, mibench: Command) -> None:
    code = (
        "import sys; from mibench.benchmark.cli import main\n"
        "sys.argv = ['mibench', 'table', 'all', '--results', sys.argv[1], '--out', sys.argv[2]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code, {'torch', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(folder), str(folder / "all.tex")]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)
    )
    assert "torch" not in first
    assert second == "0 set()"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_every_table_compiles(
    folder: Path, make_record: MakeRecord, make_generative: MakeRecord, mibench: Command, tmp_path: Path
) -> None:
    """With marks, leaks, failures, differences from a reference, odd names and several data sets."""
    leaky = make_record(0.7, method="w2v-cmsc", title="W2V-CMSC", sha256="9" * 64)
    leaky["method"]["pretraining_data"] = ["PTB-XL"]
    results.write(folder, leaky, None)
    gone = failed(make_record(method=ODD, title=ODD), ODD)
    results.write_failure(folder, gone, ODD)
    results.write(folder, make_generative(0.6, method="x", title=ODD, error=1.4, data="demo", notice=DEMO_NOTICE), None)
    for choice in ((), ("--reference", "ecgfounder"), ("--allow-mixed",)):
        answer = mibench("table", "all", "--results", folder, *choice)
        assert answer.code == 0, answer.err
        assert_sound_latex(answer.out)
        assert answer.out.isascii()
        preamble = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
        (tmp_path / "all.tex").write_text(f"{preamble}{answer.out}\\end{{document}}\n", encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
