"""Several processes on one machine: the same records, whoever is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.suites.processes import Processes
from suite_support import RECORDS, STEPS, children, contents, records_of, start, until, write_suite

Command = Callable[..., Any]

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_two_processes_at_once(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    steps = "[{protocol: linear_probe, ratios: [50, 100], sets: [epochs=1, resamples=20]}]"
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"title: t\ndata: [demo]\nrows:\n"
        f"  - {{name: a, method: prevalence, steps: {steps}}}\n"
        f"  - {{name: b, method: prevalence, steps: {steps.replace('epochs=1', 'epochs=2')}}}\n"
    )
    two = mibench("run", "--suite", suite, "--results", tmp_path / "both", "--jobs", "2")
    assert two.code == 0, two.err
    assert "2 steps: 2 done." in two.out
    one = mibench("run", "--suite", suite, "--results", tmp_path / "alone")
    assert (one.code, one.out) == (0, two.out)
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
    assert len(records_of(tmp_path / "both")) == 4


@pytest.mark.slow
def test_two_processes_leave_the_records_of_one(
    mibench: Command, with_demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = write_suite(tmp_path)
    alone, both = tmp_path / "alone", tmp_path / "both"
    one = mibench("run", "--suite", suite, "--results", alone)
    assert one.code == 0, one.err
    home = Path(os.environ["MIBENCH_HOME"])
    other = tmp_path / "home"
    (other / "data").mkdir(parents=True)
    (other / "data" / "demo").symlink_to((home / "data" / "demo").resolve())
    monkeypatch.setenv("MIBENCH_HOME", str(other))
    two = mibench("run", "--suite", suite, "--results", both, "--jobs", "2")
    assert two.code == 0, two.err
    assert f"{STEPS} steps: {STEPS} done." in two.out
    assert "training loss" in two.err, "what processes say is passed on"
    found = contents(both)
    assert found == contents(alone)
    assert len(records_of(both)) == RECORDS
    again = mibench("run", "--suite", suite, "--results", both, "--jobs", "2")
    assert (again.code, again.out) == (0, two.out)


def test_each_process_has_a_gpu_or_a_share_of_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    job: Any = None
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    said: list[str] = []
    with_gpus = Processes(job, 3, ["GPU-a", "2"], said.append)
    assert [with_gpus._environment(slot) for slot in range(3)] == [
        {"CUDA_VISIBLE_DEVICES": "GPU-a"},
        {"CUDA_VISIBLE_DEVICES": "2"},
        {"CUDA_VISIBLE_DEVICES": "GPU-a"},
    ]
    without = Processes(job, 3, [], said.append)
    assert without._environment(0) == {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert without._environment(0)["OMP_NUM_THREADS"] == "1"


@linux
@pytest.mark.slow
def test_killed_in_the_middle_and_resumed_the_records_are_the_same(with_demo: Dataset, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, epochs=6)
    home = Path(os.environ["MIBENCH_HOME"])
    homes = {}
    for name in ("alone", "both"):
        homes[name] = tmp_path / f"home-{name}"
        (homes[name] / "data").mkdir(parents=True)
        (homes[name] / "data" / "demo").symlink_to((home / "data" / "demo").resolve())
    alone = start("run", "--suite", suite, "--results", tmp_path / "alone", MIBENCH_HOME=str(homes["alone"]))
    out, _ = alone.communicate(timeout=600)
    assert alone.returncode == 0, out
    arguments = ("run", "--suite", suite, "--results", tmp_path / "both", "--jobs", "2")
    driver = start(*arguments, MIBENCH_HOME=str(homes["both"]))
    until(lambda: records_of(tmp_path / "both"))
    workers = children(driver.pid)
    assert workers
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=60)
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 90)
    before = records_of(tmp_path / "both")
    assert 0 < len(before) < RECORDS, "it was not killed in the middle"
    again = start(*arguments, MIBENCH_HOME=str(homes["both"]))
    # A worker is killed as well: another one takes its task up.
    worker = until(lambda: [pid for pid, line in children(again.pid).items() if ".worker" in line])[0]
    until(lambda: len(records_of(tmp_path / "both")) > len(before))
    if Path(f"/proc/{worker}").exists():
        os.kill(worker, signal.SIGKILL)
    out, _ = again.communicate(timeout=600)
    assert again.returncode == 0, out
    assert f"{STEPS} steps: {STEPS} done." in out
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
    assert len(records_of(tmp_path / "both")) == RECORDS


@pytest.mark.slow
def test_a_process_that_dies_each_time_is_the_tasks_fault(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    (tmp_path / "adapter.py").write_text(
        "import os\n"
        "from mibench.adapters.base import MethodSpec\n"
        "class Dies:\n"
        "    spec = MethodSpec(name='dies', leads=('I',), sampling_rate=250, samples=2500, embedding_dim=4)\n"
        "    def load(self, weights, device):\n"
        "        print('about to go', flush=True)\n"
        "        os._exit(7)\n"
        "    def embed(self, ecg):\n"
        "        raise NotImplementedError\n"
    )
    (tmp_path / "suite.yaml").write_text(
        f"title: t\ndata: [demo]\ngroups: [{{methods: ['{tmp_path}/adapter.py:Dies', prevalence], "
        "steps: [{protocol: linear_probe, sets: [epochs=1, resamples=20]}]}]"
    )
    answer = mibench("run", "--suite", tmp_path / "suite.yaml", "--jobs", "2")
    assert answer.code == 1
    assert "2 steps: 1 done, 1 failed." in answer.out
    assert "its process ended with exit code 7, 2 times; it last printed: about to go" in answer.out
    assert "another one tries" in answer.err
