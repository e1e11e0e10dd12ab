"""Fitting the filters of `fir-ridge` from streamed sums, against stacking a design matrix and solving it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mibench.adapters.linear_anchors import FIRRidgeAdapter
from mibench.benchmark.bench import PeakMemory
from mibench.methods.lead_regression import LagSums, centred, solve

pytestmark = pytest.mark.perf

HALF, BATCH, RECORDS = 50, 64, 500
STACKED = 32
"""Records of which a design matrix still fits into memory: 130 MB."""
CPU = torch.device("cpu")


def batches(count: int, seed: int = 0) -> Callable[[], Iterator[Tensor]]:
    """Records as a store gives them; only one batch is alive at a time."""

    def read() -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, count, BATCH):
            yield torch.randn(min(BATCH, count - start), 12, 5000, generator=generator)

    return read


def streamed(read: Callable[[], Iterator[Tensor]]) -> Tensor:
    sums = LagSums(11, HALF, CPU)
    for ecg in read():
        sums.add(ecg[:, :1], ecg[:, 1:])
    return solve(sums, (0.1,))[0]


def stacked(read: Callable[[], Iterator[Tensor]]) -> Tensor:
    """The textbook's way: every sample is a row, every tap a column."""
    ecg = torch.cat(list(read()))
    seen = functional.pad(centred(ecg[:, :1])[:, 0], (HALF, HALF))
    design = seen.unfold(-1, 2 * HALF + 1, 1).flatten(0, 1).contiguous()
    targets = ecg[:, 1:].double().permute(0, 2, 1).flatten(0, 1)
    gram = design.T @ design
    ridge = 0.1 * gram[HALF, HALF] * torch.eye(len(gram), dtype=torch.float64)
    return torch.linalg.solve(gram + ridge, design.T @ targets).T


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak(work: Callable[[], object]) -> int:
    with PeakMemory() as watched:
        work()
    return watched.peak


def test_streamed_sums_against_a_design_matrix() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    few = batches(STACKED)
    torch.testing.assert_close(streamed(few), stacked(few), rtol=1e-9, atol=1e-12)
    # The first transform of a length makes a plan, and none is counted.
    ours = min(timed(lambda: streamed(few)) for _ in range(3))
    theirs = min(timed(lambda: stacked(few)) for _ in range(3))
    memory = {count: peak(lambda count=count: streamed(batches(count))) for count in (BATCH, 3 * BATCH)}  # type: ignore[misc]
    heaped = peak(lambda: stacked(few))
    print(
        f"\n{STACKED} records: {ours:.2f} s streamed, {theirs:.2f} s with a design matrix, {theirs / ours:.1f} times; "
        f"{heaped / 2**20 / STACKED:.1f} MiB a record in the matrix; "
        f"streamed {memory[BATCH] / 2**20:.0f} MiB for {BATCH} records, {memory[3 * BATCH] / 2**20:.0f} MiB for "
        f"{3 * BATCH}"
    )
    assert theirs / ours > 1.5
    assert memory[3 * BATCH] < 1.02 * memory[BATCH]


def test_five_hundred_records_are_fitted_in_under_a_minute() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    adapter = FIRRidgeAdapter()
    taken = timed(lambda: adapter.fit(batches(RECORDS), batches(RECORDS // 8, seed=1), {}, CPU))
    print(f"\nfir-ridge on {RECORDS} records, the ridge chosen on {RECORDS // 8}: {taken:.1f} s")
    assert taken < 60
