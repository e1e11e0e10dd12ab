"""Watching a training: the curve, the event files, and the words on the bar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.figures.loss_curve import draw_losses
from mibench.benchmark.protocols import pretrain
from support import TINY, request_of

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_training_leaves_a_curve_and_its_speed(demo: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    request = replace(request_of("selfmis", demo, tmp_path, sets=TINY), say=said.append)
    folder = pretrain.run(request, pretrain.Settings(epochs=2, batch_size=16), 1)
    assert (folder / pretrain.CURVE).read_bytes()[:8] == PNG
    told = [text for text in said if text.startswith("epoch")]
    assert len(told) == 2
    assert all("records/s" in text and "waiting for data" in text for text in told)
    assert all(text.endswith("[demo data: not a result]") for text in told)


def test_event_files_tell_every_step(demo: Dataset, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    request = request_of("selfmis", demo, tmp_path, sets=TINY)
    settings = pretrain.Settings(epochs=2, batch_size=16)
    folder = pretrain.run(request, settings, 1, ways=pretrain.Ways(tensorboard=tmp_path / "events"))
    events = accumulator.EventAccumulator(str(tmp_path / "events" / folder.name))
    events.Reload()
    losses = events.Scalars("train/loss")
    assert [entry.step for entry in losses] == list(range(12))
    assert len(events.Scalars("epoch/validation_loss")) == 2


def test_a_curve_of_many_steps_is_thinned_and_one_of_none_is_refused(tmp_path: Path) -> None:
    file, out = tmp_path / "losses.csv", tmp_path / "curve.png"
    rows = [f"{step},{300 / (1 + step)},{'2.5' if step % 5000 == 4999 else ''}" for step in range(20_000)]
    file.write_text("step,loss,validation_loss\n" + "\n".join(rows) + "\n")
    draw_losses(file, out, per_epoch=5000, title="many", footer="invented")
    assert out.read_bytes()[:8] == PNG
    file.write_text("step,loss\n")
    with pytest.raises(MibenchError, match="holds no losses"):
        draw_losses(file, out, per_epoch=5, title="", footer="")
