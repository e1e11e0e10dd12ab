"""The order of things: tasks are given to an engine as soon as what they need is done, and none takes others with it.

An engine is a place where tasks are run: this process, others on this machine, or a Ray cluster.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ...adapters.errors import MibenchError
from ..training.stopping import StoppedError
from .holding import Holding
from .task import Outcome, Say, Task, standing

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Report:
    """What came of a task, as it travels between processes.

    Attributes:
        place: of the task in the plan.
        state: "busy" when another command is at it, which `sentence` names; "stopped" when it was asked to end.
        sentence: why it was not done.
        paths: of its records.
        code: exit code of what was stopped.
        full: the disk is, so that nothing after it could be kept either.
    """

    place: int
    state: Literal["done", "failed", "busy", "stopped"]
    sentence: str = ""
    paths: tuple[Path, ...] = ()
    code: int = 0
    full: bool = False


class Engine(Protocol):
    """Where tasks are run.

    Attributes:
        slots: how many at once.
    """

    @property
    def slots(self) -> int:
        """How many tasks can be under way at once."""

    def start(self, place: int, *, wait: bool) -> None:
        """Begin with a task; `wait` for another command that is at the same one, in place of reporting it as busy."""

    def finished(self) -> list[Report]:
        """What came of tasks that were started, as soon as there is any."""

    def close(self) -> None:
        """Let go of all processes; what is under way is stopped."""


def attempt(place: int, task: Task, results: Path, *, wait: bool, say: Say) -> Report:
    """Run one task; whatever goes wrong is in the report.

    Args:
        results: folder of run records, in which it is held against other commands.
        wait: for whoever holds it.
        say: told when it has to wait.
    """
    try:
        with Holding(results, task.name) as holding:
            if not holding.mine:
                if not wait:
                    return Report(place, "busy", holding.owner())
                say(f"{task.name} is being made by {holding.owner()}: waiting for it")
                holding.wait()
            return Report(place, "done", paths=tuple(task.run()))
    except StoppedError as problem:
        return Report(place, "stopped", str(problem), code=problem.exit_code)
    except Exception as problem:
        # Out of memory, a fault of a plug-in: the rows after it are worth their hours all the same.
        return failure(place, problem)


def failure(place: int, problem: Exception) -> Report:
    """The report of a task that went wrong."""
    full = _is_full(problem)
    if isinstance(problem, MibenchError):
        return Report(place, "failed", str(problem), full=full)
    where = f": {problem.filename}" if isinstance(problem, OSError) and problem.filename else ""
    told = f"the disk is full{where}" if full else f"{type(problem).__name__}: {problem}"
    return Report(place, "failed", told, full=full)


class Here:
    """This process, one task after another."""

    slots = 1

    def __init__(self, tasks: Sequence[Task], results: Path, say: Say) -> None:
        self._tasks, self._results, self._say = tasks, results, say
        self._next: list[tuple[int, bool]] = []

    def start(self, place: int, *, wait: bool) -> None:
        """Remember it: it is run when its report is asked for."""
        self._next.append((place, wait))

    def finished(self) -> list[Report]:
        """Run what was started."""
        place, wait = self._next.pop()
        return [attempt(place, self._tasks[place], self._results, wait=wait, say=self._say)]

    def close(self) -> None:
        """There is nothing to let go of."""


def execute(tasks: Sequence[Task], engine: Engine, say: Say) -> list[Outcome]:
    """Run every task; one that fails takes only those with it that need it.

    Raises:
        StoppedError: it was asked to end.
    """
    schedule = _Schedule(tasks, engine, say)
    try:
        return schedule.run()
    finally:
        engine.close()


class _Schedule:
    """What is waiting, what is under way, and how everything else stands."""

    def __init__(self, tasks: Sequence[Task], engine: Engine, say: Say) -> None:
        self.tasks, self.engine, self.say = tasks, engine, say
        self.places = {id(task): place for place, task in enumerate(tasks)}
        self.waiting = list(range(len(tasks)))
        self.running: set[int] = set()
        self.busy: set[int] = set()
        self.built: set[str] = set()
        self.looked: set[int] = set()
        self.found: dict[int, Outcome] = {}
        self.full = ""

    def run(self) -> list[Outcome]:
        while self.waiting or self.running:
            self._settle()
            self._start()
            if self.running:
                for report in self.engine.finished():
                    self._take(report)
        return [self.found[place] for place in range(len(self.tasks))]

    def _settle(self) -> None:
        """What cannot be run any more, or need not be: others may hang on it, and come later in the list."""
        for place in list(self.waiting):
            task = self.tasks[place]
            before = self._before(task)
            if task.lacks or self.full or (before and before.state in ("failed", "not run")):
                reason = task.lacks or self.full or (before.sentence if before and before.state == "not run" else "")
                told = reason or f"{before.task.what if before else ''} failed"
                self._settled(place, Outcome(task, "not run", told))
            elif before is None and task.needs is not None:
                continue
            elif place not in self.looked:
                self.looked.add(place)
                outcome = standing(task)
                if outcome.state != "to do":
                    self._settled(place, outcome)

    def _settled(self, place: int, outcome: Outcome) -> None:
        self.waiting.remove(place)
        self.found[place] = outcome

    def _start(self) -> None:
        """As much as the engine takes; what others are at comes when nothing else is left."""
        while len(self.running) < self.engine.slots:
            ready = [place for place in self.waiting if self._ready(place)]
            # What is timed is run alone, and so comes when nothing else can be run.
            shared = [place for place in ready if not self.tasks[place].alone]
            if any(self.tasks[place].alone for place in self.running) or (ready and not shared and self.running):
                return
            ready = shared or ready
            fresh = [place for place in ready if place not in self.busy]
            if not ready or (not fresh and self.running):
                return
            place = (fresh or ready)[0]
            self.waiting.remove(place)
            self.running.add(place)
            self.say(f"[{place + 1}/{len(self.tasks)}] {self.tasks[place].name}")
            self.engine.start(place, wait=place in self.busy)

    def _ready(self, place: int) -> bool:
        task = self.tasks[place]
        if task.needs is not None and self._before(task) is None:
            return False
        making = {name for other in self.running for name in self.tasks[other].builds}
        return not (task.builds - self.built) & making

    def _before(self, task: Task) -> Outcome | None:
        return self.found.get(self.places[id(task.needs)]) if task.needs is not None else None

    def _take(self, report: Report) -> None:
        task = self.tasks[report.place]
        self.running.discard(report.place)
        if report.state == "stopped":
            raise StoppedError(report.sentence, report.code)
        if report.state == "busy":
            self.say(f"{task.name} is being made by {report.sentence}: it comes last")
            self.busy.add(report.place)
            self.waiting.append(report.place)
            return
        if report.state == "done":
            self.built |= task.builds
        else:
            goes_on = "failed" if report.full else "failed, and the suite goes on"
            self.say(f"{task.name} {goes_on}: {report.sentence}")
        self.found[report.place] = Outcome(task, report.state, report.sentence, report.paths, report.full)
        if report.full:
            self.full = report.sentence


def _is_full(problem: BaseException | None) -> bool:
    """Whether a disk without space is at the bottom of it."""
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        if isinstance(problem, OSError) and problem.errno in FULL:
            return True
        problem = problem.__cause__ or problem.__context__
    return False
