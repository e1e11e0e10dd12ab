"""What `mibench run --suite` does: plan it, run it, and print what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...adapters.errors import MibenchError
from .. import ablation_table, results
from ..choices import choose_device, once
from ..profile_overview import overview
from ..protocols import latent_fid, pretrain, profile, retrieval
from ..runner import show
from ..tables import load_paper
from .estimate import Estimates, in_words
from .file import Suite, load_suite
from .job import Job
from .planning import Plan, SuiteChoices, planned
from .processes import Processes, gpus
from .schedule import Engine, Here, attempt, execute
from .slurm import Resources, script
from .task import Outcome, Say, counts_text, plan_text, survey

TABLES = {5: ablation_table.table}


@dataclass(frozen=True)
class Ways:
    """Where a suite is run, and how much of it.

    Attributes:
        dry_run: print the plan alone.
        jobs: processes on this machine.
        ray: address of a Ray cluster, or "auto".
        shared: whether all nodes of it see the same folders; None finds out.
        slurm: print a script for Slurm, which repeats `command`.
        only: place of the one task to run, from 1.
        resources: of each task on a cluster.
        command: what was typed.
    """

    dry_run: bool = False
    jobs: int = 1
    ray: str | None = None
    shared: bool | None = None
    slurm: bool = False
    only: int | None = None
    resources: Resources = field(default_factory=Resources)
    command: Sequence[str] = ()


def suite_and_show(name: str, choices: SuiteChoices, ways: Ways, say: Say) -> tuple[str, bool]:
    """Run a suite, or only say how it stands; the text, and whether every run that could be made was made well.

    Raises:
        MibenchError: anything wrong before the first run, or a full disk; what fails otherwise is listed, and the rest
            goes on.
    """
    say = once(say)
    suite = load_suite(name)
    plan = planned(suite, choices, say)
    if ways.dry_run:
        return _planned(suite, plan), True
    if ways.slurm:
        return script(name, survey(plan.tasks), ways.resources, ways.command), True
    if ways.only is not None:
        return _alone(plan, ways.only, say)
    outcomes = execute(plan.tasks, _engine(suite, plan, ways, say), say)
    if any(outcome.full for outcome in outcomes):
        raise MibenchError(
            f"the disk is full: free some space and give the same command again; what was finished is kept\n"
            f"{counts_text(outcomes)}"
        )
    return _report(suite, outcomes), not any(outcome.state == "failed" for outcome in outcomes)


def _engine(suite: Suite, plan: Plan, ways: Ways, say: Say) -> Engine:
    if ways.ray is not None:
        from .ray_engine import RayCluster

        return RayCluster(Job.of(suite, plan), plan.tasks, ways.ray, ways.resources, say, shared=ways.shared)
    if ways.jobs > 1:
        found = gpus() if choose_device(plan.choices.device).type == "cuda" else []
        return Processes(Job.of(suite, plan), ways.jobs, found, say)
    return Here(plan.tasks, plan.choices.results, say)


def _alone(plan: Plan, place: int, say: Say) -> tuple[str, bool]:
    """One task of the plan, as an array of Slurm has it.

    Raises:
        MibenchError: there is no such task, it lacks something, or what it needs is not done.
    """
    if not 1 <= place <= len(plan.tasks):
        raise MibenchError(f"--only-task {place}: the suite has tasks 1 to {len(plan.tasks)}; --dry-run lists them")
    task = plan.tasks[place - 1]
    outcome = survey(plan.tasks)[place - 1]
    if outcome.state == "done":
        return f"{task.name}: done already", True
    if task.lacks:
        raise MibenchError(f"{task.name} cannot be run: {task.lacks}")
    if task.needs is not None and task.needs.arrived() is None:
        before = plan.tasks.index(task.needs) + 1
        raise MibenchError(f"{task.name} needs task {before}, {task.needs.name}, which is not done")
    say(f"[{place}/{len(plan.tasks)}] {task.name}")
    report = attempt(place - 1, task, plan.choices.results, wait=True, say=say)
    if report.full or report.state == "stopped":
        raise MibenchError(report.sentence)
    if report.state == "failed":
        return f"failed: {task.name}: {report.sentence}", False
    return f"{task.name}: done", True


def _planned(suite: Suite, plan: Plan) -> str:
    """The plan with what it will take."""
    outcomes = survey(plan.tasks)
    device = choose_device(plan.choices.device).type
    found, _ = results.scan(plan.choices.results)
    estimates = Estimates(found, device)
    hours, total, guessed, unknown = {}, 0.0, 0.0, 0
    for place, outcome in enumerate(outcomes):
        if outcome.state != "to do":
            continue
        guess = estimates.of(outcome.task.work)
        hours[place] = "?" if guess is None else f"{'' if guess.measured else '~'}{in_words(guess.seconds)}"
        total += guess.seconds if guess else 0.0
        guessed += guess.seconds if guess and not guess.measured else 0.0
        unknown += guess is None
    lines = [suite.title, "", plan_text(outcomes, hours)]
    if hours:
        lines += ["", f"To do: about {in_words(total)} one after another on {device}."]
        lines += [f"Times without ~ are those of like runs in {plan.choices.results}."] if total > guessed else []
        if guessed:
            lines.append(
                f"Times with ~: multiply-accumulates at {estimates.rate / 1e9:,.0f} G/s, a quarter of what a matrix "
                f"product reaches here; reading, heads and intervals are left out, and tiny networks take longer."
            )
        lines += [f"Of {unknown} steps nobody can tell (?)."] if unknown else []
    return "\n".join(lines)


def _report(suite: Suite, outcomes: Sequence[Outcome]) -> str:
    """The boards and tables of what the suite is for, and what failed or was not run."""
    paths = list(dict.fromkeys(path for outcome in outcomes for path in outcome.paths))
    records = [results.read(path) for path in paths]
    fid = [record for record in records if record["protocol"]["name"] == latent_fid.NAME]
    texts = []
    shown = [
        record
        for record in records
        if record["protocol"]["name"] not in (latent_fid.NAME, retrieval.NAME, pretrain.NAME, profile.NAME)
        and "auc" in (record["metrics"] or {})
    ]
    if shown:
        texts.append(show(shown))
    if fid:
        texts.append(latent_fid.table(fid, "text").rstrip())
    costs = [record for record in records if record["protocol"]["name"] == profile.NAME]
    if costs:
        texts.append(overview(costs).rstrip())
    # What failed first is why the rest of its row was not run.
    stopped = [outcome for state in ("not run", "failed") for outcome in outcomes if outcome.state == state]
    why = {outcome.task.row: outcome.sentence for outcome in stopped}
    parts = suite.with_tables() if any(_tabled(record) for record in records) else []
    texts += [TABLES[part.table](records, part, load_paper(), "text", reasons=why).rstrip() for part in parts]
    if not suite.with_tables() and any(record["protocol"]["name"] == retrieval.NAME for record in records):
        texts.append(show([record for record in records if record["protocol"]["name"] == retrieval.NAME]))
    return "\n\n".join([*texts, counts_text(outcomes)])


def _tabled(record: results.StoredRecord) -> bool:
    name, ratio = record["protocol"]["name"], record["ratio"]
    return name == retrieval.NAME or (name in ("linear_probe", "supervised") and ratio == 1.0)
