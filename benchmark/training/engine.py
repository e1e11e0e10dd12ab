"""One process that trains, or one of several that torchrun started; what they tell each other.

Lightning Fabric moves, wraps and casts the network; nothing else of the benchmark knows how many processes there are.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...adapters.errors import MibenchError
from ..processes import local_rank, local_world, rank, world

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: one of them may be writing a cache."""


class Engine:
    """Where a training runs.

    Args:
        device: a kind of device, or one of several GPUs; under torchrun each process takes the GPU of its own number.
        precision: as Fabric names it, such as "16-mixed".

    Attributes:
        world, rank: number of processes, and which of them this is.
        device: of this process.

    Raises:
        MibenchError: more processes than GPUs.
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        self.world, self.rank = world(), rank()
        self.device = torch.device("cuda", local_rank()) if device.type == "cuda" and self.world > 1 else device
        if device.type == "cuda" and self.world > 1 and local_world() > torch.cuda.device_count():
            raise MibenchError(
                f"{local_world()} processes were started here, and there are {torch.cuda.device_count()} GPUs: give "
                f"torchrun --nproc-per-node {torch.cuda.device_count()}"
            )
        self._precision = precision
        if self.world > 1:
            self.fabric.launch()

    @cached_property
    def fabric(self) -> Fabric:
        """Lightning's, made when it is needed: it takes seconds to import, and a closed form needs none."""
        from lightning_fabric import Fabric

        # It announces every process and its backend, several lines each time.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        return Fabric(**self._place(), precision=self._precision)  # type: ignore[arg-type]

    def _place(self) -> dict[str, Any]:
        gpu = self.device.type == "cuda"
        where: dict[str, Any] = {"accelerator": "cuda" if gpu else "cpu"}
        if self.world == 1:
            return {**where, "devices": [self.device.index or 0] if gpu else 1}
        from lightning_fabric.strategies.ddp import DDPStrategy

        strategy = DDPStrategy(process_group_backend="nccl" if gpu else "gloo", timeout=PATIENCE)
        return {**where, "devices": local_world(), "num_nodes": self.world // local_world(), "strategy": strategy}

    @property
    def leads(self) -> bool:
        """True in the one process that writes, prints and decides."""
        return self.rank == 0

    def without_sync(self, module: Any) -> AbstractContextManager[None]:
        """Within it, backward passes keep their gradients to themselves."""
        if self.world == 1:
            return nullcontext()
        context: AbstractContextManager[None] = self.fabric.no_backward_sync(module)
        return context

    def gather(self, rows: Tensor) -> Tensor:
        """(n, ...) of every process, in the order of their ranks -> (world * n, ...), without gradient."""
        if self.world == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows.detach().contiguous())
        return torch.cat(parts)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def average(self, gradients: list[Tensor]) -> None:
        """Replace each gradient by its mean over the processes, in place and in one message."""
        if self.world == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        means = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def agreed(self, value: Any) -> Any:
        """What the leading process says."""
        if self.world == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told, src=0, device=self.device if self.device.type == "cuda" else None)
        return told[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            self.fabric.barrier()
