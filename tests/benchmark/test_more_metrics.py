"""Further figures from stored scores: of a run, on a board, and in the table of all runs."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from finished_runs import POSITIVES, scored_run
from scored_runs import write_scored
from sklearn.metrics import average_precision_score

from mibench.adapters.errors import MibenchError
from mibench.benchmark import paired_scores, results
from mibench.benchmark.commands.table import command
from mibench.benchmark.ecg import DEMO_NOTICE, FREQUENT_MI_STATEMENTS, MI_STATEMENTS
from mibench.benchmark.metric_board import METRICS
from mibench.benchmark.more_metrics import BOOTSTRAP, EXACT, more_metrics

MakeRecord = Callable[..., dict[str, Any]]
Command = Callable[..., Any]


@pytest.fixture
def run(make_record: MakeRecord, tmp_path: Path) -> Path:
    return scored_run(make_record, tmp_path / "results")


def test_figures_come_from_the_stored_scores(run: Path) -> None:
    found = more_metrics(run, resamples=200)
    kept = results.predictions(run)
    for k, name in enumerate(MI_STATEMENTS, 1):
        wanted = average_precision_score(kept["labels"][:, k], kept["scores"][:, k])
        assert found[name]["auprc"] == pytest.approx(wanted)
        enough = POSITIVES[k - 1] >= 20
        assert (found[name]["auprc_low"] is None) != enough
        assert found[name]["sens90_interval"] == (BOOTSTRAP if enough else EXACT)
        low, high = found[name]["sens95_low"], found[name]["sens95_high"]
        assert float(low or 0) <= float(found[name]["sens95"] or 0) <= float(high or 0)
    six = [float(found[name]["brier"] or 0) for name in FREQUENT_MI_STATEMENTS]
    assert found["Avg6"]["brier"] == pytest.approx(np.mean(six))
    assert found["Avg"]["auprc_low"] is None, "statements with three positives have no interval, nor has their mean"


def test_a_statement_without_positives_has_nothing(make_record: MakeRecord, tmp_path: Path) -> None:
    found = more_metrics(write_scored(tmp_path, make_record(), 1.0, without="PMI"), resamples=20)
    assert set(found["PMI"].values()) == {None}
    eight = [float(found[name]["auprc"] or 0) for name in MI_STATEMENTS if name != "PMI"]
    assert found["Avg"]["auprc"] == pytest.approx(np.mean(eight))


def test_what_was_computed_is_kept_and_damage_is_made_good(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = more_metrics(run, resamples=20)
    (file,) = (Path(os.environ["MIBENCH_HOME"]) / "metrics").iterdir()
    text = file.read_text()
    for damage in (text[:40], text.replace('"brier":', '"brier":"x",'), "[]"):
        file.write_text(damage)
        assert more_metrics(run, resamples=20) == first
        assert file.read_text() == text
    run.with_suffix(".npz").unlink()
    monkeypatch.setattr(paired_scores, "load", None)
    assert more_metrics(run, resamples=20) == first
    monkeypatch.undo()
    with pytest.raises(MibenchError, match=r"predictions of .* are missing"):
        more_metrics(run, resamples=20, cache=tmp_path / "empty")


@pytest.fixture
def folder(make_record: MakeRecord, tmp_path: Path) -> Path:
    """Two methods with scores, one of two seeds, one without, one that failed."""
    root = tmp_path / "results"
    for seed in (0, 1):
        scored_run(make_record, root, 1.5, title="SelfMIS", seed=seed, scored_by=seed)
    scored_run(make_record, root, 0.2, method="clocs", title="CLOCS", scored_by=7)
    results.write(root, make_record(method="simclr", title="SimCLR"), None)
    results.write_failure(root, make_record(method="stmem", title="ST-MEM"), "out of memory")
    return root


def test_a_board_shows_each_metric_ranked_by_it(folder: Path, mibench: Command) -> None:
    done = [r for r in results.scan(folder)[0] if r["method"]["name"] == "selfmis"]
    runs = [more_metrics(record.path) for record in done]
    for metric in METRICS:
        answer = mibench("table", "1", "--metric", metric, "--format", "csv", "--results", folder)
        assert answer.code == 0, answer.err
        rows = {row["method"]: row for row in csv.DictReader(io.StringIO(answer.out))}
        kept, own = ["selfmis", "simclr", "clocs", "stmem"], ["selfmis", "clocs", "stmem", "simclr"]
        assert list(rows) == (kept if metric == "slope" else own)
        ours = rows["selfmis"]
        wanted = np.mean([float(run["AMI"][metric] or 0) for run in runs]) * (1 if metric == "slope" else 100)
        assert float(ours[f"AMI_{metric}"]) == pytest.approx(wanted, abs=1e-5)
        assert bool(ours["AMI_low"]) == (metric in ("auprc", "sens90", "sens95"))
        assert not {ours["AMI_paper"], ours["AMI_mark"], ours["AMI_difference"]} - {""}
        assert rows["simclr"][f"Avg_{metric}"] == "" == rows["simclr"]["rank"]
        assert "keeps no test scores" in rows["simclr"]["note"]
        assert rows["stmem"]["note"] == "failed: out of memory"


def test_every_format_says_what_it_shows(folder: Path, mibench: Command) -> None:
    for form in ("latex", "markdown", "html", "text"):
        out = " ".join(mibench("table", "--metric", "sens90", "--format", form, "--results", folder).out.split())
        out = out.replace("&#x27;", "'").replace("\\%", "%").replace("&lt;", "<")
        assert "at 90 % specificity with 95 % intervals" in out
        assert "Best and second are not marked, and the paper's figures are left out" in out
        assert "keeps no test scores" in out
        assert EXACT in out
        assert "ROC AUC (" not in out
        assert not re.search(r"textbf|<b>|\| \*\*", out)


def test_demo_data_says_so_and_shares_follow(make_record: MakeRecord, tmp_path: Path, mibench: Command) -> None:
    for ratio in (0.25, 1.0):
        scored_run(make_record, tmp_path, data="demo", notice=DEMO_NOTICE, ratio=ratio)
    out = mibench("table", "3", "--metric", "brier", "--format", "text", "--results", tmp_path).out
    assert out.startswith(f"{DEMO_NOTICE}. Avg of the statements: Brier score (x100)")
    assert "with the 95 % intervals" not in out


def test_what_does_not_go_together_is_refused(folder: Path, mibench: Command) -> None:
    for arguments, says in (
        (["4"], "Table 4 is no leaderboard"),
        (["--reference", "clocs"], "--reference compares ROC AUCs"),
    ):
        answer = mibench("table", *arguments, "--metric", "auprc", "--results", folder)
        assert answer.code == 2
        assert says in answer.err
    (option,) = [option for option in command.params if option.name == "metric"]
    assert tuple(option.type.choices) == ("auc", *METRICS)  # type: ignore[attr-defined]


def test_the_table_of_all_runs_has_them_too(folder: Path, mibench: Command, tmp_path: Path) -> None:
    scored, lost = (r for r in results.scan(folder)[0] if r["method"]["name"] == "selfmis")
    lost.path.with_suffix(".npz").unlink()
    answer = mibench("results", "export", tmp_path / "all.csv", "--results", folder)
    assert answer.code == 0, answer.err
    assert "this run are left empty" in answer.err
    frame = pd.read_csv(tmp_path / "all.csv")
    found = more_metrics(scored.path)
    rows = frame[frame["key"] == scored["key"]].set_index("statement")
    for figure in ("auprc", "sens90_high", "brier", "slope", "intercept"):
        assert rows.loc["IMI", figure] == pytest.approx(found["IMI"][figure])
    assert frame.loc[frame["key"] == lost["key"], "auprc"].isna().all()
    assert frame.loc[frame["method"] == "simclr", "brier"].isna().all()


def test_figures_that_no_run_has_are_numbers_all_the_same(
    make_record: MakeRecord, mibench: Command, tmp_path: Path
) -> None:
    write_scored(tmp_path / "results", make_record(), 1.0, tested=np.arange(60))
    mibench("results", "export", tmp_path / "few.parquet", "--results", tmp_path / "results")
    frame = pd.read_parquet(tmp_path / "few.parquet")
    assert frame["auprc_low"].isna().all()
    assert frame["auprc_low"].dtype == "float64"
