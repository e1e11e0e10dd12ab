"""The figures of a board: what they say, where their marks stand, and that nothing is cut off or hidden."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_runs import Invented, write_runs
from board_texts import failed
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from mibench.adapters.errors import MibenchError
from mibench.benchmark import results
from mibench.benchmark.board import AVERAGES, COLUMNS
from mibench.benchmark.ecg import DEMO_NOTICE, MI_STATEMENTS
from mibench.benchmark.figures import catalog
from mibench.benchmark.figures.heatmap import may_be_chance
from mibench.benchmark.figures.paired_gaps import gaps
from mibench.benchmark.figures.roc_points import positions
from mibench.benchmark.figures.view import View
from mibench.benchmark.paired_scores import load
from mibench.benchmark.published import load_paper

MakeRecord = Callable[..., dict[str, Any]]
METHODS = (
    Invented("selfmis", "SelfMIS", 1.4),
    Invented("w2v-cmsc", "W2V-CMSC", 0.9),
    Invented("heartlang", "HeartLang", 0.8),
    Invented("ecgfounder", "ECGFounder", 0.4),
    Invented("ecgfounder", "ECGFounder", 0.1, "random"),
)
PAPER = load_paper()
MM = 25.4


_PAGES: dict[str, Figure] = {}


@pytest.fixture
def records(make_record: MakeRecord, tmp_path_factory: pytest.TempPathFactory) -> list[results.StoredRecord]:
    """Four methods and an anchor at two shares, as on the whole of PTB-XL; made once a process."""
    root = tmp_path_factory.getbasetemp() / "board"
    if not root.is_dir():
        write_runs(root, make_record, METHODS, ratios=(0.25, 1.0), seeds=2)
    return results.scan(root)[0]


@pytest.fixture
def view(records: list[results.StoredRecord]) -> View:
    """Their board, with the notice of data that give no result."""
    found = View.of(records, PAPER)
    return found.on(replace(found.board, warning=DEMO_NOTICE, row_notice=DEMO_NOTICE))


def drawn(name: str, view: View) -> Figure:
    """A figure of the fixture's view, drawn once for all tests that only look at it."""
    if name not in _PAGES:
        _PAGES[name] = catalog.draw(name, view)
    return _PAGES[name]


def texts(page: Figure) -> list[Text]:
    """All that can be read: labels of ticks beyond an axis' ends are never painted."""
    FigureCanvasAgg(page).draw()
    beyond = set()
    for axis in (axis for axes in page.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        beyond |= {tick.label1 for tick in ticks if not low - 1e-9 <= tick.get_loc() <= high + 1e-9}
    seen = [text for text in page.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in seen if text not in beyond]


def said(page: Figure) -> str:
    return " ".join(text.get_text() for text in texts(page)).replace("\N{NO-BREAK SPACE}", " ")


def marks(page: Figure, gid: str) -> list[tuple[float, float]]:
    """Where the lines of that name have their points."""
    lines = [line for line in page.findobj(lambda artist: artist.get_gid() == gid) if hasattr(line, "get_xydata")]
    return [(float(x), float(y)) for line in lines for x, y in line.get_xydata()]


@pytest.mark.parametrize("name", catalog.NAMES)
def test_every_figure_says_on_what_and_fits_its_page(name: str, view: View) -> None:
    page = drawn(name, view)
    width, height = page.get_size_inches() * MM
    assert width == pytest.approx(180)
    assert height < 240
    shown = texts(page)
    words = " ".join(text.get_text() for text in shown).replace("\N{NO-BREAK SPACE}", " ")
    assert words.count(DEMO_NOTICE) == 2, "above and below"
    for part in ("ptb-xl, 1.0.3", "linear_probe v1", "PMI 2", "ASMI 40", "95 %", "manifest 0123456789ab"):
        assert part in words, part
    assert min(text.get_fontsize() for text in shown) >= 6
    renderer = page.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [text.get_window_extent(renderer) for text in shown]
    for text, box in zip(shown, boxes, strict=True):
        assert page.bbox.x0 <= box.x0, text
        assert box.x1 <= page.bbox.x1, text
        assert page.bbox.y0 <= box.y0, text
        assert box.y1 <= page.bbox.y1, text
    for (one, first), (other, second) in itertools.combinations(zip(shown, boxes, strict=True), 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        # Lines of a paragraph may share a descender's room; a pixel here is a hundredth of an inch.
        assert across < 1.5 or up < 2.5, (one.get_text(), other.get_text())


def _repeats(name: str, records: list[results.StoredRecord], folder: Path, *endings: str) -> None:
    for turn in ("a", "b"):
        catalog.write(name, View.of(records, PAPER), *(folder / turn / f"x.{ending}" for ending in endings))
    for file in (folder / "a").iterdir():
        assert file.read_bytes() == (folder / "b" / file.name).read_bytes()


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(records: list[results.StoredRecord], tmp_path: Path) -> None:
    _repeats("critical-difference", records, tmp_path, "png", "pdf")


@pytest.mark.slow
@pytest.mark.parametrize("name", catalog.NAMES)
def test_all_figures_repeat_to_the_byte(name: str, records: list[results.StoredRecord], tmp_path: Path) -> None:
    _repeats(name, records, tmp_path, "png", "pdf")


def test_forest_marks_stand_where_the_board_has_them(view: View) -> None:
    page = drawn("forest", view)
    for column in AVERAGES:
        found = marks(page, f"mean {column}")
        assert [x for x, _ in found] == pytest.approx([100 * (row.values[column].auc or 0) for row in view.rows])
        depths = [y for _, y in found]
        assert depths == sorted(depths), "in the order of the board, anchors last"
        ends = [x for x, _ in marks(page, f"interval {column}")]
        assert ends == pytest.approx(
            [100 * (e or 0) for r in view.rows for e in (r.values[column].low, r.values[column].high)]
        )
        printed = [row.paper.values[column] for row in view.rows if row.paper]
        assert len(printed) == 4
        assert [x for x, _ in marks(page, f"paper {column}")] == pytest.approx(printed)
    (paper, *_) = page.findobj(lambda artist: artist.get_gid() == "paper Avg")
    assert paper.get_markerfacecolor() == "none"
    seeds = marks(page, "seeds")
    first = view.rows[0]
    assert first.spread is not None
    assert seeds[1][0] - seeds[0][0] == pytest.approx(200 * first.spread)
    assert seeds[0][1] > marks(page, "mean Avg")[0][1], "apart from the interval"
    assert "Anchors" in said(page)


def test_failed_rows_are_named(records: list[results.StoredRecord], make_record: MakeRecord) -> None:
    broken = failed(make_record(method="./my_net.py:My_Net"), "embed gave (2, 7)")
    said = View.of([*records, broken], PAPER).failures
    assert said == ["No result: ./my_net.py:My_Net (failed: embed gave (2, 7))."]


def test_a_heat_map_hatches_what_may_be_chance(view: View) -> None:
    page = drawn("heatmap", view)
    for column in COLUMNS:
        cells = [p for p in page.findobj(Rectangle) if p.get_gid() in (column, f"{column} chance")]
        hatched = [cell.get_hatch() is not None for cell in sorted(cells, key=lambda cell: cell.get_y())]
        assert hatched == [may_be_chance(row.values[column]) for row in view.rows]
    assert any(may_be_chance(row.values["PMI"]) for row in view.rows)
    assert not may_be_chance(view.rows[0].values["Avg"])
    assert f"{100 * (view.rows[0].values['PMI'].auc or 0):.1f}" in said(page)
    assert "n+ = 40" in said(page)


def test_ratio_curves_run_through_the_rows_and_the_papers_points(view: View) -> None:
    page = drawn("ratios", view)
    for share in (0.25, 1.0):
        row = next(r for r in view.board.rows if r.method == "selfmis" and r.ratio == share)
        assert (100 * share, 100 * (row.values["Avg"].auc or 0)) in marks(page, "SelfMIS")
        assert row.paper is not None
        assert (100 * share, row.paper.values["Avg"]) in marks(page, "paper SelfMIS")
    assert [x for x, _ in marks(page, "paper HeartLang")] == [100], "Table 3 has no HeartLang"
    assert len(page.axes) == 1


def test_many_curves_get_a_panel_each(view: View) -> None:
    (board,) = view.boards
    more = [replace(row, title=f"{row.title} {n}", variant=str(n)) for n in range(2) for row in board.rows]
    page = catalog.draw("ratios", view.on(replace(board, rows=tuple(more))))
    assert len(page.axes) == 8


def test_roc_ticks_are_the_positives_and_the_area_is_the_auc(view: View) -> None:
    page = drawn("roc", view)
    panels = [axes for axes in page.axes if axes.get_ylim()[1] > 1 and axes.get_ylim()[0] == 0]
    strips = [axes for axes in page.axes if axes not in panels]
    assert len(panels) == len(strips) == 9
    for index, row in enumerate(view.methods):
        found = positions(load(row.paths))
        for statement, panel, strip in zip(MI_STATEMENTS, panels, strips, strict=True):
            (ticks,) = [c for c in strip.collections if c.get_gid() == f"positives {index}"]
            places = [segment[0][0] for segment in ticks.get_segments()]
            assert places == pytest.approx(_naive_places(row.paths, statement))
            (curve,) = [line for line in panel.lines if line.get_gid() == f"curve {index}"]
            x, y = curve.get_data()
            area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
            assert area == pytest.approx(found[statement].area) == pytest.approx(row.values[statement].auc, abs=1e-6)
    assert "n+ = 2" in said(page)


def _naive_places(paths: tuple[Path, ...], statement: str) -> list[float]:
    by_seed = []
    for path in paths:
        kept = results.predictions(path)
        column = list(kept["statements"]).index(statement)
        scores, labels = kept["scores"][:, column], kept["labels"][:, column]
        negatives = scores[labels == 0]
        by_seed.append([np.mean(negatives > s) + np.mean(negatives == s) / 2 for s in scores[labels == 1]])
    return sorted(np.mean(by_seed, axis=0))


def test_more_curves_than_can_be_told_apart_are_refused(
    make_record: MakeRecord, records: list[results.StoredRecord]
) -> None:
    view = View.of(records, PAPER)
    (board,) = view.boards
    more = tuple(replace(row, variant=str(n)) for n in range(2) for row in board.rows)
    with pytest.raises(MibenchError, match="choose up to 6 with --method"):
        catalog.draw("roc", replace(view.on(replace(board, rows=more)), chosen=tuple(m.name for m in METHODS)))
    with pytest.raises(MibenchError, match="need stored scores"):
        catalog.draw("roc", View.of([make_record(0.8)], PAPER))


def test_the_critical_difference_diagram_ranks_over_statements(view: View) -> None:
    page = drawn("critical-difference", view)
    rows = view.methods
    table = np.array([[row.values[name].auc for name in MI_STATEMENTS] for row in rows])
    average = {
        row.name: float(np.mean([(table[:, k] > table[i, k]).sum() + 1 for k in range(9)]))
        for i, row in enumerate(rows)
    }
    (start, end) = marks(page, "axis")
    for name, rank in average.items():
        ((x, _),) = marks(page, f"mark {name}")
        assert x == pytest.approx(start[0] + (end[0] - start[0]) * (rank - 1) / 3)
    (left, right) = marks(page, "distance")
    assert (right[0] - left[0]) / (end[0] - start[0]) * 3 == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 9)), abs=2e-3)
    with pytest.raises(MibenchError, match="three methods at least, and linear_probe on ptb-xl has 2"):
        catalog.draw("critical-difference", replace(view, chosen=("selfmis", "heartlang")))


def test_differences_are_those_of_the_reference(records: list[results.StoredRecord]) -> None:
    view = View.of(records, PAPER, reference="ecgfounder")
    page = catalog.draw("differences", view)
    reference = next(row for row in view.rows if row.method == "ecgfounder" and row.source == "published")
    for column in COLUMNS:
        for row in view.methods:
            if row is not reference:
                ((x, _),) = marks(page, f"mean {column} {row.name}")
                gap = 100 * ((row.values[column].auc or 0) - (reference.values[column].auc or 0))
                assert x == pytest.approx(gap, abs=1e-3)
    found = gaps(view)
    assert found.found["Avg"][0] is not None
    assert found.found["Avg"][0].sign == 1, "SelfMIS is far better"
    anchor = gaps(View.of(records, PAPER, reference="ecgfounder:random"))
    assert anchor.reference.source == "random"
    assert gaps(View.of(records, PAPER)).reference.method == "selfmis", "the best where none was chosen"
    with pytest.raises(MibenchError, match="--reference clocs: no row is of that method"):
        gaps(View.of(records, PAPER, reference="clocs"))


def test_differences_need_scores(make_record: MakeRecord) -> None:
    bare = [make_record(0.8), make_record(0.7, method="stmem")]
    with pytest.raises(MibenchError, match="need stored scores of two methods on ptb-xl"):
        catalog.draw("differences", View.of(bare, PAPER))


def test_a_chosen_method_brings_its_anchor_only_where_it_has_nothing_else(
    records: list[results.StoredRecord],
) -> None:
    view = View.of(records, PAPER, methods=["ecgfounder", "selfmis"])
    assert [(row.method, row.source) for row in view.compared] == [
        ("selfmis", "published"),
        ("ecgfounder", "published"),
    ]
    assert {row.source for row in view.rows} == {"published", "random"}
    bare = View.of([r for r in records if r["weights"]["source"] == "random"], PAPER, methods=["ecgfounder"])
    assert [row.source for row in bare.compared] == ["random"]


def test_ranks_stay_those_of_the_board_when_methods_are_chosen(records: list[results.StoredRecord]) -> None:
    (row,) = View.of(records, PAPER, methods=["heartlang"]).rows
    assert row.rank is not None
    assert row.rank > 1
    assert View.of(records, PAPER, ratio=0.25).rows[0].ratio == 0.25


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"methods": ["selfmiss"]}, "no run of `selfmiss`.*did you mean `selfmis`"),
        ({"protocol": "generative"}, "no board fits generative: there are ptb-xl-linear-probe-v1-012345"),
        ({"label": "demo"}, "no board fits demo"),
        ({"data": "demo"}, "no run fits what was asked for"),
    ],
)
def test_what_is_not_there_is_said(choice: dict[str, Any], says: str, records: list[results.StoredRecord]) -> None:
    with pytest.raises(MibenchError) as problem:
        View.of(records, PAPER, **choice)
    assert re.search(says, str(problem.value))


def test_a_share_that_nobody_learnt_from_and_a_figure_that_is_none(records: list[results.StoredRecord]) -> None:
    with pytest.raises(MibenchError, match=r"--ratio 50: no row .* there are 25, 100 %"):
        catalog.draw("forest", View.of(records, PAPER, ratio=0.5))
    with pytest.raises(MibenchError, match="there is no figure `forrest`; did you mean `forest`"):
        catalog.draw("forrest", View.of(records, PAPER))
    single = [record for record in records if record["ratio"] == 1.0]
    with pytest.raises(MibenchError, match="mibench run --ratio 25 50 100"):
        catalog.draw("ratios", View.of(single, PAPER))
