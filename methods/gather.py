"""Rows of all processes that train together, gathered: with gradient where they are learned from, else without."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

Negatives = Literal["local", "global"]


def gather_with_gradient(rows: Tensor) -> Tensor:
    """Rows of all processes, in the order of their ranks; what they are used for reaches those who gave them.

    The backward pass gives each process the gradients that all processes have of its rows, summed. So where every
    process computes the loss of the whole batch, the mean of gradients that DDP takes is that of one process.

    Args:
        rows: (batch, ...), as many in every process.

    Returns:
        (batch of all, ...) in the type of `rows`; `rows` themselves in a single process.

    Raises:
        ValueError: the processes hold different numbers of rows; raised in all of them.
    """
    if _processes() == 1:
        return rows
    _require_equal(rows)
    gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


def gather_rows(rows: Tensor) -> Tensor:
    """Rows of all processes, in the order of their ranks, without gradient: numbers of patients, say.

    Args:
        rows: (batch, ...), as many in every process.

    Raises:
        ValueError: the processes hold different numbers of rows; raised in all of them.
    """
    if _processes() == 1:
        return rows.detach()
    _require_equal(rows)
    return _gathered(rows.detach())


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.batch = len(rows)
        return _gathered(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # A sum of half-precision gradients of many processes would round, or overflow.
        half = gradient.dtype in (torch.float16, torch.bfloat16)
        kind = torch.float32 if half else gradient.dtype
        # A copy always: the gradient may be shared with others.
        total = gradient.to(kind, copy=True, memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.batch
        return total[start : start + ctx.batch].to(gradient.dtype)


def _processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _gathered(rows: Tensor) -> Tensor:
    parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def _require_equal(rows: Tensor) -> None:
    own = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    sizes = torch.cat(counts).tolist()
    if len(set(sizes)) > 1:
        raise ValueError(f"every process must bring the same number of records to a shared batch; got {sizes}")
