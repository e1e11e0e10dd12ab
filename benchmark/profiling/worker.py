"""One cell of a profile in a process of its own: a job as JSON on standard input, the figures as JSON in the last line.

python -m mibench.benchmark.profiling.worker
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ...adapters.base import Pretrainable
from ...adapters.errors import MibenchError
from ..choices import make
from ..profile_check import FAILED, MEASURED, OUT_OF_MEMORY
from .inputs import load_at_random
from .latency import Timing, latency
from .step import measure_step, stay_within_memory


@dataclass(frozen=True)
class Job:
    """What is measured.

    Attributes:
        method, preset, sets: the method with its options, as on a command line.
        device: by name.
        batch, precision, steps: of a pre-training step; a batch of 0 asks for the latency of one record.
        timing: as `Timing` has it.
    """

    method: str
    device: str
    preset: str | None = None
    sets: dict[str, Any] = field(default_factory=dict)
    batch: int = 0
    precision: str = "fp32"
    steps: int = 3
    timing: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))


def answer(job: Job) -> dict[str, Any]:
    """What came of a job: "status", and figures or "error"; running out of memory is an answer."""
    device = torch.device(job.device)
    try:
        if device.type == "cpu" and job.batch:
            stay_within_memory()
        return {"status": MEASURED, **_figures(job, device)}
    except Exception as problem:
        if _is_out_of_memory(problem):
            return {"status": OUT_OF_MEMORY, "error": _first_line(problem)}
        return {"status": FAILED, "error": _first_line(problem)}


def _figures(job: Job, device: torch.device) -> dict[str, Any]:
    card, adapter = make(job.method, job.preset, job.sets)
    timing = Timing(**job.timing)
    if not job.batch:
        load_at_random(adapter, device)
        return latency(adapter, device, timing)
    if not isinstance(adapter, Pretrainable):
        raise MibenchError(f"{job.method} is not pre-trained by mibench")
    return measure_step(card, adapter, device, job.batch, job.precision, timing.warmup, job.steps)


def _is_out_of_memory(problem: BaseException) -> bool:
    if isinstance(problem, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The allocator of a CPU raises what any error in C++ is.
    return isinstance(problem, RuntimeError) and (
        "can't allocate memory" in str(problem) or "bad_alloc" in str(problem)
    )


def _first_line(problem: BaseException) -> str:
    return next(iter(str(problem).splitlines()), "") or type(problem).__name__


if __name__ == "__main__":
    print(json.dumps(answer(Job(**json.loads(sys.stdin.read())))))
