"""The table of all runs: figures as the records have them, types that parquet keeps, and what must be said."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from finished_runs import scored_run

from mibench.adapters import atomic
from mibench.benchmark import results
from mibench.benchmark.board import COLUMNS

MakeRecord = Callable[..., dict[str, Any]]
Command = Callable[..., Any]


@pytest.fixture
def folder(make_record: MakeRecord, make_generative: MakeRecord, tmp_path: Path) -> Path:
    """Runs of several protocols, one of them failed, one of demo data."""
    root = tmp_path / "results"
    options = {"net": {"width": 8, "sizes": [1, 2]}, "filter": "none"}
    scored_run(make_record, root, options=options)
    scored_run(make_record, root, method="clocs", scored_by=1, options={"filter": 3})
    results.write(root, make_generative(), None)
    results.write(root, make_record(data="demo", notice="demo data: not a result"), None)
    results.write(root, make_record(protocol="pretrain") | {"metrics": None}, None)
    results.write_failure(root, make_record(seed=9), "out of memory")
    return root


def test_long_has_a_row_per_run_and_statement_with_the_record_s_figures(
    mibench: Command, folder: Path, tmp_path: Path
) -> None:
    files = [tmp_path / "all.parquet", tmp_path / "all.csv"]
    answer = mibench("results", "export", *files, "--results", folder)
    assert answer.code == 0, answer.err
    frame, sheet = pd.read_parquet(files[0]), pd.read_csv(files[1])
    assert list(frame.columns) == list(sheet.columns)
    assert len(frame) == len(sheet) == 4 * len(COLUMNS) + 2
    for record in results.scan(folder)[0]:
        rows = frame[(frame["key"] == record["key"]) & (frame["data"] == record["data"]["name"])]
        if not record["metrics"]:
            assert rows["statement"].isna().all()
            assert rows["auc"].isna().all()
            continue
        by_name = rows.set_index("statement")
        for name, area in record["metrics"]["auc"].items():
            assert by_name.loc[name, "auc"] == area
            low, high, method = record["metrics"]["interval"][name]
            assert (by_name.loc[name, "low"], by_name.loc[name, "high"]) == (low, high)
            assert by_name.loc[name, "interval"] == method
            assert by_name.loc[name, "positives"] == record["metrics"]["positives"][name]
        assert by_name.loc["Avg6", "auc"] == record["metrics"]["avg6"]
        assert pd.isna(by_name.loc["Avg", "positives"])
    assert set(frame["status"]) == {"done", "failed"}
    assert frame.loc[frame["status"] == "failed", "error"].tolist() == ["out of memory"]
    notices = frame.loc[frame["data"] == "demo", "notice"]
    assert set(notices) == {"demo data: not a result"}
    assert frame.loc[frame["data"] == "ptb-xl", "notice"].isna().all()


def test_determinants_and_blocks_are_columns_of_one_type(mibench: Command, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.parquet"
    mibench("results", "export", file, "--results", folder)
    frame = pd.read_parquet(file)
    own = frame.dropna(subset=["determinants.method.options.net.width"]).iloc[0]
    assert own["determinants.method.options.net.width"] == 8
    assert json.loads(own["determinants.method.options.net.sizes"]) == [1, 2]
    assert set(frame["determinants.method.options.filter"].dropna()) == {"none", "3"}, "mixed types become text"
    generated = frame[frame["protocol"] == "generative"].iloc[0]
    assert generated["generation.fid"] == pytest.approx(20.0)
    assert generated["generation.classifier.trained_on"] == "real"
    assert frame["seed"].dtype == "Int64"
    assert frame["auc"].dtype == "float64"
    assert frame.columns[-1].startswith("provenance.") or frame.columns[-1].startswith("determinants.")


def test_wide_has_a_row_per_run(mibench: Command, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    assert mibench("results", "export", file, "--wide", "--results", folder).code == 0
    frame = pd.read_csv(file)
    assert len(frame) == 6
    record = next(record for record in results.scan(folder)[0] if record["method"]["name"] == "clocs")
    row = frame[frame["method"] == "clocs"].iloc[0]
    assert row["PMI.auc"] == record["metrics"]["auc"]["PMI"]
    assert row["Avg.high"] == record["metrics"]["avg_interval"][1]
    assert row["ASMI.positives"] == 30


def test_only_what_is_chosen_is_written(mibench: Command, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    mibench("results", "export", file, "--results", folder, "--method", "clocs", "mcma", "--data", "ptb-xl")
    assert set(pd.read_csv(file)["method"]) == {"clocs", "mcma"}
    nothing = mibench("results", "export", file, "--results", folder, "--method", "nobody")
    assert nothing.code == 2
    assert "no run fits what was asked for; there are " in nothing.err
    empty = mibench("results", "export", file, "--results", tmp_path / "nowhere")
    assert empty.code == 2
    assert "holds no run records" in empty.err


@pytest.mark.parametrize(
    ("names", "says"),
    [(["a.xlsx"], "written as .parquet or .csv"), (["a.csv", "a.csv"], "given twice"), (["d.csv"], "is a folder")],
)
def test_files_that_cannot_be_are_refused_first(
    names: list[str], says: str, mibench: Command, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "d.csv").mkdir()
    answer = mibench("results", "export", *(tmp_path / name for name in names), "--results", folder)
    assert answer.code == 2
    assert says in answer.err


def test_a_full_disk_leaves_the_old_table(
    mibench: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "all.csv"
    file.write_text("the old one")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "replace", full)
    answer = mibench("results", "export", file, "--results", folder)
    assert answer.code == 2
    assert "free some space" in answer.err
    assert file.read_text() == "the old one"
    assert [entry.name for entry in tmp_path.iterdir() if "tmp" in entry.name] == []


def test_list_counts_what_is_there(mibench: Command, folder: Path) -> None:
    answer = mibench("results", "list", "--results", folder)
    assert answer.code == 0
    row = next(line for line in answer.out.splitlines() if "linear_probe v1" in line and "clocs" in line)
    assert row.split()[:8] == ["ptb-xl", "linear_probe", "v1", "clocs", "published", "100", "1", "0"]
    assert "demo data: not a result" in answer.out
    assert "6 records, 5 done, 1 failed, 2 with their scores" in answer.out
    assert mibench("results", "list", folder, "--data", "nobody").code == 2
