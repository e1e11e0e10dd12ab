"""Precision, sensitivity and calibration, against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_curve

from mibench.benchmark.stats import resample_weights
from mibench.benchmark.stats.calibration import brier, recalibrate
from mibench.benchmark.stats.operating_points import (
    average_precision,
    resampled_average_precision,
    resampled_sensitivity,
    sensitivity_at,
)


def fold(seed: int, decimals: int = 8, records: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.random((records, 4)) < np.array([0.5, 0.2, 0.05, 0.01])
    labels[:2] = [[True] * 4, [False] * 4]
    scores = generator.normal(-1.5, 1.3, size=labels.shape) + 1.2 * labels
    return np.round(scores, decimals), labels


def best_sensitivity(labels: np.ndarray, scores: np.ndarray, specificity: float, weights: np.ndarray) -> float:
    alarms, found, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    return float(found[alarms <= 1 - specificity + 1e-9].max())


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_metrics_agree_with_scikit_learn_with_ties(decimals: int) -> None:
    scores, labels = fold(1, decimals)
    precision, error = average_precision(scores, labels), brier(scores, labels)
    for k in range(labels.shape[1]):
        assert precision[k] == pytest.approx(average_precision_score(labels[:, k], scores[:, k]))
        assert error[k] == pytest.approx(brier_score_loss(labels[:, k], 1 / (1 + np.exp(-scores[:, k]))))
        for specificity in (0.5, 0.9, 0.95, 1.0):
            found = sensitivity_at(scores, labels, specificity)[k]
            assert found == pytest.approx(best_sensitivity(labels[:, k], scores[:, k], specificity, np.ones(400)))


@pytest.mark.parametrize("decimals", [0, 8])
def test_every_resample_agrees_with_scikit_learn(decimals: int) -> None:
    scores, labels = fold(2, decimals)
    weights = resample_weights(labels, np.arange(400) // 2, 12, seed=0)
    precision = resampled_average_precision(scores, labels, weights)
    found = resampled_sensitivity(scores, labels, weights, 0.9)
    for r, drawn in enumerate(weights):
        for k in range(3):
            expected = average_precision_score(labels[:, k], scores[:, k], sample_weight=drawn)
            assert precision[r, k] == pytest.approx(expected)
            assert found[r, k] == pytest.approx(best_sensitivity(labels[:, k], scores[:, k], 0.9, drawn))


def test_perfect_and_reversed_scores() -> None:
    _, labels = fold(3)
    signs = np.where(labels, 1.0, -1.0)
    assert (average_precision(signs, labels) == 1).all()
    assert (sensitivity_at(signs, labels, 1.0) == 1).all()
    assert (sensitivity_at(-signs, labels, 0.95) == 0).all()
    assert (sensitivity_at(-signs, labels, 0.0) == 1).all()
    assert (brier(50 * signs, labels) < 1e-20).all()
    assert (brier(-50 * signs, labels) == 1).all()


def test_calibration_is_what_maximum_likelihood_finds() -> None:
    scores, labels = fold(4, records=3000)
    found = recalibrate(scores, labels)
    for k in range(labels.shape[1]):
        column, present = scores[:, k], labels[:, k]
        fit = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(column[:, None], present)
        assert found.slope[k] == pytest.approx(fit.coef_[0, 0], rel=1e-4)
        assert found.intercept[k] == pytest.approx(fit.intercept_[0], rel=1e-4, abs=1e-4)
        signed = np.where(present, 1, -1)
        shift = minimize(lambda a, s=signed, z=column: np.logaddexp(0, -s * (z + a)).sum(), 0.0, tol=1e-10)
        assert found.in_the_large[k] == pytest.approx(shift.x[0], abs=1e-4)


def test_scores_that_are_log_odds_are_calibrated_and_doubled_ones_too_sure() -> None:
    generator = np.random.default_rng(5)
    logits = generator.normal(-1, 1.5, size=(60_000, 2))
    labels = generator.random(logits.shape) < 1 / (1 + np.exp(-logits))
    found = recalibrate(logits * [1, 2], labels)
    np.testing.assert_allclose(found.slope, [1, 0.5], rtol=0.03)
    np.testing.assert_allclose(found.intercept, 0, atol=0.05)
    assert found.in_the_large[0] == pytest.approx(0, abs=0.05)


def test_far_away_scores_still_have_a_slope() -> None:
    scores, labels = fold(6)
    plain, moved = recalibrate(scores, labels), recalibrate(1000 + 30 * scores, labels)
    np.testing.assert_allclose(moved.slope, plain.slope / 30, rtol=1e-6)


def test_what_is_undefined_is_nan_and_the_rest_stands() -> None:
    scores, labels = fold(7)
    labels[:, 0], labels[:, 1] = False, True
    scores[:, 2] = labels[:, 2]
    found = recalibrate(scores, labels)
    assert np.isnan(found.slope).tolist() == [True, True, True, False]
    assert np.isnan(found.in_the_large).tolist() == [True, True, False, False]
    assert np.isnan(average_precision(scores, labels)).tolist() == [True, False, False, False]
    assert np.isnan(sensitivity_at(scores, labels, 0.9)).tolist() == [True, True, False, False]
    assert np.isnan(recalibrate(np.zeros((10, 1)), np.arange(10)[:, None] < 3).slope[0])
    with pytest.raises(ValueError, match="0 to 1"):
        sensitivity_at(scores, labels, 90)
