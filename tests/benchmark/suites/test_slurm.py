"""The script for Slurm: bash understands it, stages wait for each other, and every index is a task."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mibench.benchmark.data.dataset import Dataset
from suite_support import RECORDS, STEPS, records_of, write_suite

Command = Callable[..., Any]

SBATCH = """#!/bin/bash
# As Slurm does: every index of the array, with the script's own copy.
echo "$@" >> "$SBATCH_LOG"
for argument in "$@"; do
    case "$argument" in --array=*) array="${argument#--array=}";; esac
    script="$argument"
done
if [ -n "$SBATCH_RUNS" ]; then
    for range in ${array//,/ }; do
        for index in $(seq "${range%-*}" "${range#*-}"); do
            SLURM_ARRAY_TASK_ID=$index bash "$script" >> "$SBATCH_LOG.out" 2>&1 || exit 1
        done
    done
fi
wc -l < "$SBATCH_LOG" | tr -d ' '
"""


@pytest.fixture
def sbatch(tmp_path: Path) -> dict[str, str]:
    """An `sbatch` that runs arrays at once, and a `mibench` that is this one; the environment that has both."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sbatch").write_text(SBATCH)
    (tools / "mibench").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m mibench.benchmark.cli "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SBATCH_LOG": str(tmp_path / "log")}


def script_of(mibench: Command, tmp_path: Path, *arguments: object) -> Path:
    answer = mibench("run", *arguments, "--slurm-script", "--cpus-per-task", "4")
    assert answer.code == 0, answer.err
    file = tmp_path / "suite.sh"
    file.write_text(answer.out)
    subprocess.run(["bash", "-n", file], check=True)
    return file


def test_bash_understands_it_and_stages_wait(
    mibench: Command, with_demo: Dataset, tmp_path: Path, sbatch: dict[str, str]
) -> None:
    suite = write_suite(tmp_path)
    file = script_of(mibench, tmp_path, "--suite", suite, "--results", tmp_path / "a folder")
    text = file.read_text()
    assert "#SBATCH --cpus-per-task=4" in text
    assert f"mibench run --suite {suite} --results '{tmp_path}/a folder' --only-task" in text
    assert "--slurm-script" not in text.partition("set -euo")[2]
    done = subprocess.run(["bash", file], env={**sbatch, "SBATCH_RUNS": ""}, capture_output=True, text=True, check=True)
    first, second = Path(sbatch["SBATCH_LOG"]).read_text().splitlines()
    assert first == f"--parsable --array=1,3-5 {file}"
    assert second == f"--parsable --dependency=afterany:1 --array=2 {file}"
    assert done.stdout == "submitted: job 1\nsubmitted: job 2\n"


def test_what_lacks_something_is_left_out_and_named(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    file = script_of(mibench, tmp_path, "--suite", "ablation", "--data", "demo", "--gpus-per-task", "1")
    left_out = [line for line in file.read_text().splitlines() if line.startswith("# left out: ")]
    assert len(left_out) == 10
    assert "mibench weights add ecgfounder FILE" in left_out[-1]
    assert "#SBATCH --gpus-per-task=1" in file.read_text()


@pytest.mark.slow
def test_run_by_its_indices_the_suite_is_done(
    mibench: Command, with_demo: Dataset, tmp_path: Path, sbatch: dict[str, str]
) -> None:
    results = tmp_path / "results"
    asked = ("--suite", write_suite(tmp_path), "--results", results)
    file = script_of(mibench, tmp_path, *asked)
    subprocess.run(["bash", file], env={**sbatch, "SBATCH_RUNS": "yes"}, check=True)
    assert len(records_of(results)) == RECORDS
    assert f"{STEPS} steps: {STEPS} done." in mibench("run", *asked, "--dry-run").out
    assert 'echo "nothing of the suite small is left to run"' in script_of(mibench, tmp_path, *asked).read_text()
