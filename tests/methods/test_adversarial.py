"""Verdicts against their formulas, the pool against a plain list, and what all image objectives share."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_figures import cross_entropy, strips
from torch import Tensor

from mibench.adapters.base import Players
from mibench.methods.adversarial import ImagePool, ImageTranslation, synthesize, verdict_loss
from mibench.methods.cyclegan import CycleGAN
from mibench.methods.ekgan import EKGAN
from mibench.methods.nets.ecg_image import ImageConfig
from mibench.methods.pix2pix import Pix2Pix

TINY = ImageConfig(samples=256, width=2)
OBJECTIVES: list[Callable[[], ImageTranslation]] = [
    lambda: Pix2Pix(TINY),
    lambda: Pix2Pix(TINY, variant="faithful"),
    lambda: EKGAN(TINY),
    lambda: CycleGAN(TINY),
    lambda: CycleGAN(TINY, variant="faithful"),
]


@pytest.mark.parametrize("real", [True, False])
def test_verdicts_equal_their_formulas(real: bool) -> None:
    logits = torch.randn(3, 1, 5, 7)
    found = verdict_loss(logits, real=real, adversary="cross-entropy")
    torch.testing.assert_close(found, cross_entropy(logits, real))
    twice = verdict_loss(logits, real=real, adversary="double-sigmoid")
    torch.testing.assert_close(twice, cross_entropy(1 / (1 + torch.exp(-logits)), real))
    squares = sum((value - float(real)) ** 2 for value in logits.flatten().tolist()) / logits.numel()
    found = verdict_loss(logits, real=real, adversary="least-squares")
    torch.testing.assert_close(found, torch.tensor(squares))


@settings(deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_a_sigmoid_too_many_keeps_the_discriminator_over_its_floor(of_real: float, of_made: float) -> None:
    def total(adversary: str) -> float:
        parts = ((of_real, True), (of_made, False))
        return sum(verdict_loss(torch.tensor(value), real=real, adversary=adversary).item() for value, real in parts)

    assert 1.0064 <= total("double-sigmoid") <= 2.0065
    assert total("cross-entropy") >= 0


def test_the_floor_is_reached_by_a_perfect_discriminator() -> None:
    perfect = torch.tensor(100.0)
    for adversary, floor in (("double-sigmoid", 1.0064), ("cross-entropy", 0.0)):
        found = verdict_loss(perfect, real=True, adversary=adversary)
        found = found + verdict_loss(-perfect, real=False, adversary=adversary)
        assert found.item() == pytest.approx(floor, abs=1e-4)


def test_the_pool_is_a_list_of_earlier_images() -> None:
    pool, held = ImagePool(3, 256), []
    for call in range(4):
        made = strips(1, 4, seed=call)[0, :, :1].unsqueeze(1).expand(-1, -1, 16, -1).contiguous().requires_grad_()
        torch.manual_seed(call)
        shown = pool.exchange(made)
        torch.manual_seed(call)
        swapped, places = torch.rand(4) < 0.5, torch.randint(3, (4,))
        for index, image in enumerate(made.detach()):
            expected = image
            if len(held) < 3:
                held.append(image)
            elif swapped[index]:
                expected, held[places[index]] = held[places[index]], image
            assert torch.equal(shown[index], expected)
        assert not shown.requires_grad
    assert torch.equal(pool.images, torch.stack(held))
    assert int(pool.held) == 3


def test_a_checkpoint_keeps_the_pools() -> None:
    torch.manual_seed(0)
    model = CycleGAN(TINY)
    for call in range(3):
        model({"twelve": strips(2, 10, seed=call)})
    assert model.pool_twelve is not None
    # Untrained, it makes images that are all alike.
    model.pool_twelve.images.normal_()
    resumed = CycleGAN(TINY)
    resumed.load_state_dict(model.state_dict())
    without = CycleGAN(TINY)
    without.load_state_dict({**model.state_dict(), "pool_twelve.held": torch.tensor(0)})
    losses = []
    for objective in (model, resumed, without):
        torch.manual_seed(3)
        parts = objective({"twelve": strips(2, 10, seed=3)})
        losses.append(parts["discriminator_twelve_loss"].item())
    assert losses[0] == losses[1] != losses[2]
    assert all(torch.equal(resumed.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("build", OBJECTIVES)
def test_the_criterion_is_the_error_of_the_missing_leads(build: Callable[[], ImageTranslation]) -> None:
    torch.manual_seed(0)
    model = build().eval()
    before = copy.deepcopy(model.state_dict())
    records = strips(3, 2)
    with torch.no_grad():
        found = model({"twelve": records})
        errors = []
        for strip in records.flatten(0, 1):
            made = synthesize(model.generator, strip[None, :1])[0]
            errors += [(made[lead] - strip[lead]).square().mean().item() for lead in range(1, 12)]
    assert set(found) == {"loss"}
    assert found["loss"].item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("build", OBJECTIVES)
def test_every_parameter_has_one_player_that_learns(build: Callable[[], ImageTranslation]) -> None:
    torch.manual_seed(0)
    model = build()
    assert isinstance(model, Players)
    parts = model({"twelve": strips()})
    owned: list[Tensor] = []
    for name, parameters in model.players().items():
        mine = list(parameters)
        gradients = torch.autograd.grad(parts[f"{name}_loss"], mine, retain_graph=True)
        assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        # A weight of a few, such as the scale before a normalisation, may have none; whole networks do not.
        assert sum(bool(gradient.any()) for gradient in gradients) > len(mine) // 2, name
        owned += mine
    assert len({id(value) for value in owned}) == len(owned) == len(list(model.parameters()))
