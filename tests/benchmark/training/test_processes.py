"""Several processes under torchrun find what one process finds, and survive the death of one of them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.protocols import pretrain
from mibench.benchmark.training.schedule import Settings, determining, shared_out
from support import TINY_ARGUMENTS
from train_worker import CASES, main

WORKER = Path(__file__).parents[2] / "train_worker.py"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def environment(home: Path) -> dict[str, str]:
    paths = os.pathsep.join([str(WORKER.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "MIBENCH_HOME": str(home), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def losses(folder: Path) -> list[dict[str, float]]:
    with (folder / pretrain.LOSSES).open() as file:
        return [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def two(demo: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left, in one start of them."""
    place = tmp_path_factory.mktemp("two")
    (place / "results").mkdir()
    command = [*TORCHRUN, str(WORKER), str(demo.store.path.parent), str(place / "results"), *CASES]
    done = subprocess.run(command, env=environment(place / "home"), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return place / "results"


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_trains(case: str, two: Path, demo: Dataset, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    main(demo.store.path.parent, tmp_path / "results", case)
    alone, shared = (json.loads((place / f"{case}.json").read_text()) for place in (tmp_path / "results", two))
    one, many = Path(alone["folder"]), Path(shared["folder"])
    assert one.name == many.name, "the number of processes is no part of the key"
    for ours, theirs in zip(losses(many), losses(one), strict=True):
        assert ours == pytest.approx(theirs, rel=2e-5, abs=1e-6, nan_ok=True)
    weights, expected = (load_file(folder / pretrain.WEIGHTS) for folder in (many, one))
    assert weights.keys() == expected.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=2e-5)
    records = [json.loads(file.read_text()) for file in two.rglob(f"{many.name}.json")]
    assert [record["pretraining"]["processes"] for record in records] == [2]


def test_negatives_of_one_pass_alone_are_another_training(two: Path) -> None:
    near, far = (Path(json.loads((two / f"{case}.json").read_text())["folder"]) for case in ("local", "cached"))
    assert near != far
    assert losses(near)[0]["loss"] < losses(far)[0]["loss"], "fewer negatives, a smaller sum"


@pytest.mark.slow
def test_one_of_them_dies_and_nothing_is_lost(demo: Dataset, tmp_path: Path) -> None:
    """A rank is killed; the same command goes on, and so it does on one process."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "data" / "demo").symlink_to(demo.store.path.parent)
    arguments = ["pretrain", "--method", "selfmis", "--data", "demo", "--epochs", "12", "--batch-size", "16"]
    arguments += ["--checkpoint-steps", "2", "--results", str(tmp_path / "results"), *TINY_ARGUMENTS]
    command = [*TORCHRUN, "-m", "mibench.benchmark.cli", *arguments]
    process = subprocess.Popen(command, env=environment(home), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(home.rglob("step-*.pt")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    assert len(children) == 2
    os.kill(int(children[1]), signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0, said
    assert not list(home.rglob(pretrain.FINISHED))
    (folder,) = (home / "pretrained" / "selfmis").iterdir()
    assert not list(folder.rglob("*.tmp"))

    alone = [sys.executable, "-m", "mibench.benchmark.cli", *arguments]
    again = subprocess.run(alone, env=environment(home), capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    assert "resuming the pre-training of selfmis at step" in again.stderr
    assert (folder / pretrain.FINISHED).is_file(), "one process goes on where two were"
    steps = [int(row["step"]) for row in losses(folder)]
    assert steps == list(range(72))


@pytest.mark.parametrize(
    ("settings", "world", "parts"),
    [
        (Settings(batch_size=128), 1, (1, 128)),
        (Settings(batch_size=128), 4, (1, 32)),
        (Settings(batch_size=512, micro_batch=128), 1, (4, 128)),
        (Settings(batch_size=512, micro_batch=128), 4, (1, 128)),
        (Settings(batch_size=512, micro_batch=64), 2, (4, 64)),
    ],
)
def test_a_batch_is_shared_out_equally(settings: Settings, world: int, parts: tuple[int, int]) -> None:
    share = shared_out(settings, world)
    assert (share.passes, share.size) == parts
    assert share.parts * share.size == settings.batch_size


@pytest.mark.parametrize(
    ("wrong", "world", "says"),
    [
        ({"batch_size": 128}, 3, "128 records cannot be shared equally among 3 processes: give --batch-size 129"),
        ({"batch_size": 512, "micro_batch": 128}, 3, "in passes of 128: give --batch-size 384"),
        ({"batch_size": 4}, 4, "4 records cannot be shared equally among 4 processes: give --batch-size 8"),
        ({"batch_size": 16, "drop_last": False}, 2, "leave it out with --set protocol.drop_last=true"),
    ],
)
def test_what_cannot_be_shared_is_said(wrong: dict[str, Any], world: int, says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        shared_out(Settings(**wrong), world)


def test_a_key_knows_who_sees_whom_and_not_how_many_processes_there_were() -> None:
    def key(settings: Settings, world: int, *, by_batch: bool = False) -> Settings:
        return determining(settings, shared_out(settings, world), by_batch=by_batch)

    plain = Settings(batch_size=64)
    assert key(plain, 1) == key(plain, 2) == key(Settings(batch_size=64, micro_batch=16), 4)
    assert key(Settings(batch_size=64, negatives="local"), 1) == key(plain, 1), "one pass sees everybody"
    local = Settings(batch_size=64, micro_batch=16, negatives="local")
    assert key(local, 1) == key(local, 2) == key(local, 4)
    assert key(local, 1) != key(plain, 1)
    assert key(plain, 2, by_batch=True) != key(plain, 1, by_batch=True), "its statistics are of half a batch"
