"""One task at a time: commands that share a results folder tell each other what they are at."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from ..files import sha256_json, write_json
from ..provenance import now

FOLDER = ".working"
"""In the results folder; hidden, so that no reader of records looks into it."""


class Holding:
    """While open, a task is this process's, or known to be another's; a hold ends with its process, however that ends.

    Attributes:
        mine: whether it is held.
    """

    def __init__(self, results: Path, name: str) -> None:
        self._name = name
        self._file = results / FOLDER / f"{sha256_json(name)[:16]}.json"
        self._lock = FileLock(self._file.with_suffix(".lock"))
        self.mine = False

    def __enter__(self) -> Holding:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return self
        self._held()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.mine:
            self._file.unlink(missing_ok=True)
            self._lock.release()
            self.mine = False

    def wait(self) -> None:
        """Until it is free."""
        self._lock.acquire()
        self._held()

    def owner(self) -> str:
        """Who holds it, and since when, in words."""
        try:
            about = json.loads(self._file.read_text(encoding="utf-8"))
            return f"process {about['process']} on {about['host']} since {about['since']}"
        except (OSError, ValueError, KeyError):
            return "another command"

    def _held(self) -> None:
        self.mine = True
        about = {"task": self._name, "process": os.getpid(), "host": platform.node(), "since": now()}
        # A courtesy to others: where there is no room for it, the task itself will say so.
        with contextlib.suppress(OSError):
            write_json(self._file, about)
