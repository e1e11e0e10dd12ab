"""EKGAN: its losses against figures of the published program and against formulas written out."""

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

from mibench.methods.ekgan import EKGAN
from mibench.methods.nets.ecg_image import ImageConfig, make_generator, to_image
from mibench.methods.nets.image_discriminators import make_time_discriminator

FULL = ImageConfig()


def test_losses_equal_the_published_program() -> None:
    with torch.device("meta"):
        model = EKGAN()
    model.generator = filled(lambda: make_generator(FULL), "ekgan_inference_generator")
    model.label_generator = filled(lambda: make_generator(FULL, skips=False), "ekgan_label_generator")
    model.discriminator = filled(lambda: make_time_discriminator(FULL), "ekgan_discriminator")
    parts = model.losses(golden_leads().unsqueeze(1))
    golden = GOLDEN["losses"]["ekgan"]
    assert parts["inference_generator_loss"].item() == pytest.approx(
        golden["generator_total(lambda=50,alpha=1)"], rel=1e-5
    )
    for ours, theirs in {
        "adversarial": "generator_adversarial",
        "l1": "generator_l1",
        "latent": "generator_latent",
        "discriminator_loss": "discriminator",
        "label_generator_loss": "label_generator",
    }.items():
        assert parts[ours].item() == pytest.approx(golden[theirs], rel=1e-5), ours


def test_losses_and_gradients_equal_formulas_in_which_networks_learn_apart() -> None:
    torch.manual_seed(0)
    model = EKGAN(ImageConfig(samples=256, width=2))
    records = strips()
    lead, twelve = to_image(records.flatten(0, 1)[:, :1]), to_image(records.flatten(0, 1))

    apart = copy.deepcopy(model)
    made, latent = apart.generator.with_latent(lead)
    copied, label_latent = apart.label_generator.with_latent(lead)
    fixed_latent = label_latent.detach()
    of_made = apart.discriminator(torch.cat([lead, made], dim=1))
    losses = {
        "inference_generator": 50 * (made - twelve).abs().mean()
        + cross_entropy(of_made, True)
        + (latent - fixed_latent).abs().mean(),
        "label_generator": (copied - lead).abs().mean(),
        "discriminator": cross_entropy(apart.discriminator(torch.cat([lead, twelve], dim=1)), True)
        + cross_entropy(apart.discriminator(torch.cat([lead, made.detach()], dim=1)), False),
    }
    players = {name: list(parameters) for name, parameters in apart.players().items()}
    wanted = {name: torch.autograd.grad(loss, players[name], retain_graph=True) for name, loss in losses.items()}

    parts = model({"twelve": records})
    for name, loss in losses.items():
        torch.testing.assert_close(parts[f"{name}_loss"], loss)
    for name, gradients in player_gradients(model, parts).items():
        assert_same_gradients(gradients, list(wanted[name]))


def test_the_label_generator_is_not_drawn_towards_the_other() -> None:
    torch.manual_seed(0)
    model = EKGAN(ImageConfig(samples=256, width=2))
    latent = model({"twelve": strips()})["latent"]
    theirs = torch.autograd.grad(latent, list(model.label_generator.parameters()), allow_unused=True, retain_graph=True)
    assert all(gradient is None for gradient in theirs)
    ours = torch.autograd.grad(latent, model.generator.get_parameter("enc5.conv.weight"))
    assert ours[0].any()
