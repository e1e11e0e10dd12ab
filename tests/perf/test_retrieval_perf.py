"""Retrieval at the size of the paper's gallery, and at four times that: the time is the square's, the memory is not."""

from __future__ import annotations

import time

import pytest
import torch

from mibench.benchmark.bench import PeakMemory
from mibench.benchmark.protocols.ranks import ranks_of_partners

pytestmark = pytest.mark.perf

FEATURES = 1024
SIZES = (5_000, 20_000)


def test_memory_is_flat_beyond_the_embeddings() -> None:
    beyond = []
    for records in SIZES:
        gallery = torch.randn(records, FEATURES)
        queries = gallery + torch.randn(records, FEATURES)
        started = time.perf_counter()
        with PeakMemory() as memory:
            ranks = ranks_of_partners(queries, gallery)
        seconds = time.perf_counter() - started
        # Two copies in double precision while they are scaled: of the embeddings, which grow as they must.
        embeddings = 2 * records * FEATURES * 8
        beyond.append(memory.peak - embeddings)
        print(
            f"\n{records:,} queries among {records:,}: {seconds:.1f} s, {memory.peak / 2**20:.0f} MiB at most, "
            f"{embeddings / 2**20:.0f} of them embeddings; all cosines would be {records**2 * 8 / 2**20:,.0f} MiB; "
            f"found {(ranks == 0).mean():.3f}"
        )
    assert max(beyond) < SIZES[1] ** 2 * 8 / 10
