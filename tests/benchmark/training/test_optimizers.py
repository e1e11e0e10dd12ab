"""Several networks that learn from losses of their own: who is moved by what, and by how much."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor, nn

from mibench.adapters.base import Players
from mibench.benchmark.training.engine import Engine
from mibench.benchmark.training.optimizers import Optimizers
from mibench.benchmark.training.schedule import Settings

SETTINGS = Settings(weight_decay=0.0, clip=0.0, betas=(0.5, 0.999))


class Duel(nn.Module):
    """A forger and a judge, small and without randomness."""

    criterion = "squared error"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.forger = nn.Linear(3, 2)
        self.judge = nn.Linear(2, 1)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        return {"forger": self.forger.parameters(), "judge": self.judge.parameters()}

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        forged = self.forger(batch["seen"])
        deceived = self.judge(forged).square().mean()
        caught = (self.judge(forged.detach()) - 1).square().mean() + self.judge(batch["real"]).square().mean()
        return {"loss": deceived, "forger_loss": deceived, "judge_loss": caught}


def batches(count: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"seen": (5, 3), "real": (5, 2)}
    return [{name: torch.randn(shape, generator=generator) for name, shape in shapes.items()} for _ in range(count)]


def train(engine: Engine, settings: Settings = SETTINGS, steps: int = 4) -> Duel:
    duel = Duel()
    optimizers = Optimizers(duel, settings)
    module = optimizers.set_up(engine, duel)
    for batch in batches(steps):
        optimizers.step(engine, module, module(batch), 1e-2)
    return duel


def test_all_gradients_are_taken_at_the_same_weights_and_reach_one_player_each() -> None:
    assert isinstance(Duel(), Players)
    ours, naive = train(Engine(torch.device("cpu"), "32-true")), Duel()
    players = {name: list(values) for name, values in naive.players().items()}
    adams = {name: torch.optim.Adam(values, lr=1e-2, betas=(0.5, 0.999)) for name, values in players.items()}
    for batch in batches(4):
        # A copy for each player, so that neither pass can know of the other.
        gradients = {}
        for name in players:
            alone = copy.deepcopy(naive)
            parameters = list(alone.players()[name])
            gradients[name] = torch.autograd.grad(alone(batch)[f"{name}_loss"], parameters)
        for name, values in players.items():
            for value, gradient in zip(values, gradients[name], strict=True):
                value.grad = gradient
            adams[name].step()
    for name, value in naive.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-6, atol=1e-7)


def test_a_scaled_step_in_mixed_precision_is_the_plain_step() -> None:
    """One scale for all players: it must not change between the first one's step and the last one's."""
    # So many growths that a scale adjusted after each player would be another one for the second.
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)  # type: ignore[attr-defined]
    precision = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    # In float32, so that only the scaling tells the two apart.
    precision.forward_context = lambda: torch.autocast("cpu", enabled=False)  # type: ignore[method-assign]
    precision.convert_input = lambda data: data  # type: ignore[method-assign]
    scaled = train(_engine(precision))
    plain = train(Engine(torch.device("cpu"), "32-true"))
    assert scaler.get_scale() == 8.0 * 2**4, "adjusted once in each step"
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(scaled.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_state_survives_and_other_players_are_refused() -> None:
    engine = Engine(torch.device("cpu"), "32-true")
    duel = Duel()
    optimizers = Optimizers(duel, SETTINGS)
    module = optimizers.set_up(engine, duel)
    first, second = batches(2)
    optimizers.step(engine, module, module(first), 1e-2)
    weights, state = copy.deepcopy(duel.state_dict()), copy.deepcopy(optimizers.state_dict())
    optimizers.step(engine, module, module(second), 1e-2)

    again = Duel()
    again.load_state_dict(weights)
    resumed = Optimizers(again, SETTINGS)
    module = resumed.set_up(engine, again)
    resumed.load_state_dict(state)
    resumed.step(engine, module, module(second), 1e-2)
    for name, value in duel.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    with pytest.raises(ValueError, match="of the players forger, not forger, judge"):
        resumed.load_state_dict({"forger": state["forger"]})


def test_gradients_are_clipped_player_by_player() -> None:
    clipped = Settings(weight_decay=0.0, clip=1e-12, eps=1.0)
    duel, before = train(Engine(torch.device("cpu"), "32-true"), clipped, steps=1), Duel()
    for name, value in before.state_dict().items():
        torch.testing.assert_close(duel.state_dict()[name], value, rtol=0, atol=1e-12)


def _engine(precision: MixedPrecision) -> Engine:
    """An engine whose gradients are scaled, which a CPU would not do by itself."""
    engine = Engine(torch.device("cpu"), "32-true")
    engine.fabric = Fabric(accelerator="cpu", devices=1, plugins=[precision])
    return engine
