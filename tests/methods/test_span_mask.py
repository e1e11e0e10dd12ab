"""Span masking: how much is hidden at the published size, and that it is hidden in spans."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mibench.methods.span_mask import SpanMaskConfig, span_positions

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("tokens", "batch", "draws", "published", "within"),
    [
        (312, 1, 1000, 153.8, 2.0),
        (312, 64, 150, 126.0, 3.0),
        (312, 128, 100, 122.0, 3.0),
        # Single measurements of the published program.
        (156, 1, 1000, 75.0, 4.0),
        (156, 128, 100, 55.0, 4.0),
        (156, 256, 60, 52.5, 4.0),
    ],
)
def test_hides_as_much_as_published(tokens: int, batch: int, draws: int, published: float, within: float) -> None:
    torch.manual_seed(0)
    counts = [span_positions(batch, tokens, SpanMaskConfig(), CPU).shape[1] for _ in range(draws)]
    assert sum(counts) / draws == pytest.approx(published, abs=within)


def test_every_row_hides_the_same_number_of_different_tokens_in_order() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        hidden = span_positions(16, 80, SpanMaskConfig(), CPU)
        assert (hidden.diff(dim=1) > 0).all()
        assert hidden.min() >= 0
        assert hidden.max() < 80


def test_a_single_row_hides_whole_spans() -> None:
    torch.manual_seed(0)
    for _ in range(50):
        row = span_positions(1, 100, SpanMaskConfig(probability=0.2, length=7), CPU)[0].tolist()
        runs = "".join("x" if place in row else " " for place in range(100)).split()
        assert all(len(run) >= 7 for run in runs)
        # Two or three spans, as 0.2 * 100 / 7 is rounded up or down, whole or run together.
        assert 8 <= len(row) <= 21


def test_the_number_of_spans_is_rounded_at_random() -> None:
    torch.manual_seed(0)
    config = SpanMaskConfig(probability=0.23, length=1)
    counts = [span_positions(2, 10, config, CPU).shape[1] for _ in range(600)]
    assert set(counts) == {2, 3}
    assert sum(counts) / 600 == pytest.approx(2.3, abs=0.08)


def test_every_token_can_be_hidden_and_all_alike_often_but_near_the_ends() -> None:
    torch.manual_seed(0)
    config = SpanMaskConfig(probability=0.1, length=2)
    counts = torch.zeros(12)
    for _ in range(200):
        counts += torch.bincount(span_positions(1, 12, config, CPU)[0], minlength=12)
    assert (counts > 0).all()


def test_short_sequences() -> None:
    config = SpanMaskConfig()
    assert span_positions(3, 10, config, CPU).tolist() == [list(range(10))] * 3
    with pytest.raises(ValueError, match="a span of 10 tokens does not fit into 9"):
        span_positions(3, 9, config, CPU)


def test_depends_on_the_seed_alone() -> None:
    made = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        made.append(span_positions(4, 60, SpanMaskConfig(), CPU))
    assert torch.equal(made[0], made[1])
    assert made[0].shape != made[2].shape or not torch.equal(made[0], made[2])


@pytest.mark.parametrize("wrong", [{"probability": 0.0}, {"probability": 1.5}, {"length": 0}, {"min_spans": 0}])
def test_refuses_masks_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SpanMaskConfig(**wrong)
