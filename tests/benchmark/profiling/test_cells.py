"""Memory, time and latency: in a process of its own, in this one, and counted without values."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from mibench.adapters.base import Pretrainable
from mibench.benchmark.choices import make
from mibench.benchmark.config import parse_sets
from mibench.benchmark.profile_check import FAILED, MEASURED, OUT_OF_MEMORY
from mibench.benchmark.profiling import worker
from mibench.benchmark.profiling.cells import measured
from mibench.benchmark.profiling.driver import Driver
from mibench.benchmark.profiling.hardware import cores, hardware
from mibench.benchmark.profiling.inputs import load_at_random
from mibench.benchmark.profiling.latency import Timing, latency, quartiles, repeat
from mibench.benchmark.profiling.live import live_mib
from mibench.benchmark.profiling.worker import Job, answer
from support import TINY

SMALL: dict[str, Any] = parse_sets(TINY)["method"]
QUICK = {"warmup": 1, "runs": 3, "seconds": 1.0, "fewest": 1}
CPU = torch.device("cpu")


@pytest.mark.slow
def test_a_step_in_a_process_of_its_own() -> None:
    found = measured(Job("selfmis", "cpu", sets=SMALL, batch=4, precision="amp", steps=2, timing=QUICK), 300)
    assert found["status"] == MEASURED, found
    assert found["process_by"] == "peak resident set"
    assert 100 < found["process_mib"] < 5000
    assert found["allocated_mib"] is found["reserved_mib"] is found["joules_per_record"] is None
    assert found["records_per_second"] == pytest.approx(4 / found["step_seconds"], rel=0.01)


@pytest.mark.slow
def test_memory_that_ends_is_a_value_and_the_machine_goes_on() -> None:
    # A billion records of one lead are 20 TB.
    found = measured(Job("selfmis", "cpu", sets=SMALL, batch=10**9, timing=QUICK), 300)
    assert found["status"] == OUT_OF_MEMORY, found
    assert found["error"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["heartlang", "cyclegan", "wav2vec2"])
def test_steps_of_other_kinds(name: str) -> None:
    """With a vocabulary to start from, with players, and with sizes that depend on values."""
    found = measured(Job(name, "cpu", preset="tiny", batch=2, timing=QUICK), 300)
    assert found["status"] == MEASURED, found


@pytest.mark.slow
def test_a_cell_that_takes_too_long_is_given_up() -> None:
    assert measured(Job("selfmis", "cpu", sets=SMALL, batch=4, steps=10**6, timing=QUICK), 15) == {
        "status": FAILED,
        "error": "not finished after 15 s",
    }


def test_what_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(Job("nothing", "cpu"))["error"].startswith("there is no method `nothing`")
    assert answer(Job("heartlang-vqhbr", "cpu", preset="tiny"))["status"] == FAILED
    for problem in (
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ):

        def fail(*_: Any, problem: Exception = problem) -> None:
            raise problem

        monkeypatch.setattr(worker, "_figures", fail)
        assert answer(Job("selfmis", "cpu"))["status"] == OUT_OF_MEMORY


def test_latency_and_threads() -> None:
    _, adapter = make("selfmis", None, SMALL)
    load_at_random(adapter, CPU)
    before = torch.get_num_threads()
    found = latency(adapter, CPU, Timing(**QUICK), threads=before + 1)  # type: ignore[arg-type]
    assert torch.get_num_threads() == before
    assert found["runs"] == 3
    assert 0 < found["low_ms"] <= found["median_ms"] <= found["high_ms"]
    assert found["prepare_ms"] > 0
    assert answer(Job("selfmis", "cpu", sets=SMALL, timing=QUICK))["status"] == MEASURED


def test_timing_stops_where_time_is_up() -> None:
    calls: list[float] = []
    times = repeat(lambda: calls.append(time.sleep(0.02) or 0.0), CPU, Timing(1, 1000, 0.1, 2))  # type: ignore[func-returns-value]
    assert 2 <= len(times) <= 5
    assert len(calls) == len(times) + 1, "the pass that warms up is not timed"
    assert len(repeat(lambda: time.sleep(0.02), CPU, Timing(1, 1000, 0.001, 3))) == 3
    assert quartiles([0.001, 0.002, 0.003, 0.004, 0.005]) == {
        "median_ms": 3.0,
        "low_ms": 2.0,
        "high_ms": 4.0,
        "runs": 5,
    }
    assert quartiles([0.001])["high_ms"] == 1.0


def test_live_tensors() -> None:
    _, adapter = make("stmem", "tiny")
    assert isinstance(adapter, Pretrainable)
    few, many, half = (live_mib(adapter, batch, amp=amp) for batch, amp in ((8, False), (16, False), (16, True)))
    assert few is not None
    assert many is not None
    assert half is not None
    assert few < many < 2 * few
    assert half < many


def test_sizes_that_depend_on_values_are_not_counted() -> None:
    _, adapter = make("wav2vec2", "tiny")
    assert isinstance(adapter, Pretrainable)
    assert live_mib(adapter, 2, amp=False) is None


def test_hardware_and_driver_of_a_cpu() -> None:
    found = hardware(CPU)
    assert found["gpu"] is found["driver"] is None
    assert found["cpu"]
    assert found["cores"] == cores() >= 1
    driver = Driver(CPU)
    with driver.energy() as energy:
        pass
    assert energy.joules is None
    assert driver.process_bytes() > 2**20  # type: ignore[operator]
