"""Checkpoints: the last two, whole or not there, and of this training."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
import torch

from mibench.adapters.errors import MibenchError
from mibench.benchmark.training.checkpoint import Checkpoints, differences

CPU = torch.device("cpu")
THIS = {"protocol": {"settings": {"epochs": 2, "learning_rate": 1e-4, "betas": (0.9, 0.99)}}, "seed": 0}


def kept(folder: Path, said: list[str] | None = None, determinants: object = THIS) -> Checkpoints:
    return Checkpoints(folder, determinants, [].append if said is None else said.append)  # type: ignore[arg-type]


def test_the_last_two_are_kept_and_the_newest_is_taken(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    assert checkpoints.newest(CPU) is None
    for step in (5, 10, 100, 1000):
        assert checkpoints.save(step, {"module": {"weight": torch.full((3,), float(step))}})
    assert [file.name for file in checkpoints.files()] == ["step-000001000.pt", "step-000000100.pt"]
    state = checkpoints.newest(CPU)
    assert state is not None
    assert state["step"] == 1000
    assert state["module"]["weight"].tolist() == [1000.0] * 3
    checkpoints.clear()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("damage", ["torn", "empty", "foreign"])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    said: list[str] = []
    checkpoints = kept(tmp_path, said)
    for step in (1, 2):
        checkpoints.save(step, {"module": {"weight": torch.zeros(1000)}})
    newest = checkpoints.files()[0]
    if damage == "foreign":
        torch.save({"weights": 1}, newest)
    else:
        newest.write_bytes(newest.read_bytes()[: 500 if damage == "torn" else 0])
    state = checkpoints.newest(CPU)
    assert state is not None
    assert state["step"] == 1
    assert "step-000000002.pt is damaged or no checkpoint of mibench" in said[0]
    assert "an older one is taken" in said[0]


def test_without_a_readable_one_it_says_what_to_remove(tmp_path: Path) -> None:
    checkpoints = kept(tmp_path)
    checkpoints.save(1, {})
    checkpoints.files()[0].write_bytes(b"torn")
    with pytest.raises(MibenchError, match="remove that folder to start this pre-training again"):
        checkpoints.newest(CPU)


def test_one_of_another_training_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    kept(tmp_path).save(7, {})
    other = {"protocol": {"settings": {"epochs": 5, "learning_rate": 1e-4, "betas": [0.9, 0.99]}}, "seed": 0}
    with pytest.raises(MibenchError, match=r"protocol\.settings\.epochs is 2 there and 5 here") as caught:
        kept(tmp_path, determinants=other).newest(CPU)
    assert "learning_rate" not in str(caught.value)
    assert "betas" not in str(caught.value), "a list is a tuple, once it was written"
    with pytest.raises(MibenchError, match="seed is 0 there and not set here"):
        kept(tmp_path, determinants={"protocol": THIS["protocol"]}).read(
            tmp_path / "checkpoints/step-000000007.pt", CPU
        )
    assert differences({"a": {"b": 1}}, {"a": {"b": 1}}) == []


def test_a_full_disk_costs_one_checkpoint_and_no_other(tmp_path: Path) -> None:
    """The disk is full as the kernel says it: no file may grow beyond a limit."""
    said: list[str] = []
    checkpoints = kept(tmp_path, said)
    checkpoints.save(1, {"module": {"weight": torch.zeros(10)}})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        assert not checkpoints.save(2, {"module": {"weight": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "the checkpoint of step 2 could not be written" in said[0]
    assert "the last one, step-000000001.pt, stays" in said[0]
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["step-000000001.pt"]
    state = checkpoints.newest(CPU)
    assert state is not None
    assert state["step"] == 1
