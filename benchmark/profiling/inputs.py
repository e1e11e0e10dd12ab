"""What a network is given while its cost is looked at: records of the demo heart, whose values change no count."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...adapters import registry
from ...adapters.base import LEADS, Adapter, Encoder, Generator, MethodCard, Pretrainable, Tokenizer, Tokenizing
from ...adapters.checkpoints import save_weights
from ...adapters.errors import MibenchError
from ...adapters.signal import prepare
from ..bench import demo_signals
from ..seeds import derive
from ..training.batches import prepared_views

RATE = 500.0
"""Hz of a watch's record, and of PTB-XL's."""

SAMPLES = 5000
"""Of a record of 10 s at `RATE`."""

DIFFERENT = 8
"""Records of the demo heart that a batch consists of, over and over: how many differ changes no cost."""


def records(count: int) -> Tensor:
    """(count, 12, samples) in mV at `RATE`."""
    few = torch.from_numpy(demo_signals(min(count, DIFFERENT)))
    return few[torch.from_numpy(np.arange(count) % len(few))]


def step_batch(adapter: Pretrainable, millivolt: Tensor) -> dict[str, Tensor]:
    """What an objective is given in a step: its views or tokens, and patients, all different.

    Args:
        millivolt: (batch, 12, samples) on the device of the views.
    """
    batch = {"patient": torch.arange(len(millivolt), device=millivolt.device)}
    if isinstance(adapter, Tokenizing):
        (view,) = adapter.views.values()
        tokens = adapter.tokenize(prepare(millivolt, RATE, LEADS, view)[:, 0])
        return batch | {name: value.to(millivolt.device) for name, value in tokens.items()}
    return batch | prepared_views(millivolt, RATE, LEADS, adapter.views)


def forward_of(adapter: Adapter, millivolt: Tensor) -> Callable[[], Tensor]:
    """One forward pass of a loaded method for some records of lead I, all of their windows; what was cut is not timed.

    Args:
        millivolt: (batch, 12, samples) on the method's device.

    Raises:
        MibenchError: the method gives neither features nor leads.
    """
    spec = adapter.spec
    windows = prepare(millivolt[:, : 1 if spec.sees == "observed" else None], RATE, _observed(adapter), spec)
    ecg = windows.flatten(0, 1)
    if isinstance(adapter, Tokenizer):
        encoder, tokens = adapter, adapter.tokenize(ecg)
        return lambda: encoder.embed_tokens(tokens)
    if isinstance(adapter, Encoder):
        return lambda: adapter.embed(ecg)
    if isinstance(adapter, Generator):
        return lambda: adapter.synthesize(ecg)
    raise MibenchError(f"{spec.name} is a {spec.kind}: it has nothing to run on a record")


def prepare_of(adapter: Adapter, millivolt: Tensor) -> Callable[[], object]:
    """Everything before the forward pass: resampling, windows, filter, scale, tokens."""
    given = millivolt[:, : 1 if adapter.spec.sees == "observed" else None]

    def run() -> object:
        ecg = prepare(given, RATE, _observed(adapter), adapter.spec).flatten(0, 1)
        return adapter.tokenize(ecg) if isinstance(adapter, Tokenizer) else ecg

    return run


def load_at_random(adapter: Adapter, device: torch.device) -> None:
    """Build the method's network from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, "weights", adapter.spec.name))
        adapter.load(None, device)


@contextmanager
def objective_of(card: MethodCard, adapter: Pretrainable) -> Iterator[nn.Module]:
    """The objective at random, on the CPU; what it starts from is made first, at random as well.

    Args:
        card: with its options resolved.
    """
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(0, "weights", adapter.spec.name))
        yield adapter.objective(_beginnings(card, Path(folder)))


def _beginnings(card: MethodCard, folder: Path) -> Mapping[str, Path]:
    """Weights files of what a pre-training starts from, of the size that its options name."""
    made = {}
    for part, other in card.starts_from.items():
        own: Mapping[str, Any] = card.options.get(part) or {}
        base = registry.find(other)
        sizes = {"net": dict(own)} if own and "net" in base.options else {}
        source = registry.create(registry.resolve_options(base, overrides=sizes))
        if not isinstance(source, Pretrainable):
            raise MibenchError(f"{card.name} starts from {other}, which is not pre-trained by mibench")
        objective = source.objective({}).train()
        with torch.no_grad():
            # A vocabulary that was never set is refused.
            objective(step_batch(source, records(2)))
        made[part] = folder / f"{part}.safetensors"
        save_weights(made[part], source.trained_state(objective), {"method": source.spec.name})
    return made


def _observed(adapter: Adapter) -> tuple[str, ...]:
    return LEADS[:1] if adapter.spec.sees == "observed" else LEADS
