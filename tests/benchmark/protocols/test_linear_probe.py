"""The linear probe from end to end on the small demo heart, with tiny networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mibench.adapters.base import LEADS, MethodSpec
from mibench.adapters.errors import MibenchError
from mibench.benchmark import config, results
from mibench.benchmark.choices import make
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.ecg import MI_STATEMENTS
from mibench.benchmark.embed import Batching
from mibench.benchmark.protocols import linear_probe
from mibench.benchmark.protocols.linear_probe import Settings
from mibench.benchmark.protocols.probing import training_subset
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.weights import Weights
from support import TINY, assert_valid

QUICK = Settings(epochs=3, resamples=50)
RANDOM = Weights("random", "random", seed=0)


class CountingEncoder:
    """A fixed projection that counts the records it was asked for."""

    spec = MethodSpec(name="counting", embedding_dim=8)

    def __init__(self) -> None:
        self.records = 0

    def load(self, weights: Path | None, device: torch.device) -> None:
        self.projection = torch.randn(self.spec.samples, 8) / 70

    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        self.records += len(ecg)
        return ecg[:, 0] @ self.projection


def request_for(demo: Dataset, tmp_path: Path, adapter: object | None = None, said: list[str] | None = None) -> Request:
    card, tiny = make("ecgfounder", sets=config.parse_sets(TINY)["method"])
    say = said.append if said is not None else (lambda _text: None)
    return Request(adapter or tiny, card, demo, tmp_path / "results", Batching(torch.device("cpu")), say=say)  # type: ignore[arg-type]


def test_a_record_holds_what_can_be_computed_again(demo: Dataset, tmp_path: Path) -> None:
    (path,) = linear_probe.run(request_for(demo, tmp_path), RANDOM, QUICK, 1, [1.0], [0])
    record = results.read(path)
    assert_valid(record)
    kept = results.predictions(path)
    test = demo.split()["test"]
    assert kept["records"].tolist() == demo.records[test].tolist()
    assert kept["scores"].shape == (len(test), 44)
    for name in MI_STATEMENTS:
        column = kept["statements"].tolist().index(name)
        again = roc_auc_score(kept["labels"][:, column], kept["scores"][:, column])
        assert record["metrics"]["auc"][name] == pytest.approx(again)
        assert record["metrics"]["positives"][name] == kept["labels"][:, column].sum()
    assert record["metrics"]["avg"] == pytest.approx(np.mean(list(record["metrics"]["auc"].values())))
    assert record["data"]["notice"] == "demo data: not a result"
    assert record["data"]["records"] == {part: len(rows) for part, rows in demo.split().items()}
    assert record["weights"]["source"] == "random"
    assert record["training"]["best_epoch"] <= record["training"]["epochs"] <= 3


def test_every_record_is_encoded_once_for_all_seeds_and_ratios(demo: Dataset, tmp_path: Path) -> None:
    encoder = CountingEncoder()
    request = request_for(demo, tmp_path, encoder)
    linear_probe.run(request, RANDOM, QUICK, 1, [0.25, 0.5, 1.0], range(3))
    soundness = 3 + 3 + 1
    assert encoder.records == len(demo.records) + soundness
    linear_probe.run(request, RANDOM, replace(QUICK, epochs=2), 1, [1.0], [0])
    assert encoder.records == len(demo.records) + soundness, "other probe settings use the cached embeddings"
    observed = replace(QUICK, observed_leads=LEADS)
    linear_probe.run(request, RANDOM, observed, 1, [1.0], [0])
    assert encoder.records > len(demo.records) + soundness, "other observed leads are other embeddings"


def test_done_is_done_and_force_does_it_again(demo: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    request = request_for(demo, tmp_path, said=said)
    first = linear_probe.run(request, RANDOM, QUICK, 1, [0.5, 1.0], [0, 1])
    written = [path.stat().st_mtime_ns for path in first]
    assert linear_probe.run(request, RANDOM, QUICK, 1, [0.5, 1.0], [0, 1]) == first
    assert [path.stat().st_mtime_ns for path in first] == written
    assert "4 of 4 runs are done already" in said[-1]
    first[0].unlink()
    linear_probe.run(request, RANDOM, QUICK, 1, [0.5, 1.0], [0, 1])
    assert [path.stat().st_mtime_ns for path in first[1:]] == written[1:], "only what is missing is made"
    linear_probe.run(replace(request, force=True), RANDOM, QUICK, 1, [0.5, 1.0], [0, 1])
    assert all(path.stat().st_mtime_ns > old for path, old in zip(first, written, strict=True))


def test_runs_repeat_bit_for_bit(demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = []
    for name in ("one", "two"):
        monkeypatch.setenv("MIBENCH_HOME", str(tmp_path / name))
        request = request_for(demo, tmp_path / name)
        (path,) = linear_probe.run(request, RANDOM, QUICK, 1, [1.0], [0])
        scores.append(results.predictions(path)["scores"])
    np.testing.assert_array_equal(scores[0], scores[1])


def test_what_determines_the_number_is_the_key_and_nothing_else(demo: Dataset, tmp_path: Path) -> None:
    request = request_for(demo, tmp_path)

    def key(changed: Request = request, weights: Weights = RANDOM, settings: Settings = QUICK) -> str:
        return linear_probe.plan(changed, weights, settings, 1, [1.0], [0])[0].key

    base = key()
    small = replace(request, batching=Batching(torch.device("cpu"), batch_size=1))
    assert key(small) == base
    assert key(replace(request, results=tmp_path / "elsewhere", force=True)) == base
    assert key(weights=replace(RANDOM, name="called otherwise")) == base
    assert key(weights=Weights("random", seed=1)) != base
    assert key(settings=replace(QUICK, patience=4)) != base
    assert key(replace(request, data=replace(demo, manifest="other"))) != base


def test_subsets_are_nested_and_the_same_for_every_method() -> None:
    rows = np.arange(1000) * 3
    quarter, half, whole = (training_subset(rows, ratio, seed=2) for ratio in (0.25, 0.5, 1.0))
    assert (len(quarter), len(half)) == (250, 500)
    assert set(quarter) < set(half) < set(whole)
    assert whole.tolist() == rows.tolist()
    assert quarter.tolist() != training_subset(rows, 0.25, seed=3).tolist()
    loose = training_subset(rows, 0.25, seed=2, nested=False)
    assert not set(loose) <= set(training_subset(rows, 0.5, seed=2, nested=False))


def test_defaults_are_the_papers_table_8() -> None:
    settings, version = config.protocol(linear_probe.NAME, Settings)
    assert (settings, version) == (Settings(), 1)
    assert (settings.learning_rate, settings.epochs, settings.batch_size, settings.patience) == (5e-4, 20, 64, 5)
    assert settings.observed_leads == ("I",)


def test_the_prevalence_anchor_ranks_nobody(demo: Dataset, tmp_path: Path) -> None:
    card, adapter = make("prevalence")
    request = replace(request_for(demo, tmp_path), adapter=adapter, card=card)
    (path,) = linear_probe.run(request, Weights("none", "none"), QUICK, 1, [1.0], [0])
    assert results.read(path)["metrics"]["avg"] == 0.5


def test_nine_outputs_can_be_trained_alone(demo: Dataset, tmp_path: Path) -> None:
    (path,) = linear_probe.run(request_for(demo, tmp_path), RANDOM, replace(QUICK, labels="mi9"), 1, [1.0], [0])
    assert results.predictions(path)["statements"].tolist() == list(MI_STATEMENTS)


class WrongShape(CountingEncoder):
    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        return super().embed(ecg)[:, :5]


class WrongType(CountingEncoder):
    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        return super().embed(ecg).numpy()  # type: ignore[return-value]


class NotFinite(CountingEncoder):
    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        return super().embed(ecg) * float("nan")


class StillTraining(CountingEncoder):
    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(super().embed(ecg), 0.5)


class BatchDependent(CountingEncoder):
    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        out = super().embed(ecg)
        return out - out.mean(dim=0)


@pytest.mark.parametrize(
    ("encoder", "says"),
    [
        (WrongShape, r"must return \(batch, embedding_dim\) = \(3, 8\) and returned \(3, 5\)"),
        (WrongType, "returned ndarray"),
        (NotFinite, "not finite"),
        (StillTraining, "two passes over the same records differ"),
        (BatchDependent, "depends on the other records"),
    ],
)
def test_a_wrong_encoder_is_caught_before_its_numbers_count(
    demo: Dataset, tmp_path: Path, encoder: type[CountingEncoder], says: str
) -> None:
    request = request_for(demo, tmp_path, encoder())
    with pytest.raises(MibenchError, match=says):
        linear_probe.run(request, RANDOM, QUICK, 1, [1.0], [0])
    (file,) = (tmp_path / "results").rglob("*.json")
    failed = results.read(file)
    assert_valid(failed)
    assert failed["status"] == "failed"
    assert failed["metrics"] is None


def test_a_failure_is_replaced_by_a_success(demo: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MibenchError):
        linear_probe.run(request_for(demo, tmp_path, NotFinite()), RANDOM, QUICK, 1, [1.0], [0])
    (path,) = linear_probe.run(request_for(demo, tmp_path, CountingEncoder()), RANDOM, QUICK, 1, [1.0], [0])
    assert results.read(path)["status"] == "done"
    assert len(list((tmp_path / "results").rglob("*.json"))) == 1


def test_selection_never_touches_the_test_fold(demo: Dataset, tmp_path: Path) -> None:
    """Scrambled test labels change the test figures and nothing about training or selection."""
    test = demo.split()["test"]
    scrambled = demo.labels.copy()
    scrambled[test] = np.roll(scrambled[test], 1, axis=0)
    other = replace(demo, labels=scrambled, manifest="scrambled")
    records = []
    for data in (demo, other):
        (path,) = linear_probe.run(request_for(data, tmp_path), RANDOM, QUICK, 1, [1.0], [0])
        records.append((results.read(path), results.predictions(path)["scores"]))
    assert records[0][0]["training"] == records[1][0]["training"]
    np.testing.assert_array_equal(records[0][1], records[1][1])
    assert records[0][0]["metrics"]["auc"] != records[1][0]["metrics"]["auc"]


def test_leads_that_a_method_does_not_take_are_a_question_not_a_failure(demo: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="only V1 is given"):
        linear_probe.run(request_for(demo, tmp_path), RANDOM, replace(QUICK, observed_leads=("V1",)), 1, [1.0], [0])
    assert not list((tmp_path / "results").rglob("*.json"))


def test_missing_folds_are_said(demo: Dataset, tmp_path: Path) -> None:
    folds = demo.folds.copy()
    folds[folds == 9] = 8
    with pytest.raises(MibenchError, match="has no validation records"):
        linear_probe.run(request_for(replace(demo, folds=folds), tmp_path), RANDOM, QUICK, 1, [1.0], [0])
