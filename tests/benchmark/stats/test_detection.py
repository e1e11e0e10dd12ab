"""Precision, sensitivity, Brier score and calibration, against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_curve

from mibench.benchmark.stats.detection import (
    SEPARATED,
    brier,
    calibration,
    clopper_pearson,
    detection_figures,
)


def scored(seed: int, records: int = 150, decimals: int = 9) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    generator = np.random.default_rng(seed)
    labels = generator.random(records) < 0.2
    return np.round(generator.normal(size=records) + labels, decimals), labels


@pytest.mark.parametrize("decimals", [9, 1, 0])
def test_figures_of_resamples_are_scikit_learns_with_weights_ties_included(decimals: int) -> None:
    scores, labels = scored(decimals, decimals=decimals)
    weights = np.random.default_rng(1).integers(0, 3, size=(20, len(scores))).astype(np.int16)
    weights[0] = 1
    found = detection_figures(scores, labels, weights)
    for resample, weight in enumerate(weights):
        precision = average_precision_score(labels, scores, sample_weight=weight)
        repeated = np.repeat(np.arange(len(scores)), weight)
        false, true, _ = roc_curve(labels[repeated], scores[repeated], drop_intermediate=False)
        wanted = [precision, *(true[false <= allowed + 1e-12].max() for allowed in (0.1, 0.05))]
        assert found[:, resample] == pytest.approx(wanted, abs=1e-12)


def test_a_specificity_that_is_met_exactly_counts() -> None:
    scores, labels = np.arange(21.0), np.zeros(21, dtype=bool)
    labels[18] = True  # two of twenty negatives lie above
    found = detection_figures(scores, labels, np.ones((1, 21), dtype=np.int16))
    assert found[:, 0].tolist() == pytest.approx([1 / 3, 1.0, 0.0])


def test_a_resample_without_one_class_is_undefined() -> None:
    scores, labels = scored(3)
    weights = np.stack([labels, ~labels]).astype(np.int16)
    assert np.isnan(detection_figures(scores, labels, weights)).all()


def test_brier_is_scikit_learns_and_bears_large_logits() -> None:
    scores, labels = scored(4)
    assert brier(scores[:, None], labels[:, None])[0] == pytest.approx(
        brier_score_loss(labels, 1 / (1 + np.exp(-scores)))
    )
    assert brier(np.array([[1e4], [-1e4]]), np.array([[1], [1]]))[0] == pytest.approx(0.5)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-3, 2.0), (40.0, -300.0)])
def test_calibration_is_an_unpenalised_logistic_regression(scale: float, shift: float) -> None:
    scores, labels = scored(5)
    fitted = calibration(scale * scores + shift, labels)
    assert not isinstance(fitted, str)
    wanted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(scores[:, None], labels)
    slope, intercept = wanted.coef_[0, 0] / scale, wanted.intercept_[0]
    assert fitted == pytest.approx((slope, intercept - slope * shift), rel=1e-4)


def test_what_has_no_slope_says_why() -> None:
    labels = np.array([False, False, True, True])
    assert calibration(np.array([0.0, 1.0, 1.0, 2.0]), labels) == SEPARATED
    assert calibration(np.array([2.0, 3.0, 0.0, 1.0]), labels) == SEPARATED
    assert calibration(np.ones(4), labels) == "its logits are all the same"
    assert isinstance(calibration(np.array([0.0, 1.5, 1.0, 2.0]), labels), tuple)


@pytest.mark.parametrize(("found", "positives"), [(0, 2), (1, 2), (2, 2), (3, 19)])
def test_the_exact_interval_is_scipys(found: int, positives: int) -> None:
    wanted = binomtest(found, positives).proportion_ci(method="exact")
    assert clopper_pearson(found, positives) == pytest.approx((wanted.low, wanted.high))
