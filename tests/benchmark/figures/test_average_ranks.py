"""Average ranks, against the tables of Demsar (2006) and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mibench.benchmark.figures.average_ranks import average_ranks, cliques, critical_distance


@pytest.mark.parametrize(
    ("methods", "quantile"), [(3, 2.343), (4, 2.569), (5, 2.728), (7, 2.949), (10, 3.164)], ids=str
)
def test_critical_differences_are_those_of_the_printed_table(methods: int, quantile: float) -> None:
    printed = quantile * np.sqrt(methods * (methods + 1) / (6 * 9))
    assert critical_distance(methods, 9) == pytest.approx(printed, abs=1e-3)


def test_ranks_of_ties_are_shared_and_the_highest_auc_is_the_first() -> None:
    found = average_ranks([[0.9, 0.8, 0.7], [0.9, 0.7, 0.8], [0.1, 0.1, 0.1]])
    assert found.average.tolist() == pytest.approx([(1.5 + 1 + 2) / 3, (1.5 + 2 + 1) / 3, 3])
    assert 0 < found.p < 0.2


def test_methods_that_are_all_alike_differ_in_nothing() -> None:
    assert average_ranks(np.full((3, 4), 0.5)).p == 1.0


def test_two_methods_are_too_few() -> None:
    with pytest.raises(ValueError, match="three methods"):
        average_ranks([[0.5, 0.6], [0.6, 0.5]])


def test_cliques_are_as_long_as_can_be_and_none_holds_another() -> None:
    assert cliques([1.0, 2.0, 2.5, 4.0, 7.0], 1.6) == [(0, 2), (2, 3)]
    assert cliques([1.0, 3.0, 5.0], 1.0) == []
    assert cliques([1.0, 1.5, 2.0], 5.0) == [(0, 2)]
