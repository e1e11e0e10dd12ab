"""Augmentations: their published size, what they must keep, and the same written out record by record."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from mibench.methods.augment import (
    INDEPENDENT,
    INVERSE_DOWER,
    NoiseConfig,
    VCGConfig,
    augment,
    augment_vcg,
    baseline_shift,
    baseline_wander,
    mask_leads,
    mask_time,
    muscle,
    powerline,
    vcg_map,
    with_limb_leads,
)

SILENCE = torch.zeros(600, 12, 1000)
NOISE = NoiseConfig(sampling_rate=100.0)
"""Ten seconds at 100 Hz: the sizes of slow noises do not depend on the rate."""


@pytest.mark.parametrize(
    ("draw", "published"),
    [(powerline, 0.036), (muscle, 0.058), (baseline_shift, 0.452), (baseline_wander, 0.071)],
)
def test_noise_is_as_large_as_published(draw: Any, published: float) -> None:
    torch.manual_seed(0)
    noise = with_limb_leads(SILENCE + draw(SILENCE, NOISE))
    assert noise.square().mean().sqrt().item() == pytest.approx(published, rel=0.06)


def test_half_of_the_leads_survive() -> None:
    torch.manual_seed(0)
    ecg = torch.ones(4096, 12, 2)
    left = mask_leads(ecg)[:, :, 0].sum(1)
    # Twelve coins: mean 6, deviation sqrt(3) / sqrt(4096) of the mean over records.
    assert left.mean().item() == pytest.approx(6.0, abs=0.1)
    assert left.min() <= 1
    assert left.max() >= 11


def test_leads_are_silenced_whole_and_untouched_otherwise() -> None:
    torch.manual_seed(0)
    ecg = torch.randn(8, 12, 50)
    masked = mask_leads(ecg)
    kept = masked.abs().sum(-1) > 0
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(masked, ecg * kept.unsqueeze(-1))


def test_noises_keep_einthoven_where_no_lead_is_silenced() -> None:
    torch.manual_seed(0)
    ecg = with_limb_leads(torch.randn(4, 12, 400))
    for draw in (powerline, muscle, baseline_shift, baseline_wander):
        ecg = with_limb_leads(ecg + draw(ecg, NOISE))
        _assert_einthoven(ecg)


def test_all_noises_then_silent_leads() -> None:
    torch.manual_seed(0)
    ecg = with_limb_leads(torch.randn(64, 12, 400))
    torch.manual_seed(1)
    view = augment(ecg, "noises", NOISE)
    kept = view.abs().sum(-1) > 0
    assert 5 < kept.float().sum(1).mean() < 7
    torch.manual_seed(1)
    whole = ecg
    for draw in (powerline, muscle, baseline_shift, baseline_wander):
        whole = with_limb_leads(whole + draw(whole, NOISE))
    assert torch.equal(view, whole * kept.unsqueeze(-1))
    assert augment(ecg, "none", NOISE) is ecg


def test_hum_is_one_cosine_of_50_or_60_hertz_in_all_leads() -> None:
    torch.manual_seed(0)
    hum = powerline(torch.zeros(40, 12, 5000), NoiseConfig())
    assert hum.shape == (40, 1, 5000)
    spectrum = torch.fft.rfft(hum[:, 0]).abs() / 2500
    peaks = spectrum.argmax(1) / 10
    assert set(peaks.tolist()) == {50.0, 60.0}
    assert spectrum.max(1).values.max() <= 0.1 + 1e-4
    others = spectrum.scatter(1, spectrum.argmax(1, keepdim=True), 0.0)
    assert others.max() < 1e-4


@pytest.mark.parametrize(("shift", "low", "high"), [("as_published", 0.9, 1.1), ("scaled", 0.0, 0.1)])
def test_the_baseline_moves_once_and_by_so_much(shift: Any, low: float, high: float) -> None:
    torch.manual_seed(0)
    moved = baseline_shift(torch.zeros(200, 12, 1000), NoiseConfig(shift=shift))
    inside = moved[:, 0] != 0
    steps = inside[:, 1:].int() - inside[:, :-1].int()
    assert ((steps == 1).sum(1) <= 1).all()
    assert ((steps == -1).sum(1) <= 1).all()
    assert inside.float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert inside.float().mean(1).std().item() == pytest.approx(0.04, abs=0.008)
    size = moved[moved != 0].abs()
    assert low <= size.min()
    assert size.max() <= high
    assert (moved > 0).any()
    assert (moved < 0).any()


def test_published_shifts_reach_two_units_in_a_limb_lead() -> None:
    torch.manual_seed(0)
    shift = with_limb_leads(SILENCE + baseline_shift(SILENCE, NOISE))
    assert 1.9 < shift.abs().max() <= 2.2


def test_wander_is_slow_and_differs_between_leads_by_a_factor_alone() -> None:
    torch.manual_seed(0)
    wander = baseline_wander(torch.zeros(3, 12, 1000), NOISE)
    assert np.linalg.matrix_rank(wander[0].double().numpy(), tol=1e-4) == 1
    assert wander.diff(dim=-1).abs().max() < 3 * 0.1 * 2 * math.pi * 0.2 / 100 * 3.5


def test_limb_leads_are_computed_from_one_and_two() -> None:
    ecg = torch.zeros(1, 12, 1)
    ecg[0, 0], ecg[0, 1], ecg[0, 2:6], ecg[0, 6:] = 1.0, 4.0, 99.0, 7.0
    assert with_limb_leads(ecg)[0, :, 0].tolist() == [1.0, 4.0, 3.0, -2.5, -1.0, 3.5, *[7.0] * 6]


def test_the_way_through_three_dimensions_loses_what_is_published() -> None:
    still = vcg_map(torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64))[0]
    published = [0.154, 0.930, 0.307, 0.426, 0.410, 0.315, 0.270, 0.189]
    assert still.diagonal().tolist() == pytest.approx(published, abs=5.1e-4)
    assert torch.allclose(still @ still, still)
    assert torch.linalg.matrix_rank(still) == 3


def test_turns_are_those_of_scipy() -> None:
    torch.manual_seed(0)
    angles = (torch.rand(5, 3, dtype=torch.float64) - 0.5) * math.pi / 2
    scales = 1 + torch.rand(5, 3, dtype=torch.float64) / 2
    found = vcg_map(angles, scales)
    inverse = np.array(INVERSE_DOWER)
    for index in range(5):
        turn = Rotation.from_euler("zyx", angles[index].numpy()).as_matrix()
        wanted = np.linalg.pinv(inverse) @ np.diag(scales[index].numpy()) @ turn @ inverse
        assert found[index].numpy() == pytest.approx(wanted, abs=1e-12)


def test_the_view_of_3kg_written_out() -> None:
    torch.manual_seed(0)
    ecg = torch.randn(6, 12, 400)
    torch.manual_seed(1)
    view = augment_vcg(ecg, VCGConfig())
    torch.manual_seed(1)
    angles = (torch.rand(6, 3) * 90 - 45) * math.pi / 180
    scales = 1 + torch.rand(6, 3) / 2
    starts = torch.randint(400, (6, 12))
    for record in range(6):
        turned = np.zeros((12, 400))
        mixed = vcg_map(angles[record : record + 1], scales[record : record + 1])[0] @ ecg[record, list(INDEPENDENT)]
        turned[list(INDEPENDENT)] = mixed.numpy()
        one, two = turned[0], turned[1]
        turned[2], turned[3], turned[4], turned[5] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
        for lead in range(12):
            turned[lead, [(int(starts[record, lead]) + step) % 400 for step in range(200)]] = 0.0
        assert view[record].numpy() == pytest.approx(turned, abs=2e-5)


@pytest.mark.parametrize("samples", [400, 401])
def test_exactly_half_of_every_lead_is_silent_in_one_piece(samples: int) -> None:
    torch.manual_seed(0)
    view = augment_vcg(torch.randn(16, 12, samples), VCGConfig())
    silent = view == 0
    assert (silent.sum(-1) == samples // 2).all()
    # Around the circle a piece has one beginning.
    assert ((silent & ~silent.roll(1, -1)).sum(-1) == 1).all()
    assert len(set(silent.flatten(0, 1).int().argmax(-1).tolist())) > 50


def test_nothing_silenced_keeps_einthoven() -> None:
    torch.manual_seed(0)
    _assert_einthoven(augment_vcg(torch.randn(4, 12, 50), VCGConfig(masked=0.0)))


def test_silence_goes_on_at_the_beginning() -> None:
    ecg = torch.ones(1, 2, 6)
    assert mask_time(ecg, torch.tensor([[1, 5]]), 3).tolist() == [[[1, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0]]]


def test_the_same_seed_gives_the_same_view() -> None:
    ecg = torch.randn(4, 12, 100)
    views = []
    for _ in range(2):
        torch.manual_seed(5)
        views.append((augment(ecg, "noises", NOISE), augment_vcg(ecg, VCGConfig())))
    assert all(torch.equal(one, other) for one, other in zip(*views, strict=True))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_amplitude": -0.1}, "max_amplitude must not be negative; got -0.1"),
        ({"shift": "meant"}, "shift must be as_published or scaled; got 'meant'"),
        ({"cosines": 0}, "must be positive; got 0"),
    ],
)
def test_refuses_noise_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        NoiseConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_angle": 200.0}, "between 0 and 180 degrees; got 200"),
        ({"max_scale": 0.5}, "at least 1; got 0.5"),
        ({"masked": 1.0}, "below 1; got 1.0"),
    ],
)
def test_refuses_a_turn_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        VCGConfig(**wrong)


def test_refuses_other_than_twelve_leads_and_unknown_kinds() -> None:
    one = torch.zeros(2, 1, 50)
    with pytest.raises(ValueError, match=r"\(batch, 12, samples\); got \(2, 1, 50\)"):
        augment(one, "noises", NOISE)
    with pytest.raises(ValueError, match=r"\(batch, 12, samples\); got \(2, 1, 50\)"):
        augment_vcg(one, VCGConfig())
    with pytest.raises(ValueError, match="must be none, rlm or noises; got 'jitter'"):
        augment(one, "jitter", NOISE)  # type: ignore[arg-type]


def _assert_einthoven(ecg: Tensor) -> None:
    one, two, three, right, left, foot = ecg[:, :6].unbind(1)
    for found, wanted in ((three, two - one), (right, -(one + two) / 2), (left, (one - three) / 2)):
        assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(foot, (two + three) / 2, atol=1e-5)
    assert torch.allclose(right + left + foot, torch.zeros(()), atol=1e-5)
