"""Tasks on an existing Ray cluster: one that is lost with its process or its node is run again, on another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...adapters.errors import MibenchError
from ..files import write_text
from ..home import home
from . import node
from .arrival import keep
from .job import Job
from .node import Answer, Place
from .schedule import Report, failure
from .slurm import Resources
from .task import Say, Task

RETRIES = 3
"""Times that Ray runs a task again whose process died."""

CONNECT_SECONDS = 5.0
HEALTH_SECONDS = 30.0
NODE_SECONDS = 300.0
"""For a node to start Python, import torch and open the data."""


class RayCluster:
    """The engine of `--ray ADDRESS`.

    Args:
        job: the suite.
        tasks: as they were planned here: what nodes send is held against them.
        address: HOST:PORT of the cluster's head, or "auto".
        resources: of each task.
        say: told what happens.
        shared: whether all nodes see the same folders; None finds out.

    Raises:
        MibenchError: Ray is not installed, the cluster does not answer, or nodes cannot run the suite: all are named.
    """

    def __init__(
        self,
        job: Job,
        tasks: Sequence[Task],
        address: str,
        resources: Resources,
        say: Say,
        *,
        shared: bool | None = None,
    ) -> None:
        self._ray: Any = _ray()
        self._job, self._tasks, self._say = job, tasks, say
        self._place = Place(str(home()), str(Path.cwd()), f".shared-{uuid.uuid4().hex}", shared)
        self._given: dict[int, Any] = {}
        self._all_shared = False
        self._running: dict[Any, int] = {}
        self._stops: dict[int, int] = {}
        _connect(self._ray, address)
        try:
            self._gpus = self._gpus_of(resources)
            self._cpus = resources.cpus
            for folder in (home(), job.choices.results):
                write_text(folder / self._place.token, "")
            self._assert_fit()
        except BaseException:
            self.close()
            raise
        options = {"num_cpus": self._cpus, "num_gpus": self._gpus, "max_retries": RETRIES}
        self._work = self._ray.remote(**options)(node.run_task)

    @property
    def slots(self) -> int:
        """As many tasks as the nodes that are there now have room for, and at least one: another node may come."""
        return max(1, sum(self._room(about) for about in self._nodes()))

    def start(self, place: int, *, wait: bool) -> None:
        """Hand a task to the cluster."""
        given = self._files_for(self._tasks[place])
        reference = self._work.remote(self._job, place, self._place, given, wait=wait)
        self._running[reference] = place

    def finished(self) -> list[Report]:
        """The reports that are there, at least one."""
        reports: list[Report] = []
        while not reports:
            ready, _ = self._ray.wait(list(self._running), num_returns=1)
            for reference in ready:
                report = self._report(reference)
                if report.state == "stopped" and self._stops.setdefault(report.place, 0) < RETRIES:
                    # A node that goes away asks its tasks to end: another one goes on, from a checkpoint where it can.
                    self._stops[report.place] += 1
                    self.start(report.place, wait=True)
                else:
                    reports.append(report)
        return reports

    def close(self) -> None:
        """Leave the cluster; what is under way there is stopped with it."""
        for folder in (home(), self._job.choices.results):
            (folder / self._place.token).unlink(missing_ok=True)
        self._ray.shutdown()

    def _report(self, reference: Any) -> Report:
        place = self._running.pop(reference)
        try:
            answer: Answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as problem:
            told = str(problem).strip().splitlines()[-1] if str(problem).strip() else type(problem).__name__
            return Report(place, "failed", f"the cluster lost it, {RETRIES + 1} times: {told}")
        for line in answer.said:
            self._say(f"{answer.node}: {line}")
        if answer.results is None:
            return answer.report
        try:
            return keep(answer, self._tasks[place], self._job.choices.results)
        except (MibenchError, OSError) as problem:
            return failure(place, problem)

    def _files_for(self, task: Task) -> Any:
        """What a node with another home needs of the task before, put there once; None where all share it."""
        if task.needs is None or self._all_shared:
            return None
        if id(task.needs) not in self._given:
            self._given[id(task.needs)] = self._ray.put(node.read_files(home(), task.needs.keeps()))
        return self._given[id(task.needs)]

    def _assert_fit(self) -> None:
        """Ask every node that has room for a task whether it could run one."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        able = [about for about in self._nodes() if self._room(about)]
        if not able:
            asked = f"{self._cpus} CPUs" + (f" and {self._gpus:g} GPUs" if self._gpus else "")
            raise MibenchError(f"no node of the cluster has {asked} for a task: see --cpus-per-task, --gpus-per-task")
        asking = {}
        for about in able:
            pinned = NodeAffinitySchedulingStrategy(about["NodeID"], soft=False)
            ask = self._ray.remote(num_cpus=0, max_retries=1, scheduling_strategy=pinned)(_look)
            asking[ask.remote(self._job, self._place)] = about["NodeManagerHostname"]
        ready, late = self._ray.wait(list(asking), num_returns=len(asking), timeout=NODE_SECONDS)
        wrong = [f"node {asking[reference]} does not answer" for reference in late]
        shared = []
        for reference in ready:
            try:
                problem, sees = self._ray.get(reference)
                shared.append(sees)
            except self._ray.exceptions.RayError as failure:
                last = (str(failure).strip().splitlines() or [type(failure).__name__])[-1]
                problem = f"node {asking[reference]}: mibench does not run there, install it as it is here: {last}"
            wrong += [problem] if problem else []
        if wrong:
            listed = "\n".join(f"  - {text}" for text in dict.fromkeys(wrong))
            raise MibenchError(
                f"{len(wrong)} of {len(able)} nodes cannot run this suite, and nothing was run:\n{listed}\n"
                f"Put them right, or take them out of the cluster"
            )
        self._all_shared = all(shared)
        where = "all see the same folders" if self._all_shared else "their records come back over the network"
        self._say(f"Ray: {len(able)} nodes, room for {self.slots} tasks at once; {where}")

    def _nodes(self) -> list[dict[str, Any]]:
        return [about for about in self._ray.nodes() if about["Alive"]]

    def _room(self, about: dict[str, Any]) -> int:
        """Tasks that a node has room for."""
        has = about["Resources"]
        rooms = [has.get("CPU", 0.0) / self._cpus]
        if self._gpus:
            rooms.append(has.get("GPU", 0.0) / self._gpus)
        return int(min(rooms))

    def _gpus_of(self, resources: Resources) -> float:
        """GPUs of a task: what was asked for, else one where the cluster has any and the device is not the CPU."""
        if resources.gpus is not None:
            return resources.gpus
        there = any(about["Resources"].get("GPU", 0.0) for about in self._nodes())
        return 1.0 if there and self._job.choices.device != "cpu" else 0.0


def _look(job: Job, place: Place) -> tuple[str, bool]:
    """On a node: what is wrong with it, and whether it sees the driver's folders."""
    return node.fitness(job, place), place.is_shared(job.choices.results)


def _ray() -> Any:
    """Ray, where it is installed.

    Raises:
        MibenchError: it is not.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as problem:
        raise MibenchError("--ray takes Ray: pip install -c constraints.txt '.[cluster]'") from problem
    return ray


def _connect(ray: Any, address: str) -> None:
    """Join the cluster.

    Raises:
        MibenchError: there is none, or it does not answer.
    """
    asked = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    if asked:
        _assert_answers(asked)
    try:
        ray.init(address=asked or "auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError, AssertionError) as problem:
        told = " ".join(str(problem).split())[:300]
        raise MibenchError(
            f"--ray {address}: no Ray cluster could be joined from this machine ({told}). Start one with: "
            f"ray start --head; on every other machine: ray start --address HEAD:6379"
        ) from problem


def _assert_answers(address: str) -> None:
    """Ask for the cluster's health in a process of its own: Ray itself would wait for minutes."""
    if "://" in address:
        raise MibenchError(
            f"--ray {address}: Ray Client is not used here; run mibench on a node of the cluster, with --ray auto"
        )
    host, _, port = address.rpartition(":")
    silent = MibenchError(
        f"--ray {address}: no Ray cluster answers there; give HOST:PORT of its head, as `ray start --head` prints it, "
        f"or auto on a node of the cluster"
    )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as problem:
        raise silent from problem
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        found = subprocess.run(command, capture_output=True, timeout=HEALTH_SECONDS)
    except subprocess.TimeoutExpired as problem:
        raise silent from problem
    if found.returncode:
        raise silent
