"""Two rows held against each other: who is meant, what flips, what differs most, and what is said of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import arrays_of, record_of, scored_run, truth
from scipy.stats import binomtest, rankdata

from mibench.adapters.errors import MibenchError
from mibench.benchmark import results
from mibench.benchmark.board import COLUMNS
from mibench.benchmark.compare import Contrast, contrast, mcnemar, rank_shares, threshold
from mibench.benchmark.contestants import contestants
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.ecg import MI_STATEMENTS
from mibench.benchmark.evidence import compare
from mibench.benchmark.multiplicity import holm
from mibench.benchmark.tables import leaderboards, load_paper

MakeRecord = Callable[..., dict[str, Any]]
Command = Callable[..., Any]


def pair(root: Path, first: str, second: str, ratio: float | None = None) -> Any:
    records = results.scan(root)[0]
    boards = leaderboards(records, load_paper())
    return contestants(boards, {record.path: record for record in records}, first, second, ratio)


def chosen(
    root: Path, first: str, second: str, ratio: float | None = None
) -> list[tuple[str, str, float, tuple[int, ...]]]:
    return [
        (side.row.method, side.row.source, side.row.ratio, side.row.seeds) for side in pair(root, first, second, ratio)
    ]


@pytest.fixture
def folder(make_record: MakeRecord, tmp_path: Path) -> Path:
    """SelfMIS with two seeds, at two ratios, and of random weights; CLOCS with one."""
    for ratio in (0.25, 1.0):
        for seed in (0, 1):
            scored_run(make_record, tmp_path, 1.4, ratio=ratio, seed=seed, scored_by=seed)
    scored_run(make_record, tmp_path, 0.2, source="random", scored_by=7)
    scored_run(make_record, tmp_path, 0.7, method="clocs", title="CLOCS", scored_by=9)
    return tmp_path


def test_names_mean_trained_weights_of_all_training_records(folder: Path) -> None:
    whole = ("selfmis", "published", 1.0, (0, 1))
    assert chosen(folder, "selfmis", "clocs") == [whole, ("clocs", "published", 1.0, (0,))]
    assert chosen(folder, "SelfMIS", "clocs")[0] == whole
    assert chosen(folder, "selfmis:published", "selfmis:random") == [whole, ("selfmis", "random", 1.0, (0,))]
    key = next(path.stem for path in pair(folder, "selfmis", "clocs")[0].row.paths)
    single = pair(folder, key[:8], "clocs")[0].row
    assert single.seeds == (0,)
    assert single.values["IMI"].auc == results.read(single.paths[0])["metrics"]["auc"]["IMI"]


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("selfmis", "selfmis", "are the same runs"),
        ("selfmi", "clocs", "is no method with finished runs.*did you mean `selfmis`"),
        ("selfmis", "clocs:random", "`clocs:random` is no method"),
        ("abc", "clocs", "4 letters of it or more"),
    ],
)
def test_names_that_mean_nothing_are_said(first: str, second: str, says: str, folder: Path) -> None:
    with pytest.raises(MibenchError, match=says):
        pair(folder, first, second)


def test_what_is_ambiguous_lists_candidates_with_their_keys(make_record: MakeRecord, folder: Path) -> None:
    others = [
        scored_run(make_record, folder, 1.0, options={"filter": name}, scored_by=3) for name in ("none", "bandpass")
    ]
    with pytest.raises(MibenchError, match="it is not clear which runs are meant: selfmis may be ") as caught:
        pair(folder, "selfmis", "clocs")
    for path in others:
        assert path.stem[:12] in str(caught.value)
    assert chosen(folder, others[1].stem, "clocs")[0][0] == "selfmis"


def test_runs_on_different_data_are_never_compared(make_record: MakeRecord, folder: Path) -> None:
    scored_run(make_record, folder, method="stmem", manifest="e" * 64)
    with pytest.raises(MibenchError, match="only runs on the same data can be compared"):
        pair(folder, "stmem", "clocs")


def found(root: Path, first: str = "selfmis", second: str = "clocs", **options: Any) -> Contrast:
    return contrast(*pair(root, first, second), **options)


def test_differences_are_those_of_the_evidence_and_holm_is_over_the_nine(folder: Path) -> None:
    outcome = found(folder)
    one, other = pair(folder, "selfmis", "clocs")
    again = compare(one.row.paths, other.row.paths)
    assert outcome.evidence == again
    known = [again.differences[name] for name in MI_STATEMENTS]
    assert all(known)
    assert list(outcome.adjusted.values()) == holm([difference.p for difference in known if difference])
    assert outcome.evidence.records == 160


def test_flips_are_counted_as_by_hand(folder: Path) -> None:
    outcome = found(folder, specificity=0.8)
    kept = [results.predictions(side.row.paths[0]) for side in pair(folder, "selfmis", "clocs")]
    assert [flips.statement for flips in outcome.flips] == list(MI_STATEMENTS)
    for column, flips in enumerate(outcome.flips, 1):
        present = kept[0]["labels"][:, column] == 1
        called = []
        for arrays in kept:
            scores = arrays["scores"][:, column]
            cut = np.sort(scores[~present])[int(np.ceil(0.8 * (~present).sum())) - 1]
            called.append(scores > cut)
            assert (scores[~present] <= cut).mean() >= 0.8
        one, other = called
        for counts, group in ((flips.positives, present), (flips.negatives, ~present)):
            parts = [one & ~other, other & ~one, one & other, ~one & ~other]
            four = [int((part & group).sum()) for part in parts]
            assert [counts.first, counts.second, counts.both, counts.neither] == four
        names = kept[0]["records"][present & one & ~other].tolist()
        assert sorted(flips.found_by_first) == sorted(names)


@pytest.mark.parametrize(("first", "second"), [(1, 0), (5, 5), (9, 2), (0, 12), (300, 260)])
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    assert mcnemar(first, second) == pytest.approx(binomtest(first, first + second, 0.5).pvalue)


def test_mcnemar_of_nothing_is_nothing() -> None:
    assert mcnemar(0, 0) is None


def test_a_threshold_leaves_at_least_its_share_of_negatives_even_with_ties() -> None:
    for scores in (np.arange(10.0), np.repeat([0.0, 1.0], 5), np.zeros(10)):
        present = np.zeros(10, dtype=bool)
        for share in (0.1, 0.5, 0.9, 0.95):
            cut = threshold(scores, present, share)
            assert (scores <= cut).mean() >= share
    assert threshold(np.arange(10.0), np.zeros(10, dtype=bool), 0.9) == 8.0


def test_ranks_are_shares_of_the_records_below() -> None:
    scores = np.random.default_rng(0).integers(0, 6, size=(40, 3)).astype(float)
    expected = (rankdata(scores, axis=0) - 0.5) / 40
    np.testing.assert_allclose(rank_shares(scores), expected)


def test_the_most_different_records_are_those_whose_ranks_lie_furthest_apart(folder: Path) -> None:
    outcome = found(folder, records=5)
    kept = [results.predictions(side.row.paths[0]) for side in pair(folder, "selfmis", "clocs")]
    ranks = [rankdata(arrays["scores"][:, 1:], axis=0) / 160 for arrays in kept]
    distance = np.abs(ranks[0] - ranks[1]).max(axis=1)
    assert [apart.distance for apart in outcome.apart] == pytest.approx(np.sort(distance)[::-1][:5].tolist())
    first = outcome.apart[0]
    row = kept[0]["records"].tolist().index(first.record)
    assert distance[row] == distance.max()
    assert first.present == tuple(name for name, on in zip(MI_STATEMENTS, truth()[row, 1:], strict=True) if on)


def test_records_that_only_one_has_are_left_out_and_said(
    mibench: Command, make_record: MakeRecord, folder: Path
) -> None:
    arrays = {name: array if name == "statements" else array[10:] for name, array in arrays_of(0.9, 4).items()}
    results.write(folder, record_of(make_record, arrays, method="3kg"), arrays)
    outcome = found(folder, "clocs", "3kg")
    assert (outcome.evidence.records, outcome.evidence.dropped) == (150, 10)
    assert outcome.positives["ALMI"] == 14
    answer = mibench("compare", "clocs", "3kg", "--results", folder)
    assert "150 pairs: test records that both have; 10 that only one has left out" in answer.out


def test_a_class_without_positives_has_no_difference_and_is_named(
    mibench: Command, make_record: MakeRecord, tmp_path: Path
) -> None:
    labels = truth()
    labels[:, 9] = 0
    for method, seed in (("selfmis", 0), ("clocs", 1)):
        arrays = arrays_of(1.0, seed, labels)
        results.write(tmp_path, record_of(make_record, arrays, method=method), arrays)
    outcome = found(tmp_path)
    assert outcome.evidence.differences["PMI"] is None
    assert "PMI" not in {flips.statement for flips in outcome.flips}
    answer = mibench("compare", "selfmis", "clocs", "--results", tmp_path)
    assert answer.code == 0
    assert "there is no AUC: PMI" in answer.out


def test_bad_scores_are_a_sentence(mibench: Command, make_record: MakeRecord, tmp_path: Path) -> None:
    good = scored_run(make_record, tmp_path)
    bad = scored_run(make_record, tmp_path, method="clocs")
    arrays = arrays_of(1.0, 0)
    arrays["scores"][0, 3] = np.nan
    results.write(tmp_path, json.loads(bad.read_text()), arrays)
    for spoil, says in (
        (lambda: None, "the scores of 1 of 160 test records are not numbers"),
        (lambda: bad.with_name(results.read(bad)["predictions"]["file"]).write_bytes(b"x"), "its sha256 differs"),
        (lambda: bad.with_name(results.read(bad)["predictions"]["file"]).unlink(), "are missing"),
    ):
        spoil()
        answer = mibench("compare", "selfmis", "clocs", "--results", tmp_path)
        assert answer.code == 2
        assert says in answer.err
        assert "Traceback" not in answer.err
    assert good.is_file()


def test_every_format_has_the_figures_and_the_notice(mibench: Command, make_record: MakeRecord, tmp_path: Path) -> None:
    notice = "demo data: not a result"
    for method, skill, seed in (("selfmis", 1.2, 0), ("clocs", 0.6, 1)):
        scored_run(make_record, tmp_path, skill, method=method, scored_by=seed, data="demo", notice=notice)
    outcome = found(tmp_path)
    difference = outcome.evidence.differences["IMI"]
    assert difference is not None
    shown = f"{100 * difference.value:+.2f}"
    call = ("compare", "selfmis", "clocs", "--results", tmp_path, "--records", 3, "--format")
    for form in ("text", "markdown", "latex", "html"):
        answer = mibench(*call, form)
        assert answer.code == 0, answer.err
        assert shown in answer.out, form
        assert answer.out.count(notice) > len(COLUMNS), form
        for apart in outcome.apart[:3]:
            assert apart.record in answer.out
    sheet = list(csv.DictReader(io.StringIO(mibench(*call, "csv").out)))
    assert [row["statement"] for row in sheet] == list(COLUMNS)
    row = sheet[COLUMNS.index("IMI")]
    assert float(row["difference"]) == difference.value
    assert float(row["p_holm"]) == outcome.adjusted["IMI"]
    flips = outcome.flips[MI_STATEMENTS.index("IMI")]
    assert row["found_by_a_only"].split() == list(flips.found_by_first)
    assert {row["notice"] for row in sheet} == {notice}


def test_nothing_to_compare_is_a_sentence(mibench: Command, folder: Path, tmp_path: Path) -> None:
    for arguments, says in (
        (("--results", tmp_path / "nowhere"), "there is no run to show"),
        (("--results", folder, "--data", "nobody"), "no run fits what was asked for"),
        (("--results", folder, "--ratio", 50), "at 50 % of the training records"),
        (("--results", folder, "--out", tmp_path / "a.gif"), "pictures are written as"),
        (("--results", folder, "--out", tmp_path / "a.png", "--records", 0), "leave one out"),
    ):
        answer = mibench("compare", "selfmis", "clocs", *arguments)
        assert answer.code == 2
        assert says in answer.err, answer.err


def of_demo(make_record: MakeRecord, data: Dataset, root: Path, manifest: str) -> None:
    """Two runs whose test records are those of a data set."""
    test = data.split()["test"]
    labels = np.zeros((len(test), 10), dtype=np.uint8)
    labels[:, 1:] = data.labels[test][:, data.mi_columns()]
    for method, seed in (("selfmis", 0), ("clocs", 1)):
        arrays = {**arrays_of(1.0, seed, labels), "records": data.records[test], "patients": data.patients[test]}
        record = record_of(make_record, arrays, method=method, data="demo", manifest=manifest, notice=data.notice)
        results.write(root, record, arrays)


def test_the_records_are_drawn_where_their_signals_are(
    mibench: Command, make_record: MakeRecord, with_demo: Dataset, tmp_path: Path
) -> None:
    of_demo(make_record, with_demo, tmp_path / "r", with_demo.manifest)
    call = ("compare", "selfmis", "clocs", "--results", tmp_path / "r", "--records", 1, "--out")
    page = mibench(*call, tmp_path / "page.pdf")
    assert page.code == 0, page.err
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    folder = mibench(*call, tmp_path / "pictures")
    files = sorted((tmp_path / "pictures").iterdir())
    assert [file.name[:3] for file in files] == ["01-"]
    assert all(f"written: {file}" in folder.err for file in files)


def test_without_their_signals_the_numbers_still_come(
    mibench: Command, make_record: MakeRecord, demo: Dataset, tmp_path: Path
) -> None:
    of_demo(make_record, demo, tmp_path / "r", demo.manifest)
    answer = mibench("compare", "selfmis", "clocs", "--results", tmp_path / "r", "--out", tmp_path / "page.png")
    assert answer.code == 0
    assert "The records are not drawn: this machine has no data set `demo`" in answer.err
    assert "A - B" in answer.out
    assert not (tmp_path / "page.png").exists()


def test_other_data_of_the_same_name_are_not_drawn(
    mibench: Command, make_record: MakeRecord, with_demo: Dataset, tmp_path: Path
) -> None:
    of_demo(make_record, with_demo, tmp_path / "r", "d" * 64)
    answer = mibench("compare", "selfmis", "clocs", "--results", tmp_path / "r", "--out", tmp_path / "page.png")
    assert answer.code == 0
    assert "is not what the runs were measured on" in answer.err
    assert "A - B" in answer.out
