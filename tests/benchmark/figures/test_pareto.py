"""AUC against cost: who is on the front, which costs count, and what is said of those that nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from mibench.adapters import registry
from mibench.adapters.errors import MibenchError
from mibench.benchmark.figures import catalog
from mibench.benchmark.figures.method_costs import MACS, MEMORY, PARAMETERS, costs
from mibench.benchmark.figures.pareto_front import front
from mibench.benchmark.figures.view import View
from mibench.benchmark.published import load_paper

MakeRecord = Callable[..., dict[str, Any]]
PAPER = load_paper()


def own_options(method: str) -> dict[str, Any]:
    return dict(registry.find(method).options)


def profile(make: MakeRecord, method: str, memory: float | None, **others: Any) -> dict[str, Any]:
    """A profile as a machine with a GPU leaves it; without `memory` it ran out of it."""
    record = make(method=method, protocol="profile", **others)
    cell = {"batch": 128, "precision": "fp32", "status": "out of memory"}
    if memory is not None:
        cell |= {"status": "measured", "allocated_mib": memory}
    small = {"batch": 16, "precision": "fp32", "status": "measured", "allocated_mib": 7.0}
    block = {
        "parameters": {"total": 9_000_000, "trainable": 9_000_000, "probed": 3_000_000},
        "macs": {"single-lead-inference": {"ptflops": 1, "counted": 2_500_000_000}},
        "memory": [small, cell],
        "latency": [],
        "export": None,
        "energy": None,
    }
    return {**record, "metrics": None, "profile": block}


def words_of(page: Figure) -> str:
    return " ".join(text.get_text() for text in page.findobj(Text))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12))
def test_the_front_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    members = front([(float(cost), float(area)) for cost, area in points])
    beaten = {
        i
        for i, (cost, area) in enumerate(points)
        if any(c <= cost and a >= area and (c < cost or a > area) for c, a in points)
    }
    assert not beaten & set(members)
    assert {points[i] for i in range(len(points)) if i not in beaten} == {points[i] for i in members}
    assert [points[i][0] for i in members] == sorted(points[i][0] for i in members)


def test_costs_are_those_of_the_configuration_where_nothing_was_measured(make_record: MakeRecord) -> None:
    records = [make_record(0.8, options=own_options("selfmis")), make_record(0.7, method="./my.py:Net")]
    view = View.of(records, PAPER)
    found = costs(view, view.rows)
    assert set(found) == {PARAMETERS, MACS}
    mine, strange = found[PARAMETERS]
    assert strange is None
    assert mine is not None
    assert mine.own
    assert mine.value == pytest.approx(registry.find("selfmis").facts["parameters"] / 1e6)


def test_a_profile_is_believed_before_the_configuration(make_record: MakeRecord) -> None:
    run = make_record(0.8, options=own_options("selfmis"))
    view = View.of([run, profile(make_record, "selfmis", 2048.0, options=own_options("selfmis"))], PAPER)
    found = {name: values[0] for name, values in costs(view, view.rows).items()}
    assert {name: cost.value for name, cost in found.items() if cost} == {PARAMETERS: 3.0, MACS: 2.5, MEMORY: 2.0}


def test_counted_memory_serves_where_none_was_measured_and_the_two_never_mix(make_record: MakeRecord) -> None:
    runs = [make_record(0.8, options=own_options("selfmis")), make_record(0.7, method="clocs")]
    counted = profile(make_record, "selfmis", None, options=own_options("selfmis"))
    counted["profile"]["memory"][1] = {"batch": 128, "precision": "fp32", "status": "counted", "counted_mib": 512.0}
    view = View.of([*runs, counted], PAPER)
    (cost, _) = costs(view, view.rows)[MEMORY]
    assert cost is not None
    assert cost.value == 0.5
    assert "of live tensors, counted without a GPU" in words_of(catalog.draw("pareto", view))
    both = View.of([*runs, counted, profile(make_record, "clocs", 1024.0)], PAPER)
    alone, measured = costs(both, both.rows)[MEMORY]
    assert alone is None
    assert measured is not None
    assert measured.value == 1.0


def test_the_cost_of_another_size_is_no_ones_own(make_record: MakeRecord) -> None:
    tiny = {**own_options("clocs"), "net": {**own_options("clocs")["net"], "width": 32}}
    view = View.of([make_record(0.8, method="clocs", options=tiny)], PAPER)
    (cost,) = costs(view, view.rows)[PARAMETERS]
    assert cost is not None
    assert not cost.own
    assert "Hollow: the cost is that of the full size" in words_of(catalog.draw("pareto", view))


def test_marks_stand_at_cost_and_auc_and_the_front_is_theirs(make_record: MakeRecord) -> None:
    areas = {"selfmis": 0.8, "clocs": 0.85, "ecgfounder": 0.7, "stmem": 0.6}
    records = [make_record(area, method=name, title=name, options=own_options(name)) for name, area in areas.items()]
    records += [profile(make_record, name, 1024.0 * (n + 1), options=own_options(name)) for n, name in enumerate(areas)]
    page = catalog.draw("pareto", View.of(records, PAPER))
    assert len(page.axes) == 3
    on_front = {tuple(line.get_xydata()[0]) for line in page.axes[2].lines if str(line.get_gid()).startswith("front ")}
    assert {(x, round(y, 6)) for x, y in on_front} == {(1.0, 80.0), (2.0, 85.0)}
    behind = [line.get_gid() for line in page.axes[2].lines if str(line.get_gid()).startswith("behind ")]
    assert sorted(behind) == ["behind ecgfounder", "behind stmem"]
    assert page.axes[2].get_xscale() == "log"
    assert len({axes.get_ylim() for axes in page.axes}) == 1, "only the first panel has numbers beside it"


def test_memory_that_nobody_could_measure_is_left_out_with_a_sentence(make_record: MakeRecord) -> None:
    records = [make_record(0.8, options=own_options("selfmis")), profile(make_record, "selfmis", None)]
    page = catalog.draw("pareto", View.of(records, PAPER))
    assert len(page.axes) == 2
    assert "Memory is left out" in words_of(page)


def test_methods_of_unknown_cost_alone_make_no_figure(make_record: MakeRecord) -> None:
    with pytest.raises(MibenchError, match="nobody knows what the methods of linear_probe on ptb-xl cost"):
        catalog.draw("pareto", View.of([make_record(method="./my.py:Net")], PAPER))
