"""One pre-training step, measured: memory, time and energy. Meant for a process of its own."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...adapters.base import MethodCard, Pretrainable
from .. import config
from ..protocols import pretrain
from ..training.engine import Engine
from ..training.optimizers import Optimizers
from .driver import Driver
from .inputs import objective_of, records, step_batch

MIB = 2**20
AMP = {"cuda": "16-mixed", "cpu": "bf16-mixed"}
"""What "amp" means on a kind of device: the paper's half precision, and the only one that a CPU knows."""


def measure_step(
    card: MethodCard, adapter: Pretrainable, device: torch.device, batch: int, precision: str, warmup: int, steps: int
) -> dict[str, Any]:
    """Memory and time of a step: forward, backward and AdamW, a teacher asked in the step.

    Args:
        card: with its options resolved.
        batch: records of a step.
        precision: "fp32" or "amp".
        warmup: steps that are not timed; the first makes the optimiser's state.
        steps: that are timed; the memory is their peak.

    Returns:
        "allocated_mib", "reserved_mib" (of the GPU's allocator), "process_mib" (of the whole process on the device),
        "step_seconds" (median), "records_per_second", "joules_per_record"; None where nothing tells.
    """
    driver = Driver(device)
    step = _stepper(card, adapter, device, batch, precision)
    for _ in range(max(warmup, 1)):
        step()
    _finish(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = []
    with driver.energy() as energy:
        for _ in range(steps):
            start = time.perf_counter()
            step()
            _finish(device)
            times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    gpu = device.type == "cuda"
    joules = energy.joules
    return {
        "allocated_mib": round(torch.cuda.max_memory_allocated(device) / MIB, 1) if gpu else None,
        "reserved_mib": round(torch.cuda.max_memory_reserved(device) / MIB, 1) if gpu else None,
        "process_mib": None if (used := driver.process_bytes()) is None else round(used / MIB, 1),
        "process_by": driver.process_by,
        "step_seconds": round(seconds, 6),
        "records_per_second": round(batch / seconds, 3),
        "joules_per_record": None if joules is None else round(joules / (batch * steps), 6),
        "energy_by": None if joules is None else energy.by,
    }


def stay_within_memory() -> None:
    """Let a CPU's step fail by itself where memory ends, in place of bringing the machine down with it."""
    try:
        import resource

        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        lines = Path("/proc/meminfo").read_text().splitlines()
        (free,) = (1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        resource.setrlimit(resource.RLIMIT_AS, (mapped + free, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        # Not this system's way: it then does what it does.
        return


def _stepper(
    card: MethodCard, adapter: Pretrainable, device: torch.device, batch: int, precision: str
) -> Callable[[], None]:
    named = "32-true" if precision == "fp32" else AMP[device.type]
    chosen = {"batch_size": batch, "precision": named, "micro_batch": None}
    settings, _ = config.protocol(pretrain.NAME, pretrain.Settings, chosen, method=card.pretraining)
    engine = Engine(device, named)
    with objective_of(card, adapter) as objective:
        objective.to(device).train()
    given = step_batch(adapter, records(batch).to(device))
    optimizers = Optimizers(objective, settings)
    module = optimizers.set_up(engine, objective)
    module.train()
    return lambda: optimizers.step(engine, module, module(given), settings.learning_rate)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
