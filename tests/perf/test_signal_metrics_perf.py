"""The signal metrics of a batch, and the summary of PTB-XL's test fold."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from mibench.benchmark.signal_metrics import CHEST_LEADS, record_statistics
from mibench.benchmark.signal_summary import summarize_signals

pytestmark = pytest.mark.perf

RECORDS, SAMPLES, RATE = 64, 5000, 500.0


def naive(real: np.ndarray, generated: np.ndarray, beats: list[np.ndarray]) -> None:
    """The same figures of one record, one lead and one pair of leads at a time."""
    for r, g, found in zip(real.astype(float), generated.astype(float), beats, strict=True):
        for a, b in zip(g, r, strict=True):
            np.mean((a - b) ** 2), np.mean(np.abs(a - b)), a.std(), b.std(), np.sqrt(np.mean(b**2))
        for leads in (r, g):
            one, two = leads[:2]
            made = (two - one, -(one + two) / 2, one - two / 2, two - one / 2)
            for lead, wanted in zip(leads[2:6], made, strict=True):
                np.sqrt(np.mean((lead - wanted) ** 2))
            for lead in leads[-len(CHEST_LEADS) :]:
                base = np.median(lead)
                np.median([lead[max(beat - 25, 0) : beat + 26].max() - base for beat in found])
        for a in g:
            for b in r:
                np.corrcoef(a, b)


def test_a_batch_is_faster_than_a_loop_and_memory_does_not_grow_with_it() -> None:
    generator = np.random.default_rng(0)
    real = generator.normal(0, 0.3, (RECORDS, 12, SAMPLES)).astype(np.float32)
    generated = (real + generator.normal(0, 0.1, real.shape)).astype(np.float32)
    beats = [np.arange(200 + k, SAMPLES, 420) for k in range(RECORDS)]
    record_statistics(real[:8], generated[:8], beats[:8], RATE)

    started = time.perf_counter()
    record_statistics(real, generated, beats, RATE)
    ours = time.perf_counter() - started
    started = time.perf_counter()
    naive(real[:8], generated[:8], beats[:8])
    looped = (time.perf_counter() - started) * RECORDS / 8

    peaks = []
    for size in (16, RECORDS):
        tracemalloc.start()
        record_statistics(real[:size], generated[:size], beats[:size], RATE)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    print(
        f"{RECORDS} records: {1000 * ours:.0f} ms, {1000 * ours / RECORDS:.1f} ms a record; looped numpy "
        f"{1000 * looped:.0f} ms, {looped / ours:.1f}x; peak {peaks[0]:.0f} MiB of 16 records, {peaks[1]:.0f} of 64"
    )
    assert looped / ours > 2.5
    assert peaks[1] < peaks[0] + 5


def test_two_thousand_resamples_of_the_test_fold_take_little_time_and_memory() -> None:
    generator = np.random.default_rng(1)
    real = generator.normal(0, 0.3, (16, 12, 500)).astype(np.float32)
    one = record_statistics(real, real / 2, [np.arange(50, 500, 100)] * 16, RATE)
    drawn = generator.integers(0, 16, 2203)
    fold = {name: array[drawn] for name, array in one.items()}
    patients = generator.integers(0, 1900, 2203)
    started = time.perf_counter()
    summarize_signals(fold, patients, resamples=2000, seed=0)
    seconds = time.perf_counter() - started
    tracemalloc.start()
    summarize_signals(fold, patients, resamples=2000, seed=0)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"summary of 2203 records, 2000 resamples: {seconds:.2f} s, {peak:.0f} MiB")
    assert seconds < 2
    assert peak < 64
