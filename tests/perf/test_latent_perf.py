"""Latent FID at the size of PTB-XL's test fold: 2,203 records of 1,024 features."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.linalg import sqrtm

from mibench.benchmark.frechet import frechet
from mibench.benchmark.latent import summarize_latent

pytestmark = pytest.mark.perf

RECORDS, FEATURES = 2203, 1024


def features() -> tuple[np.ndarray, np.ndarray]:
    """Real and generated features with a spectrum as encoders have it, paired."""
    generator = np.random.default_rng(0)
    scale = np.arange(1, FEATURES + 1) ** -0.5
    real, other = (generator.normal(size=(RECORDS, FEATURES)) * scale for _ in range(2))
    return real, 0.8 * real + 0.3 * other


def test_fid_takes_under_three_seconds_and_less_than_a_root_of_the_product() -> None:
    real, generated = features()
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        found = frechet(real, generated).total
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    first, second = np.cov(real.T), np.cov(generated.T)
    root = np.trace(np.asarray(sqrtm(first @ second))).real
    gap = real.mean(axis=0) - generated.mean(axis=0)
    expected = float(gap @ gap + np.trace(first) + np.trace(second) - 2 * root)
    usual = time.perf_counter() - started
    ours = min(seconds)
    print(
        f"FID of {RECORDS} x {FEATURES}: {ours:.2f} s; scipy.linalg.sqrtm of the product {usual:.2f} s, "
        f"{usual / ours:.1f} times as long; they differ by {abs(found - expected) / expected:.1e}"
    )
    assert found == pytest.approx(expected, rel=1e-8)
    assert ours < 3
    assert ours < usual


def test_the_whole_summary_takes_seconds() -> None:
    real, generated = features()
    patients = np.random.default_rng(1).integers(0, 1900, RECORDS)
    started = time.perf_counter()
    found = summarize_latent(real, generated, patients, seed=0)
    seconds = time.perf_counter() - started
    print(f"all latent distances of {RECORDS} x {FEATURES}, 2,000 resamples: {seconds:.1f} s; FID {found['fid']:.4f}")
    assert seconds < 20
