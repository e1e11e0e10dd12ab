"""Latent distances: closed forms, invariants, other ways to the same number, and what simulations know to be true."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from mibench.adapters.errors import MibenchError
from mibench.benchmark.frechet import extrapolated, floor, frechet
from mibench.benchmark.latent import kid, paired, summarize_latent

Matrix = np.ndarray[Any, np.dtype[np.float64]]

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 24))
"""Records and features: more, fewer, and as many of one as of the other."""


def draw(records: int, features: int, seed: int, decay: float = 0.5) -> Matrix:
    """Correlated features of total variance one, whose eigenvalues fall as i^-decay, away from the origin."""
    generator = np.random.default_rng(seed)
    scale = np.arange(1, features + 1) ** (-decay / 2)
    mixing, _ = np.linalg.qr(generator.normal(size=(features, features)))
    return generator.normal(size=(records, features)) * (scale / np.linalg.norm(scale)) @ mixing + 3


def with_moments(mean: Matrix, deviation: Matrix, seed: int) -> Matrix:
    """Records whose sample mean and covariance are exactly `mean` and diag(`deviation`^2)."""
    raw = np.random.default_rng(seed).normal(size=(5 * len(mean), len(mean)))
    centred = raw - raw.mean(axis=0)
    white = centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T))).T
    return white * deviation + mean


def by_covariances(real: Matrix, generated: Matrix) -> float:
    """The textbook formula, with a root of the product of the covariances."""
    first, second = np.cov(real.T), np.cov(generated.T)
    root = np.asarray(sqrtm(first @ second)).real
    gap = real.mean(axis=0) - generated.mean(axis=0)
    return float(gap @ gap + np.trace(first + second - 2 * root))


def by_eigenvalues(real: Matrix, generated: Matrix) -> float:
    first, second = np.cov(real.T), np.cov(generated.T)
    roots = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real
    gap = real.mean(axis=0) - generated.mean(axis=0)
    return float(gap @ gap + np.trace(first) + np.trace(second) - 2 * roots.sum())


def spread(features: Matrix) -> float:
    return float(((features - features.mean(axis=0)) ** 2).sum() / max(len(features) - 1, 1))


@settings(max_examples=25, deadline=None)
@given(sizes, seeds)
def test_a_set_has_no_distance_from_itself(size: tuple[int, int], seed: int) -> None:
    features = draw(*size, seed)
    found = frechet(features, features)
    assert found.mean == 0
    assert 0 <= found.total <= 1e-12 * (1 + spread(features))


@settings(max_examples=25, deadline=None)
@given(sizes, st.integers(1, 40), seeds)
def test_the_distance_is_symmetric_scales_with_the_square_and_ignores_rotations(
    size: tuple[int, int], others: int, seed: int
) -> None:
    """At any numbers of records, a single one included."""
    real, generated = draw(*size, seed), draw(others, size[1], seed + 1) + 1
    found = frechet(real, generated).total
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size[1], size[1])))
    assert frechet(generated, real).total == pytest.approx(found, rel=1e-9)
    assert frechet(1000 * real, 1000 * generated).total == pytest.approx(1e6 * found, rel=1e-9)
    assert frechet(real @ rotation, generated @ rotation).total == pytest.approx(found, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(sizes, seeds)
def test_a_shift_costs_its_square_and_nothing_else(size: tuple[int, int], seed: int) -> None:
    real = draw(*size, seed)
    shift = np.random.default_rng(seed).normal(size=size[1])
    found = frechet(real, real + shift)
    assert found.mean == pytest.approx(shift @ shift, rel=1e-9)
    assert found.covariance <= 1e-9 * (1 + spread(real))
    assert found.total == found.mean + found.covariance


@settings(max_examples=25, deadline=None)
@given(sizes, st.floats(0, 3), seeds)
def test_fid_never_exceeds_the_paired_distance(size: tuple[int, int], noise: float, seed: int) -> None:
    """Gelbrich's bound, which holds for covariances over n."""
    records = size[0]
    real = draw(*size, seed)
    generated = 0.6 * real + noise * draw(*size, seed + 1)
    found = frechet(real, generated)
    distance = paired(real, generated, np.arange(records), seed=0, resamples=2).distance
    assert found.mean + found.covariance * (records - 1) / records <= distance * (1 + 1e-9) + 1e-12


def test_known_gaussians_have_the_distance_of_the_closed_form() -> None:
    first, second = np.array([0.0, 1.0, -2.0, 4.0]), np.array([0.5, 1.0, 0.0, 4.0])
    widths, others = np.array([1.0, 2.0, 0.5, 3.0]), np.array([2.0, 0.1, 0.5, 1.0])
    found = frechet(with_moments(first, widths, 0), with_moments(second, others, 1))
    assert found.mean == pytest.approx(((first - second) ** 2).sum())
    assert found.covariance == pytest.approx(((widths - others) ** 2).sum())


@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_the_textbook_formula_and_its_eigenvalues_agree(decay: float) -> None:
    real, generated = draw(150, 40, 0, decay), 0.7 * draw(200, 40, 1, decay) + 1
    found = frechet(real, generated).total
    assert found == pytest.approx(by_covariances(real, generated), rel=1e-9)
    assert found == pytest.approx(by_eigenvalues(real, generated), rel=1e-9)


def test_fewer_records_than_features_are_no_trouble() -> None:
    """Rank-deficient covariances differ only in the space that the records span; there the formula is well behaved."""
    plane, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(300, 10)))
    real, generated = draw(30, 10, 0), 0.5 * draw(25, 10, 1)
    lifted = frechet(real @ plane.T, generated @ plane.T)
    assert lifted.total == pytest.approx(by_covariances(real, generated), rel=1e-9)
    wide = draw(20, 300, 3)
    assert frechet(wide, 0.5 * wide).covariance == pytest.approx(0.25 * spread(wide), rel=1e-9)


def test_one_record_has_a_mean_and_no_spread() -> None:
    real = draw(30, 8, 0)
    found = frechet(real, real[:1])
    assert found.covariance == pytest.approx(spread(real))
    assert frechet(real[:1], real[1:2]).total == pytest.approx(((real[0] - real[1]) ** 2).sum())


class _AsIs(torch.nn.Module):
    """Features go through unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def test_torchmetrics_finds_the_same_fid() -> None:
    image = pytest.importorskip("torchmetrics.image.fid")
    real, generated = draw(300, 32, 0), 0.8 * draw(300, 32, 1) + 0.6
    metric = image.FrechetInceptionDistance(feature=_AsIs(32)).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    assert frechet(real, generated).total == pytest.approx(float(metric.compute()), rel=1e-6)


def test_torchmetrics_finds_the_same_kernel_distance_but_for_the_pairs() -> None:
    """It holds each record also against the one generated for it; that is taken out here by hand."""
    image = pytest.importorskip("torchmetrics.image.kid")
    records, width = 90, 12
    real = draw(records, width, 0)
    generated = 0.5 * real + 0.5 * draw(records, width, 1)
    x, y = ((features - real.mean(axis=0)) / real.std(axis=0, ddof=1) for features in (real, generated))
    metric = image.KernelInceptionDistance(feature=_AsIs(width), subsets=1, subset_size=records)
    metric = metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    cross = (x @ y.T / width + 1) ** 3
    others = (cross.sum() - np.trace(cross)) / (records * (records - 1))
    expected = float(metric.compute()[0]) + 2 * cross.mean() - 2 * others
    assert kid(real, generated) == pytest.approx(expected, rel=1e-6)


def test_the_kernel_distance_does_not_depend_on_how_it_is_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = draw(70, 9, 0), 0.5 * draw(70, 9, 1)
    whole = kid(real, generated)
    monkeypatch.setattr("mibench.benchmark.latent._BLOCK", 16)
    assert kid(real, generated) == pytest.approx(whole, rel=1e-12)


def test_the_kernel_distance_sees_shrinkage_at_any_scale_of_the_features() -> None:
    real = draw(300, 32, 0)
    small = kid(1e-3 * real, 1e-3 * (real.mean(axis=0) + 0.5 * (real - real.mean(axis=0))))
    assert small == pytest.approx(kid(real, real.mean(axis=0) + 0.5 * (real - real.mean(axis=0))), rel=1e-6)
    assert small is not None
    assert small > 0.01
    assert kid(real, real) == pytest.approx(0, abs=1e-12)


def test_the_kernel_distance_leaves_constant_features_out() -> None:
    real, generated = draw(40, 6, 0), draw(40, 6, 1)
    constant = np.full((40, 1), 0.1)
    assert kid(np.hstack([real, constant]), np.hstack([generated, 5 * constant])) == pytest.approx(kid(real, generated))
    assert kid(np.ones((40, 3)), np.zeros((40, 3))) is None


SIMULATED: dict[str, tuple[float, float, Callable[[Matrix, Matrix], Matrix]]] = {
    # The same distribution, drawn apart; then paired and wrong; then of the right spread, but half of it noise.
    "null": (0.0, 0.02, lambda real, other: other),
    "shift": (0.01, 1e-9, lambda real, other: real + np.sqrt(0.01 / real.shape[1])),
    "shrink": (0.25, 0.01, lambda real, other: 0.5 * real),
    "noisy": (0.0, 0.02, lambda real, other: 0.8 * real + 0.6 * other),
}


@pytest.mark.parametrize("case", SIMULATED)
def test_extrapolation_finds_the_truth_where_fid_is_off(case: str) -> None:
    """Sets like 2,203 records of 1,024 features in their proportions, of total variance one."""
    truth, tolerance, generate = SIMULATED[case]
    generator = np.random.default_rng(7)
    scale = np.arange(1, 65) ** -0.25
    scale /= np.linalg.norm(scale)
    found, raw = [], []
    for seed in range(8):
        real, other = (generator.normal(size=(138, 64)) * scale for _ in range(2))
        generated = generate(real, other)
        found.append(extrapolated(real, generated, seed))
        raw.append(frechet(real, generated).total)
    assert np.mean(found) == pytest.approx(truth, abs=tolerance)
    if case in ("null", "noisy"):
        assert np.mean(raw) > truth + 2 * tolerance, "chance alone makes a distance at this number of records"


def test_extrapolation_repeats_itself_and_needs_sixteen_pairs() -> None:
    real, generated = draw(40, 12, 0), draw(40, 12, 1)
    assert extrapolated(real, generated, 3) == extrapolated(real, generated, 3)
    assert extrapolated(real, real, 3) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="at least 16"):
        extrapolated(real[:15], generated[:15], 3)
    with pytest.raises(ValueError, match="same shape"):
        extrapolated(real, generated[:30], 3)


def test_the_floor_is_what_two_draws_of_one_distribution_give() -> None:
    """And more than what paired sets of no true distance come to."""
    real = draw(400, 32, 0)
    found = floor(real, 0, splits=6)
    drawn = [frechet(draw(400, 32, 0)[:200], draw(400, 32, 0)[200:]).total, found.mean]
    assert found.records == 200
    assert drawn[0] == pytest.approx(drawn[1], rel=0.2)
    assert 0 < found.deviation < 0.3 * found.mean
    assert floor(real, 0, splits=6) == found != floor(real, 1, splits=6)
    centred = real - 3
    noisy = 0.95 * centred + math.sqrt(1 - 0.95**2) * (draw(400, 32, 0)[::-1] - 3)
    assert frechet(centred, noisy).total < 0.5 * found.mean
    with pytest.raises(ValueError):
        floor(real[:3], 0)


def test_paired_figures_are_plain_means_and_their_intervals_know_the_patients() -> None:
    real = draw(60, 8, 0)
    generated = real + np.repeat(np.random.default_rng(1).normal(size=(20, 8)), 3, axis=0)
    patients = np.repeat(np.arange(20), 3)
    found = paired(real, generated, patients, seed=0, resamples=500)
    alone = paired(real, generated, np.arange(60), seed=0, resamples=500)
    assert found.distance == pytest.approx(
        np.mean([((a - b) ** 2).sum() for a, b in zip(real, generated, strict=True)])
    )
    cosines = [a @ b / math.sqrt((a @ a) * (b @ b)) for a, b in zip(real, generated, strict=True)]
    assert found.cosine == pytest.approx(np.mean(cosines))
    for interval, value in ((found.distance_interval, found.distance), (found.cosine_interval, found.cosine)):
        assert interval is not None
        assert interval[0] < value < interval[1]
    assert found.distance_interval is not None
    assert alone.distance_interval is not None
    assert np.ptp(found.distance_interval) > 1.3 * np.ptp(alone.distance_interval), "three records of one are not three"
    shuffled = np.random.default_rng(2).permutation(60)
    again = paired(real[shuffled], generated[shuffled], patients[shuffled], seed=0, resamples=500)
    assert again.distance_interval == pytest.approx(found.distance_interval)


def test_features_of_zero_have_no_direction() -> None:
    real = np.array([[1.0, 0.0], [0.0, 2.0]])
    found = paired(real, np.array([[3.0, 0.0], [0.0, 0.0]]), ["a", "b"], seed=0, resamples=10)
    assert found.cosine == 0.5


def test_the_summary_is_whole_and_json_takes_it() -> None:
    real, other = draw(60, 12, 0), draw(60, 12, 1)
    generated = 0.7 * real + 0.3 * other
    found = summarize_latent(real.astype(np.float32), generated.astype(np.float32), np.arange(60), seed=5, resamples=50)
    json.dumps(found, allow_nan=False)
    whole = frechet(real.astype(np.float32), generated.astype(np.float32))
    assert (found["fid"], found["fid_mean"], found["fid_covariance"]) == (whole.total, whole.mean, whole.covariance)
    assert found["total_variance"] == pytest.approx(spread(real), rel=1e-5)
    assert found["relative"] == pytest.approx(whole.total / spread(real), rel=1e-5)
    assert found["floor_records"] == 30
    assert (found["records"], found["features"], found["notes"]) == (60, 12, [])
    again = summarize_latent(real.astype(np.float32), generated.astype(np.float32), np.arange(60), seed=5, resamples=50)
    assert again == found


def test_the_same_features_are_at_no_distance_in_any_figure() -> None:
    real = draw(40, 12, 0)
    found = summarize_latent(real, real, np.arange(40), seed=0, resamples=20)
    for name in ("fid", "fid_infinite", "paired_distance", "relative"):
        assert abs(found[name]) <= 1e-9 * found["total_variance"], name
    assert abs(found["kid"]) < 1e-12
    assert found["cosine"] == pytest.approx(1)


def test_what_so_few_records_cannot_say_is_none_and_said() -> None:
    few = summarize_latent(draw(3, 8, 0), draw(3, 8, 1), ["a", "a", "a"], seed=0, resamples=20)
    nothing = ("fid_infinite", "floor", "floor_sd", "floor_records", "paired_distance_interval", "cosine_interval")
    assert all(few[name] is None for name in nothing)
    assert few["fid"] > 0
    assert [note.split(":")[0] for note in few["notes"]] == [
        "3 records for 8 features",
        "fewer than 16 records",
        "all records are of one patient",
    ]
    flat = summarize_latent(np.ones((20, 3)), np.zeros((20, 3)), np.arange(20), seed=0, resamples=20)
    assert flat["fid"] == pytest.approx(3)
    assert flat["relative"] is None
    assert flat["kid"] is None
    assert flat["notes"] == ["3 of 3 features are constant over the real records and left out of KID"]


def test_a_single_record_is_refused_in_one_sentence() -> None:
    with pytest.raises(MibenchError, match="takes two test records or more, and there is 1"):
        summarize_latent(draw(1, 8, 0), draw(1, 8, 1), ["a"], seed=0)


def test_features_that_are_not_finite_or_do_not_belong_together_are_refused() -> None:
    real = draw(20, 4, 0)
    broken = real.copy()
    broken[3, 1] = np.nan
    broken[5, 0] = np.inf
    with pytest.raises(MibenchError, match="2 of 20 records are not finite"):
        frechet(real, broken)
    with pytest.raises(ValueError, match="4 and 3 features"):
        frechet(real, real[:, :3])
    with pytest.raises(ValueError, match="same shape"):
        summarize_latent(real, real[:10], np.arange(20), seed=0)
    with pytest.raises(ValueError, match="patients"):
        paired(real, real, np.arange(19), seed=0)


def test_real_records_in_another_order_are_called_what_they_are() -> None:
    real = draw(200, 60, 0)
    found = summarize_latent(real, np.roll(real, 1, axis=0), np.arange(200), seed=0, resamples=20)
    assert found["fid"] <= 1e-9 * found["total_variance"]
    assert found["fid_infinite"] < 0
    assert "exchanged among each other" in found["notes"][0]
