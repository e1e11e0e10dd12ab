"""The intervals of one run: 2,000 resamples of PTB-XL's test fold for nine statements."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mibench.benchmark.metrics import auc
from mibench.benchmark.stats import resample_weights, summarize

pytestmark = pytest.mark.perf

RECORDS, RESAMPLES = 2163, 2000


def test_two_thousand_resamples_take_under_a_second_and_little_memory() -> None:
    generator = np.random.default_rng(0)
    labels = np.zeros((RECORDS, 9), dtype=int)
    for column, count in enumerate((29, 35, 236, 48, 268, 5, 3, 20, 2)):
        labels[generator.choice(RECORDS, count, replace=False), column] = 1
    scores = generator.normal(size=labels.shape) + labels
    patients = generator.integers(0, 1850, RECORDS)

    started = time.perf_counter()
    summarize(scores, labels, patients, resamples=RESAMPLES, seed=0)
    ours = time.perf_counter() - started

    weights = resample_weights(labels, patients, 20, seed=0)
    started = time.perf_counter()
    for drawn in weights:
        for column in range(9):
            roc_auc_score(labels[:, column], scores[:, column], sample_weight=drawn)
    naive = (time.perf_counter() - started) * RESAMPLES / len(weights)

    tracemalloc.start()
    summarize(scores, labels, patients, resamples=RESAMPLES, seed=0)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(
        f"{RESAMPLES} resamples: {ours:.2f} s, {peak:.0f} MiB; looped scikit-learn {naive:.1f} s, {naive / ours:.0f}x"
    )
    assert ours < 1.0
    assert peak < 64
    assert naive / ours > 20


def test_auc_of_fifteen_heads_is_faster_than_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(size=(15, 2146, 44)).astype(np.float32)
    labels = generator.random((2146, 44)) < 0.05
    started = time.perf_counter()
    auc(scores, labels)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    for head in scores:
        roc_auc_score(labels, head, average=None)
    naive = time.perf_counter() - started
    print(f"AUC of (15, 2146, 44): {1000 * ours:.0f} ms; scikit-learn {1000 * naive:.0f} ms, {naive / ours:.0f}x")
    assert naive / ours > 3
