"""Ranks of partners against a plain count, and what no rank may do: flatter a collapsed encoder, or grow in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mibench.benchmark.bench import PeakMemory
from mibench.benchmark.protocols.ranks import ranks_in_batches, ranks_of_partners


def pairs(records: int, noise: float, features: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(records, features, generator=generator)
    return gallery + noise * torch.randn(records, features, generator=generator), gallery


@pytest.mark.parametrize("block", [1, 70, 1 << 21])
def test_ranks_are_what_a_plain_count_gives(block: int) -> None:
    queries, gallery = pairs(60, 1.5)
    ours, theirs = queries.double().numpy(), gallery.double().numpy()
    expected = []
    for i, query in enumerate(ours):
        cosine = [query @ other / np.linalg.norm(query) / np.linalg.norm(other) for other in theirs]
        expected.append(sum(value >= cosine[i] for j, value in enumerate(cosine) if j != i))
    found = ranks_of_partners(queries, gallery, block)
    assert found.tolist() == expected
    assert 0 < sum(rank == 0 for rank in expected) < 60


def test_a_perfect_encoder_finds_all_and_length_does_not_matter() -> None:
    _, gallery = pairs(40, 0.0)
    assert not ranks_of_partners(gallery * torch.rand(40, 1).add(0.1), gallery).any()


@pytest.mark.parametrize("records", [7, 64, 129])
@pytest.mark.parametrize("jitter", [0.0, 1e-7])
def test_a_collapsed_encoder_finds_nothing(records: int, jitter: float) -> None:
    one = torch.randn(1, 33, generator=torch.Generator().manual_seed(1)).expand(records, -1)
    rounding = jitter * torch.randn(records, 33, generator=torch.Generator().manual_seed(2))
    assert (ranks_of_partners(one, one + rounding) == records - 1).all()
    assert (ranks_of_partners(torch.zeros(records, 33), one) == records - 1).all()


def test_a_student_that_says_one_thing_is_at_chance() -> None:
    queries, gallery = pairs(50, 1.0)
    found = ranks_of_partners(queries[:1].expand(50, -1), gallery)
    assert sorted(found.tolist()) == list(range(50))


def test_twins_in_the_gallery_count_against_the_query() -> None:
    _, gallery = pairs(10, 0.0)
    gallery[3] = gallery[4]
    assert ranks_of_partners(gallery, gallery).tolist() == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_a_batch_is_a_gallery_of_its_own() -> None:
    queries, gallery = pairs(50, 2.0)
    found = ranks_in_batches(queries, gallery, 20)
    assert len(found) == 40
    np.testing.assert_array_equal(found[20:], ranks_of_partners(queries[20:40], gallery[20:40]))
    assert (found <= ranks_of_partners(queries, gallery)[:40]).all()


def test_what_cannot_be_ranked_is_refused() -> None:
    queries, gallery = pairs(5, 1.0)
    with pytest.raises(ValueError, match="must be pairs"):
        ranks_of_partners(queries[:4], gallery)
    gallery[2, 0] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        ranks_of_partners(queries, gallery)


def test_memory_grows_with_the_records_and_not_with_their_square() -> None:
    peaks = []
    for records in (500, 2000):
        queries, gallery = pairs(records, 1.0)
        with PeakMemory() as memory:
            ranks_of_partners(queries, gallery, block=4000)
        peaks.append(memory.peak)
    assert peaks[1] < 4.5 * peaks[0]
    assert peaks[1] < 2000 * 2000 * 8 / 10
