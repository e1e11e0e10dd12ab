"""Generators in training: the best epoch is kept, a kill changes nothing, closed forms need no epochs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mibench.adapters.base import LEADS, Generator
from mibench.adapters.errors import MibenchError
from mibench.benchmark import results
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.files import sha256_file
from mibench.benchmark.protocols import pretrain
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.synthesis import synthesize
from mibench.benchmark.training import loop
from support import assert_valid, request_of

SETTINGS = pretrain.Settings(
    epochs=2, batch_size=8, learning_rate=3e-3, schedule="constant", weight_decay=0.0, clip=0.0, select="best"
)


SMALL = ["method.net.filters=[4, 8]"]
"""An MCMA of a few hundred parameters: what is tested here is the training, not the network."""

NARROW = ["method.net.width=2"]
"""The same of the image networks."""


@pytest.fixture(scope="module")
def few(demo: Dataset) -> Dataset:
    """24 training and 6 validation records."""
    kept = np.concatenate([demo.rows(range(1, 9), labelled=False)[:24], demo.rows([9], labelled=False)[:6]])
    folds = np.full_like(demo.folds, 10)
    folds[kept] = demo.folds[kept]
    return replace(demo, folds=folds, manifest="f" * 64)


def record_of(request: Request) -> dict[str, Any]:
    (file,) = (request.results / "demo" / "pretrain-v1" / request.method).glob("*.json")
    record = results.read(file)
    assert_valid(record)
    return record


def test_the_best_epoch_on_the_validation_fold_is_kept_and_each_is_drawn(few: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    request = replace(request_of("mcma", few, tmp_path, preset="tiny", sets=SMALL), say=said.append)
    folder = pretrain.run(request, SETTINGS, 1)
    about = record_of(request)["pretraining"]
    losses = about["validation_losses"]
    assert about["chosen_epoch"] == 1 + int(np.argmin(losses))
    assert "eleven missing leads" in about["criterion"]
    pictures = sorted(file.name for file in (folder / pretrain.SAMPLES).iterdir())
    assert pictures == ["epoch-001.png", "epoch-002.png"]
    assert sum("demo data: not a result" in text for text in said) == 2
    assert not (folder / loop.BEST).exists()

    # What was kept is what was measured: the criterion again, by the way that a run takes.
    generator = request_of("mcma", few, tmp_path, preset="tiny", sets=SMALL).adapter
    assert isinstance(generator, Generator)
    generator.load(folder / pretrain.WEIGHTS, torch.device("cpu"))
    real = few.store.read(few.rows([9], labelled=False), LEADS)
    made = synthesize(generator, real, 500.0, torch.device("cpu"), pass_through=False).numpy()
    assert np.square(made - real)[:, 1:].mean() == pytest.approx(min(losses), rel=0.05), "up to the last window's tail"


def test_patience_ends_a_training_before_its_time(few: Dataset, tmp_path: Path) -> None:
    request = request_of("mcma", few, tmp_path, preset="tiny", sets=SMALL)
    # At this rate nothing gets better after a while.
    impatient = replace(SETTINGS, epochs=20, learning_rate=1.0, patience=1, select="last")
    folder = pretrain.run(request, impatient, 1)
    about = record_of(request)["pretraining"]
    losses = about["validation_losses"]
    assert 1 < about["epochs"] < 20
    assert losses[-1] >= min(losses[:-1])
    assert len((folder / pretrain.LOSSES).read_text().splitlines()) == 1 + about["steps"]


class Killed(BaseException):
    """The power went."""


@pytest.mark.parametrize("method", ["cyclegan"])  # four players, and pools that last from step to step
def test_a_game_of_several_players_resumes_bit_for_bit(
    method: str, few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, epochs=2, batch_size=8)
    whole = pretrain.run(request_of(method, few, tmp_path / "a", preset="tiny", sets=NARROW), settings, 1)
    expected = load_file(whole / pretrain.WEIGHTS)
    finished = json.loads((whole / pretrain.FINISHED).read_text())

    (whole / pretrain.FINISHED).unlink()
    request = request_of(method, few, tmp_path / "b", preset="tiny", sets=NARROW)
    usual = loop.Training._train_step

    def dying(self: loop.Training) -> None:
        if self.step == 4:
            raise Killed
        usual(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "_train_step", dying)
        with pytest.raises(Killed):
            pretrain.run(request, settings, 1, saving=pretrain.Saving(steps=2))
    said: list[str] = []
    again = pretrain.run(replace(request, say=said.append), settings, 1)
    assert again == whole
    assert any("resuming" in text and "at step 4 of 6" in text for text in said)
    for name, tensor in load_file(again / pretrain.WEIGHTS).items():
        assert torch.equal(tensor, expected[name]), name
    assert json.loads((again / pretrain.FINISHED).read_text())["key"] == finished["key"]
    assert sha256_file(again / pretrain.WEIGHTS) == finished["sha256"]
    players = [name for name in (again / pretrain.LOSSES).read_text().splitlines()[0].split(",") if "_loss" in name]
    assert {"validation_loss"} < set(players)


def test_a_closed_form_is_fitted_once_and_says_what_it_chose(demo: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    request = replace(request_of("fir-ridge", demo, tmp_path), say=said.append)
    folder = pretrain.run(request, pretrain.Settings(), 1)
    record = record_of(request)
    assert record["protocol"]["settings"] == {"closed_form": True}
    assert record["data"]["observed_leads"] == list(LEADS)
    assert record["pretraining"]["notes"]
    assert record["pretraining"]["validation_losses"][0] > 0
    assert any("ridge" in text and "demo data: not a result" in text for text in said)
    assert not (folder / pretrain.LOSSES).exists()
    written = (folder / pretrain.WEIGHTS).stat().st_mtime_ns
    assert pretrain.run(request, pretrain.Settings(epochs=7), 1) == folder, "epochs mean nothing to it"
    assert (folder / pretrain.WEIGHTS).stat().st_mtime_ns == written


def test_a_closed_form_without_records_is_refused(demo: Dataset, tmp_path: Path) -> None:
    nobody = replace(demo, folds=np.full_like(demo.folds, 10))
    with pytest.raises(MibenchError, match="no records in folds 1-8 to fit fir-ridge to"):
        pretrain.run(request_of("fir-ridge", nobody, tmp_path), pretrain.Settings(), 1)
