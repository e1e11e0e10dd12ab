"""A suite as tasks: each is a unit of its own, knows whether it is done, and fails alone.

Nothing here knows methods or protocols: `suite_tasks` says what the tasks are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..adapters.errors import MibenchError

State = Literal["done", "to do", "failed", "not run"]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """One unit of work.

    Attributes:
        row: the row of the table that it is for.
        what: in a few words, such as "retrieval on mimic-iv-ecg"; together with `row` its name.
        done: whether its records are there; called only when what it needs is done.
        run: makes what is not there, and gives the records; called again, it finds them.
        needs: the task before it in its row, whose outcome it takes up; None for the first.
        lacks: what it cannot be run without and how to get that; empty when nothing is missing.
    """

    row: str
    what: str
    done: Callable[[], bool]
    run: Callable[[], list[Path]]
    needs: Task | None = None
    lacks: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a task stands: `sentence` says why it failed or was not run, `paths` are its records."""

    task: Task
    state: State
    sentence: str = ""
    paths: tuple[Path, ...] = ()


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
            found[id(task)] = Outcome(task, "done" if task.done() else "to do")
    return list(found.values())


def execute(tasks: Sequence[Task], say: Say) -> list[Outcome]:
    """Run every task in order; one that fails takes only those with it that need it."""
    found: dict[int, Outcome] = {}
    for place, task in enumerate(tasks, 1):
        before = found.get(id(task.needs))
        if task.lacks or (before and before.state in ("failed", "not run")):
            reason = task.lacks or (before.sentence if before and before.state == "not run" else "")
            found[id(task)] = Outcome(task, "not run", reason or f"{before.task.what if before else ''} failed")
            continue
        say(f"[{place}/{len(tasks)}] {task.row}: {task.what}")
        try:
            found[id(task)] = Outcome(task, "done", paths=tuple(task.run()))
        except MibenchError as problem:
            found[id(task)] = Outcome(task, "failed", str(problem))
        except Exception as problem:
            # Out of memory, a fault of a plug-in: the rows after it are worth their hours all the same.
            found[id(task)] = Outcome(task, "failed", f"{type(problem).__name__}: {problem}")
        if found[id(task)].state == "failed":
            say(f"{task.row}: {task.what} failed, and the suite goes on: {found[id(task)].sentence}")
    return list(found.values())


def plan_text(outcomes: Sequence[Outcome]) -> str:
    """What is done and what is not, row by row, and below it what is missing."""
    from tabulate import tabulate

    body, previous = [], ""
    for outcome in outcomes:
        task = outcome.task
        body.append(["" if task.row == previous else task.row, task.what, outcome.state])
        previous = task.row
    counts = [f"{sum(o.state == state for o in outcomes)} {state}" for state in ("done", "to do", "failed", "not run")]
    summary = f"{len(outcomes)} steps: " + ", ".join(count for count in counts if not count.startswith("0 ")) + "."
    table = tabulate(body, ["Row", "Step", "State"], "simple", disable_numparse=True)
    return "\n".join([table, "", summary, *reasons(outcomes, ("not run", "failed"))])


def reasons(outcomes: Sequence[Outcome], states: Sequence[State]) -> list[str]:
    """Why tasks are in one of some states, each sentence once with all that it is said of."""
    owners: dict[tuple[State, str], list[str]] = {}
    for outcome in outcomes:
        if outcome.state in states:
            named = outcome.task.row if outcome.state == "not run" else f"{outcome.task.row} ({outcome.task.what})"
            owners.setdefault((outcome.state, outcome.sentence), []).append(named)
    return [f"{state}: {'; '.join(dict.fromkeys(names))}: {sentence}" for (state, sentence), names in owners.items()]
