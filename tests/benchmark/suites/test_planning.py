"""What a suite comes to on this machine: which weights, which tasks; everything that is wrong is said at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.home import results_folder
from mibench.benchmark.suites.file import PROTOCOLS, load_suite
from mibench.benchmark.suites.planning import Plan, SuiteChoices, planned

Command = Callable[..., Any]


def plan_of(folder: Path, text: str, **choices: Any) -> Plan:
    (folder / "suite.yaml").write_text(text)
    suite = load_suite(str(folder / "suite.yaml"))
    return planned(suite, SuiteChoices(results=folder / "results", **choices), lambda _text: None)


def test_everything_that_is_wrong_is_said_at_once(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    text = (
        "title: t\ndata: [demo, ptb-xl-2]\n"
        "groups:\n"
        "  - {methods: [selfmiss, simclr], steps: [{protocol: linear_probe}], preset: tiny}\n"
        "  - {methods: [clocs], steps: [{protocol: linear_probe}], preset: tinny}\n"
    )
    (tmp_path / "suite.yaml").write_text(text)
    answer = mibench("run", "--suite", tmp_path / "suite.yaml", "--init", "x=y")
    assert answer.code == 2
    for says in (
        "4 things are wrong with this suite, and nothing was run",
        "there is no method `selfmiss`; did you mean `selfmis`?",
        "row clocs: clocs has no preset `tinny`; did you mean `tiny`?",
        "no data set is called `ptb-xl-2`",
        "the suite has no part `x`",
    ):
        assert says in answer.err
    assert not results_folder().exists()


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("{methods: [simclr], steps: [{protocol: generative}]}", "is for generators, and simclr is an encoder"),
        ("{methods: [mcma], steps: [{protocol: linear_probe}]}", "is for encoders, and mcma is a generator"),
        ("{methods: [simclr], steps: [{protocol: latent_fid}]}", "latent FID is of generators"),
        ("{methods: [prevalence], steps: [{protocol: profile}]}", "has no network"),
        ("{methods: [simclr], steps: [{protocol: linear_probe, sets: [epoch=1]}]}", "did you mean `epochs`?"),
        ("{methods: [simclr], steps: [{protocol: linear_probe, weights: ./no.pt}]}", "there are no weights `./no.pt`"),
        ("{methods: [simclr, simclr], steps: [{protocol: linear_probe}]}", "is there twice"),
    ],
)
def test_steps_that_do_not_fit_a_method_are_refused(with_demo: Dataset, tmp_path: Path, group: str, says: str) -> None:
    with pytest.raises(MibenchError) as caught:
        plan_of(tmp_path, f"title: t\ndata: [demo]\ngroups: [{group}]")
    assert says in str(caught.value)


def test_a_pre_training_is_made_once_for_all_that_need_it(with_demo: Dataset, tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "title: t\ndata: [demo]\ngroups:\n"
        "  - {methods: [heartlang-12lead, heartlang], steps: [{protocol: linear_probe}]}\n"
        "  - {methods: [fir-ridge, zero-mask], steps: [{protocol: generative}, {protocol: latent_fid}]}\n",
    )
    names = [task.name for task in plan.tasks]
    assert names == [
        "heartlang-12lead: pretrain on demo, from scratch",
        "heartlang-12lead: linear_probe on demo",
        "heartlang: linear_probe on demo",
        "fir-ridge: fit on demo",
        "fir-ridge: generative on demo",
        "fir-ridge: latent_fid on demo",
        "zero-mask: generative on demo",
        "zero-mask: latent_fid on demo",
    ]
    needs = [plan.tasks.index(task.needs) if task.needs else None for task in plan.tasks]
    assert needs == [None, 0, 0, None, 3, 3, None, None]
    assert plan.manifests == {"demo": with_demo.manifest}


def test_weights_that_nobody_can_make_are_asked_for(with_demo: Dataset, tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "title: t\ndata: [demo]\ngroups:\n"
        "  - methods: [ecgfounder]\n"
        "    steps: [{protocol: linear_probe}, {protocol: linear_probe, weights: 'random:3'}]\n"
        "  - {methods: [stmem], steps: [{protocol: linear_probe, weights: published}]}\n",
    )
    lacks = {task.name: task.lacks for task in plan.tasks}
    assert "mibench weights add ecgfounder FILE" in lacks["ecgfounder: linear_probe on demo"]
    assert lacks["ecgfounder: linear_probe on demo, random:3 weights"] == ""
    assert "no published weights of" in lacks["stmem: linear_probe on demo, published weights"]


def test_probes_are_one_problem_and_end_to_end_trainings_are_not(with_demo: Dataset, tmp_path: Path) -> None:
    steps = "[{protocol: linear_probe, ratios: [25, 100]}, {protocol: supervised, weights: random, ratios: [25, 100]}]"
    text = f"title: t\ndata: [demo]\nseeds: 2\ngroups: [{{methods: [stmem], steps: {steps}}}]"
    plan = plan_of(tmp_path, text)
    assert len(plan.tasks) == 1 + 1 + 4
    assert len(plan_of(tmp_path, text, seeds=1).tasks) == 1 + 1 + 2


def test_the_shipped_suites_can_be_planned(mibench: Command, with_demo: Dataset) -> None:
    for name in ("demo", "paper"):
        plan = planned(load_suite(name), SuiteChoices(data="demo"), lambda _text: None)
        assert len(plan.tasks) > 80
        kinds = {re.split("[ ,]", task.what)[0] for task in plan.tasks}
        assert kinds == {"fit", *PROTOCOLS}
    assert not results_folder().exists()


def test_a_plan_says_how_long_it_takes_and_how_it_knows(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    text = (
        "title: t\ndata: [demo]\ngroups:\n"
        "  - {methods: [prevalence], steps: [{protocol: linear_probe, sets: [epochs=1, resamples=20]}]}\n"
        "  - {methods: [stmem], steps: [{protocol: linear_probe, weights: random, sets: [epochs=1, resamples=20]}]}\n"
    )
    suite = tmp_path / "suite.yaml"
    suite.write_text(text)
    before = mibench("run", "--suite", suite, "--dry-run")
    assert before.code == 0, before.err
    assert "To do: about" in before.out
    assert "Times with ~: multiply-accumulates at" in before.out
    assert not results_folder().exists()
    assert mibench("run", "--suite", suite).code == 0
    assert "2 steps: 2 done." in mibench("run", "--suite", suite, "--dry-run").out
    # Like runs: the same methods with other settings.
    suite.write_text(text.replace("epochs=1", "epochs=2"))
    after = mibench("run", "--suite", suite, "--dry-run")
    assert "Times without ~ are those of like runs in" in after.out
    assert "~:" not in after.out
    assert "nobody can tell" not in after.out


def test_without_its_data_a_suite_says_how_to_get_them(mibench: Command, with_demo: Dataset) -> None:
    answer = mibench("run", "--suite", "paper", "--dry-run")
    assert answer.code == 2
    assert "mibench data add ptb-xl" in answer.err
