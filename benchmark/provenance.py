"""Where a number came from: versions, machine, commit. None of it is part of a key."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "pandas", "lightning-fabric", "wfdb")


@functools.cache
def version() -> str:
    """The installed version of mibench."""
    return importlib.metadata.version("mibench")


def now() -> str:
    """The time in UTC as ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def provenance(device: str, seconds: float) -> dict[str, Any]:
    """What a run record says of its making; `seconds` is wall-clock time."""
    return {
        "mibench": version(),
        "git": git_commit(),
        "python": platform.python_version(),
        "packages": dict(_packages()),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "device": device,
        "seconds": round(seconds, 2),
    }


@functools.cache
def _packages() -> tuple[tuple[str, str], ...]:
    """Read once: what is imported stays what it is."""
    return tuple((name, importlib.metadata.version(name)) for name in PACKAGES)


@functools.cache
def git_commit() -> str | None:
    """The commit of the checkout that runs, with `-dirty` when it has uncommitted changes; None when installed.

    Asked once, when the first record is written: what was imported does not change with the files.
    """
    folder = Path(__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return None
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    try:
        head, status = (
            subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("-dirty" if status else "")
