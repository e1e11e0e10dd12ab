"""Where a suite is run: the options of `mibench run` that say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..suites.runner import Ways

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--dry-run", is_flag=True, help="Suites: print what is done, what is missing and how long it takes"),
    click.option("--jobs", type=click.IntRange(1), default=1, metavar="N", help="Suites: processes; a GPU for each"),
    click.option("--ray", metavar="auto|HOST:PORT", help="Suites: run on this Ray cluster"),
    click.option(
        "--shared/--no-shared", default=None, help="Ray: all nodes see the same folders  [default: found out]"
    ),
    click.option("--slurm-script", is_flag=True, help="Suites: print a script of job arrays, and run nothing"),
    click.option("--only-task", type=int, metavar="K", help="Suites: run the K-th step of the plan alone"),
    click.option("--cpus-per-task", type=click.IntRange(1), default=1, metavar="N", help="Ray, Slurm  [default: 1]"),
    click.option(
        "--gpus-per-task", type=click.FloatRange(0), metavar="N", help="Ray, Slurm  [default: one, where there is any]"
    ),
)
NAMES = ("dry_run", "jobs", "ray", "shared", "slurm_script", "only_task", "cpus_per_task", "gpus_per_task")
"""All of them, by parameter."""

_ONE_OF = ("--dry-run", "--jobs", "--ray", "--slurm-script", "--only-task")


def engine_options(command: F) -> F:
    """All of them at once."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def ways_of(given: Mapping[str, Any], arguments: Sequence[str]) -> Ways:
    """The engine that was chosen.

    Args:
        given: parameters by name.
        arguments: the command line after `mibench`, which a script of Slurm repeats.

    Raises:
        MibenchError: two of them at once.
    """
    from ...adapters.errors import MibenchError
    from ..suites.runner import Ways
    from ..suites.slurm import Resources

    values = (given["dry_run"], given["jobs"] > 1, given["ray"], given["slurm_script"], given["only_task"] is not None)
    chosen = [name for name, value in zip(_ONE_OF, values, strict=True) if value]
    if len(chosen) > 1 and chosen[0] != "--dry-run":
        raise MibenchError(f"{' and '.join(chosen)} are different ways to run a suite: give one of them")
    return Ways(
        dry_run=given["dry_run"],
        jobs=given["jobs"],
        ray=given["ray"],
        shared=given["shared"],
        slurm=given["slurm_script"],
        only=given["only_task"],
        resources=Resources(given["cpus_per_task"], given["gpus_per_task"]),
        command=("mibench", *_without(arguments)),
    )


def _without(arguments: Sequence[str]) -> list[str]:
    """A command line without what is of the script alone."""
    left, skip = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if skip or name == "--slurm-script":
            skip = False
        elif name in ("--cpus-per-task", "--gpus-per-task"):
            skip = not equals
        else:
            left.append(argument)
    return left
