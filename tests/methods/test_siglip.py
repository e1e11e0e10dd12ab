"""The sigmoid loss against a hand-written one, against known values, and in parts of a batch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mibench.methods.siglip import SigLIPConfig, SigLIPLoss, info_nce


@pytest.mark.parametrize(
    ("similarity", "scale_mode", "bias", "reduction"),
    list(itertools.product(["cosine", "dot"], ["divide", "multiply"], [0.0, -1.5], ["sum_over_b", "mean"])),
)
def test_equals_the_sum_written_out(similarity: Any, scale_mode: Any, bias: float, reduction: Any) -> None:
    student, teacher = _embeddings(5, 7)
    config = SigLIPConfig(similarity=similarity, scale_mode=scale_mode, t=0.3, bias=bias, reduction=reduction)
    assert SigLIPLoss(config)(student, teacher).item() == pytest.approx(
        _written_out(student, teacher, config), rel=1e-9
    )


def test_known_values() -> None:
    orthogonal = torch.eye(4, dtype=torch.float64)
    loss = SigLIPLoss()
    assert loss(orthogonal[:2], orthogonal[2:]).item() == pytest.approx(2 * math.log(2))
    assert loss(orthogonal[:2], orthogonal[:2]).item() == pytest.approx(math.log1p(math.exp(-1 / 0.07)) + math.log(2))


def test_defaults_read_the_paper_as_its_authors_train() -> None:
    config = SigLIPConfig()
    assert config.scale == pytest.approx(14.2857, abs=1e-4)
    assert (config.similarity, config.bias, config.reduction) == ("cosine", 0.0, "sum_over_b")
    assert config.learn_scale is False
    assert list(SigLIPLoss().parameters()) == []


def test_a_factor_of_007_on_cosines_could_not_learn_anything() -> None:
    student = torch.eye(128)
    loss = SigLIPLoss(SigLIPConfig(scale_mode="multiply"))
    # With every cosine in [-1, 1] the loss cannot leave the range between these two.
    assert 84.3 < loss(student, student).item() < loss(student, -student).item() < 93.3


def test_the_mean_is_the_sum_over_b_divided_by_b() -> None:
    student, teacher = _embeddings(6, 4)
    whole, mean = SigLIPLoss()(student, teacher), SigLIPLoss(SigLIPConfig(reduction="mean"))(student, teacher)
    assert mean.item() == pytest.approx(whole.item() / 6)


def test_learned_scale_and_bias_start_where_told_and_take_a_gradient() -> None:
    loss = SigLIPLoss(SigLIPConfig(learn_scale=True, bias="learn"))
    student, teacher = _embeddings(4, 3)
    scale, bias = loss.scale(), loss.offset()
    assert isinstance(scale, Tensor)
    assert isinstance(bias, Tensor)
    assert (scale.item(), bias.item()) == (pytest.approx(1 / 0.07), -10.0)
    fixed = SigLIPLoss(SigLIPConfig(bias=-10.0))
    assert loss(student, teacher).item() == pytest.approx(fixed(student, teacher).item())
    loss(student, teacher).backward()
    assert {name: parameter.grad is not None for name, parameter in loss.named_parameters()} == {
        "log_scale": True,
        "bias": True,
    }


def test_a_learned_scale_stays_at_or_below_100() -> None:
    loss = SigLIPLoss(SigLIPConfig(learn_scale=True))
    assert loss.log_scale is not None
    with torch.no_grad():
        loss.log_scale.fill_(50.0)
    assert torch.as_tensor(loss.scale()).item() == 100.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_confident_mistakes_stay_finite_and_keep_their_gradient(dtype: torch.dtype) -> None:
    student = torch.eye(2).to(dtype).requires_grad_(True)
    teacher = -torch.eye(2).to(dtype)
    # A logit of -1000: log(sigmoid(x) + eps) would be constant here, and its gradient zero.
    value = SigLIPLoss(SigLIPConfig(similarity="dot", t=0.001))(student, teacher)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(1000 + math.log(2), rel=1e-3)
    assert student.grad is not None
    assert student.grad.abs().min(dim=1).values.isfinite().all()
    assert student.grad.diagonal().abs().min() > 100


def test_half_precision_under_autocast_is_computed_in_single() -> None:
    student, teacher = (part.float() for part in _embeddings(8, 16))
    plain = SigLIPLoss()(student, teacher)
    with torch.autocast("cpu", torch.bfloat16):
        cast = SigLIPLoss()(student, teacher)
        softmax = info_nce(student, teacher)
    assert torch.equal(plain, cast)
    assert torch.equal(softmax, info_nce(student, teacher))


def test_dot_products_of_any_size_give_a_number() -> None:
    student = torch.full((4, 8), 1e25).requires_grad_(True)
    value = SigLIPLoss(SigLIPConfig(similarity="dot", scale_mode="multiply"))(student, torch.full((4, 8), 1e25))
    value.backward()
    assert value.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_info_nce_is_the_cross_entropy_of_each_row() -> None:
    student, teacher = _embeddings(5, 7)
    total = 0.0
    for i in range(5):
        cosines = [torch.cosine_similarity(student[i], teacher[j], dim=0).item() / 0.07 for j in range(5)]
        total -= math.log(math.exp(cosines[i]) / sum(map(math.exp, cosines)))
    assert info_nce(student, teacher).item() == pytest.approx(total / 5)
    same = torch.ones(128, 3)
    assert info_nce(same, same).item() == pytest.approx(math.log(128), abs=1e-5)


@pytest.mark.parametrize(
    ("similarity", "scale_mode", "reduction", "learned"),
    list(itertools.product(["cosine", "dot"], ["divide", "multiply"], ["sum_over_b", "mean"], [False, True])),
)
def test_parts_one_after_another_against_the_targets_of_all_equal_the_whole(
    similarity: Any, scale_mode: Any, reduction: Any, learned: bool
) -> None:
    """As gradients are accumulated; tests/methods/test_gather.py has the parts in processes of their own."""
    bias: Any = "learn" if learned else -0.5
    config = SigLIPConfig(similarity, scale_mode, t=0.3, learn_scale=learned, bias=bias, reduction=reduction)
    inputs, targets = _embeddings(6, 5)
    found = []
    for parts in (1, 3):
        weight = torch.eye(5, dtype=torch.float64).requires_grad_(True)
        loss = SigLIPLoss(config).double()
        total = torch.zeros((), dtype=torch.float64)
        for rows in torch.arange(6).chunk(parts):
            value = loss(inputs[rows] @ weight, targets, rows) / parts
            value.backward()
            total += value.detach()
        gradients = [parameter.grad for parameter in (weight, *loss.parameters())]
        found.append([total, *gradients])
    assert len(found[0]) == (4 if learned else 2)
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-10)


def test_places_say_where_the_partners_stand() -> None:
    student, targets = _embeddings(5, 7)
    places = torch.tensor([3, 0, 4, 1, 2])
    moved = torch.empty_like(targets)
    moved[places] = targets
    torch.testing.assert_close(SigLIPLoss()(student, moved, places), SigLIPLoss()(student, targets))
    torch.testing.assert_close(info_nce(student, moved, places), info_nce(student, targets))
    assert not torch.isclose(SigLIPLoss()(student, moved), SigLIPLoss()(student, targets))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"similarity": "euclid"}, "similarity must be cosine or dot; got 'euclid'"),
        ({"scale_mode": "times"}, "scale_mode must be divide or multiply; got 'times'"),
        ({"reduction": "none"}, "reduction must be sum_over_b or mean; got 'none'"),
        ({"t": 0.0}, "t must be a positive number; got 0.0"),
        ({"t": math.nan}, "t must be a positive number; got nan"),
        ({"bias": "learned"}, "got 'learned'"),
        ({"bias": math.inf}, "got inf"),
    ],
)
def test_refuses_a_setting_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SigLIPConfig(**wrong)


def test_refuses_rows_that_do_not_belong_together() -> None:
    loss = SigLIPLoss()
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(3, 5\)"):
        loss(torch.zeros(3, 4), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="each of 2 rows needs its place among 3 targets; got none"):
        loss(torch.zeros(2, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"each of 2 rows needs its place among 3 targets; got \(3,\)"):
        loss(torch.zeros(2, 4), torch.zeros(3, 4), torch.arange(3))


def _embeddings(batch: int, features: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, features, generator=generator, dtype=torch.float64),
        torch.randn(batch, features, generator=generator, dtype=torch.float64),
    )


def _written_out(student: Tensor, teacher: Tensor, config: SigLIPConfig) -> float:
    batch = len(student)
    total = 0.0
    for i in range(batch):
        for j in range(batch):
            similarity = sum(a * b for a, b in zip(student[i].tolist(), teacher[j].tolist(), strict=True))
            if config.similarity == "cosine":
                similarity /= math.hypot(*student[i].tolist()) * math.hypot(*teacher[j].tolist())
            scaled = similarity / config.t if config.scale_mode == "divide" else similarity * config.t
            logit = scaled + float(config.bias)
            total += math.log1p(math.exp(-logit if i == j else logit))
    return total / (batch if config.reduction == "sum_over_b" else batch**2)
