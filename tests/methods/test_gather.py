"""Several processes with a share of the batch against one that has all of it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mibench.methods.gather import gather_rows, gather_with_gradient

WORKER = Path(__file__).with_name("gather_worker.py")


def _load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gather_worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = _load_worker()
Found = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What each process found, by the number of processes."""
    folder = tmp_path_factory.mktemp("processes")
    done = subprocess.run([sys.executable, str(WORKER), str(folder)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return {
        world: [torch.load(folder / f"{world}-{rank}.pt", weights_only=True) for rank in range(world)]
        for world in worker.WORLDS
    }


@pytest.mark.parametrize("name", [name for name in worker.CASES if name != "clocs local"])
def test_several_processes_equal_one_with_the_whole_batch(name: str, found: Found) -> None:
    wanted = worker.step(name)
    assert sum(value.abs().sum() for key, value in wanted.items() if key not in ("loss", "siglip_sum")) > 1e-3
    for ranks in found.values():
        for rank in ranks:
            torch.testing.assert_close(rank[name], wanted, rtol=1e-10, atol=1e-10)


def test_negatives_are_those_of_the_same_process_unless_told_otherwise(found: Found) -> None:
    whole = worker.step("clocs local")["loss"]
    for world, ranks in found.items():
        shares = [worker.step("clocs local", rank, world)["loss"] for rank in range(world)]
        for rank in ranks:
            torch.testing.assert_close(rank["clocs local"]["loss"], torch.stack(shares).mean())
            assert abs(rank["clocs local"]["loss"] - whole) > 0.1


def test_rows_keep_their_order_and_their_type(found: Found) -> None:
    for world, ranks in found.items():
        total = sum(range(1, world + 1))
        for number, rank in enumerate(ranks):
            seen = rank["particulars"]
            assert seen["order"] == [one for one in range(world) for _ in range(2)]
            assert seen["without"] is False
            for dtype in (torch.float16, torch.bfloat16):
                gathered, gradient = seen[str(dtype)]
                assert (gathered.dtype, gradient.dtype) == (dtype, dtype)
                assert gathered[:, 0].tolist() == [one + 1.0 for one in range(world) for _ in range(2)]
                # Every process weighs all rows by its own number.
                assert gradient.tolist() == [[total] * 3] * 2, number


def test_unequal_shares_are_refused_by_all(found: Found) -> None:
    for world, ranks in found.items():
        for rank in ranks:
            for gather in ("gather_with_gradient", "gather_rows"):
                assert rank["particulars"][gather] == (
                    f"every process must bring the same number of records to a shared batch; "
                    f"got {list(range(2, 2 + world))}"
                )


def test_one_process_keeps_what_it_has() -> None:
    rows = torch.randn(3, 2, requires_grad=True)
    assert gather_with_gradient(rows) is rows
    assert torch.equal(gather_rows(rows), rows)
    assert not gather_rows(rows).requires_grad


@pytest.mark.parametrize("name", ["simclr", "3kg by patient", "w2v-cmsc by patient", "clocs cmsc by patient"])
def test_evaluation_gathers_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who evaluates may give processes shares of other sizes, or leave some out."""
    calls: list[int] = []

    def gathered(rows: torch.Tensor) -> torch.Tensor:
        calls.append(len(rows))
        return rows

    monkeypatch.setattr("mibench.methods.contrastive.gather_with_gradient", gathered)
    monkeypatch.setattr("mibench.methods.contrastive.gather_rows", gathered)
    torch.manual_seed(0)
    objective, batch = worker.CASES[name]()
    training = objective.train()(batch)["loss"]
    assert calls
    calls.clear()
    torch.testing.assert_close(objective.eval()(batch)["loss"], training)
    assert calls == []
