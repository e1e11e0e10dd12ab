"""Pix2Pix: its losses against figures of the published program and against formulas written out."""

from __future__ import annotations

import copy

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

from mibench.methods.adversarial import Variant
from mibench.methods.nets.ecg_image import ImageConfig, make_generator, to_image
from mibench.methods.nets.image_discriminators import PatchDiscriminator
from mibench.methods.pix2pix import Pix2Pix

TINY = ImageConfig(samples=256, width=2)


def test_losses_equal_the_published_program() -> None:
    with torch.device("meta"):
        model = Pix2Pix()
    model.generator = filled(lambda: make_generator(ImageConfig()), "ekgan_inference_generator")
    model.discriminator = filled(lambda: PatchDiscriminator(2, ImageConfig(), "batch"), "pix2pix_discriminator")
    parts = model.losses(golden_leads().unsqueeze(1))
    golden = GOLDEN["losses"]["pix2pix"]
    assert parts["generator_loss"].item() == pytest.approx(golden["generator_total(p=100)"], rel=1e-5)
    assert parts["adversarial"].item() == pytest.approx(golden["generator_adversarial"], rel=1e-5)
    assert parts["l1"].item() == pytest.approx(golden["generator_l1"], rel=1e-5)
    assert parts["discriminator_loss"].item() == pytest.approx(golden["discriminator"], rel=1e-5)


@pytest.mark.parametrize("variant", ["fixed", "faithful"])
def test_losses_and_gradients_equal_formulas_in_which_networks_learn_apart(variant: Variant) -> None:
    torch.manual_seed(0)
    model = Pix2Pix(TINY, variant=variant, l1_weight=7.0)
    records = strips()
    lead, twelve = to_image(records.flatten(0, 1)[:, :1]), to_image(records.flatten(0, 1))

    def judge(discriminator: PatchDiscriminator, image: torch.Tensor) -> torch.Tensor:
        logits = discriminator(torch.cat([lead, image], dim=1))
        return torch.sigmoid(logits) if variant == "faithful" else logits

    apart = copy.deepcopy(model)
    made = apart.generator(lead)
    generator_loss = cross_entropy(judge(apart.discriminator, made), True) + 7 * (made - twelve).abs().mean()
    wanted = {"generator": torch.autograd.grad(generator_loss, list(apart.generator.parameters()))}
    discriminator_loss = cross_entropy(judge(apart.discriminator, twelve), True)
    discriminator_loss = discriminator_loss + cross_entropy(judge(apart.discriminator, made.detach()), False)
    wanted["discriminator"] = torch.autograd.grad(discriminator_loss, list(apart.discriminator.parameters()))

    parts = model({"twelve": records})
    torch.testing.assert_close(parts["generator_loss"], generator_loss)
    torch.testing.assert_close(parts["discriminator_loss"], discriminator_loss)
    for name, gradients in player_gradients(model, parts).items():
        assert_same_gradients(gradients, list(wanted[name]))


def test_the_faithful_discriminator_stays_over_its_floor_and_the_fixed_one_does_not() -> None:
    records = strips()
    for variant, low, high in (("faithful", 1.0064, 1.1), ("fixed", 0.0, 0.1)):
        torch.manual_seed(0)
        model = Pix2Pix(TINY, variant=variant)
        optimizer = torch.optim.Adam(model.discriminator.parameters(), 1e-2)
        for _ in range(60):
            loss = model({"twelve": 5 * records})["discriminator_loss"]
            loss.backward(inputs=list(model.discriminator.parameters()))
            optimizer.step()
            optimizer.zero_grad()
        assert low <= loss.item() < high, variant
