"""The codebook: what it chooses, how it learns, and how its temperature falls."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from mibench.methods.quantizer import GumbelQuantizer, QuantizerConfig

SMALL = QuantizerConfig(groups=2, codes=5, width=6)


def test_published_size_and_names() -> None:
    with torch.device("meta"):
        state = GumbelQuantizer(256).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes == {
        "vars": (1, 640, 128),
        "weight_proj.weight": (640, 256),
        "weight_proj.bias": (640,),
        "updates": (),
    }
    assert sum(math.prod(shape) for name, shape in shapes.items() if name != "updates") == 246_400


def test_starts_uniform_and_normal() -> None:
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(256)
    assert 0 <= quantizer.vars.min() < 0.01
    assert 0.99 < quantizer.vars.max() <= 1
    assert quantizer.weight_proj.weight.std().item() == pytest.approx(1.0, abs=0.01)
    assert not quantizer.weight_proj.bias.any()


def test_evaluation_takes_the_best_code_of_each_group() -> None:
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(4, SMALL).eval()
    features = torch.randn(2, 3, 4)
    made = quantizer(features)
    assert made.vectors.shape == (2, 3, 6)
    logits = quantizer.weight_proj(features)
    for row in range(2):
        for token in range(3):
            first = int(logits[row, token, :5].argmax())
            second = int(logits[row, token, 5:].argmax())
            assert made.codes[row, token].tolist() == [first, second]
            wanted = torch.cat([quantizer.vars[0, first], quantizer.vars[0, 5 + second]])
            assert torch.equal(made.vectors[row, token], wanted)


def test_training_gives_entries_of_the_book_drawn_as_gumbel_softmax_draws_them() -> None:
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(1, QuantizerConfig(groups=1, codes=3, width=2))
    with torch.no_grad():
        quantizer.weight_proj.weight.zero_()
        quantizer.weight_proj.bias.copy_(torch.tensor([0.0, math.log(2), math.log(3)]))
    made = quantizer(torch.zeros(6000, 1))
    assert torch.allclose(made.vectors, quantizer.vars[0][made.codes[:, 0]], atol=1e-6)
    # Adding Gumbel noise and taking the best draws from the softmax, whatever the temperature.
    share = torch.bincount(made.codes[:, 0], minlength=3) / 6000
    assert share.tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.03)


def test_the_straight_through_gradient_is_that_of_the_soft_choice() -> None:
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(4, SMALL)
    features, direction = torch.randn(7, 4), torch.randn(7, 6)
    torch.manual_seed(1)
    (quantizer(features).vectors * direction).sum().backward()
    found = quantizer.weight_proj.weight.grad
    quantizer.zero_grad()

    torch.manual_seed(1)
    logits = quantizer.weight_proj(features).view(7, 2, 5)
    noise = -torch.empty_like(logits).exponential_().log()
    soft = ((logits + noise) / 2.0).softmax(-1)
    (torch.einsum("ngc,gcd->ngd", soft, quantizer.vars.view(2, 5, 3)).flatten(1) * direction).sum().backward()
    assert found is not None
    assert quantizer.weight_proj.weight.grad is not None
    assert torch.allclose(found, quantizer.weight_proj.weight.grad, atol=1e-6)


def test_perplexity_is_between_one_code_and_all() -> None:
    quantizer = GumbelQuantizer(5, SMALL).eval()
    with torch.no_grad():
        quantizer.weight_proj.weight.copy_(torch.eye(5).repeat(2, 1) * 100)
    assert quantizer(torch.eye(5)).perplexity.item() == pytest.approx(10.0, rel=1e-3)
    assert quantizer(torch.eye(5)[:1].repeat(5, 1)).perplexity.item() == pytest.approx(2.0, rel=1e-3)
    assert quantizer(torch.eye(5)[:2].repeat(3, 1)).perplexity.item() == pytest.approx(4.0, rel=1e-3)


def test_the_temperature_falls_with_every_step_of_training_and_is_kept() -> None:
    quantizer = GumbelQuantizer(4, SMALL)
    assert quantizer.temperature.item() == 2.0
    for _ in range(3):
        quantizer(torch.randn(2, 4))
    assert quantizer.temperature.item() == pytest.approx(2.0 * 0.999995**3, rel=1e-12)
    quantizer.eval()(torch.randn(2, 4))
    again = GumbelQuantizer(4, SMALL)
    again.load_state_dict(quantizer.state_dict())
    assert again.updates.item() == 3
    again.updates.fill_(277_258)
    assert again.temperature.item() == pytest.approx(0.5, abs=1e-5)
    again.updates.fill_(10**7)
    assert again.temperature.item() == 0.5


def test_every_parameter_learns_inside_autocast_too() -> None:
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(4, SMALL)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = quantizer(nn.Linear(4, 4)(torch.randn(6, 4)))
    assert made.vectors.dtype == made.perplexity.dtype == torch.float32
    (made.vectors.square().sum() + made.perplexity).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in quantizer.parameters())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"groups": 3}, "groups 3 does not divide width 256"),
        ({"codes": 0}, "at least 1"),
        ({"temperature": 0.1}, "must fall"),
        ({"decay": 1.1}, "must fall"),
    ],
)
def test_refuses_a_book_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        QuantizerConfig(**wrong)
