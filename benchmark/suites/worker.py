"""A process that runs tasks of a suite for another one: `python -m mibench.benchmark.suites.worker FD`.

It plans the suite itself, is told places and answers with reports, over a pipe. When the other process is gone, however
that went, it ends as well: a training writes a checkpoint first.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection

from ...adapters.errors import MibenchError
from .job import Job
from .schedule import attempt

GRACE = 60.0
"""Seconds that a worker without a driver may still take for a record."""


@dataclass(frozen=True)
class Said:
    """A line for whoever watches."""

    text: str


@dataclass(frozen=True)
class Unfit:
    """The suite could not be planned here."""

    sentence: str


def main() -> None:
    """Serve until there is nothing more to do."""
    channel: Connection = Connection(int(sys.argv[1]))
    job: Job = channel.recv()
    inbox: queue.SimpleQueue[tuple[int, bool] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, inbox), daemon=True).start()

    def say(text: str) -> None:
        channel.send(Said(text))

    try:
        tasks = job.plan(say)
    except MibenchError as problem:
        channel.send(Unfit(str(problem)))
        return
    while (order := inbox.get()) is not None:
        place, wait = order
        report = attempt(place, tasks[place], job.choices.results, wait=wait, say=say)
        channel.send(report)
        if report.state == "stopped":
            return


def _listen(channel: Connection, inbox: queue.SimpleQueue[tuple[int, bool] | None]) -> None:
    """Hand on what comes, and see to an end when nothing can come any more."""
    try:
        while True:
            inbox.put(channel.recv())
    except (EOFError, OSError):
        inbox.put(None)
    # A training listens to this and writes a checkpoint; a second signal would end it without.
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
