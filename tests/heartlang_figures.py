"""What the tests of HeartLang and of its vocabulary share: figures of the original program, and sentences."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "heartlang.json").read_text())

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def filled(module: AnyModule) -> AnyModule:
    """A network that was made on the meta device, every tensor filled by the golden file's formula."""
    module.load_state_dict({name: fill(name, t.shape) for name, t in module.state_dict().items()}, assign=True)
    return module.eval()


def fill(name: str, shape: torch.Size) -> Tensor:
    phase = 2 * math.pi * (sum(map(ord, name)) % 97) / 97
    wave = np.sin(0.37 * np.arange(shape.numel()) + phase)
    if len(shape) == 1 and name.endswith("weight"):
        wave = 1 + 0.1 * wave
    elif len(shape) >= 2:
        wave = wave / math.sqrt(math.prod(shape[1:]))
    else:
        wave = 0.05 * wave
    return torch.from_numpy(wave.astype(np.float32)).view(shape)


def golden_sentences() -> dict[str, Tensor]:
    """The golden file's input: 132 and 133 words."""
    words = np.zeros((2, 256, 96))
    leads, seconds = np.zeros((2, 256), dtype=np.int64), np.zeros((2, 256), dtype=np.int64)
    sample = np.arange(96)
    for record in range(2):
        for place in range(132 + record):
            beat = np.exp(-(((sample - 48) / 4) ** 2)) * (1 + 0.1 * np.sin(place + record))
            words[record, place] = beat + 0.1 * np.sin(0.2 * sample + 0.05 * place)
            leads[record, place] = min(place // 11, 11) + 1
            seconds[record, place] = min(place % 11, 9) + 1
    return {
        "words": torch.from_numpy(words.astype(np.float32)),
        "leads": torch.from_numpy(leads),
        "seconds": torch.from_numpy(seconds),
    }


def sentences(records: int, words: int, samples: int, seed: int = 0) -> dict[str, Tensor]:
    """Random words of waves, some in each sentence; the last sentence is all padding, the first full."""
    draw = torch.Generator().manual_seed(seed)
    phase = torch.rand(records, words, 1, generator=draw) * 6
    wave = torch.sin(torch.arange(samples) * 0.7 + phase) + 0.1 * torch.randn(records, words, samples, generator=draw)
    counts = torch.linspace(words, 0, records).long()
    real = torch.arange(words) < counts[:, None]
    leads = torch.randint(1, 13, (records, words), generator=draw) * real
    seconds = torch.randint(1, 11, (records, words), generator=draw) * real
    return {"words": wave * real[..., None], "leads": leads, "seconds": seconds}


def assert_figures(output: Tensor, figures: dict[str, Any]) -> None:
    """Hold (rows, columns) against shape, first and last numbers, row norms and sum of a golden output."""
    found = output.double()
    norms = found.norm(dim=1)
    if len(figures["l2_rows"]) != len(norms):
        norms = torch.cat([norms[:16], norms[128:144]])
    assert list(found.shape) == figures["shape"]
    assert found[0, :8].numpy() == pytest.approx(figures["first8_row0"], rel=1e-4, abs=1e-5)
    assert found[-1, -4:].numpy() == pytest.approx(figures["last4_last_row"], rel=1e-4, abs=1e-5)
    assert norms.numpy() == pytest.approx(figures["l2_rows"], rel=1e-5)
    assert found.sum().item() == pytest.approx(figures["sum"], abs=1e-5 * found.abs().sum().item())
