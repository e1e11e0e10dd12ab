"""A suite: what fails fails alone, what is missing is said before anything runs, and Table 5 comes of the records."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mibench.adapters.errors import MibenchError
from mibench.adapters.options import build
from mibench.benchmark.choices import make
from mibench.benchmark.config import parse_sets
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.home import home, results_folder
from mibench.benchmark.suites.file import Suite, load_suite, suites
from mibench.benchmark.suites.schedule import Here, execute
from mibench.benchmark.suites.task import Outcome, Task, plan_text, survey
from mibench.benchmark.training.stopping import StoppedError
from support import TINY, TINY_ARGUMENTS

Command = Callable[..., Any]
NOTICE = "demo data: not a result"
SHORT = (
    *("pretrain.epochs=1", "pretrain.batch_size=12", "linear_probe.epochs=1", "linear_probe.resamples=20"),
    *("supervised.epochs=1", "supervised.resamples=20", "retrieval.resamples=20"),
)
QUICK = (*TINY_ARGUMENTS, *(part for text in SHORT for part in ("--set", text)))
RUN = ("run", "--suite", "ablation", "--data", "demo", *QUICK)


def task(row: str, what: str, ran: list[str], *, needs: Task | None = None, lacks: str = "", fails: Any = None) -> Task:
    def run() -> list[Path]:
        if fails:
            raise fails
        ran.append(f"{row} {what}")
        return [Path(row)]

    def found() -> list[Path] | None:
        return [Path(row)] if f"{row} {what}" in ran else None

    return Task(row, what, found, run, needs=needs, lacks=lacks)


def run_here(tasks: list[Task], results: Path, say: Callable[[str], None] = lambda _text: None) -> list[Outcome]:
    return execute(tasks, Here(tasks, results, say), say)


def test_what_fails_takes_only_those_with_it_that_need_it(tmp_path: Path) -> None:
    ran: list[str] = []
    first = task("a", "pretrain", ran, fails=MibenchError("the loss is nan"))
    second = task("b", "pretrain", ran, fails=RuntimeError("out of memory"))
    third = task("c", "pretrain", ran, lacks="give --init")
    fourth = task("d", "pretrain", ran)
    after = [task(t.row, "probe", ran, needs=t) for t in (first, second, third, fourth)]
    tasks = [first, second, third, fourth, *after]
    assert [o.state for o in survey(tasks)] == [
        "to do",
        "to do",
        "not run",
        "to do",
        "to do",
        "to do",
        "not run",
        "to do",
    ]
    assert not ran, "a survey runs nothing"
    said: list[str] = []
    outcomes = run_here(tasks, tmp_path, said.append)
    assert ran == ["d pretrain", "d probe"]
    assert [o.state for o in outcomes] == [
        "failed",
        "failed",
        "not run",
        "done",
        "not run",
        "not run",
        "not run",
        "done",
    ]
    assert [o.sentence for o in outcomes[4:7]] == ["pretrain failed", "pretrain failed", "give --init"]
    text = plan_text(outcomes)
    assert "8 steps: 2 done, 2 failed, 4 not run." in text
    assert "failed: a (pretrain): the loss is nan" in text
    assert "failed: b (pretrain): RuntimeError: out of memory" in text
    assert "not run: c: give --init" in text
    assert any("the suite goes on" in line for line in said)
    assert [o.state for o in survey([fourth, after[3]])] == ["done", "done"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), StoppedError("stopped by SIGTERM", 143)])
def test_a_stopped_suite_stops(tmp_path: Path, stop: BaseException) -> None:
    ran: list[str] = []
    with pytest.raises(type(stop)):
        run_here([task("a", "pretrain", ran, fails=stop), task("b", "pretrain", ran)], tmp_path)
    assert not ran


def test_the_ablation_is_the_papers_table_5_and_its_table_3() -> None:
    suite = load_suite("ablation")
    assert "ablation" in suites()
    inits = {row.name: row.init for row in suite.rows if row.method == "selfmis"}
    assert inits == {
        "w/o Alignment": (),
        "w/o S Pre-trained Checkpoint": ("twelve_lead",),
        "w/o M Pre-trained Checkpoint": ("single_lead",),
        "w/o S-M Pre-trained Checkpoint": (),
        "w S-M Pre-trained Checkpoint": ("single_lead", "twelve_lead"),
    }
    graded = {row.name for row in suite.rows for step in row.steps if step.ratios == (25, 50, 100)}
    assert graded == {"w S-M Pre-trained Checkpoint", "ECGFounder"}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [{"name": "a", "method": "m", "steps": [{"protocol": "retrieval"}, {"protocol": "pretrain"}]}],
            "a step `pretrain` comes before all others",
        ),
        ([{"name": "a", "method": "m", "steps": [], "init": ["lead"]}], "there is no checkpoint lead"),
        ([{"name": "a", "method": "m", "steps": [{"protocol": "probe"}]}], "protocol must be one of"),
        ([{"name": "a", "method": "m", "steps": [{"protocol": "pretrain", "ratios": [0]}]}], "percent"),
    ],
)
def test_a_wrong_suite_is_refused(rows: Any, says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        build(Suite, {"title": "t", "rows": rows}, "suite t")


@pytest.fixture
def checkpoints(tmp_path: Path) -> dict[str, Path]:
    """Stand-ins for the published files: tiny networks with random weights."""
    made = {}
    for part, method in (("single_lead", "ecgfounder"), ("twelve_lead", "ecgfounder-12lead")):
        _, adapter = make(method, sets=parse_sets(TINY)["method"])
        adapter.load(None, torch.device("cpu"))
        made[part] = tmp_path / f"{part}.pth"
        torch.save(adapter.network().state_dict(), made[part])  # type: ignore[union-attr]
    return made


def test_from_nothing_to_table_5(
    mibench: Command, with_demo: Dataset, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    nothing = mibench(*RUN, "--dry-run")
    assert nothing.code == 0, nothing.err
    assert "14 steps: 4 to do, 10 not run." in nothing.out
    assert "mibench weights add ecgfounder-12lead FILE" in nothing.out
    assert not list(results_folder().rglob("*.json"))
    # A teacher that fits nothing: its two rows fail, the others are made, and it is said.
    broken = tmp_path / "broken.pth"
    torch.save({"first_conv.conv.weight": torch.zeros(3)}, broken)
    single = ("--init", f"single_lead={checkpoints['single_lead']}")
    partly = mibench(*RUN, *single, "--init", f"twelve_lead={broken}")
    assert partly.code == 1
    assert "failed: w/o S Pre-trained Checkpoint (pretrain on demo" in partly.out
    assert "14 steps: 8 done, 2 failed, 4 not run." in partly.out
    assert "[1] failed" not in partly.out
    lines = partly.out.splitlines()
    assert any(line.startswith("w/o S Pre-trained Checkpoint [1]") and "--" in line for line in lines)
    assert any(line.startswith("[1] not run") and "does not fit the network" in line for line in lines)
    # The right file: what is done stays, the rest is made; registered files serve as well.
    for part, method in (("single_lead", "ecgfounder"), ("twelve_lead", "ecgfounder-12lead")):
        added = mibench("weights", "add", method, checkpoints[part], *TINY_ARGUMENTS)
        assert added.code == 0, added.err
    before = {path: path.stat().st_mtime_ns for path in home().rglob("weights.safetensors")}
    planned = mibench(*RUN, "--dry-run")
    assert "14 steps: 8 done, 6 to do." in planned.out
    whole = mibench(*RUN)
    assert whole.code == 0, whole.err
    assert "14 steps: 14 done." in whole.out
    assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())
    assert "14 steps: 14 done." in mibench(*RUN, "--dry-run").out
    assert "25 % of training" in whole.out
    table = mibench("table", "5", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert [row["row"] for row in rows] == [row.name for row in load_suite("ablation").rows[:5]]
    assert {row["notice"] for row in rows} == {NOTICE}
    assert all(row["avg_auc"] and row["avg_paper"] for row in rows)
    assert all(row["R@10"] and row["infonce"] and row["siglip_sum"] for row in rows[1:])
    assert rows[0]["R@10"] == ""
    assert rows[4]["R@1_paper"] == "45.98"
    assert len({row["weights_sha256"] for row in rows[1:]}) == 4
    text = mibench("table", "5", "--format", "text")
    assert all(NOTICE in line for line in text.out.splitlines() if "pretrained " in line)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--suite", "ablaton"), "there is no suite `ablaton`; did you mean `ablation`?"),
        ((), "give either --method NAME or --suite NAME"),
        (("--suite", "ablation", "--method", "selfmis"), "give either --method NAME or --suite NAME"),
        (("--suite", "ablation", "--weights", "random"), "--weights belongs to --method"),
        (("--suite", "ablation", "--ratio", "50"), "--ratio belongs to --method"),
        (("--method", "selfmis", "--dry-run"), "--dry-run belongs to --suite"),
        (("--suite", "ablation", "--set", "protocol.epochs=3"), "name the one that is meant: linear_probe.epochs=3"),
        (("--suite", "ablation", "--set", "linear_prob.epochs=3"), "did you mean `linear_probe`?"),
        (("--suite", "ablation", "--set", "method.nett.x=3"), "no method of the suite (selfmis, ecgfounder) has"),
        (("--suite", "ablation", "--init", "x=y"), "has no part `x`; there is single_lead, twelve_lead"),
        (("--suite", "ablation", "--init", "single_lead"), "--init takes PART=FILE"),
        (("--suite", "ablation", "--init", "single_lead=y"), "there is no such file"),
        (("--suite", "ablation", "--jobs", "2", "--slurm-script"), "are different ways to run a suite"),
        (("--suite", "ablation", "--only-task", "99"), "the suite has tasks 1 to 14"),
        (("--suite", "ablation", "--only-task", "10"), "needs task 8, w/o S-M Pre-trained Checkpoint: pretrain"),
        (("--suite", "ablation", "--only-task", "2"), "cannot be run: no file for twelve_lead"),
        (("--method", "selfmis", "--jobs", "2"), "--jobs belongs to --suite"),
        (("--suite", "ablation", "--preset", "lab_precedents"), "did you mean `lab_precedent`?"),
        (("--suite", "ablation", "--pretrain-data", "mimic"), "no data set is called `mimic`"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_runs(
    mibench: Command, with_demo: Dataset, arguments: tuple[str, ...], says: str
) -> None:
    answer = mibench("run", *arguments)
    assert answer.code == 2
    assert says in answer.err
    assert not results_folder().exists()
