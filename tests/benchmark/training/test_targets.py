"""A frozen teacher is asked once: the losses are exactly those of asking it in every step."""

from __future__ import annotations

import csv
import os
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mibench.adapters.base import LEADS, Pretrainable, Taught
from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.protocols import pretrain
from mibench.benchmark.training import targets
from mibench.benchmark.training.engine import Engine
from mibench.benchmark.training.loop import Training
from support import TINY, request_of

SETTINGS = pretrain.Settings(epochs=1, batch_size=16, learning_rate=1e-3, precision="32-true")
PLAIN, CACHED = pretrain.Ways(teacher_cache=False), pretrain.Ways()


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / pretrain.LOSSES).open() as file:
        return list(csv.DictReader(file))


def trained(
    demo: Dataset, place: Path, ways: pretrain.Ways, settings: pretrain.Settings = SETTINGS, *sets: str
) -> tuple[Path, list[str]]:
    said: list[str] = []
    request = replace(request_of("selfmis", demo, place, sets=[*TINY, *sets]), say=said.append, force=True)
    return pretrain.run(request, settings, 1, ways=ways), said


@pytest.mark.parametrize(
    ("settings", "sets"),
    [
        (SETTINGS, ()),
        (replace(SETTINGS, targets="float16"), ()),
        pytest.param(replace(SETTINGS, precision="bf16-mixed"), (), marks=pytest.mark.slow),
        (replace(SETTINGS, micro_batch=8), ()),
        (replace(SETTINGS, micro_batch=8, negatives="local"), ()),
        (SETTINGS, ("method.preprocessing.s_norm=from_12lead",)),
    ],
    ids=["float32", "float16", "bf16", "parts", "local", "from_12lead"],
)
def test_losses_and_weights_are_exactly_those_without_the_cache(
    demo: Dataset, tmp_path: Path, settings: pretrain.Settings, sets: tuple[str, ...]
) -> None:
    plain, _ = trained(demo, tmp_path, PLAIN, settings, *sets)
    expected, weights = lines(plain), load_file(plain / pretrain.WEIGHTS)
    cached, said = trained(demo, tmp_path, CACHED, settings, *sets)
    assert cached == plain, "how it is computed is no part of the key"
    assert "asking the frozen teacher" in "".join(said)
    assert lines(cached) == expected
    for name, tensor in load_file(cached / pretrain.WEIGHTS).items():
        assert torch.equal(tensor, weights[name])


@pytest.mark.slow
def test_at_full_width_too(demo: Dataset, tmp_path: Path) -> None:
    """The first two steps, of 61.32 M parameters."""
    settings = replace(SETTINGS, batch_size=4)
    losses = []
    for ways in (PLAIN, CACHED):
        few = replace(demo, folds=np.where(np.arange(len(demo.folds)) < 12, demo.folds, 10).astype(np.int8))
        request = request_of("selfmis", few, tmp_path)
        assert isinstance(request.adapter, Pretrainable)
        training = Training(request, request.adapter, settings, {}, 0, tmp_path, pretrain.Saving(), ways=ways)
        for _ in range(2):
            training._train_step()
        entries, _ = training.journal.fetch([])
        losses.append([entry["loss"] for entry in entries])
        assert training.leads == (("I",) if ways.teacher_cache else LEADS)
    assert losses[0] == losses[1]


def test_the_teacher_is_asked_once_and_found_again(demo: Dataset, tmp_path: Path) -> None:
    """Another student, another rate, another seed of everything but the teacher: nobody asks it again."""
    first, said = trained(demo, tmp_path, CACHED)
    assert any("asking the frozen teacher" in text for text in said)
    (kept,) = Path(os.environ["MIBENCH_HOME"]).rglob(targets.WHOLE)
    found = np.load(kept)
    assert (found.shape, found.dtype) == ((len(demo.records), 32), np.float32)
    assert not list(kept.parent.glob("part-*"))
    start = {"single_lead": first / pretrain.WEIGHTS}
    request = replace(request_of("selfmis", demo, tmp_path, sets=TINY), say=said.append)
    said.clear()
    second = pretrain.run(request, replace(SETTINGS, learning_rate=1e-4), 1, init=start)
    assert second != first
    assert not any("asking" in text for text in said)


def test_a_kill_costs_one_part(demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "PART_RECORDS", 32)
    trained(demo, tmp_path, CACHED)
    (kept,) = Path(os.environ["MIBENCH_HOME"]).rglob(targets.WHOLE)
    expected = np.load(kept)
    kept.unlink()
    asked: list[int] = []
    usual = targets.teach

    def dying(objective: Taught, view: torch.Tensor, engine: Engine, kept: torch.dtype) -> torch.Tensor:
        asked.append(len(view))
        if len(asked) == 4:
            raise KeyboardInterrupt
        return usual(objective, view, engine, kept)

    with monkeypatch.context() as patch:
        patch.setattr(targets, "teach", dying)
        with pytest.raises(KeyboardInterrupt):
            trained(demo, tmp_path, CACHED)
        assert len(list(kept.parent.glob("part-*"))) == 1
        asked.clear()
        asked += [0] * 4
        trained(demo, tmp_path, CACHED)
    assert len(asked) - 4 == (120 - 32 + 15) // 16, "the finished part is not asked for again"
    assert np.array_equal(np.load(kept), expected)


def test_words_too_large_for_half_precision_say_what_to_do(demo: Dataset, tmp_path: Path) -> None:
    request = request_of("selfmis", demo, tmp_path, sets=TINY)
    objective = request.adapter.objective({})  # type: ignore[union-attr]
    with torch.no_grad():
        for value in objective.teacher.parameters():
            value.mul_(30)
    view = torch.full((2, 12, 5000), 1e4)
    engine = Engine(torch.device("cpu"), "32-true")
    with pytest.raises(MibenchError, match="too large for float16: add --set"):
        targets.teach(objective, view, engine, torch.float16)
    with pytest.raises(MibenchError, match="not finite"):
        targets.teach(objective, view * float("nan"), engine, torch.float32)


def test_a_full_disk_is_said_and_nothing_half_is_left(demo: Dataset, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, before[1]))
        with pytest.raises(OSError, match="File too large"):
            trained(demo, tmp_path, CACHED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (folder,) = (Path(os.environ["MIBENCH_HOME"]) / "targets" / "selfmis").iterdir()
    assert not list(folder.iterdir())
