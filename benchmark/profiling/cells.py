"""Measurements in fresh processes: what one cell leaves in memory must not be counted in the next."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from ..profile_check import FAILED, OUT_OF_MEMORY
from .worker import Job

WORKER = f"{__package__}.worker"


def measured(job: Job, seconds: float) -> dict[str, Any]:
    """The answer of a process of its own: "status" with figures, or with "error".

    Args:
        seconds: after which it is ended.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", WORKER], input=job.to_json(), capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"status": FAILED, "error": f"not finished after {seconds:g} s"}
    if done.returncode == -signal.SIGKILL:
        return {"status": OUT_OF_MEMORY, "error": "the system ended the process, as it does where memory ends"}
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        found = None
    if done.returncode or not isinstance(found, dict):
        said = done.stderr.strip().splitlines()
        return {"status": FAILED, "error": said[-1] if said else f"it ended with code {done.returncode}"}
    return found
