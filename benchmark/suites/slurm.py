"""A suite for Slurm: a script that submits itself, an array for each stage, one task of the plan for each index."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from .task import Outcome, stages


@dataclass(frozen=True)
class Resources:
    """What each task is given on a cluster.

    Attributes:
        cpus: cores.
        gpus: GPUs, or a share of one where several tasks fit; None is one where there are any.
    """

    cpus: int = 1
    gpus: float | None = None


def script(name: str, outcomes: Sequence[Outcome], resources: Resources, command: Sequence[str]) -> str:
    """The script, to be read, changed and run with bash; what is done or lacks something is left out.

    Args:
        name: of the suite.
        outcomes: as `survey` gives them.
        command: what each index runs, without the options that are of this script alone.
    """
    title = "".join(letter if letter.isalnum() else "-" for letter in name.rpartition("/")[2].partition(".")[0])
    asked = f"#SBATCH --gpus-per-task={resources.gpus:g}" if resources.gpus else "##SBATCH --gpus-per-task=1"
    lines = [
        "#!/bin/bash",
        f"# The suite {name} as arrays of Slurm: look through the options, then `bash` this file on a login node.",
        "# It submits itself once for each stage; an index is a task of the plan, which --dry-run lists.",
        "# The same file again submits what is not done by then, if it is printed anew.",
        f"#SBATCH --job-name=mibench-{title}",
        "#SBATCH --output=mibench-%x-%A-%a.log",
        "#SBATCH --ntasks=1",
        f"#SBATCH --cpus-per-task={resources.cpus}",
        asked,
        "##SBATCH --time=24:00:00",
        "##SBATCH --partition=gpu",
        "set -euo pipefail",
        "",
        'if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then',
        f'    exec {shlex.join(command)} --only-task "$SLURM_ARRAY_TASK_ID"',
        "fi",
        "",
    ]
    left = [
        [place for place in stage if outcomes[place].state == "to do"]
        for stage in stages([outcome.task for outcome in outcomes])
    ]
    submitted = False
    for stage in filter(None, left):
        lines += [f"# {place + 1}: {outcomes[place].task.name}".replace("\n", " ") for place in stage]
        # After any end: a task whose need has failed says so, and the others of the stage are none the worse.
        after = '--dependency="afterany:$stage" ' if submitted else ""
        lines.append(f'stage=$(sbatch --parsable {after}--array={_ranges(stage)} "$0")')
        lines += ['echo "submitted: job $stage"', ""]
        submitted = True
    lacking = [outcome for outcome in outcomes if outcome.state == "not run"]
    lines += [f"# left out: {o.task.name}: {' '.join(o.sentence.split())}" for o in lacking]
    if not submitted:
        lines.append(f'echo "nothing of the suite {title} is left to run"')
    return "\n".join(lines)


def _ranges(places: Sequence[int]) -> str:
    """Places, from 1, as Slurm lists them: 1-4,7."""
    found: list[list[int]] = []
    for number in (place + 1 for place in places):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
