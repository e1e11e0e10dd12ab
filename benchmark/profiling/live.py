"""Memory of a pre-training step without a GPU: the bytes of live tensors, counted on tensors that have no values.

A GPU needs this, its context, and what its allocator keeps in hand. Networks whose sizes depend on values, such as how
many tokens a mask hides, cannot be counted so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ...adapters.base import Players, Pretrainable
from ..bench import PeakMemory
from .inputs import records, step_batch

MIB = 2**20


def live_mib(adapter: Pretrainable, batch: int, *, amp: bool) -> float | None:
    """Largest sum of tensors alive in forward and backward, with weights, gradients and AdamW's two moments, in MiB.

    Args:
        adapter: whose pre-training starts from nothing.
        batch: records.
        amp: under autocast to half precision.

    Returns:
        None where a size depends on values.
    """
    shapes = {name: (value.shape[1:], value.dtype) for name, value in step_batch(adapter, records(2)).items()}
    try:
        with FakeTensorMode():
            objective = adapter.objective({}).train()
            given = {name: torch.empty(batch, *shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
            with PeakMemory() as memory:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp), _FusedAttention():
                    parts = objective(given)
                _backward(objective, parts)
    except Exception:
        # Torch has several errors for a size that no shape tells, and a network may have one of its own.
        return None
    learned = sum(value.nbytes for value in objective.parameters() if value.requires_grad)
    lasting = 2 * learned + sum(value.nbytes for value in objective.parameters())
    return float(memory.peak + lasting) / MIB


def _backward(objective: nn.Module, parts: dict[str, Tensor]) -> None:
    if not isinstance(objective, Players):
        torch.autograd.backward(parts["loss"])
        return
    players = {name: [value for value in values if value.requires_grad] for name, values in objective.players().items()}
    for place, (name, parameters) in enumerate(players.items(), 1):
        torch.autograd.backward(parts[f"{name}_loss"], inputs=parameters, retain_graph=place < len(players))


class _FusedAttention(TorchFunctionMode):
    """Attention without its dropout: the fused kernel of a GPU drops without keeping the matrix, that of a CPU not."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            kwargs = {**(kwargs or {}), "dropout_p": 0.0}
            args = args[:4]
        return func(*args, **(kwargs or {}))
