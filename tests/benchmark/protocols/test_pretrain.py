"""Pre-training: it learns, it is the schedule it says, and a kill changes nothing."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mibench.adapters.base import InputSpec, LoadReport, MethodSpec
from mibench.adapters.errors import MibenchError
from mibench.benchmark import config, results
from mibench.benchmark.choices import make
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.embed import Batching
from mibench.benchmark.files import sha256_file
from mibench.benchmark.protocols import pretrain
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.training import loop
from mibench.benchmark.training.sampler import Sampler
from mibench.benchmark.training.stopping import StoppedError
from support import TINY, TINY_ARGUMENTS, assert_valid

SETTINGS = pretrain.Settings(epochs=2, batch_size=16)


def request_for(demo: Dataset, tmp_path: Path, *sets: str, said: list[str] | None = None) -> Request:
    card, adapter = make("selfmis", sets=config.parse_sets([*TINY, *sets])["method"])
    say = said.append if said is not None else (lambda _text: None)
    return Request(adapter, card, demo, tmp_path / "results", Batching(torch.device("cpu")), say=say)


def test_it_learns_and_leaves_a_record(demo: Dataset, tmp_path: Path) -> None:
    request = request_for(demo, tmp_path)
    settings = pretrain.Settings(epochs=4, batch_size=16, learning_rate=1e-3)
    folder = pretrain.run(request, settings, 1)
    with (folder / pretrain.LOSSES).open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["loss"]) for row in rows]
    assert len(losses) == 4 * (96 // 16)
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])
    assert sum(bool(row["validation_loss"]) for row in rows) == 4
    (file,) = (tmp_path / "results" / "demo" / "pretrain-v1" / "selfmis").glob("*.json")
    record = results.read(file)
    assert_valid(record)
    assert record["pretraining"]["steps"] == len(losses)
    assert record["pretraining"]["epoch_losses"] == pytest.approx(np.reshape(losses, (4, 6)).mean(axis=1))
    assert record["data"]["notice"] == "demo data: not a result"
    assert not (folder / pretrain.CHECKPOINTS).exists()
    assert not (folder / pretrain.BEST).exists()


def test_defaults_are_the_papers_table_7() -> None:
    settings, version = config.protocol(pretrain.NAME, pretrain.Settings)
    assert version == 1
    assert settings == pretrain.Settings()
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (20, 128, 1e-4)
    assert (settings.weight_decay, settings.betas, settings.eps, settings.clip) == (0.1, (0.9, 0.999), 1e-8, 1.0)


def test_the_demo_is_short_and_everything_else_is_not() -> None:
    short, _ = config.protocol(pretrain.NAME, pretrain.Settings, data="demo")
    assert (short.epochs, short.batch_size) != (20, 128)
    assert config.protocol(pretrain.NAME, pretrain.Settings, data="ptb-xl")[0] == pretrain.Settings()


def test_the_same_command_does_nothing_twice(demo: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    first = pretrain.run(request_for(demo, tmp_path, said=said), SETTINGS, 1)
    changed = (first / pretrain.WEIGHTS).stat().st_mtime_ns
    second = pretrain.run(request_for(demo, tmp_path, said=said), SETTINGS, 1)
    assert first == second
    assert (first / pretrain.WEIGHTS).stat().st_mtime_ns == changed
    assert "done already" in said[-1]


def test_other_settings_are_another_pre_training(demo: Dataset, tmp_path: Path) -> None:
    folders = {
        pretrain.run(request_for(demo, tmp_path), pretrain.Settings(epochs=1, batch_size=16), 1),
        pretrain.run(request_for(demo, tmp_path), pretrain.Settings(epochs=1, batch_size=32), 1),
        pretrain.run(request_for(demo, tmp_path, "method.loss.t=0.1"), pretrain.Settings(epochs=1, batch_size=16), 1),
        pretrain.run(request_for(demo, tmp_path), pretrain.Settings(epochs=1, batch_size=16), 1, seed=1),
    }
    assert len(folders) == 4


def test_published_parts_are_where_training_starts(demo: Dataset, tmp_path: Path) -> None:
    """Weights of one pre-training serve as the student's start of the next: its first loss is lower."""
    settings = pretrain.Settings(epochs=6, batch_size=16, learning_rate=1e-3)
    first = pretrain.run(request_for(demo, tmp_path), settings, 1)
    start = {"single_lead": first / pretrain.WEIGHTS}
    second = pretrain.run(request_for(demo, tmp_path), settings, 1, init=start)

    def losses(folder: Path) -> list[float]:
        with (folder / pretrain.LOSSES).open() as file:
            return [float(row["loss"]) for row in csv.DictReader(file)]

    assert first != second
    assert losses(second)[0] < 0.5 * losses(first)[0]
    about = json.loads((second / pretrain.FINISHED).read_text())
    assert about["init"] == {"single_lead": sha256_file(start["single_lead"])}
    records = [results.read(file) for file in (tmp_path / "results").rglob("*.json")]
    (notes,) = [record["weights"]["notes"] for record in records if record["weights"]["source"] == "published"]
    assert notes[0].startswith("single_lead: sha256 ")
    assert "batch normalisation" in notes[1]


@pytest.mark.parametrize(
    ("init", "says"),
    [
        ({"student": Path("x.pth")}, "no part `student`"),
        ({"single_lead": Path("nowhere.pth")}, "there is no such file"),
    ],
)
def test_wrong_starts_are_refused(demo: Dataset, tmp_path: Path, init: dict[str, Path], says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        pretrain.run(request_for(demo, tmp_path), SETTINGS, 1, init=init)


def test_too_large_a_batch_is_said(demo: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="fewer than one batch of 128"):
        pretrain.run(request_for(demo, tmp_path), pretrain.Settings(), 1)


class DivergingMethod:
    """A method whose loss is NaN at its third step."""

    spec = MethodSpec(name="diverging", embedding_dim=1, pretrainable=True)
    init_parts: tuple[str, ...] = ()
    views = {"lead": InputSpec()}

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        return None

    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        return ecg[:, :, 0]

    def objective(self, init: Any) -> torch.nn.Module:
        class Objective(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(torch.ones(()))
                self.calls = 0

            def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
                self.calls += 1
                return {"loss": self.weight * (float("nan") if self.calls == 3 else 1.0)}

        return Objective()

    def trained_state(self, objective: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {}


def test_a_loss_that_is_no_number_names_its_records(demo: Dataset, tmp_path: Path) -> None:
    card, _ = make("prevalence")
    request = Request(DivergingMethod(), card, demo, tmp_path / "results", Batching(torch.device("cpu")))
    with pytest.raises(MibenchError, match="the loss is nan at step 2; the batch holds records") as caught:
        pretrain.run(request, SETTINGS, 1)
    rows = Sampler(demo.training_rows(), SETTINGS, 0).batch(2)
    assert all(record in str(caught.value) for record in demo.records[rows])
    (file,) = (tmp_path / "results").rglob("*.json")
    assert_valid(results.read(file))
    assert results.read(file)["status"] == "failed"


def pretrain_command(results_folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "mibench.benchmark.cli", "pretrain", "--method", "selfmis", "--data", "demo"),
        *(
            "--epochs",
            "8",
            "--batch-size",
            "16",
            "--checkpoint-steps",
            "1",
            "--results",
            str(results_folder),
            *TINY_ARGUMENTS,
        ),
    ]


def test_killed_and_started_again_it_ends_the_same_bit_for_bit(
    demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL, which nobody hears; then SIGTERM, which ends it after a checkpoint; then to the end."""
    homes = {name: tmp_path / name for name in ("calm", "killed")}
    for home in homes.values():
        (home / "data").mkdir(parents=True)
        (home / "data" / "demo").symlink_to(demo.store.path.parent)
    settings = pretrain.Settings(epochs=8, batch_size=16)
    monkeypatch.setenv("MIBENCH_HOME", str(homes["calm"]))
    pretrain.run(request_for(demo, tmp_path / "r1"), settings, 1)

    monkeypatch.setenv("MIBENCH_HOME", str(homes["killed"]))
    process = subprocess.Popen(pretrain_command(tmp_path / "r2"), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(homes["killed"].rglob("step-*.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not list(homes["killed"].rglob(pretrain.FINISHED)), "it must die before it is done"

    usual, steps = loop.Training._train_step, []

    def asked_to_end(self: loop.Training) -> None:
        usual(self)
        steps.append(self.step)
        if len(steps) == 3:
            signal.raise_signal(signal.SIGTERM)

    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "_train_step", asked_to_end)
        with pytest.raises(StoppedError, match=r"stopped by SIGTERM: selfmis at step \d+ of 48") as caught:
            pretrain.run(request_for(demo, tmp_path / "r2", said=said), settings, 1)
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert len(steps) == 3, "the step in work is finished, and no other begun"
    assert any("resuming the pre-training of selfmis at step" in text for text in said)
    assert not list((tmp_path / "r2").rglob("*.json")), "to be asked to end is no failure"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    pretrain.run(request_for(demo, tmp_path / "r2", said=said), settings, 1)
    assert f"resuming the pre-training of selfmis at step {steps[-1]} of 48" in said

    first, second = (
        {name: next(home.rglob(file)) for name, home in homes.items()} for file in (pretrain.WEIGHTS, pretrain.LOSSES)
    )
    ours, theirs = load_file(first["calm"]), load_file(first["killed"])
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert second["calm"].read_text() == second["killed"].read_text()


def test_a_damaged_checkpoint_says_what_to_remove(demo: Dataset, tmp_path: Path) -> None:
    folder = pretrain.run(request_for(demo, tmp_path), SETTINGS, 1)
    (folder / pretrain.FINISHED).unlink()
    (folder / pretrain.CHECKPOINTS).mkdir()
    (folder / pretrain.CHECKPOINTS / "step-000000003.pt").write_bytes(b"torn")
    with pytest.raises(MibenchError, match="remove that folder to start this pre-training again"):
        pretrain.run(request_for(demo, tmp_path), SETTINGS, 1)
