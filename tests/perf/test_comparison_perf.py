"""A whole board compared: thirteen methods, nine statements, 2,000 paired resamples of PTB-XL's test fold."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mibench.benchmark.ecg import MI_STATEMENTS
from mibench.benchmark.stats import paired_differences, resample_weights

pytestmark = pytest.mark.perf

RECORDS, RESAMPLES, METHODS = 2203, 2000, 13


def test_a_board_is_compared_within_ten_seconds() -> None:
    generator = np.random.default_rng(0)
    labels = np.zeros((RECORDS, 9), dtype=bool)
    for column, count in enumerate((29, 35, 236, 48, 268, 5, 3, 20, 2)):
        labels[generator.choice(RECORDS, count, replace=False), column] = True
    patients = generator.integers(0, 1850, RECORDS)
    rows = [(generator.normal(size=labels.shape) + labels)[None].astype(np.float32) for _ in range(METHODS)]

    started = time.perf_counter()
    paired_differences(rows, labels, patients, MI_STATEMENTS, resamples=RESAMPLES, seed=0)
    ours = time.perf_counter() - started

    weights = resample_weights(labels, patients, 10, seed=0)
    started = time.perf_counter()
    for drawn in weights:
        for column in range(9):
            roc_auc_score(labels[:, column], rows[0][0, :, column], sample_weight=drawn)
    naive = (time.perf_counter() - started) * METHODS * RESAMPLES / len(weights)
    print(f"{METHODS} methods, {RESAMPLES} resamples: {ours:.1f} s; scikit-learn {naive:.0f} s: {naive / ours:.0f}x")
    assert ours < 10.0
    assert naive / ours > 30
