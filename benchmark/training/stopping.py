"""Ending when asked to: a cluster sends SIGTERM before it kills, and a person types Ctrl-C."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import NoReturn

from ...adapters.errors import MibenchError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(MibenchError):
    """The training was asked to end, and did after a checkpoint: nothing failed.

    Attributes:
        exit_code: as a shell has it for the signal.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Stopping:
    """While open, the first SIGTERM or Ctrl-C is a wish; a second one ends the process at once.

    Attributes:
        asked: whether there was one.
    """

    def __init__(self) -> None:
        self.asked = False
        self._number = int(signal.SIGTERM)
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Stopping:
        # Only a main thread may listen; elsewhere a training ends as its process does.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def end(self, what: str) -> NoReturn:
        """Leave, after a checkpoint.

        Raises:
            StoppedError: always.
        """
        name = signal.Signals(self._number).name
        raise StoppedError(
            f"stopped by {name}: {what}. A checkpoint was written; the same command goes on from there",
            128 + self._number,
        )

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self.asked, self._number = True, number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}
