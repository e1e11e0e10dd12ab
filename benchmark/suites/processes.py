"""Tasks in processes on this machine: each with a GPU where there are any, else with its share of the threads."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import IO, Any

from ...adapters.errors import MibenchError
from .job import Job, Said, Unfit
from .schedule import Report
from .task import Say

TRIES = 2
"""Times that a task is given to a process before it counts as failed: one may die for reasons of its own."""

PATIENCE = 30.0
"""Seconds to write a checkpoint in, when all is stopped."""


@dataclass
class _Worker:
    """A process, the pipe to it, what it is at, and the last it printed."""

    process: subprocess.Popen[str]
    channel: Connection
    place: int | None = None
    waits: bool = False
    printed: deque[str] = field(default_factory=lambda: deque(maxlen=5))


class Processes:
    """The engine of `--jobs N`.

    Args:
        job: the suite.
        jobs: processes at once.
        gpus: names of the GPUs that there are, as CUDA_VISIBLE_DEVICES has them; process i takes the i-th, from the
            first again when there are more processes.
        say: told what they say.
    """

    def __init__(self, job: Job, jobs: int, gpus: Sequence[str], say: Say) -> None:
        self._job, self._gpus, self._say = job, list(gpus), say
        self._workers: list[_Worker | None] = [None] * jobs
        self._tries: dict[int, int] = {}

    @property
    def slots(self) -> int:
        """As many as there are processes."""
        return len(self._workers)

    def start(self, place: int, *, wait: bool) -> None:
        """Give a task to a process that has none; it is started when it is first needed."""
        slot = next(i for i, worker in enumerate(self._workers) if worker is None or worker.place is None)
        worker = self._workers[slot]
        if worker is None or worker.process.poll() is not None:
            worker = self._workers[slot] = self._begin(slot)
        worker.place, worker.waits = place, wait
        self._tries[place] = self._tries.get(place, 0) + 1
        with contextlib.suppress(OSError):  # it has died: that is found out where reports are read
            worker.channel.send((place, wait))

    def finished(self) -> list[Report]:
        """The reports that are there, at least one."""
        reports: list[Report] = []
        while not reports:
            at_work = {id(worker.channel): worker for worker in self._workers if worker and worker.place is not None}
            for channel in wait([worker.channel for worker in at_work.values()]):
                report = self._hear(at_work[id(channel)])
                reports += [report] if report else []
        return reports

    def close(self) -> None:
        """Let all processes end: with the pipe gone they do so themselves, a training after a checkpoint."""
        workers = [worker for worker in self._workers if worker]
        for worker in workers:
            worker.channel.close()
        for worker in workers:
            try:
                worker.process.wait(0 if worker.place is None else PATIENCE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers = [None] * len(self._workers)

    def _hear(self, worker: _Worker) -> Report | None:
        """What one of them has to say; None when that is no report."""
        try:
            found: Any = worker.channel.recv()
        except (EOFError, OSError):
            return self._died(worker)
        if isinstance(found, Said):
            self._say(found.text)
            return None
        if isinstance(found, Unfit):
            raise MibenchError(found.sentence)
        assert isinstance(found, Report)
        worker.place = None
        return found

    def _died(self, worker: _Worker) -> Report | None:
        """A process that is gone without a word: another one tries, and then it is the task's fault."""
        place, waits = worker.place, worker.waits
        assert place is not None
        code = worker.process.wait()
        worker.channel.close()
        slot = self._workers.index(worker)
        self._workers[slot] = None
        how = (
            f"by signal {-code}" + (" (out of memory?)" if code == -9 else "") if code < 0 else f"with exit code {code}"
        )
        if self._tries[place] < TRIES:
            self._say(f"the process of {self._job.tasks[place]} ended {how}: another one tries")
            self.start(place, wait=waits)
            return None
        last = "; it last printed: " + " / ".join(worker.printed) if worker.printed else ""
        return Report(place, "failed", f"its process ended {how}, {TRIES} times{last}")

    def _begin(self, slot: int) -> _Worker:
        ours, theirs = Pipe()
        command = [sys.executable, "-m", f"{__package__}.worker", str(theirs.fileno())]
        process = subprocess.Popen(
            command,
            env={**os.environ, **self._environment(slot)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=[theirs.fileno()],
            # Ctrl-C is for the command alone: it lets go of its processes in an orderly way.
            start_new_session=True,
        )
        theirs.close()
        worker = _Worker(process, ours)
        assert process.stdout is not None
        threading.Thread(target=_drain, args=(process.stdout, worker.printed, self._say), daemon=True).start()
        ours.send(self._job)
        return worker

    def _environment(self, slot: int) -> dict[str, str]:
        """A GPU, or a share of the cores: processes that all take all of them wait for each other."""
        if self._gpus:
            return {"CUDA_VISIBLE_DEVICES": self._gpus[slot % len(self._gpus)]}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = max(1, cores // self.slots)
        chosen = os.environ.get("OMP_NUM_THREADS", "")
        threads = str(min(share, int(chosen)) if chosen.isdigit() else share)
        return {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}


def gpus() -> list[str]:
    """The GPUs that this command may use, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] if named else [str(number) for number in range(count)]


def _drain(pipe: IO[str], printed: deque[str], say: Say) -> None:
    """Pass on what a process prints, and keep the last of it."""
    for line in pipe:
        if line.strip():
            printed.append(line.strip())
            say(line.rstrip())
