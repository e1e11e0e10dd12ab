"""One optimiser for each network that learns from a loss of its own, stepped together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...adapters.base import Players
from .engine import Engine
from .schedule import Settings


class Optimizers:
    """AdamW for every player of an objective, or one for the whole objective.

    With players, all gradients are taken at the same weights before anybody moves, and a player's loss reaches that
    player's parameters alone: a discriminator learns nothing from the generator's wish to deceive it.

    Args:
        objective: as its adapter made it.
        settings: of the pre-training; all players have the same.
    """

    def __init__(self, objective: nn.Module, settings: Settings) -> None:
        self._settings = settings
        players: Mapping[str, Iterable[nn.Parameter]] = {"": objective.parameters()}
        if isinstance(objective, Players):
            players = objective.players()
        self._parameters = {
            name: [value for value in parameters if value.requires_grad] for name, parameters in players.items()
        }
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            name: _adamw(parameters, settings) for name, parameters in self._parameters.items()
        }

    @property
    def losses(self) -> list[str]:
        """Names of the losses that the objective must give."""
        return [f"{name}_loss" if name else "loss" for name in self._parameters]

    def set_up(self, engine: Engine, objective: nn.Module) -> Any:
        """The objective as the engine wraps it; the optimisers are wrapped with it."""
        module, *wrapped = engine.fabric.setup(objective, *self._optimizers.values())
        self._optimizers = dict(zip(self._optimizers, wrapped, strict=True))
        return module

    def zero(self) -> None:
        """Forget the gradients of the step before."""
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def backward(self, engine: Engine, module: Any, parts: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Add the gradients of everybody's loss, times the share of this pass in the step."""
        names = list(self._optimizers)
        for name, loss in zip(names, self.losses, strict=True):
            value = parts[loss] if share == 1.0 else parts[loss] * share
            if not name:
                engine.fabric.backward(value)
                continue
            # Processes exchange gradients once all players have theirs: the wrapper would wait after the first.
            with engine.without_sync(module):
                engine.fabric.backward(value, inputs=self._parameters[name], retain_graph=name != names[-1])

    def move(self, engine: Engine, module: Any, rate: float) -> None:
        """One step of everybody, at a learning rate."""
        if "" not in self._optimizers:
            everybody = [value for values in self._parameters.values() for value in values]
            engine.average([value.grad for value in everybody if value.grad is not None])
        scaler = getattr(engine.fabric.strategy.precision, "scaler", None)
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate
            if self._settings.clip:
                engine.fabric.clip_gradients(module, optimizer, max_norm=self._settings.clip, error_if_nonfinite=False)
            if scaler is None:
                optimizer.step()
            else:
                # The engine would adjust the scale after each optimiser, and the gradients of the next one were taken
                # at the scale before.
                scaler.step(getattr(optimizer, "optimizer", optimizer))
        if scaler is not None:
            scaler.update()

    def step(self, engine: Engine, module: Any, parts: Mapping[str, Tensor], rate: float) -> None:
        """One step of everybody from one pass."""
        self.zero()
        self.backward(engine, module, parts)
        self.move(engine, module, rate)

    def state_dict(self) -> dict[str, Any]:
        """The state of all, by player."""
        return {name: optimizer.state_dict() for name, optimizer in self._optimizers.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave.

        Raises:
            ValueError: the state is of other players.
        """
        if state.keys() != self._optimizers.keys():
            raise ValueError(f"it is of the players {', '.join(state)}, not {', '.join(self._optimizers)}")
        for name, optimizer in self._optimizers.items():
            optimizer.load_state_dict(state[name])


def _adamw(learning: list[nn.Parameter], settings: Settings) -> torch.optim.AdamW:
    """AdamW over what learns; a learned temperature or bias is a single number and has no reason to be small."""
    groups = [
        {"params": [value for value in learning if value.ndim], "weight_decay": settings.weight_decay},
        {"params": [value for value in learning if not value.ndim], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
    )
