"""Best, second and differences from a reference: no more than paired scores allow, and whatever is wrong with these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_texts import cells, csv_rows, failed
from scored_runs import RECORDS, heart, write_scored

from mibench.adapters.errors import MibenchError
from mibench.benchmark import results, standing, tables
from mibench.benchmark.board import COLUMNS

MakeRecord = Callable[..., dict[str, Any]]
PAPER = tables.load_paper()


def judged(root: Path, **choices: Any) -> standing.Judged:
    records, warnings = results.scan(root)
    assert warnings == []
    (board,) = tables.leaderboards(records, PAPER)
    return standing.judged(board, **choices)


@pytest.fixture
def three(make_record: MakeRecord, tmp_path: Path) -> Path:
    """Two methods far above a third, and near each other."""
    for seed in range(2):
        write_scored(tmp_path, make_record(method="selfmis", title="SelfMIS", seed=seed), 3.0, noise=1)
        write_scored(tmp_path, make_record(method="ecgfounder", title="ECGFounder", seed=seed), 1.3, noise=2)
        write_scored(tmp_path, make_record(method="clocs", title="CLOCS", seed=seed), 0.0, noise=3)
    return tmp_path


def test_best_and_second_are_marked_where_all_below_are_separated(three: Path) -> None:
    found = judged(three)
    assert [row.method for row in found.board.rows] == ["selfmis", "ecgfounder", "clocs"]
    best, second, last = (row.marks for row in found.board.rows)
    assert best["Avg"] == best["ASMI"] == "best"
    assert second["Avg"] == second["ASMI"] == "second"
    assert last == {}
    assert standing.MARKED in found.board.footer
    assert found.warnings == ()


def test_what_is_not_separated_is_not_marked(make_record: MakeRecord, tmp_path: Path) -> None:
    write_scored(tmp_path, make_record(method="selfmis"), 1.0, noise=1)
    write_scored(tmp_path, make_record(method="ecgfounder"), 1.0, noise=2)
    found = judged(tmp_path).board
    assert [row.marks for row in found.rows] == [{}, {}]
    assert standing.UNMARKED in found.footer
    for form in ("latex", "markdown", "html"):
        assert not any(sign in tables.render(found, form) for sign in ("textbf{", "**9", "<b>"))


def test_rows_compete_with_those_of_their_own_share(make_record: MakeRecord, tmp_path: Path) -> None:
    write_scored(tmp_path, make_record(method="selfmis"), 3.0, noise=1)
    write_scored(tmp_path, make_record(method="selfmis", ratio=0.25), 0.5, noise=1)
    found = judged(tmp_path).board
    assert [row.marks for row in found.rows] == [{}, {}]
    assert not {standing.MARKED, standing.UNMARKED} & set(found.footer)  # nobody competes with anybody


def test_generators_that_see_more_are_not_competed_with(make_generative: MakeRecord, tmp_path: Path) -> None:
    write_scored(tmp_path, make_generative(method="real-leads", sees="record", source="none"), 4.0, noise=1)
    write_scored(tmp_path, make_generative(method="mcma"), 2.0, noise=2)
    write_scored(tmp_path, make_generative(method="ekgan"), 0.0, noise=3)
    ceiling, first, last = judged(tmp_path).board.rows
    assert ceiling.method == "real-leads"
    assert ceiling.marks == last.marks == {}
    assert first.marks["Avg"] == "best"


def test_every_format_marks_the_same(three: Path) -> None:
    found = judged(three).board
    place = 3 + COLUMNS.index("Avg")
    averages = [100 * (row.values["Avg"].auc or 0) for row in found.rows]
    best, second = (f"{average:.2f}" for average in averages[:2])
    for form, signs in {
        "latex": (rf"\textbf{{{best}}}", rf"\underline{{{second}}}"),
        "markdown": (f"**{best}**", f"<u>{second}</u>"),
    }.items():
        rows = [row for row in cells(tables.render(found, form), form) if row[0] in ("1", "2", "3")]
        assert [sign in row[place] for sign, row in zip((*signs, "textbf"), rows, strict=True)] == [True, True, False]
    page = tables.render(found, "html")
    assert f"<b>{best}</b><small>" in page
    assert f"<u>{second}</u><small>" in page
    text = tables.render(found, "text")
    assert f"{averages[0]:.1f}*" in text
    assert f"{averages[1]:.1f}+" in text
    assert [line["Avg_mark"] for line in csv_rows([found])] == ["best", "second", ""]


def test_what_was_compared_is_kept_and_no_score_is_read_again(three: Path, tmp_path: Path) -> None:
    cache = tmp_path.parent / "kept"
    first = judged(three, cache=cache)
    assert len(list(cache.glob("*.json"))) == 1
    for file in three.rglob("*.npz"):
        file.unlink()
    assert judged(three, cache=cache) == first


@pytest.mark.parametrize("harm", ["gone", "changed", "nan"])
def test_a_row_whose_scores_cannot_be_used_is_shown_and_named(
    harm: str, three: Path, make_record: MakeRecord, tmp_path: Path
) -> None:
    path = write_scored(tmp_path, make_record(method="stmem", title="ST-MEM"), 0.0, noise=4)
    if harm == "nan":
        scores = results.predictions(path)
        scores["scores"][5, 2] = np.nan
        results.write(tmp_path, results.read(path), scores)
    elif harm == "gone":
        path.with_suffix(".npz").unlink()
    else:
        path.with_suffix(".npz").write_bytes(b"something else")
    found = judged(three)
    assert len(found.board.rows) == 4
    assert all(row.values["Avg"].auc is not None for row in found.board.rows)
    assert any(path.stem in sentence for sentence in found.warnings)
    assert all(row.marks == {} for row in found.board.rows if row.method != "stmem")
    assert found.board.footer[-1] == "Not compared, for want of test scores that can be read: ST-MEM (published)."


def test_rows_of_different_test_records_are_compared_on_the_common_ones(
    make_record: MakeRecord, tmp_path: Path
) -> None:
    write_scored(tmp_path, make_record(method="selfmis"), 3.0, noise=1, tested=np.arange(RECORDS - 30))
    write_scored(tmp_path, make_record(method="ecgfounder"), 0.0, noise=2)
    found = judged(tmp_path)
    assert found.board.rows[0].marks["Avg"] == "best"
    (sentence,) = found.warnings
    assert f"at least {RECORDS - 30}" in sentence
    assert "at most 30 were left out" in sentence


def test_a_statement_without_positives_has_no_best(make_record: MakeRecord, tmp_path: Path) -> None:
    write_scored(tmp_path, make_record(method="selfmis"), 3.0, noise=1, without="PMI")
    write_scored(tmp_path, make_record(method="ecgfounder"), 0.0, noise=2, without="PMI")
    found = judged(tmp_path, reference="ecgfounder").board
    assert "PMI" not in found.rows[0].marks
    assert found.rows[0].marks["ASMI"] == "best"
    assert "PMI" not in found.rows[0].gaps
    assert any("Left out of the means" in line and "PMI" in line for line in found.footer)


def test_failed_runs_have_no_scores_and_are_no_hindrance(three: Path, make_record: MakeRecord) -> None:
    results.write_failure(three, failed(make_record(method="stmem"), "out of memory"), "out of memory")
    found = judged(three)
    assert found.board.rows[0].marks["Avg"] == "best"
    assert found.warnings == ()
    assert "Not compared" not in " ".join(found.board.footer)


def test_differences_from_a_reference_stand_below(three: Path) -> None:
    found = judged(three, reference="ecgfounder").board
    above, reference, below = found.rows
    assert (reference.is_reference, reference.gaps) == (True, {})
    for row, sign in ((above, 1), (below, -1)):
        gap = row.gaps["Avg"]
        ours, theirs = row.values["Avg"].auc, reference.values["Avg"].auc
        assert ours is not None
        assert theirs is not None
        assert gap.value == pytest.approx(ours - theirs, abs=1e-6)
        assert gap.low < gap.value < gap.high
        assert sign * gap.value > 0
        assert gap.p < 0.05
    for form in ("latex", "markdown", "html", "text"):
        text = tables.render(found, form)
        shown = text.split("Paired differences of ROC AUC")[1]
        assert f"{100 * above.gaps['Avg'].value:+.2f}" in shown
        assert "Holm p" in shown
        assert "ECGFounder, published" in shown
    first, second, _ = csv_rows([found])
    assert float(first["Avg_vs_reference"]) == pytest.approx(100 * above.gaps["Avg"].value, abs=1e-5)
    assert float(first["Avg_vs_reference_p"]) == pytest.approx(above.gaps["Avg"].p, abs=1e-6)
    assert first["reference"] == "ECGFounder (published)"
    assert (second["reference"], second["Avg_vs_reference"]) == ("", "")


def test_the_reference_is_the_trained_row_unless_its_weights_are_named(three: Path, make_record: MakeRecord) -> None:
    for seed in range(2):
        write_scored(three, make_record(method="clocs", source="random", seed=seed), 0.2, noise=5)
    trained = judged(three, reference="clocs").board.rows
    assert [row.source for row in trained if row.is_reference] == ["published"]
    anchor = judged(three, reference="clocs:random").board.rows
    assert [row.source for row in anchor if row.is_reference] == ["random"]


def test_a_reference_that_is_nowhere_is_refused(three: Path) -> None:
    board = judged(three).board
    standing.assert_reference([board], "selfmis")
    with pytest.raises(MibenchError, match=r"--reference selfmiss: .*did you mean `selfmis`"):
        standing.assert_reference([board], "selfmiss")
    with pytest.raises(MibenchError, match="--reference selfmis:random"):
        standing.assert_reference([board], "selfmis:random")


def test_rows_of_other_test_records_are_neither_marked_nor_compared(three: Path, make_record: MakeRecord) -> None:
    write_scored(three, make_record(method="selfmis", release="1.0.1", manifest="f" * 64), 3.0, noise=1)
    records, _ = results.scan(three)
    (board,) = tables.leaderboards(records, PAPER, mixed=True)
    found = standing.judged(board, reference="ecgfounder").board
    assert all(row.marks == {} for row in found.rows)
    assert standing.UNPAIRED in found.footer
    assert {row.origin.release for row in found.rows if row.gaps} == {"1.0.3"}


def test_the_heart_of_these_tests_has_positives_everywhere() -> None:
    assert heart()["labels"].sum(0).min() >= 2
