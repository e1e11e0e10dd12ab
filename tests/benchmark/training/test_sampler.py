"""Who is in which step: every record once in an epoch, and a function of the step alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mibench.benchmark.training.sampler import Sampler, parts_of
from mibench.benchmark.training.schedule import Settings


@given(
    records=st.integers(4, 400),
    batch=st.integers(2, 40),
    block=st.integers(1, 50),
    pool=st.integers(1, 120),
    drop=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_blocks_hold_every_record_once_in_an_epoch(records: int, batch: int, block: int, pool: int, drop: bool) -> None:
    rows = np.arange(1000, 1000 + 3 * records, 3)
    chosen = Settings(
        batch_size=batch, shuffle="blocks", block_records=block, pool_records=max(block, pool), drop_last=drop
    )
    sampler = Sampler(rows, chosen, seed=5)
    for epoch in (0, 1):
        steps = range(epoch * sampler.per_epoch, (epoch + 1) * sampler.per_epoch)
        seen = [sampler.batch(step) for step in steps]
        everyone = np.concatenate(seen) if seen else np.empty(0, dtype=np.int64)
        assert len(set(everyone.tolist())) == len(everyone)
        assert set(everyone.tolist()) <= set(rows.tolist())
        full, rest = divmod(records, batch)
        assert len(everyone) == full * batch + (rest if not drop and rest > 1 else 0)


def test_a_step_does_not_depend_on_the_steps_before_it() -> None:
    rows = np.arange(5000)
    chosen = Settings(batch_size=64, shuffle="blocks", block_records=16, pool_records=512)
    one = Sampler(rows, chosen, seed=1)
    walked = [one.batch(step) for step in range(200)]
    for step in (199, 3, 78, 77, 0, 150):
        assert np.array_equal(Sampler(rows, chosen, seed=1).batch(step), walked[step])
    assert not np.array_equal(Sampler(rows, chosen, seed=2).batch(0), walked[0])
    first, second = walked[:78], walked[78:156]
    assert not np.array_equal(np.concatenate(first), np.concatenate(second)), "another order in the next epoch"


def test_blocks_keep_neighbours_near_and_still_mix_them() -> None:
    """What a disk has to fetch for a pool of steps: whole blocks, far fewer places than records."""
    rows = np.arange(4096)
    sampler = Sampler(rows, Settings(batch_size=32, shuffle="blocks", block_records=64, pool_records=512), seed=0)
    pool = np.concatenate([sampler.batch(step) for step in range(16)])
    assert len(set((pool // 64).tolist())) == 8
    assert len(set((sampler.batch(0) // 64).tolist())) > 4, "a batch holds records of many blocks"
    spread = Sampler(rows, Settings(batch_size=32), seed=0)
    everywhere = np.concatenate([spread.batch(step) for step in range(16)])
    assert len(set((everywhere // 64).tolist())) == 64


def test_blocks_are_for_many_records_of_many_leads() -> None:
    rows = np.arange(200)
    assert not Sampler(rows, Settings(pool_records=100, block_records=10), seed=0, many=False).in_blocks
    assert Sampler(rows, Settings(pool_records=100, block_records=10), seed=0, many=True).in_blocks
    assert not Sampler(rows, Settings(shuffle="records", pool_records=100, block_records=10), 0, many=True).in_blocks
    alike, blocks = Sampler(rows, Settings(batch_size=20), 3), Sampler(rows, Settings(batch_size=20), 3, many=True)
    assert np.array_equal(alike.batch(4), blocks.batch(4)), "one pool of everything is the order without blocks"


def test_parts_are_equal_and_sorted() -> None:
    batch = np.array([9, 1, 8, 2, 7, 3])
    assert [part.tolist() for part in parts_of(batch, 3)] == [[1, 9], [2, 8], [3, 7]]
    assert parts_of(batch, 1)[0].tolist() == sorted(batch.tolist())
    with pytest.raises(ValueError, match="6 records cannot be shared equally among 4"):
        parts_of(batch, 4)
