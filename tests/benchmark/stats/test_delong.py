"""DeLong's variances against the definition, and the patient bootstrap against DeLong's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mibench.benchmark.metrics import auc
from mibench.benchmark.stats import resample_weights, resampled_aucs
from mibench.benchmark.stats.delong import delong, influence


def naive(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every positive against every negative, as the definition has it."""
    own, others = scores[:, labels], scores[:, ~labels]
    won = (own[:, :, None] > others[:, None, :]) + 0.5 * (own[:, :, None] == others[:, None, :])
    above, below = won.mean(2), won.mean(1)
    covariance = np.cov(above) / above.shape[1] + np.cov(below) / below.shape[1]
    return won.mean((1, 2)), covariance


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 40), st.integers(2, 4), st.booleans())
def test_the_fast_way_gives_what_the_definition_gives(
    seed: int, positives: int, negatives: int, rows: int, ties: bool
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(rows, positives + negatives))
    scores = np.round(scores) if ties else scores
    labels = np.arange(positives + negatives) < positives
    areas, covariance = delong(scores, labels)
    expected = naive(scores, labels)
    np.testing.assert_allclose(areas, expected[0], atol=1e-12)
    np.testing.assert_allclose(covariance, expected[1], atol=1e-12)


def test_one_positive_has_an_area_and_no_variance() -> None:
    areas, covariance = delong(np.array([[3.0, 1.0, 2.0], [1.0, 3.0, 2.0]]), np.array([1, 0, 0]))
    assert areas.tolist() == [1.0, 0.0]
    assert np.isnan(covariance).all()


def test_bootstrap_and_delong_agree_where_positives_are_many() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(1500) < 250
    scores = generator.normal(size=(2, 1500)) + labels
    weights = resample_weights(labels[:, None], np.arange(1500), 2000, 0)
    drawn = np.stack([resampled_aucs(row[:, None], labels[:, None], weights)[:, 0] for row in scores])
    areas, covariance = delong(scores, labels)
    assert areas[0] == pytest.approx(float(auc(scores[0][:, None], labels[:, None])[0]))
    np.testing.assert_allclose(np.sqrt(np.diag(np.cov(drawn))), np.sqrt(np.diag(covariance)), rtol=0.08)


def test_what_a_patient_adds_makes_up_the_variance_and_repeated_records_add_no_certainty() -> None:
    generator = np.random.default_rng(2)
    labels = np.arange(400) < 60
    scores = generator.normal(size=(1, 400)) + labels
    alone = influence(scores, labels, np.arange(400))
    assert (alone**2).sum() == pytest.approx(float(delong(scores, labels)[1][0, 0]), rel=0.02)
    twice = influence(np.repeat(scores, 2, axis=1), np.repeat(labels, 2), np.repeat(np.arange(400), 2))
    assert (twice**2).sum() == pytest.approx((alone**2).sum(), rel=1e-6)
