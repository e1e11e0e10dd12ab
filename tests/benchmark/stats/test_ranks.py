"""Ranks, Friedman, Nemenyi and Holm, against SciPy and published tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from mibench.adapters.errors import MibenchError
from mibench.benchmark.stats import holm, rank_methods


def test_friedman_agrees_with_scipy_with_and_without_ties() -> None:
    generator = np.random.default_rng(0)
    for decimals in (1, 6):
        values = np.round(generator.random((5, 9)) + np.linspace(0, 0.5, 5)[:, None], decimals)
        found = rank_methods(values)
        expected = friedmanchisquare(*values)
        assert found.statistic == pytest.approx(expected.statistic)
        assert found.p == pytest.approx(expected.pvalue)
        assert found.statements == 9
        assert sum(found.average) == pytest.approx(5 * 6 / 2)


@pytest.mark.parametrize(("methods", "quantile"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_quantiles_of_demsar(methods: int, quantile: float) -> None:
    # Table 5(a) of Demsar (2006).
    values = np.random.default_rng(1).random((methods, 9))
    expected = quantile * np.sqrt(methods * (methods + 1) / (6 * 9))
    assert rank_methods(values).critical_difference == pytest.approx(expected, rel=1e-3)


def test_cliques_are_the_largest_groups_within_the_critical_difference() -> None:
    # Six methods in the same order on thirty statements: ranks 1 to 6, critical difference 1.377.
    values = np.repeat(np.array([0.5, 0.9, 0.8, 0.7, 0.6, 0.4])[:, None], 30, axis=1)
    found = rank_methods(values)
    assert found.average == (5, 1, 2, 3, 4, 6)
    assert 1 < found.critical_difference < 2
    assert found.cliques == ((1, 2), (2, 3), (3, 4), (4, 0), (0, 5))
    # On ten statements the difference is 2.4: a group inside another is no bar of its own.
    assert rank_methods(values[:, :10]).cliques == ((1, 2, 3), (2, 3, 4), (3, 4, 0), (4, 0, 5))
    assert rank_methods(values[:, :2]).cliques == ((1, 2, 3, 4, 0, 5),)


def test_methods_that_are_one_have_no_difference() -> None:
    found = rank_methods(np.full((4, 9), 0.7))
    assert found.average == (2.5,) * 4
    assert (found.statistic, found.p) == (0, 1)
    assert found.cliques == ((0, 1, 2, 3),)


def test_statements_without_a_value_are_left_out_and_too_little_is_refused() -> None:
    values = np.random.default_rng(2).random((3, 9))
    values[1, 4] = np.nan
    assert rank_methods(values).statements == 8
    with pytest.raises(MibenchError, match="here are 1 and 9"):
        rank_methods(np.random.default_rng(3).random((1, 9)))


def test_holm_on_the_example_of_its_textbook() -> None:
    # Four p values of Wright (1992): 0.01, 0.04, 0.03 and 0.005.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]


def test_holm_keeps_the_order_lies_above_p_and_under_bonferroni() -> None:
    p = np.random.default_rng(4).random(12) ** 3
    found = np.array(holm(p.tolist()))
    assert (np.argsort(found, kind="stable") == np.argsort(p)).all() or (np.diff(found[np.argsort(p)]) >= 0).all()
    assert (found >= p).all()
    assert (found <= np.minimum(12 * p, 1) + 1e-15).all()
