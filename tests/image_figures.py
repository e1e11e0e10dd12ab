"""What the tests of EKGAN, Pix2Pix and CycleGAN share: figures of the original programs, and strips."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "ecg_image.json").read_text())
VARIABLES = ("weight", "bias", "running_mean", "running_var")

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def filled(build: Callable[[], AnyModule], network: str) -> AnyModule:
    """A network of the published size in evaluation mode, every tensor filled by the golden file's formula."""
    with torch.device("meta"):
        module = build()
    numbers = {layer["name"]: layer["layer"] for layer in GOLDEN["layers"][network]}
    state = {}
    for name, tensor in module.state_dict().items():
        layer, _, variable = name.rpartition(".")
        state[name] = _fill(tensor.shape, variable, 4 * numbers[layer] + VARIABLES.index(variable))
    module.load_state_dict(state, assign=True)
    return module.eval().requires_grad_(False)


def golden_leads() -> Tensor:
    """(2, 12, 512), the golden file's input."""
    b, c, s = np.ogrid[:2, :12, :512]
    turn = 2 * np.pi * s / 500
    wave = np.sin(1.2 * turn + 0.3 * c + 0.7 * b) + 0.25 * np.sin(7.5 * turn + 0.11 * c)
    return torch.from_numpy((wave + 0.05 * np.sin(33 * turn + 0.5 * b)).astype(np.float32))


def assert_golden(output: Tensor, figures: dict[str, Any], name: str) -> None:
    """Hold what a layer gives for the two samples against its figures."""
    assert list(output.shape) == figures["shape"], name
    flat = output.double().flatten(1)
    spread = [(7919 * k + 13) % flat.shape[1] for k in range(16)]
    assert flat[0, :8].numpy() == pytest.approx(figures["first8_row0"], rel=1e-4, abs=2e-5), name
    assert flat[-1, -4:].numpy() == pytest.approx(figures["last4_row1"], rel=1e-4, abs=2e-5), name
    assert flat[0, spread].numpy() == pytest.approx(figures["spread16_row0"], rel=1e-4, abs=2e-5), name
    assert flat.norm(dim=1).numpy() == pytest.approx(figures["l2_rows"], rel=1e-5), name
    assert flat.sum().item() == pytest.approx(figures["sum"], abs=1e-5 * flat.abs().sum().item()), name


def strips(records: int = 2, windows: int = 2, samples: int = 256, seed: int = 0) -> Tensor:
    """(records, windows, 12, samples) of noise."""
    return torch.randn(records, windows, 12, samples, generator=torch.Generator().manual_seed(seed))


def player_gradients(model: Any, parts: dict[str, Tensor]) -> dict[str, list[Tensor]]:
    """What the trainer takes: the gradient of each player's loss for that player's parameters, from one pass."""
    return {
        name: list(torch.autograd.grad(parts[f"{name}_loss"], list(parameters), retain_graph=True))
        for name, parameters in model.players().items()
    }


def assert_same_gradients(found: list[Tensor], wanted: list[Tensor]) -> None:
    """Equal but for rounding, and not all zero."""
    assert any(bool(gradient.any()) for gradient in wanted)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    """Written out: the mean of -log p, or of -log(1 - p)."""
    chance = 1 / (1 + torch.exp(-logits))
    return -torch.log(chance if real else 1 - chance).mean()


def _fill(shape: torch.Size, variable: str, number: int) -> Tensor:
    index = np.arange(1, shape.numel() + 1, dtype=np.int64)
    wave = 2 * ((index * (index + 1009 * number)) % 65521) / 65521 - 1
    if len(shape) == 4:
        wave = 2.5 * wave / math.sqrt(math.prod(shape[1:]))
    elif variable in ("weight", "running_var"):
        wave = 1 + 0.1 * wave
    else:
        wave = 0.05 * wave
    return torch.from_numpy(wave.astype(np.float32)).view(shape)
