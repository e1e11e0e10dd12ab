"""How often the intervals that mibench prints hold the truth, for 2, 5, 20 and 200 positives."""

from __future__ import annotations

import pytest

from mibench.benchmark.stats import ENOUGH_POSITIVES, HANLEY_MCNEIL
from mibench.benchmark.stats.coverage import AREAS, MODELS, POSITIVES, Cell, measure, table

PERCENTILE = "percentile bootstrap"


def printed(positives: int) -> str:
    """The kind of interval that a table shows for a statement."""
    return PERCENTILE if positives >= ENOUGH_POSITIVES else HANLEY_MCNEIL


def by_method(cells: list[Cell]) -> dict[str, Cell]:
    return {cell.method: cell for cell in cells}


@pytest.mark.parametrize("positives", POSITIVES)
def test_the_interval_that_is_printed_holds_the_truth(positives: int) -> None:
    found = by_method(measure(positives, 0.8, "normal", negatives=200, repeats=100, resamples=100))
    assert found[printed(positives)].coverage > 0.9


def test_a_percentile_bootstrap_of_two_positives_holds_the_truth_less_than_every_other_time() -> None:
    found = by_method(measure(2, 0.9, "normal", negatives=400, repeats=200, resamples=150))
    assert found[PERCENTILE].coverage < 0.6
    assert found[HANLEY_MCNEIL].coverage > 0.9
    assert found[HANLEY_MCNEIL].width > 2 * found[PERCENTILE].width


def test_the_table_has_a_line_for_each_fold_and_a_column_for_each_interval() -> None:
    cells = [
        cell for area in (0.5, 0.9) for cell in measure(2, area, "exponential", negatives=50, repeats=20, resamples=20)
    ]
    header, _, first, second = table(cells).splitlines()
    assert header.count("coverage %") == 4
    shown = by_method(cells[:4])[HANLEY_MCNEIL]
    assert f"{100 * shown.coverage:.0f} ({shown.width:.2f})" in first
    assert "| 0.50 |" in " ".join(first.split())
    assert "| 0.90 |" in " ".join(second.split())


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("positives", POSITIVES)
def test_the_interval_that_is_printed_holds_the_truth_over_many_folds(positives: int, area: float, model: str) -> None:
    found = by_method(measure(positives, area, model, repeats=1000, resamples=500))
    print(positives, area, model, found[printed(positives)])
    # Where the bootstrap begins it is short of what it promises near 1: docs/protocol.md says by how much.
    least = {0.9: 0.8, 0.97: 0.62}.get(area, 0.9) if positives == ENOUGH_POSITIVES else 0.9
    assert found[printed(positives)].coverage > least
