"""The course of a pre-training: rates, and who is in which step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mibench.benchmark.training.sampler import Sampler, steps_per_epoch
from mibench.benchmark.training.schedule import Settings, learning_rate, should_stop


def test_the_rate_is_a_cosine_per_step() -> None:
    settings = Settings(learning_rate=2.0)
    rates = [learning_rate(settings, step, 100) for step in range(101)]
    assert rates[0] == 2.0
    assert rates[50] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.0)
    assert rates == sorted(rates, reverse=True)
    assert rates[25] == pytest.approx(1 + math.cos(math.pi / 4))


def test_a_warm_up_rises_in_a_line_and_the_cosine_begins_after_it() -> None:
    settings = Settings(epochs=10, warmup_epochs=2, learning_rate=1.0, final_learning_rate=0.2)
    rates = [learning_rate(settings, step, 100) for step in range(101)]
    assert rates[:21] == pytest.approx([step / 20 for step in range(21)])
    assert rates[60] == pytest.approx(0.6), "half way from 20 to 100, half way from 1 to 0.2"
    assert rates[100] == pytest.approx(0.2)


def test_a_constant_rate_stays_and_grows_with_the_batch_where_asked() -> None:
    settings = Settings(schedule="constant", learning_rate=3e-4, rate_per_records=256, batch_size=64)
    assert [learning_rate(settings, step, 50) for step in range(50)] == pytest.approx([7.5e-5] * 50)
    assert Settings(learning_rate=3e-4).peak == 3e-4


def test_an_exponential_rate_falls_after_each_epoch_from_one_on() -> None:
    """EKGAN's schedule as it was meant: x 0.95 for every epoch after the fifth."""
    settings = Settings(epochs=8, schedule="exponential", decay=0.95, decay_after=5, learning_rate=1.0)
    rates = [learning_rate(settings, step, 80) for step in range(0, 80, 10)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 0.95, 0.95**2, 0.95**3])
    assert learning_rate(settings, 59, 80) == learning_rate(settings, 50, 80), "constant within an epoch"


def test_patience_counts_in_a_row_or_in_total() -> None:
    losses = [3.0, 4.0, 2.0, 2.0, 2.5]
    in_a_row = Settings(patience=3)
    in_total = Settings(patience=3, patience_in_total=True)
    assert [should_stop(in_a_row, losses[:end]) for end in range(6)] == [False] * 6
    assert [should_stop(in_total, losses[:end]) for end in range(6)] == [False] * 5 + [True]
    assert should_stop(in_a_row, [*losses, 2.2])
    assert not should_stop(Settings(), [1.0] * 1000)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"epochs": 3, "warmup_epochs": 3}, "must be fewer than epochs"),
        ({"warmup_epochs": -1.0}, "must be fewer than epochs"),
        ({"final_learning_rate": 1.0}, "beyond the peak of 0.0001"),
        ({"clip": -1.0}, "clip must not be negative"),
        ({"rate_per_records": 0}, "at least 1 or null"),
        ({"batch_size": 1}, "batch_size at least 2"),
        ({"decay": 0.0}, "decay must be over 0"),
        ({"decay_after": -1}, "decay_after not negative"),
        ({"patience": 0}, "patience must be at least 1 or null"),
    ],
)
def test_refuses_what_cannot_be(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings(**wrong)


def test_each_epoch_sees_every_record_once_in_another_order() -> None:
    rows, settings = np.arange(100, 196), Settings(epochs=2, batch_size=16)
    epochs = [
        np.concatenate([Sampler(rows, settings, 0).batch(6 * epoch + step) for step in range(6)]) for epoch in (0, 1)
    ]
    for seen in epochs:
        assert sorted(seen.tolist()) == rows.tolist()
    assert epochs[0].tolist() != epochs[1].tolist()
    again = Sampler(rows, settings, 0).batch(7)
    assert again.tolist() == Sampler(rows, settings, 0).batch(7).tolist()
    assert again.tolist() != Sampler(rows, settings, 1).batch(7).tolist()


@pytest.mark.parametrize(("records", "drop", "steps"), [(96, True, 6), (97, True, 6), (97, False, 6), (98, False, 7)])
def test_a_short_last_batch_is_left_out_unless_asked_for(records: int, drop: bool, steps: int) -> None:
    # One record alone has nothing to be told from.
    assert steps_per_epoch(records, Settings(batch_size=16, drop_last=drop)) == steps
