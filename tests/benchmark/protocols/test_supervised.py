"""End-to-end training on the small demo heart: it is the linear probe's recipe, it learns, and it can be made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mibench.adapters.base import LoadReport, MethodSpec
from mibench.adapters.errors import MibenchError
from mibench.benchmark import config, results
from mibench.benchmark.choices import make
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.embed import Batching
from mibench.benchmark.probe import epoch_order
from mibench.benchmark.protocols import linear_probe, supervised
from mibench.benchmark.protocols.probing import training_subset
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.protocols.supervised import Settings
from mibench.benchmark.weights import Weights
from support import TINY, TINY_ARGUMENTS, assert_valid, request_of

Command = Callable[..., Any]
RANDOM = Weights("random", "random", seed=0)
QUICK = Settings(epochs=2, batch_size=16, learning_rate=3e-3, resamples=50)


class Pooled(torch.nn.Module):
    """Means of eight stretches of the signal's size: features without anything to learn."""

    def forward(self, ecg: torch.Tensor) -> torch.Tensor:
        return ecg[:, 0].unflatten(1, (8, -1)).abs().mean(dim=2)


class Fixed:
    """An encoder whose network has no parameters: all that is left to train is the head."""

    spec = MethodSpec(name="fixed", embedding_dim=8)

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        self.net: torch.nn.Module = Pooled()
        return None

    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        return self.net(ecg)  # type: ignore[no-any-return]

    def network(self) -> torch.nn.Module:
        return self.net


def of(adapter: Any, demo: Dataset, tmp_path: Path) -> Request:
    card, _ = make("prevalence")
    return Request(adapter, card, demo, tmp_path / "results", Batching(torch.device("cpu")))


def test_without_a_network_to_train_it_is_the_linear_probe(demo: Dataset, tmp_path: Path) -> None:
    request = of(Fixed(), demo, tmp_path)
    settings = replace(QUICK, epochs=4, learning_rate=0.05, patience=2)
    probed = linear_probe.Settings(**{name: getattr(settings, name) for name in linear_probe.Settings().__dict__})
    ours = [results.read(path) for path in supervised.run(request, RANDOM, settings, 1, [0.5, 1.0], [0, 1])]
    theirs = [results.read(path) for path in linear_probe.run(request, RANDOM, probed, 1, [0.5, 1.0], [0, 1])]
    for one, other in zip(ours, theirs, strict=True):
        assert one["training"]["validation"] == pytest.approx(other["training"]["validation"], abs=2e-3)
        assert one["training"]["best_epoch"] == other["training"]["best_epoch"]
        assert one["metrics"]["avg"] == pytest.approx(other["metrics"]["avg"], abs=2e-3)
        assert one["metrics"]["positives"] == other["metrics"]["positives"]


def test_it_learns_and_leaves_a_record(demo: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    request = replace(request_of("selfmis", demo, tmp_path / "results", sets=TINY), say=said.append)
    (path,) = supervised.run(request, RANDOM, replace(QUICK, epochs=6, patience=6), 1, [1.0], [0])
    record = results.read(path)
    assert_valid(record)
    losses = [float(line.split("training loss ")[1].split(",")[0]) for line in said]
    assert losses[-1] < 0.7 * losses[0]
    assert all("demo data: not a result" in line for line in said)
    assert len(record["training"]["validation"]) == 6
    assert record["training"]["best_epoch"] == 1 + int(np.argmax(record["training"]["validation"]))
    kept = results.predictions(path)
    assert kept["scores"].shape == (len(demo.split()["test"]), 44)
    supervised.run(request, RANDOM, replace(QUICK, epochs=6, patience=6), 1, [1.0], [0])
    assert "1 of 1 runs are done already" in said[-1]


def test_made_again_it_is_the_same_bit_for_bit_whatever_was_drawn_before(demo: Dataset, tmp_path: Path) -> None:
    """With dropout and batch statistics, which are the easiest to get wrong; seeds differ in everything."""
    sets = (*TINY, "method.net.use_do=true", "method.net.use_bn=true")
    request = request_of("selfmis", demo, tmp_path / "results", sets=sets)
    before = torch.get_rng_state()
    once = replace(QUICK, epochs=1)
    paths = supervised.run(request, RANDOM, once, 1, [1.0], [0, 1])
    assert torch.equal(torch.get_rng_state(), before), "nobody else's draws change"
    first = [results.predictions(path)["scores"] for path in paths]
    torch.rand(7)
    again = supervised.run(replace(request, force=True), RANDOM, once, 1, [1.0], [1])
    np.testing.assert_array_equal(results.predictions(again[0])["scores"], first[1])
    assert not np.array_equal(*first)


def test_the_best_epoch_is_tested_and_not_the_last(demo: Dataset, tmp_path: Path) -> None:
    request = request_of("selfmis", demo, tmp_path / "results", sets=TINY)
    wild = replace(QUICK, epochs=5, learning_rate=0.05)
    (path,) = supervised.run(request, RANDOM, wild, 1, [1.0], [0])
    best = results.read(path)["training"]["best_epoch"]
    assert best < 5, "choose another rate: this test needs a best epoch before the last"

    class Stopped(supervised._Training):
        def _train_epoch(self, epoch: int, bar: Any) -> float:
            return super()._train_epoch(epoch, bar) if epoch < best else 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervised, "_Training", Stopped)
        (other,) = supervised.run(replace(request, results=tmp_path / "other"), RANDOM, wild, 1, [1.0], [0])
    np.testing.assert_array_equal(results.predictions(path)["scores"], results.predictions(other)["scores"])


def test_fine_tuning_starts_where_the_weights_are(demo: Dataset, tmp_path: Path) -> None:
    request = request_of("selfmis", demo, tmp_path / "results", sets=TINY)
    RANDOM.load(request.adapter, torch.device("cpu"))
    file = tmp_path / "start.pt"
    torch.save(request.adapter.network().state_dict(), file)  # type: ignore[union-attr]
    given = Weights("published", "start.pt", file, "a" * 64)
    still = replace(QUICK, epochs=1, learning_rate=1e-12)
    probed = linear_probe.Settings(**{name: getattr(still, name) for name in linear_probe.Settings().__dict__})
    (tuned,) = supervised.run(request, given, still, 1, [1.0], [0])
    (frozen,) = linear_probe.run(request, given, probed, 1, [1.0], [0])
    ours, theirs = (results.predictions(path)["scores"] for path in (tuned, frozen))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert "batch normalisation" in results.read(tuned)["weights"]["notes"][0]


class Diverging(Fixed):
    """A network that gives NaN in its third step."""

    def network(self) -> torch.nn.Module:
        class Net(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.calls = 0

            def forward(self, ecg: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                return Pooled()(ecg) * (float("nan") if self.calls == 3 else 1.0)

        return Net()


def test_a_loss_that_is_no_number_names_its_records(demo: Dataset, tmp_path: Path) -> None:
    request = of(Diverging(), demo, tmp_path)
    with pytest.raises(MibenchError, match="the loss is nan at step 2; the batch holds records") as caught:
        supervised.run(request, RANDOM, QUICK, 1, [1.0], [0])
    rows = training_subset(demo.split()["train"], 1.0, 0)
    batch = rows[epoch_order(len(rows), 0, 0).numpy()][32:48]
    assert all(record in str(caught.value) for record in demo.records[batch])
    (file,) = (tmp_path / "results").rglob("*.json")
    assert_valid(results.read(file))
    assert results.read(file)["status"] == "failed"


class WrongShape(Fixed):
    def network(self) -> torch.nn.Module:
        return torch.nn.Flatten()


def test_a_network_of_another_width_is_said(demo: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match=r"must return \(batch, embedding_dim\) = \(16, 8\)"):
        supervised.run(of(WrongShape(), demo, tmp_path), RANDOM, QUICK, 1, [1.0], [0])


def test_defaults_are_the_papers_table_8() -> None:
    settings, _ = config.protocol(supervised.NAME, Settings)
    assert settings == Settings()
    assert (settings.epochs, settings.batch_size, settings.learning_rate, settings.patience) == (20, 64, 5e-4, 5)


def test_its_rows_are_a_board_of_their_own(mibench: Command, with_demo: Dataset) -> None:
    quick = ("--set", "protocol.epochs=1", "--set", "protocol.resamples=50", *TINY_ARGUMENTS, "--weights", "random")
    trained = mibench("run", "--method", "selfmis", "--protocol", "supervised", *quick, "--ratio", 50, 100)
    assert trained.code == 0, trained.err
    assert "supervised v1 (networks trained end to end) on demo" in trained.out
    assert "random start" in trained.out
    assert "anchor" not in trained.out
    probed = mibench("run", "--method", "selfmis", *quick, "--no-companions")
    assert probed.code == 0, probed.err
    table = mibench("table", "--format", "markdown")
    assert table.out.count("ROC AUC (x100)") == 2
