"""The order of things, what others hold, and a disk that is full."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark.suites.holding import Holding
from mibench.benchmark.suites.schedule import Here, Report, attempt, execute
from mibench.benchmark.suites.task import Task, stages, survey


def task(
    name: str, run: Callable[[], list[Path]], *, needs: Task | None = None, builds: tuple[str, ...] = (), **more: bool
) -> Task:
    return Task("row", name, lambda: None, run, needs=needs, builds=frozenset(builds), **more)


class Threads:
    """An engine of threads: what runs at the same time is seen."""

    def __init__(self, tasks: list[Task], results: Path, slots: int) -> None:
        self.tasks, self.results, self.slots = tasks, results, slots
        self.reports: list[Report] = []
        self.some = threading.Condition()

    def start(self, place: int, *, wait: bool) -> None:
        threading.Thread(target=self._run, args=(place, wait)).start()

    def _run(self, place: int, wait: bool) -> None:
        report = attempt(place, self.tasks[place], self.results, wait=wait, say=lambda _text: None)
        with self.some:
            self.reports.append(report)
            self.some.notify()

    def finished(self) -> list[Report]:
        with self.some:
            assert self.some.wait_for(lambda: self.reports, timeout=20)
            reports, self.reports = self.reports, []
        return reports

    def close(self) -> None:
        pass


def test_tasks_run_together_unless_they_make_the_same_or_are_timed(tmp_path: Path) -> None:
    running: set[str] = set()
    together: list[frozenset[str]] = []
    guard = threading.Lock()

    def work(name: str) -> Callable[[], list[Path]]:
        def run() -> list[Path]:
            with guard:
                running.add(name)
                together.append(frozenset(running))
            threading.Event().wait(0.03)
            with guard:
                running.discard(name)
            return []

        return run

    first = task("first", work("first"))
    timed = task("timed", work("timed"), alone=True)
    one = task("one", work("one"), builds=("features",))
    two = task("two", work("two"), builds=("features",))
    three = task("three", work("three"), builds=("features",))
    after = task("after", work("after"), needs=first)
    tasks = [timed, first, one, two, three, after]
    outcomes = execute(tasks, Threads(tasks, tmp_path, 3), lambda _text: None)
    assert [outcome.state for outcome in outcomes] == ["done"] * 6
    assert any(len(names) > 1 for names in together), "nothing ran at the same time"
    assert frozenset({"timed"}) in together
    assert not any("timed" in names and len(names) > 1 for names in together)
    # Only the first makes what it shares with others; once it is there they may use it together.
    maker = next(names for names in together if names & {"one", "two", "three"})
    (made,) = maker & {"one", "two", "three"}
    others = {"one", "two", "three"} - {made}
    assert not any(made in names and names & others for names in together)
    assert not any({"first", "after"} <= names for names in together)
    assert stages(tasks) == [[0, 1, 2, 3, 4], [5]]


def test_what_another_command_is_at_comes_last_and_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []

    def run(name: str) -> Callable[[], list[Path]]:
        return lambda: order.append(name) or []  # type: ignore[func-returns-value]

    tasks = [task("held", run("held")), task("free", run("free"))]
    held, let_go = threading.Event(), threading.Event()

    def other() -> None:
        with Holding(tmp_path, "row: held") as holding:
            assert holding.mine
            held.set()
            let_go.wait(10)
            order.append("other")

    holder = threading.Thread(target=other)
    holder.start()
    assert held.wait(10)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if "waiting for it" in text:
            let_go.set()

    outcomes = execute(tasks, Here(tasks, tmp_path, say), say)
    holder.join()
    assert order == ["free", "other", "held"]
    assert [outcome.state for outcome in outcomes] == ["done", "done"]
    (busy,) = [text for text in said if "comes last" in text]
    assert f"process {os.getpid()} on " in busy
    assert not list(tmp_path.rglob("*.json")), "nobody holds anything any more"


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_full_disk_ends_the_suite_and_says_so(tmp_path: Path, wrapped: bool) -> None:
    ran: list[str] = []

    def full() -> list[Path]:
        problem = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/home/embeddings.npy")
        if wrapped:
            raise MibenchError("the result cannot be written: free some space") from problem
        raise problem

    def run() -> list[Path]:
        ran.append("after")
        return []

    tasks = [task("full", full), task("after", run)]
    outcomes = execute(tasks, Here(tasks, tmp_path, lambda _text: None), lambda _text: None)
    assert [(outcome.state, outcome.full) for outcome in outcomes] == [("failed", True), ("not run", False)]
    assert ("free some space" if wrapped else "the disk is full: /home/embeddings.npy") in outcomes[0].sentence
    assert not ran


def test_a_record_that_nobody_may_touch_fails_its_own_task(tmp_path: Path) -> None:
    def newer() -> list[Path] | None:
        raise MibenchError("it has schema 9: update mibench")

    after = task("after", lambda: [tmp_path])
    tasks = [Task("row", "newer", newer, list), after]
    assert [outcome.state for outcome in survey(tasks)] == ["failed", "to do"]
    outcomes = execute(tasks, Here(tasks, tmp_path, lambda _text: None), lambda _text: None)
    assert [outcome.state for outcome in outcomes] == ["failed", "done"]
    assert outcomes[0].sentence == "it has schema 9: update mibench"
    assert outcomes[1].paths == (tmp_path,)
