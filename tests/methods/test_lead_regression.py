"""Linear filters from lead I: against design matrices written out, and against the records that they were made of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from mibench.methods.lead_regression import LagSums, LeadFilters, apply_taps, centred, mean_squared_errors, solve

CPU = torch.device("cpu")
HALF = 4


def records(count: int, samples: int = 60, leads: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A lead I with offsets and power at the very ends, and leads that hang together with it."""
    generator = torch.Generator().manual_seed(seed)
    lead = torch.randn(count, 1, samples, generator=generator, dtype=torch.float64).cumsum(-1)
    lead += 5 * torch.randn(count, 1, 1, generator=generator, dtype=torch.float64)
    mixing = torch.randn(leads, 1, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, leads, samples, generator=generator, dtype=torch.float64)
    return lead, functional.conv1d(functional.pad(lead, (1, 1)), mixing) + noise


def design(lead: Tensor, half: int) -> Tensor:
    """(batch * samples, taps): what each tap sees at each sample, zero beyond the record; one entry after another."""
    seen = centred(lead)[:, 0]
    rows = []
    for record in seen:
        for t in range(len(record)):
            places = range(t - half, t + half + 1)
            rows.append([float(record[p]) if 0 <= p < len(record) else 0.0 for p in places])
    return torch.tensor(rows, dtype=torch.float64)


def flat_targets(others: Tensor) -> Tensor:
    return others.permute(0, 2, 1).flatten(0, 1)


def sums_of(lead: Tensor, others: Tensor, half: int = HALF, batch: int = 100) -> LagSums:
    sums = LagSums(others.shape[1], half, CPU)
    for start in range(0, len(lead), batch):
        sums.add(lead[start : start + batch], others[start : start + batch])
    return sums


def assert_close(found: Tensor, wanted: Tensor, tolerance: float = 1e-9) -> None:
    assert float((found - wanted).abs().max()) <= tolerance * float(wanted.abs().max())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(0, 6), st.integers(13, 40), st.integers(0, 1000))
def test_sums_are_those_of_an_explicit_design_matrix(count: int, half: int, samples: int, seed: int) -> None:
    lead, others = records(count, samples, seed=seed)
    sums = sums_of(lead, others, half, batch=3)
    matrix, targets = design(lead, half), flat_targets(others)
    assert_close(sums.gram, matrix.T @ matrix)
    assert_close(sums.cross, targets.T @ matrix)
    assert_close(sums.power, targets.square().sum(0))
    assert sums.samples == count * samples


def test_taps_are_those_of_least_squares_on_the_design_matrix() -> None:
    lead, others = records(5)
    sums = sums_of(lead, others)
    matrix, targets = design(lead, HALF), flat_targets(others)
    plain, ridged = solve(sums, (0.0, 0.3))
    assert_close(plain, torch.linalg.lstsq(matrix, targets).solution.T)
    added = 0.3 * float(centred(lead).square().sum()) * torch.eye(2 * HALF + 1, dtype=torch.float64)
    assert_close(ridged, torch.linalg.solve(matrix.T @ matrix + added, matrix.T @ targets).T)


def test_what_is_applied_is_what_was_fitted() -> None:
    lead, others = records(4)
    taps = torch.randn(3, 2 * HALF + 1, dtype=torch.float64)
    made = apply_taps(taps, lead)
    assert_close(flat_targets(made), design(lead, HALF) @ taps.T)
    errors = (made - others).square().mean(dim=(0, 2))
    assert_close(mean_squared_errors(sums_of(lead, others), taps), errors)
    several = solve(sums_of(lead, others), (1e-3, 1.0))
    applied = torch.stack([(apply_taps(one, lead) - others).square().mean(dim=(0, 2)) for one in several])
    assert_close(mean_squared_errors(sums_of(lead, others), several), applied)


def test_the_error_on_the_fitted_records_is_least_without_a_ridge() -> None:
    sums = sums_of(*records(5))
    ridges = (0.0, 1e-3, 1e-1, 10.0)
    errors = mean_squared_errors(sums, solve(sums, ridges)).sum(dim=-1)
    assert bool((errors.diff() > 0).all())


def test_batches_make_no_difference() -> None:
    lead, others = records(7)
    whole, single = sums_of(lead, others), sums_of(lead, others, batch=1)
    for name in ("gram", "cross", "power"):
        assert_close(getattr(single, name), getattr(whole, name), 1e-12)
    assert single.samples == whole.samples


def test_one_tap_is_the_covariance_over_the_variance() -> None:
    lead, others = records(6)
    gain = solve(sums_of(lead, others, half=0), (0.0,))[0]
    about = others - others.mean(-1, keepdim=True)
    wanted = (about * centred(lead)).sum(dim=(0, 2)) / centred(lead).square().sum()
    assert_close(gain[:, 0], wanted)


def test_an_offset_of_the_electrode_changes_nothing() -> None:
    lead, others = records(3)
    sums, moved = sums_of(lead, others), sums_of(lead + 100, others)
    assert_close(moved.gram, sums.gram)
    assert_close(moved.cross, sums.cross)
    filters = LeadFilters(2, HALF)
    assert_close(filters(lead + 100).double(), filters(lead).double(), 1e-6)
    assert float(filters(torch.full((1, 1, 50), 3.0)).abs().max()) == 0


def test_filters_find_the_delay_that_was_put_in() -> None:
    lead = torch.randn(4, 1, 300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lead -= lead.mean(-1, keepdim=True)
    later = functional.pad(lead, (0, 2))[..., 2:]
    taps = solve(sums_of(lead, 0.5 * later), (0.0,))[0, 0]
    wanted = torch.zeros(2 * HALF + 1, dtype=torch.float64)
    wanted[HALF + 2] = 0.5
    assert float((taps - wanted).abs().max()) < 1e-9


def test_a_record_gives_the_same_in_any_batch() -> None:
    filters = LeadFilters(5, HALF)
    lead = torch.randn(6, 1, 200)
    together = filters(lead)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together[2:3], filters(lead[2:3]), rtol=1e-6, atol=1e-7)


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(ValueError, match="records of 8 samples are shorter than a filter of 9 taps"):
        LagSums(1, HALF, CPU).add(torch.ones(1, 1, 8), torch.ones(1, 1, 8))
    with pytest.raises(ValueError, match="no power"):
        solve(sums_of(torch.zeros(2, 1, 20), torch.randn(2, 1, 20)), (0.1,))
