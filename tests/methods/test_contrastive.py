"""Contrastive losses against figures of the published program, and against sums written out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mibench.methods.contrastive import (
    GroupedNTXentLoss,
    LeadLoss,
    NTXentLoss,
    SegmentLoss,
    cosines,
    groups_of,
    unit,
)

ALONE = [0, 1, 2, 3]
SHARED = [0, 1, 0, 3]


@pytest.fixture
def embeddings() -> Tensor:
    """Eight views of four records, the two of a record next to each other, as the published figures were taken."""
    rows = torch.arange(1, 9, dtype=torch.float64)[:, None]
    columns = torch.arange(1, 17, dtype=torch.float64)
    return torch.sin(0.37 * rows * columns).float().requires_grad_()


def test_simclr_is_the_published_loss(embeddings: Tensor) -> None:
    loss = NTXentLoss()(embeddings[0::2], embeddings[1::2])
    assert loss.item() == pytest.approx(1.933592, abs=1e-6)
    (gradient,) = torch.autograd.grad(8 * loss, embeddings)
    assert gradient.norm().item() == pytest.approx(17.891754, rel=1e-6)
    radial = (gradient * unit(embeddings)).sum(1)
    assert radial.norm().item() == pytest.approx(0.0529, abs=5e-5)


@pytest.mark.parametrize(("groups", "pairs", "total"), [(ALONE, 8, 15.468733), (SHARED, 16, 27.077805)])
def test_3kg_is_the_published_loss(embeddings: Tensor, groups: list[int], pairs: int, total: float) -> None:
    loss = GroupedNTXentLoss()(embeddings, torch.tensor(groups).repeat_interleave(2))
    assert pairs * loss.item() == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(("groups", "value"), [(ALONE, 1.375166), (SHARED, 1.381132)])
def test_cmsc_is_the_published_loss(embeddings: Tensor, groups: list[int], value: float) -> None:
    loss = SegmentLoss()(embeddings[0::2], embeddings[1::2], torch.tensor(groups))
    assert loss.item() == pytest.approx(value, abs=1e-6)
    if groups == ALONE:
        (gradient,) = torch.autograd.grad(loss, embeddings)
        assert gradient.norm().item() == pytest.approx(2.088260, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_3kg_is_the_sum_written_out(seed: int) -> None:
    features, groups = _random(9, seed)
    scores = _scores(features, features)
    terms = []
    for anchor in range(9):
        others = sum(scores[anchor][row] for row in range(9) if groups[row] != groups[anchor])
        positives = [row for row in range(9) if row != anchor and groups[row] == groups[anchor]]
        terms += [-math.log(scores[anchor][row] / (scores[anchor][row] + others)) for row in positives]
    assert GroupedNTXentLoss(0.3)(features, groups).item() == pytest.approx(sum(terms) / max(1, len(terms)), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_simclr_is_the_sum_written_out_and_3kg_with_pairs_alone(seed: int) -> None:
    first, second = _random(5, seed)[0], _random(5, seed + 100)[0]
    views = torch.stack([first, second], dim=1).flatten(0, 1)
    scores = _scores(views, views)
    total = 0.0
    for row in range(10):
        everyone = sum(scores[row][column] for column in range(10) if column != row)
        total -= math.log(scores[row][row ^ 1] / everyone)
    assert NTXentLoss(0.3)(first, second).item() == pytest.approx(total / 10, rel=1e-9)
    assert GroupedNTXentLoss(0.3)(views, torch.arange(10) // 2).item() == pytest.approx(total / 10, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_cmsc_is_the_sum_written_out(seed: int) -> None:
    first, groups = _random(7, seed)
    second = _random(7, seed + 100)[0]
    assert SegmentLoss(0.3)(first, second, groups).item() == pytest.approx(
        _segments_written_out(first, second, groups), rel=1e-9
    )


@pytest.mark.parametrize("seed", range(3))
def test_leads_are_the_mean_over_66_pairs_written_out(seed: int) -> None:
    torch.manual_seed(seed)
    first, second = torch.randn(2, 4, 12, 6, dtype=torch.float64)
    groups = torch.randint(3, (4,))
    cmlc, cmsmlc = [], []
    for one in range(12):
        for other in range(one + 1, 12):
            cmlc.append(_segments_written_out(first[:, one], first[:, other], groups))
            there, back = (
                _segments_written_out(first[:, a], second[:, b], groups) for a, b in ((one, other), (other, one))
            )
            cmsmlc.append((there + back) / 2)
    assert len(cmlc) == 66
    loss = LeadLoss(0.3)
    assert loss(first, first, groups).item() == pytest.approx(sum(cmlc) / 66, rel=1e-9)
    assert loss(first, second, groups).item() == pytest.approx(sum(cmsmlc) / 66, rel=1e-9)


def test_the_same_lead_of_two_segments_is_no_pair() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 4, 3, 6).unbind()
    first, second = first.requires_grad_(), second.requires_grad_()
    loss = LeadLoss()(first, second, torch.arange(4))
    apart = [SegmentLoss()(first[:, a], second[:, b], torch.arange(4)) for a in range(3) for b in range(3) if a != b]
    assert loss.item() == pytest.approx(torch.stack(apart).mean().item(), rel=1e-5)


def test_the_norm_is_a_constant_to_the_gradient() -> None:
    features = torch.tensor([[3.0, 4.0]], requires_grad=True)
    unit(features).sum().backward()
    assert features.grad is not None
    assert features.grad.tolist() == [[pytest.approx(0.2), pytest.approx(0.2)]]
    assert unit(torch.zeros(1, 2)).tolist() == [[0.0, 0.0]]


def test_nothing_to_contrast_is_no_loss_and_no_nan() -> None:
    features = torch.randn(2, 4, requires_grad=True)
    losses = [
        NTXentLoss()(features[:1], features[1:]),
        GroupedNTXentLoss()(features, torch.tensor([0, 0])),
        GroupedNTXentLoss()(features, torch.tensor([0, 1])),
        SegmentLoss()(features[:1], features[1:], torch.tensor([0])),
    ]
    for loss in losses:
        (gradient,) = torch.autograd.grad(loss, features)
        assert loss.item() == 0.0
        assert not gradient.any()


@pytest.mark.parametrize(
    "call",
    [
        lambda features: NTXentLoss()(features, features.flip(0)),
        lambda features: GroupedNTXentLoss()(features, torch.arange(8) // 2),
        lambda features: SegmentLoss()(features, features.flip(0), torch.arange(8)),
        lambda features: LeadLoss()(features.view(4, 2, 32), features.view(4, 2, 32), torch.arange(4)),
    ],
)
def test_computed_in_float32_inside_autocast(call: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    features = torch.randn(8, 32).bfloat16()
    plain = call(features.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = call(features)
    assert loss.dtype == torch.float32
    assert loss.item() == plain.item()


def test_groups_are_records_or_patients() -> None:
    patient = torch.tensor([7, 7, 2])
    cpu = torch.device("cpu")
    assert groups_of("record", 3, patient, cpu).tolist() == [0, 1, 2]
    assert groups_of("patient", 3, patient, cpu).tolist() == [7, 7, 2]
    with pytest.raises(ValueError, match="need `patient` in the batch"):
        groups_of("patient", 3, None, cpu)


def test_cosines_for_the_log() -> None:
    first, second = torch.eye(3), torch.eye(3).roll(1, 0)
    assert {name: value.item() for name, value in cosines(first, first).items()} == {
        "positive_cosine": 1.0,
        "negative_cosine": 0.0,
    }
    assert cosines(first, second)["negative_cosine"].item() == 0.5
    assert cosines(first[:1], first[:1])["negative_cosine"].item() == 0.0


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
@pytest.mark.parametrize("loss", [NTXentLoss, GroupedNTXentLoss, SegmentLoss, LeadLoss])
def test_refuses_a_temperature_that_cannot_be(loss: Callable[[float], nn.Module], temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be a positive number; got"):
        loss(temperature)


@pytest.mark.parametrize(
    ("loss", "inputs"),
    [
        (NTXentLoss(), (torch.zeros(4, 3), torch.zeros(3, 3))),
        (GroupedNTXentLoss(), (torch.zeros(4, 3), torch.zeros(3))),
        (SegmentLoss(), (torch.zeros(4, 3), torch.zeros(4, 2), torch.zeros(4))),
        (LeadLoss(), (torch.zeros(4, 1, 3), torch.zeros(4, 1, 3), torch.zeros(4))),
    ],
)
def test_refuses_shapes_that_do_not_fit(loss: nn.Module, inputs: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        loss(*inputs)


def _random(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(rows, 6, dtype=torch.float64), torch.randint(4, (rows,))


def _scores(one: Tensor, other: Tensor) -> list[list[float]]:
    cosine = nn.functional.cosine_similarity(one[:, None], other[None], dim=-1)
    return [[math.exp(value / 0.3) for value in row] for row in cosine.tolist()]


def _segments_written_out(first: Tensor, second: Tensor, groups: Tensor) -> float:
    scores, size = _scores(first, second), len(first)
    terms = []
    for row in range(size):
        for column in range(size):
            if groups[row] == groups[column]:
                over_columns = sum(scores[row])
                over_rows = sum(scores[other][column] for other in range(size))
                terms.append(-math.log(scores[row][column] / over_columns) / 2)
                terms.append(-math.log(scores[row][column] / over_rows) / 2)
    return 2 * sum(terms) / len(terms)
