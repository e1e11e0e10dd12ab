"""A suite as tasks: each is a unit of its own, knows whether it is done, and fails alone.

Nothing here knows methods or protocols: `planning` says what the tasks are, `schedule` runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...adapters.errors import MibenchError
from .estimate import Work

State = Literal["done", "to do", "failed", "not run"]
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Task:
    """One unit of work.

    Attributes:
        row: the row of the table that it is for.
        what: in a few words, such as "retrieval on mimic-iv-ecg"; together with `row` its name.
        found: its records when all are there, None when not; called only when what it needs is done.
        run: makes what is not there, and gives the records; called again, it finds them.
        keeps: folders in the home that it leaves for those that need it.
        arrived: as `found`, though everything was to be made anew: what was made elsewhere has come.
        needs: the task before it, whose outcome it takes up; None for the first.
        lacks: what it cannot be run without and how to get that; empty when nothing is missing.
        builds: what it makes for itself and for others, by name: embeddings, a classifier, a part's pre-training. Two
            tasks never make the same thing at once.
        work: how much it is, for an estimate; None when nobody can tell.
        alone: it times things, so that nothing else is run meanwhile.
    """

    row: str
    what: str
    found: Callable[[], list[Path] | None]
    run: Callable[[], list[Path]]
    keeps: Callable[[], list[Path]] = list
    arrived: Callable[[], list[Path] | None] = list
    needs: Task | None = None
    lacks: str = ""
    builds: frozenset[str] = frozenset()
    work: Work | None = None
    alone: bool = False

    @property
    def name(self) -> str:
        """What it is called in the plan."""
        return f"{self.row}: {self.what}"


@dataclass(frozen=True)
class Outcome:
    """How a task stands.

    Attributes:
        sentence: why it failed or was not run.
        paths: its records.
        full: it failed because the disk is full.
    """

    task: Task
    state: State
    sentence: str = ""
    paths: tuple[Path, ...] = ()
    full: bool = False


def survey(tasks: Sequence[Task]) -> list[Outcome]:
    """How every task stands, without running any."""
    found: dict[int, Outcome] = {}
    for task in tasks:
        before = found.get(id(task.needs))
        if task.lacks or (before and before.state == "not run"):
            found[id(task)] = Outcome(task, "not run", task.lacks or (before.sentence if before else ""))
        elif before and before.state != "done":
            found[id(task)] = Outcome(task, "to do")
        else:
            found[id(task)] = standing(task)
    return list(found.values())


def standing(task: Task) -> Outcome:
    """How a task stands whose needs are done: its records may be there, or be such as nobody may touch."""
    try:
        paths = task.found()
    except MibenchError as problem:
        return Outcome(task, "failed", str(problem))
    return Outcome(task, "to do" if paths is None else "done", paths=tuple(paths or ()))


def stages(tasks: Sequence[Task]) -> list[list[int]]:
    """Places of the tasks by how many others stand before them: what is in one stage can run at once."""
    depth: dict[int, int] = {}
    for task in tasks:
        depth[id(task)] = depth[id(task.needs)] + 1 if task.needs else 0
    found: list[list[int]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for place, task in enumerate(tasks):
        found[depth[id(task)]].append(place)
    return found


def plan_text(outcomes: Sequence[Outcome], hours: Mapping[int, str] | None = None) -> str:
    """What is done and what is not, row by row, and below it what is missing.

    Args:
        hours: by place, what a task will take, in words; a column of its own where it is given.
    """
    from tabulate import tabulate

    body, previous = [], ""
    for place, outcome in enumerate(outcomes):
        task = outcome.task
        line = [str(place + 1), "" if task.row == previous else task.row, task.what, outcome.state]
        body.append([*line, *([hours.get(place, "")] if hours is not None else [])])
        previous = task.row
    header = ["#", "Row", "Step", "State", *(["Time"] if hours is not None else [])]
    align = ["right", "left", "left", "left", *(["right"] if hours is not None else [])]
    table = tabulate(body, header, "simple", disable_numparse=True, colalign=align) if body else ""
    return "\n".join([table, "", counts_text(outcomes)])


def counts_text(outcomes: Sequence[Outcome]) -> str:
    """How many tasks stand how, and why some were not run or failed."""
    counts = [f"{sum(o.state == state for o in outcomes)} {state}" for state in ("done", "to do", "failed", "not run")]
    summary = f"{len(outcomes)} steps: " + ", ".join(count for count in counts if not count.startswith("0 ")) + "."
    return "\n".join([summary, *reasons(outcomes, ("not run", "failed"))])


def reasons(outcomes: Sequence[Outcome], states: Sequence[State]) -> list[str]:
    """Why tasks are in one of some states, each sentence once with all that it is said of."""
    owners: dict[tuple[State, str], list[str]] = {}
    for outcome in outcomes:
        if outcome.state in states:
            named = outcome.task.row if outcome.state == "not run" else f"{outcome.task.row} ({outcome.task.what})"
            owners.setdefault((outcome.state, outcome.sentence), []).append(named)
    return [f"{state}: {'; '.join(dict.fromkeys(names))}: {sentence}" for (state, sentence), names in owners.items()]
