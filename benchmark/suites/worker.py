"""A process that runs tasks of a suite for another one: `python -m mibench.benchmark.suites.worker FD`.

It plans the suite itself, is told places and answers with reports, over a pipe. When the other process is gone, however
that went, it ends as well: a training writes a checkpoint first.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection

from ...adapters.errors import MibenchError
from .job import Job, Said, Unfit
from .schedule import attempt

GRACE = 60.0
"""Seconds that a worker without a driver may still take for a record."""


def main() -> None:
    """Serve until there is nothing more to do."""
    channel: Connection = Connection(int(sys.argv[1]))
    job: Job = channel.recv()
    inbox: queue.SimpleQueue[tuple[int, bool] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, inbox), daemon=True).start()

    def say(text: str) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more, and `_listen` sees to that
            channel.send(Said(text))

    try:
        tasks = job.plan(say)
    except MibenchError as problem:
        channel.send(Unfit(str(problem)))
        return
    while (order := inbox.get()) is not None:
        place, wait = order
        report = attempt(place, tasks[place], job.choices.results, wait=wait, say=say)
        if report.state == "stopped":
            return  # without a word: where the driver lives on, another process goes on from the checkpoint
        with contextlib.suppress(OSError):
            channel.send(report)


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
