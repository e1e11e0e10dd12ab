"""Rows compared from the scores beside their records: pairs, what is kept, and what cannot be compared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scored_runs import RECORDS, heart, write_scored

from mibench.adapters.errors import MibenchError
from mibench.benchmark import evidence, results
from mibench.benchmark.board import COLUMNS
from mibench.benchmark.ecg import MI_STATEMENTS
from mibench.benchmark.metrics import auc

MakeRecord = Callable[..., dict[str, Any]]
Rows = list[list[Path]]


@pytest.fixture
def rows(tmp_path: Path, make_record: MakeRecord) -> Rows:
    """Three methods, strong to weak, the first with two seeds."""
    return [
        [write_scored(tmp_path, make_record(method=name, seed=seed), skill, noise=place) for seed in seeds]
        for place, (name, skill, seeds) in enumerate(
            (("strong", 2.5, (0, 1)), ("middle", 1.0, (0,)), ("weak", 0.1, (0,)))
        )
    ]


def ask(rows: Rows, tmp_path: Path) -> evidence.Contest:
    return evidence.contest(rows, resamples=60, cache=tmp_path / "kept")


def scores(path: Path) -> Any:
    return results.predictions(path)["scores"]


def test_a_difference_is_between_the_means_over_seeds(rows: Rows, tmp_path: Path) -> None:
    labels = heart()["labels"]
    mean = [np.mean([auc(scores(path), labels) for path in row], axis=0) for row in rows]
    found = ask(rows, tmp_path).difference(0, 2)
    assert (found.records, found.dropped) == (RECORDS, 0)
    for place, name in enumerate(MI_STATEMENTS):
        known = found.differences[name]
        assert known is not None
        assert known.value == pytest.approx(mean[0][place] - mean[2][place])
        assert known.low < known.value < known.high
    average = found.differences["Avg"]
    assert average is not None
    assert average.value == pytest.approx(float(mean[0].mean() - mean[2].mean()))
    turned = ask(rows, tmp_path).difference(2, 0).differences["Avg"]
    assert turned is not None
    assert (turned.value, turned.low, turned.high) == (-average.value, -average.high, -average.low)
    assert evidence.compare(rows[0], rows[2], resamples=60).differences["Avg"] == average


def test_a_row_is_separated_only_from_what_it_surely_beats(rows: Rows, tmp_path: Path) -> None:
    contest = ask(rows, tmp_path)
    assert contest.separated(0, [1, 2], "Avg")
    assert not contest.separated(2, [0, 1], "Avg")
    assert not contest.separated(0, [], "Avg")
    plain = contest.difference(1, 2).differences["ALMI"]
    adjusted = contest.adjusted(1, 2, "ALMI")
    assert plain is not None
    assert adjusted is not None
    assert plain.p <= adjusted <= 1


def test_what_was_compared_is_read_back_without_numpy_or_scores(rows: Rows, tmp_path: Path) -> None:
    first = ask(rows, tmp_path)
    (kept,) = (tmp_path / "kept").iterdir()
    before = kept.stat().st_mtime_ns
    code = (
        "import json, sys; from pathlib import Path; from mibench.benchmark import evidence;"
        "rows = [[Path(p) for p in row] for row in json.loads(sys.argv[1])];"
        "found = evidence.contest(rows, resamples=60, cache=Path(sys.argv[2]));"
        "assert 'numpy' not in sys.modules and 'torch' not in sys.modules;"
        "print(found.difference(0, 2).differences['Avg'].value)"
    )
    arguments = [json.dumps([[str(path) for path in row] for row in rows]), str(tmp_path / "kept")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    known = first.difference(0, 2).differences["Avg"]
    assert known is not None
    assert float(done.stdout) == known.value
    assert kept.stat().st_mtime_ns == before


def test_what_is_kept_and_damaged_is_made_again(rows: Rows, tmp_path: Path) -> None:
    first = ask(rows, tmp_path)
    (kept,) = (tmp_path / "kept").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    assert ask(rows, tmp_path).pairs == first.pairs
    assert kept.read_bytes() == whole


def test_only_common_records_are_paired(rows: Rows, tmp_path: Path, make_record: MakeRecord) -> None:
    tested = np.arange(30, RECORDS)
    short = [write_scored(tmp_path, make_record(method="short"), 1.0, noise=9, tested=tested)]
    found = ask([*rows, short], tmp_path).difference(0, 3)
    assert (found.records, found.dropped) == (RECORDS - 30, 30)
    assert found.differences["Avg"] is not None


def test_rows_without_usable_scores_are_left_out_with_a_sentence(
    rows: Rows, tmp_path: Path, make_record: MakeRecord
) -> None:
    missing = results.write(tmp_path, make_record(method="missing"), None)
    broken = write_scored(tmp_path, make_record(method="broken"), 1.0, noise=4)
    kept = broken.with_name(results.read(broken)["predictions"]["file"])
    kept.write_bytes(kept.read_bytes()[:-7])
    contest = ask([*rows, [missing], [broken]], tmp_path)
    assert contest.difference(0, 3).differences == dict.fromkeys(COLUMNS)
    assert contest.difference(0, 4).differences["Avg"] is None
    assert contest.difference(0, 1).differences["Avg"] is not None
    assert not contest.separated(0, [1, 4], "Avg")
    assert any("keeps no test scores" in sentence for sentence in contest.warnings)
    assert any("sha256 differs" in sentence for sentence in contest.warnings)
    with pytest.raises(MibenchError, match="keeps no test scores"):
        evidence.compare([missing], rows[0])


def test_nan_scores_and_other_labels_are_no_comparison(rows: Rows, tmp_path: Path, make_record: MakeRecord) -> None:
    whole = results.predictions(rows[0][0])
    spoilt = {**whole, "scores": np.where(np.arange(RECORDS)[:, None] == 3, np.nan, whole["scores"])}
    nan = results.write(tmp_path, make_record(method="nan"), spoilt)
    turned = results.write(tmp_path, make_record(method="turned"), {**whole, "labels": 1 - whole["labels"]})
    contest = ask([*rows, [nan], [turned]], tmp_path)
    assert contest.difference(0, 3).differences["Avg"] is None
    assert contest.difference(0, 4).differences["Avg"] is None
    assert any("not numbers" in sentence for sentence in contest.warnings)
    assert any("label" in sentence for sentence in contest.warnings)


def test_the_same_scores_twice_are_no_difference(rows: Rows, tmp_path: Path) -> None:
    contest = ask([*rows, list(reversed(rows[0]))], tmp_path)
    found = contest.difference(0, 3)
    average = found.differences["Avg"]
    assert average is not None
    assert (found.records, average.value, average.low, average.high, average.p) == (RECORDS, 0, 0, 0, 1)
    assert not contest.separated(0, [3], "Avg")
    assert contest.difference(3, 1) == contest.difference(0, 1)


def test_a_folder_that_cannot_be_written_costs_time_and_a_sentence(rows: Rows, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    contest = ask(rows, tmp_path)
    assert contest.difference(0, 2).differences["Avg"] is not None
    assert any("could not be kept" in sentence for sentence in contest.warnings)
