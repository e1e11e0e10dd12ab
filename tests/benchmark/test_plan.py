"""The plan of a pre-training: measured steps of the real loop, and arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mibench.benchmark import plan
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.training.schedule import Settings
from support import TINY_ARGUMENTS

STAGE = plan.Stage(
    method="selfmis",
    settings=Settings(epochs=20, batch_size=128),
    measured=2,
    rate=1000.0,
    teacher_rate=500.0,
    memory=3 * plan.GIB,
    parameters=200_000_000,
    trained=100_000_000,
    targets=2048,
)
MIMIC = plan.Sized("mimic-iv-ecg", 795_035, 800_035, 5000, registered=False)


def test_hours_and_disk_are_what_the_sums_say() -> None:
    assert STAGE.hours(MIMIC) == pytest.approx((795_035 * 20 / 1000 + 800_035 / 500) / 3600)
    assert STAGE.disk(MIMIC) == 2048 * 800_035 + 3 * 400_000_000 + 2 * 200_000_000


def test_every_method_that_can_be_planned_is_known() -> None:
    names = plan.trainable()
    assert {"selfmis", "simclr", "stmem", "heartlang", "heartlang-vqhbr", "mcma", "cyclegan"} <= set(names)
    assert not {"stmem-12lead", "ecgfounder", "fir-ridge", "prevalence"} & set(names)


def test_the_command_measures_and_tells(
    mibench: Callable[..., Any], with_demo: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, since another one would measure for ten seconds."""
    monkeypatch.setattr(plan, "SECONDS", 0.01)
    monkeypatch.setattr(plan, "_alone", plan.stages)
    answer = mibench("pretrain", "--method", "selfmis", "--plan", "--data", "demo", *TINY_ARGUMENTS)
    assert answer.code == 0, answer.err
    assert "demo (registered here): 96 training records of 120" in answer.out
    (line,) = [line for line in answer.out.splitlines() if line.startswith("selfmis")]
    assert line.split()[1:4] == ["20", "128", "(2)"]
    refused = mibench("pretrain", "--method", "ecgfounder", "--plan", "--data", "demo")
    assert refused.code == 2
    assert "ecgfounder has no pre-training of its own to plan" in refused.err


def test_several_methods_are_only_planned(mibench: Callable[..., Any], with_demo: Dataset) -> None:
    answer = mibench("pretrain", "--method", "selfmis", "clocs")
    assert answer.code == 2
    assert "one method is pre-trained at a time" in answer.err
