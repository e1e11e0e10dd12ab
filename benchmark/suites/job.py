"""What another process needs to know of a suite: it plans the same tasks from it, and is then told their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...adapters.errors import MibenchError
from ..provenance import version
from .file import Suite
from .planning import Plan, SuiteChoices, planned
from .task import Say, Task


@dataclass(frozen=True)
class Job:
    """A suite with its choices, all data by name.

    Attributes:
        manifests: of the data sets, by name: other signals under the same name would make other keys.
        tasks: the names of all tasks, in their order.
        version: of mibench.
    """

    suite: Suite
    choices: SuiteChoices
    manifests: Mapping[str, str]
    tasks: tuple[str, ...]
    version: str

    @staticmethod
    def of(suite: Suite, plan: Plan) -> Job:
        """The job of a plan that was made here."""
        return Job(suite, plan.choices, plan.manifests, tuple(task.name for task in plan.tasks), version())

    def plan(self, say: Say, where: str = "this process") -> Sequence[Task]:
        """The same tasks as the command that made it has.

        Args:
            where: the place, for the error.

        Raises:
            MibenchError: data that are not here or are others, or another mibench.
        """
        if version() != self.version:
            raise MibenchError(f"{where} has mibench {version()}, and this suite was planned with {self.version}")
        try:
            plan = planned(self.suite, self.choices, say)
        except MibenchError as problem:
            raise MibenchError(f"{where}: {problem}") from problem
        for name, manifest in self.manifests.items():
            here = plan.manifests.get(name, "none")
            if here != manifest:
                raise MibenchError(
                    f"{where}: {name} has manifest {here[:12]} there and {manifest[:12]} here: register the same "
                    f"release with the same options, mibench data add"
                )
        names = tuple(task.name for task in plan.tasks)
        if names != self.tasks:
            raise MibenchError(
                f"{where} plans another suite: is it the same mibench, with the same weights registered?"
            )
        return plan.tasks


@dataclass(frozen=True)
class Said:
    """A line for whoever watches."""

    text: str


@dataclass(frozen=True)
class Unfit:
    """The suite could not be planned here."""

    sentence: str
