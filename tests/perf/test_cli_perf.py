"""How long the door takes to open, and the first command from nothing to a board."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.perf

MIBENCH = (sys.executable, "-m", "mibench.benchmark.cli")


def test_help_opens_at_once(benchmark: BenchmarkFixture) -> None:
    def show_help() -> None:
        subprocess.run([*MIBENCH, "--help"], check=True, capture_output=True)

    benchmark.pedantic(show_help, rounds=5, warmup_rounds=1)
    seconds = benchmark.stats.stats.median
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    eager = time.perf_counter() - start
    print(f"\nmibench --help: {seconds:.3f} s; importing torch alone takes {eager / seconds:.0f} times as long")
    assert seconds < 0.3


def test_the_first_command_in_four_minutes_and_three_gibibytes(tmp_path: Path) -> None:
    environment = {**os.environ, "MIBENCH_HOME": str(tmp_path / "home"), "MIBENCH_RESULTS": str(tmp_path / "results")}
    environment.pop("OMP_NUM_THREADS", None)
    start = time.perf_counter()
    subprocess.run([*MIBENCH, "run", "--method", "selfmis"], env=environment, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    gibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\nmibench run --method selfmis: {seconds:.0f} s, {gibibytes:.2f} GiB")
    assert seconds < 240
    assert gibibytes < 3
