"""What the driver of a GPU tells of a process, its memory and its energy; of a CPU, what the system tells."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class Energy:
    """Joules between the two ends of a block, and who told; None where nobody does."""

    joules: float | None = None
    by: str = ""


class Driver:
    """One device, before the process has used it.

    Attributes:
        process_by: how `process_bytes` knows: "nvml", of this process alone; "mem_get_info", by how much more of the
            GPU is used than when this was made, so without the context; "peak resident set" of a CPU's process.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.process_by: str | None = "peak resident set"
        self._nvml: Any = None
        self._handle: Any = None
        if device.type == "cuda":
            self._open()
            self.process_by = "nvml" if self._handle is not None else "mem_get_info"
            # Without the driver's own library the context itself is already there.
            self._before = 0 if self._handle is not None else _used(device)

    def process_bytes(self) -> int | None:
        """Memory of the whole process: on a GPU now, which is what its allocator has kept; on a CPU its peak."""
        if self.device.type != "cuda":
            return _peak_resident()
        mine = self._of_this_process()
        if mine is not None:
            return mine
        self.process_by = "mem_get_info"
        return max(_used(self.device) - self._before, 0)

    @contextmanager
    def energy(self) -> Iterator[Energy]:
        """What the GPU takes inside the block: by its counter, else by its power at the end, times the seconds."""
        found = Energy()
        before, began = self._millijoules(), time.perf_counter()
        yield found
        after, seconds = self._millijoules(), time.perf_counter() - began
        if before is not None and after is not None:
            found.joules, found.by = (after - before) / 1000, "the GPU's energy counter"
        elif self.device.type == "cuda" and (watts := self._watts()) is not None:
            found.joules, found.by = watts * seconds, "the GPU's power after the last step"

    def _open(self) -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            uuid = f"GPU-{torch.cuda.get_device_properties(self.device).uuid}"
            self._handle, self._nvml = pynvml.nvmlDeviceGetHandleByUUID(uuid), pynvml
        except Exception:
            # Not installed, no such library, or a driver that keeps silent.
            self._handle = None

    def _of_this_process(self) -> int | None:
        if self._handle is None:
            return None
        try:
            running = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except Exception:
            return None
        mine = [process.usedGpuMemory for process in running if process.pid == os.getpid()]
        return int(mine[0]) if mine and mine[0] else None

    def _millijoules(self) -> int | None:
        if self._handle is None:
            return None
        try:
            return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except Exception:
            return None

    def _watts(self) -> float | None:
        try:
            return float(torch.cuda.power_draw(self.device)) / 1000
        except Exception:
            return None


def _used(device: torch.device) -> int:
    free, total = torch.cuda.mem_get_info(device)
    return int(total - free)


def _peak_resident() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return int(peak if os.uname().sysname == "Darwin" else 1024 * peak)
