"""What a node of a cluster does for a suite: plan it, run a task, and send home what lies in no shared folder.

Nothing here knows Ray: these are plain functions whose arguments and values travel.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...adapters.errors import MibenchError
from ..files import atomic_path, sha256_json
from ..home import home
from .job import Job
from .schedule import Report, attempt
from .task import Task

Files = Mapping[str, bytes]
"""What files hold, by their path below some folder."""

_plans: dict[tuple[str, str], Sequence[Task]] = {}
"""A process of a cluster is given one task after another of the same suite: it is planned once."""

_said: list[str] = []
"""What its tasks had to say since it was last asked."""


@dataclass(frozen=True)
class Place:
    """Where the command that drives a suite has its files.

    Attributes:
        home: of that command.
        folder: that it was typed in: files may be named from there.
        token: name of a file in it and in the results folder, by which a node knows that it sees the same ones.
        shared: what was said of it; None finds out.
    """

    home: str
    folder: str
    token: str
    shared: bool | None = None

    def is_shared(self, results: Path) -> bool:
        """Whether this node sees the same home and results."""
        if self.shared is not None:
            return self.shared
        return (Path(self.home) / self.token).is_file() and (results / self.token).is_file()


@dataclass(frozen=True)
class Answer:
    """What came of a task, and where.

    Attributes:
        said: lines for whoever watches.
        results, kept: files below the results folder, and below the home, where these are not shared.
    """

    report: Report
    node: str
    said: tuple[str, ...] = ()
    results: Files | None = None
    kept: Files | None = None


def node_name() -> str:
    """What this machine is called."""
    return platform.node() or "a node without a name"


def fitness(job: Job, place: Place) -> str:
    """Why this node could not run the suite's tasks; empty when it could."""
    try:
        _planned(job, place)
    except MibenchError as problem:
        return str(problem)
    return ""


def run_task(job: Job, number: int, place: Place, given: Files | None, *, wait: bool) -> Answer:
    """Run a task of the suite on this node.

    Args:
        number: its place in the plan.
        given: files below the home, of what it needs, for a node that has another home.
        wait: for another command that is at the same task.
    """
    node = node_name()
    try:
        shared = place.is_shared(job.choices.results)
        tasks = _planned(job, place)
        _said.clear()
        if given and not shared:
            write_files(home(), given)
        task = tasks[number]
        if task.lacks:
            raise MibenchError(f"node {node}: {task.lacks}")
        if task.needs is not None and task.needs.arrived() is None:
            # What a dead node had made, and no other has.
            attempt(0, task.needs, _results(job, place), wait=True, say=_said.append)
        report = attempt(number, task, _results(job, place), wait=wait, say=_said.append)
    except MibenchError as problem:
        return Answer(Report(number, "failed", str(problem)), node)
    said = tuple(_said)
    if shared:
        return Answer(report, node, said)
    # Paths of this node say nothing elsewhere; the driver finds the same records in its own folder.
    report = replace(report, paths=())
    kept = read_files(home(), task.keeps()) if report.state == "done" else {}
    return Answer(report, node, said, read_files(_results(job, place), [_results(job, place)]), kept)


def read_files(root: Path, folders: Sequence[Path]) -> dict[str, bytes]:
    """Everything in some folders below a root but what is hidden."""
    found = {}
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(root)
            if file.is_file() and not any(part.startswith(".") for part in name.parts):
                found[name.as_posix()] = file.read_bytes()
    return found


def write_files(root: Path, files: Files) -> None:
    """Write what `read_files` read, each whole; what others are told by comes last.

    Raises:
        MibenchError: a name leads out of the folder.
    """
    # Records vouch for their predictions, and `finished.json` for its weights.
    for name in sorted(files, key=lambda name: name.endswith(".json")):
        file = root / name
        if not file.resolve().is_relative_to(root.resolve()):
            raise MibenchError(f"a node sent a file named {name}, which leads out of {root}: it was refused")
        if file.is_file() and file.read_bytes() == files[name]:
            continue
        with atomic_path(file) as temporary:
            temporary.write_bytes(files[name])


def _planned(job: Job, place: Place) -> Sequence[Task]:
    shared = place.is_shared(job.choices.results)
    if shared:
        os.environ["MIBENCH_HOME"] = place.home
        if Path(place.folder).is_dir():
            os.chdir(place.folder)
    ready = replace(job, choices=replace(job.choices, results=_results(job, place)))
    known = (sha256_json([repr(ready), place.token]), str(home()))
    if known not in _plans:
        _plans[known] = ready.plan(_said.append, f"node {node_name()}")
    return _plans[known]


def _results(job: Job, place: Place) -> Path:
    """Where records are written: to the shared folder, else to one of this node's own, from where they are sent."""
    if place.is_shared(job.choices.results):
        return job.choices.results
    return home() / "gathered" / sha256_json(repr(replace(job, choices=replace(job.choices, force=False))))[:16]
