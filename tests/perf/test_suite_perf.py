"""What a suite adds to its runs, and what a second process is worth."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.suites.file import load_suite
from mibench.benchmark.suites.planning import SuiteChoices, planned
from mibench.benchmark.suites.schedule import Here, execute
from mibench.benchmark.suites.task import survey

pytestmark = pytest.mark.perf

RUNS = 1000
SEEDS = 5
PROBES = 40


def test_a_thousand_runs_cost_less_than_fifty_milliseconds_each(with_demo: Dataset, tmp_path: Path) -> None:
    rows = "\n".join(
        f"  - {{name: r{number}, method: prevalence, steps: "
        f"[{{protocol: linear_probe, sets: [epochs=1, resamples={2 + number}]}}]}}"
        for number in range(RUNS // SEEDS)
    )
    (tmp_path / "many.yaml").write_text(f"title: t\ndata: [demo]\nseeds: {SEEDS}\nrows:\n{rows}\n")

    def quiet(_text: str) -> None:
        pass

    began = time.perf_counter()
    suite = load_suite(str(tmp_path / "many.yaml"))
    plan = planned(suite, SuiteChoices(results=tmp_path / "results"), quiet)
    survey(plan.tasks)
    looked = time.perf_counter()
    outcomes = execute(plan.tasks, Here(plan.tasks, tmp_path / "results", quiet), quiet)
    ran = time.perf_counter()
    assert sum(len(outcome.paths) for outcome in outcomes) == RUNS
    planning, running = (1000 * (end - start) / RUNS for start, end in ((began, looked), (looked, ran)))
    print(f"\n{RUNS} runs: {planning:.1f} ms each to plan, {running:.1f} ms to make and write, trivial probes included")
    assert planning + running < 50


def test_two_processes_make_cached_probes_almost_twice_as_fast(with_demo: Dataset, tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    rows = "\n".join(
        f"  - {{name: r{number}, method: clocs, steps: [{{protocol: linear_probe, weights: random, "
        f"ratios: [25, 50, 100], sets: [patience=20, epochs=60, resamples={20000 + number}]}}]}}"
        for number in range(PROBES)
    )
    suite = tmp_path / "probes.yaml"
    suite.write_text(f"title: t\ndata: [demo]\nseeds: {SEEDS}\nrows:\n{rows}\n")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def seconds(name: str, *arguments: str) -> float:
        command = [sys.executable, "-m", "mibench.benchmark.cli", "run", "--suite", str(suite)]
        began = time.perf_counter()
        subprocess.run(
            [*command, "--results", str(tmp_path / name), *arguments], env=environment, check=True, capture_output=True
        )
        return time.perf_counter() - began

    seconds("first", "--only-task", "1")  # the embeddings are there from now on
    both, alone = seconds("both", "--jobs", "2"), seconds("alone")
    print(
        f"\n{PROBES} cached probes: {alone:.0f} s in one process, {both:.0f} s in two, {alone / both:.2f} times as fast"
    )
    assert alone > 1.7 * both
