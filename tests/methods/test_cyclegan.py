"""CycleGAN: its losses against figures of the published program and against formulas written out."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from image_figures import (
    GOLDEN,
    assert_same_gradients,
    cross_entropy,
    filled,
    golden_leads,
    player_gradients,
    strips,
)
from torch import Tensor

from mibench.methods.adversarial import Variant
from mibench.methods.cyclegan import POOL, CycleGAN
from mibench.methods.nets.ecg_image import ImageConfig, make_generator, to_image
from mibench.methods.nets.image_discriminators import PatchDiscriminator

FULL = ImageConfig()
TINY = ImageConfig(samples=256, width=2)


def test_losses_equal_the_published_program() -> None:
    """The figures are of its loss functions on logits, before its sigmoid; both generators have the same weights."""
    with torch.device("meta"):
        model = CycleGAN(variant="faithful")
    model.adversary = "cross-entropy"
    model.generator = model.generator_back = filled(lambda: make_generator(FULL, norm="instance"), "cyclegan_generator")
    model.discriminator_twelve = model.discriminator_lead = filled(
        lambda: PatchDiscriminator(1, FULL, "instance"), "cyclegan_discriminator"
    )
    parts = model.losses(golden_leads().unsqueeze(1))
    golden = GOLDEN["losses"]["cyclegan"]
    for ours, theirs in {
        "generator_twelve_loss": "generator_XtoY_total",
        "generator_lead_loss": "generator_YtoX_total",
        "discriminator_twelve_loss": "discriminator_Y",
        "discriminator_lead_loss": "discriminator_X",
        "adversarial_twelve": "adversarial_XtoY",
        "adversarial_lead": "adversarial_YtoX",
        "cycle": "cycle_total",
        "identity_twelve": "identity_Y",
        "identity_lead": "identity_X",
    }.items():
        assert parts[ours].item() == pytest.approx(golden[theirs], rel=1e-5), ours


def squares(logits: Tensor, real: bool) -> Tensor:
    return (logits - float(real)).square().mean()


def twice(logits: Tensor, real: bool) -> Tensor:
    return cross_entropy(torch.sigmoid(logits), real)


@pytest.mark.parametrize(("variant", "verdict"), [("fixed", squares), ("faithful", twice)])
def test_losses_and_gradients_equal_formulas_in_which_networks_learn_apart(
    variant: Variant, verdict: Callable[[Tensor, bool], Tensor]
) -> None:
    torch.manual_seed(0)
    model = CycleGAN(TINY, variant=variant)
    records = strips(3, 2)
    # The record before it, where images are to be of different records.
    others = records[[2, 0, 1]] if variant == "fixed" else records
    x, y = to_image(records.flatten(0, 1)[:, :1]), to_image(others.flatten(0, 1))

    apart = copy.deepcopy(model)
    to_y, to_x, judge_y, judge_x = (
        apart.generator,
        apart.generator_back,
        apart.discriminator_twelve,
        apart.discriminator_lead,
    )
    fake_y, fake_x = to_y(x), to_x(y)
    cycles = (to_x(fake_y) - x).abs().mean() + (to_y(fake_x) - y).abs().mean()
    # The pools are empty: what the discriminators are shown is what has just been made.
    losses = {
        "generator_twelve": verdict(judge_y(fake_y), True) + 10 * cycles + 2.5 * (to_y(y) - y).abs().mean(),
        "generator_lead": verdict(judge_x(fake_x), True) + 10 * cycles + 2.5 * (to_x(x) - x).abs().mean(),
        "discriminator_twelve": (verdict(judge_y(y), True) + verdict(judge_y(fake_y.detach()), False)) / 2,
        "discriminator_lead": (verdict(judge_x(x), True) + verdict(judge_x(fake_x.detach()), False)) / 2,
    }
    players = {name: list(parameters) for name, parameters in apart.players().items()}
    wanted = {name: torch.autograd.grad(loss, players[name], retain_graph=True) for name, loss in losses.items()}

    parts = model({"twelve": records})
    for name, loss in losses.items():
        torch.testing.assert_close(parts[f"{name}_loss"], loss)
    for name, gradients in player_gradients(model, parts).items():
        assert_same_gradients(gradients, list(wanted[name]))


def test_only_the_fixed_one_has_pools_and_they_fill() -> None:
    torch.manual_seed(0)
    model = CycleGAN(TINY)
    assert model.pool_twelve is not None
    assert model.pool_lead is not None
    model({"twelve": strips(3, 10)})
    assert int(model.pool_twelve.held) == int(model.pool_lead.held) == 30
    model({"twelve": strips(3, 10, seed=1)})
    assert int(model.pool_twelve.held) == POOL
    assert model.pool_twelve.images.flatten(1).any(dim=1).all()
    faithful = CycleGAN(TINY, variant="faithful")
    assert faithful.pool_twelve is None
    assert not list(faithful.buffers())


def test_images_of_different_records_need_two_records() -> None:
    with pytest.raises(ValueError, match="the batch has one record"):
        CycleGAN(TINY)({"twelve": strips(1)})
    assert torch.isfinite(CycleGAN(TINY, variant="faithful")({"twelve": strips(1)})["loss"])
