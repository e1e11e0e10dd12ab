"""Paired differences: what they are, and that their intervals and p values keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri

from mibench.benchmark.board import COLUMNS
from mibench.benchmark.ecg import MI_STATEMENTS
from mibench.benchmark.metrics import auc
from mibench.benchmark.stats import PAIRED_BOOTSTRAP, PAIRED_THEORY, paired_differences

FOLD = (29, 35, 90, 48, 100, 5, 3, 20, 2)
"""Positives of PTB-XL's test fold, the two largest made smaller."""


def fold(positives: tuple[int, ...] = FOLD, records: int = 600) -> NDArray[np.bool_]:
    labels = np.zeros((records, len(positives)), dtype=bool)
    generator = np.random.default_rng(5)
    for column, count in enumerate(positives):
        labels[generator.choice(records, count, replace=False), column] = True
    return labels


def methods(
    labels: NDArray[np.bool_], areas: tuple[float, ...], seed: int, shared: float = 0.5
) -> list[NDArray[np.float64]]:
    """One run of each method with normal scores of a true AUC; `shared` is the correlation between methods."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=labels.shape)
    rows = []
    for area in areas:
        own = generator.normal(size=labels.shape)
        noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        rows.append((noise + np.sqrt(2) * ndtri(area) * labels)[None])
    return rows


def test_a_difference_is_that_of_the_mean_aucs_and_turns_round_with_its_rows() -> None:
    labels = fold()
    rows = methods(labels, (0.85, 0.7, 0.75), 0)
    rows[0] = np.concatenate([rows[0], methods(labels, (0.8,), 9)[0]])
    found = paired_differences(rows, labels, np.arange(600), MI_STATEMENTS, resamples=200, seed=0)
    areas = np.stack([auc(row, labels).mean(0) for row in rows])
    assert found.columns == COLUMNS
    for place, name in enumerate(MI_STATEMENTS):
        assert found.value[0, 1, place] == pytest.approx(areas[0, place] - areas[1, place])
        assert found.method[place] == (PAIRED_THEORY if FOLD[place] < 20 else PAIRED_BOOTSTRAP), name
    assert found.value[0, 2, 9] == pytest.approx(areas[0].mean() - areas[2].mean())
    np.testing.assert_allclose(found.value, -found.value.transpose(1, 0, 2), atol=1e-12)
    np.testing.assert_allclose(found.low, -found.high.transpose(1, 0, 2), atol=1e-9)
    np.testing.assert_allclose(found.p, found.p.transpose(1, 0, 2), atol=1e-12)


def test_interval_and_p_value_never_contradict_each_other() -> None:
    labels = fold()
    rows = methods(labels, (0.5, 0.6, 0.7, 0.8, 0.9, 0.97), 3)
    found = paired_differences(rows, labels, np.arange(600), MI_STATEMENTS, resamples=300, seed=0)
    apart = ~np.eye(len(rows), dtype=bool)
    outside = ((found.low > 0) | (found.high < 0))[apart]
    significant = (found.p < 0.05)[apart]
    clear = np.abs(found.p[apart] - 0.05) > 0.002  # p is interpolated between quantiles
    assert outside[clear].any()
    assert not outside[clear].all()
    assert (outside == significant)[clear].all()


def test_two_positives_leave_the_difference_wide_open() -> None:
    """Perfect against a coin: the value is large, and so is what two positives leave open."""
    labels = fold((2,), 2000)
    perfect = np.where(labels, 10.0, 0.0) + np.random.default_rng(0).normal(size=labels.shape)
    coin = np.random.default_rng(1).normal(size=labels.shape)
    found = paired_differences([perfect[None], coin[None]], labels, np.arange(2000), ("PMI",), resamples=200, seed=0)
    assert found.high[0, 1, 0] - found.low[0, 1, 0] > 0.5
    assert found.low[0, 1, 0] < found.value[0, 1, 0] < found.high[0, 1, 0]


def test_a_row_against_itself_is_no_difference() -> None:
    labels = fold()
    (row,) = methods(labels, (0.8,), 1)
    found = paired_differences([row, row], labels, np.arange(600), MI_STATEMENTS, resamples=100, seed=0)
    assert (found.value == 0).all()
    assert (found.low <= 0).all()
    assert (found.high >= 0).all()
    assert (found.p > 0.9).all()


def test_a_statement_without_positives_is_left_out_of_the_means() -> None:
    labels = fold()
    labels[:, 8] = False
    rows = methods(labels, (0.8, 0.7), 2)
    found = paired_differences(rows, labels, np.arange(600), MI_STATEMENTS, resamples=100, seed=0)
    assert np.isnan(found.value[0, 1, 8])
    assert found.value[0, 1, 9] == pytest.approx(found.value[0, 1, :8].mean())


def rates(
    positives: tuple[int, ...], areas: tuple[float, float], repeats: int, resamples: int, shared: float = 0.5
) -> dict[str, tuple[float, float]]:
    """By column: share of intervals that hold the true difference, and share of p values under 5 %."""
    labels = fold(positives)
    truth = areas[0] - areas[1]
    covered, rejected = [], []
    names = MI_STATEMENTS[: len(positives)]
    for repeat in range(repeats):
        rows = methods(labels, areas, 10_000 + repeat, shared)
        found = paired_differences(rows, labels, np.arange(len(labels)), names, resamples=resamples, seed=repeat)
        covered.append((found.low[0, 1] <= truth) & (truth <= found.high[0, 1]))
        rejected.append(found.p[0, 1] < 0.05)
    shares = zip(np.mean(covered, axis=0), np.mean(rejected, axis=0), strict=True)
    return dict(zip(found.columns, ((float(c), float(r)) for c, r in shares), strict=True))


@pytest.mark.parametrize("area", [0.6, 0.9])
def test_methods_that_are_alike_are_seldom_called_different(area: float) -> None:
    found = rates(FOLD, (area, area), repeats=50, resamples=60)
    for name, (covered, rejected) in found.items():
        assert covered > 0.87, (name, found)
        assert rejected < 0.13, (name, found)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("areas", [(0.6, 0.6), (0.9, 0.9), (0.85, 0.7)])
def test_differences_cover_the_truth_over_many_folds(areas: tuple[float, float], shared: float) -> None:
    found = rates((*FOLD[:4], 200, *FOLD[5:]), areas, repeats=400, resamples=300, shared=shared)
    print(areas, shared, {name: (round(100 * c, 1), round(100 * r, 1)) for name, (c, r) in found.items()})
    # Four hundred folds are good to 2 %.
    assert all(covered > 0.89 for covered, _ in found.values()), found
    if areas[0] == areas[1]:
        assert all(rejected < 0.1 for _, rejected in found.values()), found
