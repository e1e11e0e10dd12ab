"""A real Ray cluster of two nodes on this machine: a process killed in the middle, and nodes that share no folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mibench.benchmark.data.dataset import Dataset
from suite_support import RECORDS, STEPS, children, contents, records_of, start, until, write_suite

Command = Callable[..., Any]

ray = pytest.importorskip("ray")
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def home_with(demo: Dataset, folder: Path) -> Path:
    """A home that has the demo heart and nothing else."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "demo").symlink_to(demo.store.path.parent)
    return folder


@pytest.fixture
def cluster(demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one core, each with a home of its own."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("MIBENCH_HOME", str(home_with(demo, tmp_path / "home-of-head")))
    nodes = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    monkeypatch.setenv("MIBENCH_HOME", str(home_with(demo, tmp_path / "home-of-node")))
    nodes.add_node(**SMALL)
    yield nodes
    nodes.shutdown()


def at_work(cluster: Any) -> dict[int, str]:
    """Processes of the cluster that are in a task of a suite, by process id."""
    raylets = [process.process.pid for node in cluster.list_all_nodes() for process in node.all_processes["raylet"]]
    found = {pid: line for raylet in raylets for pid, line in children(raylet).items()}
    return {pid: line for pid, line in found.items() if line.startswith("ray::run_task")}


def one_process(suite: Path, demo: Dataset, tmp_path: Path) -> Path:
    """The records of the suite from one process."""
    results = tmp_path / "alone"
    alone = start(
        "run", "--suite", suite, "--results", results, MIBENCH_HOME=str(home_with(demo, tmp_path / "alone-h"))
    )
    out, _ = alone.communicate(timeout=900)
    assert alone.returncode == 0, out
    return results


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_process_costs_a_retry_and_no_record(cluster: Any, demo: Dataset, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, epochs=6)
    results, home = tmp_path / "shared", home_with(demo, tmp_path / "shared-home")
    arguments = ("run", "--suite", suite, "--results", results, "--ray", cluster.address)
    driver = start(*arguments, MIBENCH_HOME=str(home))
    pid = next(iter(until(lambda: at_work(cluster))))
    # In the middle of it: the task holds its place, and its record is not there.
    until(lambda: list((results / ".working").glob("*.json")))
    os.kill(pid, signal.SIGKILL)
    out, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, out
    assert "Ray: 2 nodes, room for 2 tasks at once; all see the same folders" in out
    assert f"{STEPS} steps: {STEPS} done." in out
    keys = records_of(results)
    assert len(keys) == len(set(keys)) == RECORDS
    assert contents(results) == contents(one_process(suite, demo, tmp_path))
    assert not list(home.glob(".shared-*")) + list(results.glob(".shared-*"))


@pytest.mark.slow
def test_without_a_shared_folder_records_come_back_over_the_network(
    cluster: Any, demo: Dataset, tmp_path: Path
) -> None:
    suite = write_suite(tmp_path)
    # A part that is trained first has to come along as well.
    suite.write_text(suite.read_text().replace("method: simclr", "method: heartlang"))
    results, home = tmp_path / "driver", home_with(demo, tmp_path / "driver-home")
    arguments = ("run", "--suite", suite, "--results", results, "--ray", cluster.address, "--no-shared")
    driver = start(*arguments, MIBENCH_HOME=str(home))
    out, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, out
    assert "their records come back over the network" in out
    assert contents(results) == contents(one_process(suite, demo, tmp_path))
    weights = [file.relative_to(home).parts[1] for file in home.rglob("weights.safetensors")]
    assert sorted(weights) == ["heartlang", "heartlang-vqhbr"]
    # Another driver has the results as if it had made them.
    again = start(*arguments[:-3], "--dry-run", MIBENCH_HOME=str(home))
    assert f"{STEPS} steps: {STEPS} done." in again.communicate(timeout=120)[0]


@pytest.mark.slow
def test_a_node_without_the_data_is_named_before_anything_runs(cluster: Any, demo: Dataset, tmp_path: Path) -> None:
    home = home_with(demo, tmp_path / "other-home")
    mine = home / "data" / "mine"
    shutil.copytree(demo.store.path.parent, mine)
    description = mine / "dataset.json"
    description.write_text(description.read_text().replace('"name": "demo"', '"name": "mine"'))
    driver = start(
        *("run", "--suite", write_suite(tmp_path), "--data", "mine", "--results", tmp_path / "r"),
        *("--ray", cluster.address, "--no-shared"),
        MIBENCH_HOME=str(home),
    )
    out, _ = driver.communicate(timeout=600)
    assert driver.returncode == 2, out
    assert "nodes cannot run this suite, and nothing was run" in out
    assert "no data set is called `mine`" in out
    assert "mibench data add" in out
    assert not records_of(tmp_path / "r")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:10001"])
def test_an_address_that_does_not_answer_is_one_sentence(
    mibench: Command, with_demo: Dataset, tmp_path: Path, address: str
) -> None:
    answer = mibench("run", "--suite", write_suite(tmp_path), "--ray", address)
    assert answer.code == 2
    assert f"--ray {address}: " in answer.err
    assert "Ray C" in answer.err or "no Ray cluster answers there" in answer.err


@pytest.mark.slow
def test_a_port_where_something_else_listens_is_given_up(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=server.accept, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        answer = mibench("run", "--suite", write_suite(tmp_path), "--ray", address)
    assert answer.code == 2
    assert "no Ray cluster answers there" in answer.err
