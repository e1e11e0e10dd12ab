"""The machine that a profile is of, in words that tell it from another."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch


def hardware(device: torch.device) -> dict[str, Any]:
    """CPU, cores, and the GPU with its driver where one is used. Makes no CUDA context: that would take memory."""
    gpu, driver = _gpu(device) if device.type == "cuda" else (None, None)
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "gpu": gpu,
        "driver": driver,
        "cuda": torch.version.cuda if gpu else None,
        "torch": torch.__version__,
    }


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_load() -> float | None:
    """Processes that wanted to run in the last minute, where they are more than there are cores."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        return None
    return round(load, 1) if load > max(cores() + 0.5, 1.5) else None


def cpu_name() -> str:
    """Of the first CPU, as its maker calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine() or "unknown CPU")


def _gpu(device: torch.device) -> tuple[str, str | None]:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", f"--id={device.index or 0}"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout
        name, _, driver = answer.strip().splitlines()[0].partition(",")
        return name.strip(), driver.strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        return torch.cuda.get_device_name(device), None
