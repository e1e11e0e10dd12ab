"""ROC AUC against scikit-learn and against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mibench.benchmark.metrics import auc, macro


def pairwise(scores: np.ndarray, labels: np.ndarray) -> float:
    """The definition: the share of pairs that are in order, ties counted half."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    difference = positive[:, None] - negative[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], dtype=float)
    labels = np.array([label for _, label in rows], dtype=int)
    found = auc(scores[:, None], labels[:, None])
    assert found.shape == (1,)
    if labels.min() == labels.max():
        assert np.isnan(found[0])
    else:
        assert found[0] == pytest.approx(pairwise(scores, labels), abs=1e-12)


@pytest.mark.parametrize("decimals", [1, 8])
def test_auc_equals_scikit_learn_for_every_head_and_statement(decimals: int) -> None:
    generator = np.random.default_rng(0)
    labels = generator.random((300, 7)) < 0.2
    scores = np.round(generator.normal(size=(2, 3, 300, 7)), decimals).astype(np.float32)
    found = auc(scores, labels)
    assert found.shape == (2, 3, 7)
    assert found.dtype == np.float64
    for place in np.ndindex(2, 3):
        np.testing.assert_allclose(found[place], roc_auc_score(labels, scores[place], average=None), atol=1e-12)


def test_auc_is_unchanged_by_a_monotone_scale_and_turns_with_the_sign() -> None:
    generator = np.random.default_rng(1)
    scores, labels = generator.normal(size=(80, 3)), generator.random((80, 3)) < 0.3
    np.testing.assert_allclose(auc(np.exp(scores), labels), auc(scores, labels))
    np.testing.assert_allclose(auc(-scores, labels), 1 - auc(scores, labels))


def test_auc_is_undefined_without_both_classes_or_with_nan_scores() -> None:
    labels = np.array([[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]])
    scores = np.array([[0.1, 0.2, 0.3, 0.9], [0.4, 0.1, 0.2, 0.5], [0.3, 0.3, 0.1, np.nan]])
    found = auc(scores, labels)
    assert np.isnan(found[[0, 1, 3]]).all()
    assert found[2] == 0.5


def test_auc_takes_infinite_scores() -> None:
    scores = np.array([[-np.inf], [0.0], [np.inf], [np.inf]])
    assert auc(scores, np.array([[0], [0], [1], [0]]))[0] == pytest.approx(2.5 / 3)


def test_auc_of_no_records_is_undefined() -> None:
    assert np.isnan(auc(np.empty((2, 0, 3)), np.empty((0, 3)))).all()


@pytest.mark.parametrize("shape", [(5,), (5, 2), (4, 3), (2, 5, 2)])
def test_auc_refuses_shapes_that_do_not_belong_together(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="records, statements"):
        auc(np.zeros(shape), np.zeros((5, 3)))


def test_macro_leaves_undefined_values_out() -> None:
    found = macro(np.array([[0.5, np.nan, 0.7], [np.nan, np.nan, np.nan]]))
    assert found[0] == pytest.approx(0.6)
    assert np.isnan(found[1])
