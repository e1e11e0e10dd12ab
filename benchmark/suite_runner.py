"""What `mibench run --suite` does: plan it, run it, and print what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import ablation_table, results
from .choices import Say, once
from .suite import Outcome, execute, plan_text, survey
from .suite_file import Suite, load_suite
from .suite_tasks import SuiteChoices, tasks_of
from .tables import leaderboards, load_paper, render_all

TABLES = {5: ablation_table.table}


def suite_and_show(name: str, choices: SuiteChoices, say: Say, *, dry_run: bool = False) -> tuple[str, bool]:
    """Run a suite, or only say how it stands; the text, and whether every run that could be made was made well.

    Raises:
        MibenchError: anything wrong before the first run; after it, what fails is listed and the rest goes on.
    """
    say = once(say)
    suite = load_suite(name)
    tasks = tasks_of(suite, choices, say)
    if dry_run:
        return f"{suite.title}\n\n{plan_text(survey(tasks))}", True
    outcomes = execute(tasks, say)
    return _report(suite, outcomes), not any(outcome.state == "failed" for outcome in outcomes)


def _report(suite: Suite, outcomes: Sequence[Outcome]) -> str:
    """The boards of shares of the training records, the suite's table, and what failed or was not run."""
    found = [(outcome.task.row, results.read(path)) for outcome in outcomes for path in outcome.paths]
    records = [record for _, record in found]
    texts = []
    graded = {row.name for row in suite.rows if any(len(step.ratios) > 1 for step in row.steps)}
    rows = [record for row, record in found if row in graded and "auc" in (record["metrics"] or {})]
    if rows:
        texts.append(render_all(leaderboards(rows, load_paper()), "text").rstrip())
    if suite.table and any(_shows(record) for record in records):
        # What failed first is why the rest of its row was not run.
        stopped = [outcome for state in ("not run", "failed") for outcome in outcomes if outcome.state == state]
        why = {outcome.task.row: outcome.sentence for outcome in stopped}
        texts.append(TABLES[suite.table](records, suite, load_paper(), "text", reasons=why).rstrip())
    counts = plan_text(outcomes).split("\n\n")[-1]
    return "\n\n".join([*texts, counts])


def _shows(record: Mapping[str, Any]) -> bool:
    name, ratio = record["protocol"]["name"], record["ratio"]
    return name == "retrieval" or (name in ("linear_probe", "supervised") and ratio == 1.0)
