"""How long one record takes, batch 1: the forward pass, and what comes before it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ...adapters.base import Adapter
from .inputs import forward_of, prepare_of, records

PREPARED = 10
"""Times at most that what comes before the forward pass is timed."""


@dataclass(frozen=True)
class Timing:
    """How often something is timed: `runs` times after `warmup`, fewer in `seconds` together, never below `fewest`."""

    warmup: int = 3
    runs: int = 30
    seconds: float = 1.5
    fewest: int = 3


def latency(adapter: Adapter, device: torch.device, timing: Timing, threads: int | None = None) -> dict[str, Any]:
    """Median and quartiles of a forward pass for one record of 10 s, in ms.

    Args:
        adapter: loaded on `device`.
        threads: of a CPU; None leaves them.

    Returns:
        "median_ms", "low_ms", "high_ms", "runs"; "prepare_ms", the median of what comes before.
    """
    with _threads(threads), torch.inference_mode():
        millivolt = records(1).to(device)
        times = repeat(forward_of(adapter, millivolt), device, timing)
        few = Timing(1, min(PREPARED, timing.runs), timing.seconds / 4, 1)
        before = repeat(prepare_of(adapter, millivolt), device, few)
    return quartiles(times) | {"prepare_ms": _ms(statistics.median(before))}


def repeat(call: Callable[[], object], device: torch.device, timing: Timing) -> list[float]:
    """Seconds of each timed call."""
    times: list[float] = []
    began = time.perf_counter()
    for _ in range(timing.warmup):
        call()
        # A slow network is warm after one pass.
        if time.perf_counter() - began > timing.seconds / 2:
            break
    total = 0.0
    while len(times) < timing.runs and (total < timing.seconds or len(times) < timing.fewest):
        _finish(device)
        start = time.perf_counter()
        call()
        _finish(device)
        times.append(time.perf_counter() - start)
        total += times[-1]
    return times


def quartiles(times: list[float]) -> dict[str, Any]:
    """Seconds as "median_ms", "low_ms", "high_ms" (quartiles) and "runs"."""
    low, _, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return {"median_ms": _ms(statistics.median(times)), "low_ms": _ms(low), "high_ms": _ms(high), "runs": len(times)}


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 4)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _threads(count: int | None) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
