"""Holm's adjustment, against a textbook's example and its bounds."""

from __future__ import annotations

import numpy as np
import pytest

from mibench.benchmark.multiplicity import holm


def test_an_example_worked_by_hand() -> None:
    # Sorted .005, .01, .03, .04 times 4, 3, 2, 1; none may be smaller than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]


def test_it_keeps_the_order_and_lies_between_p_and_bonferroni() -> None:
    p = np.random.default_rng(4).random(12) ** 3
    found = np.array(holm(p.tolist()))
    assert (np.diff(found[np.argsort(p)]) >= 0).all()
    assert (found >= p).all()
    assert (found <= np.minimum(12 * p, 1) + 1e-15).all()
