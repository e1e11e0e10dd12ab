"""Generated folds: streamed, measured, cached; and what a generator can do wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mibench.adapters.base import LEADS, LoadReport, MethodSpec
from mibench.adapters.errors import MibenchError
from mibench.benchmark import embed, generated
from mibench.benchmark.choices import GenerateChoices, make
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.embed import Batching
from mibench.benchmark.generated import Classifier, generated_of, partners, real_features
from mibench.benchmark.home import home
from mibench.benchmark.pipeline import classifier_for
from mibench.benchmark.protocols import generative
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.synthesis import synthesize
from mibench.benchmark.weights import Weights
from support import request_of

NONE = Weights("none", "none")
RANDOM = Weights("random", "random", seed=0)
CPU = torch.device("cpu")


class Scaled:
    """Lead I, smaller from lead to lead, in windows of 2 s: enough to tell leads and windows apart."""

    def __init__(self, spec: MethodSpec | None = None) -> None:
        self.spec = spec or MethodSpec(
            name="scaled", kind="generator", samples=1000, normalization="none", windows="tiled", needs_weights=False
        )
        self.windows: list[int] = []

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        return LoadReport()

    def synthesize(self, lead: Tensor) -> Tensor:
        self.windows.append(len(lead))
        return lead * torch.linspace(0.9, 0.1, 12)[:, None]


class NotFinite(Scaled):
    def synthesize(self, lead: Tensor) -> Tensor:
        return super().synthesize(lead) / 0


class Eleven(Scaled):
    def synthesize(self, lead: Tensor) -> Tensor:
        return super().synthesize(lead)[:, 1:]


@pytest.fixture
def classifier(demo: Dataset, tmp_path: Path) -> Classifier:
    """A tiny twelve-lead encoder with random weights."""
    return Classifier(
        request_of("ecgfounder-12lead", demo, tmp_path, preset="tiny"), Weights("random", "random", seed=0)
    )


def asked(adapter: Scaled, demo: Dataset, tmp_path: Path) -> Request:
    card, _ = make("real-leads")
    return Request(adapter, card, demo, tmp_path, Batching(CPU, 8))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(0, 5))
def test_partners_are_of_other_patients_and_each_is_taken_once(who: list[int], seed: int) -> None:
    patients, rows = np.array(who).astype(str), np.arange(100, 100 + len(who))
    everyone = np.concatenate([np.full(100, "x"), patients])
    if 2 * np.bincount(who).max() > len(who):
        with pytest.raises(MibenchError, match="are of one patient"):
            partners(rows, everyone, seed)
        return
    others = partners(rows, everyone, seed)
    assert sorted(others) == rows.tolist()
    assert (everyone[others] != everyone[rows]).all()
    assert (others == partners(rows, everyone, seed)).all()


def test_a_record_is_generated_window_by_window_and_lead_i_is_passed_through(demo: Dataset) -> None:
    real = demo.store.read(np.arange(3), LEADS)
    adapter = Scaled()
    made = synthesize(adapter, real, 500.0, CPU, pass_through=False).numpy()
    np.testing.assert_allclose(made, real[:, :1] * np.linspace(0.9, 0.1, 12)[:, None], rtol=1e-6)
    assert adapter.windows == [15], "5 windows of each record, together"
    passed = synthesize(adapter, real, 500.0, CPU, pass_through=True).numpy()
    assert np.array_equal(passed[:, 0], real[:, 0])
    np.testing.assert_allclose(passed[:, 1:], made[:, 1:])


def test_lead_i_of_somebody_else_is_not_mixed_with_ours(demo: Dataset) -> None:
    other = Scaled(replace(Scaled().spec, leads=LEADS, sees="another-record", samples=5000, windows="whole"))
    real = demo.store.read(np.arange(2), LEADS)
    made = synthesize(other, real, 500.0, CPU, pass_through=True).numpy()
    np.testing.assert_allclose(made[:, 11], 0.1 * real[:, 11], rtol=1e-6)


def test_a_generator_of_another_rate_comes_back_at_the_records_own(demo: Dataset) -> None:
    real = demo.store.read(np.arange(2), LEADS)
    slow = Scaled(replace(Scaled().spec, sampling_rate=100.0, samples=250))
    made = synthesize(slow, real, 500.0, CPU, pass_through=False)
    assert made.shape == real.shape
    exact = synthesize(Scaled(), real, 500.0, CPU, pass_through=False)
    assert (made - exact).square().mean() < 0.1 * exact.square().mean()


def test_features_and_statistics_of_the_test_fold(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    found = generated_of(asked(Scaled(), demo, tmp_path), NONE, classifier, "test", pass_through=True)
    rows = demo.split()["test"]
    assert found.rows.tolist() == rows.tolist()
    assert found.features.shape == (len(rows), 32)
    assert {name: len(array) for name, array in found.statistics.items()} == dict.fromkeys(found.statistics, len(rows))
    assert {"mse", "mae", "pearson", "heart_rate", "real_heart_rate", "confusion"} <= found.statistics.keys()
    np.testing.assert_array_equal(found.statistics["mse"][:, 0], 0)
    training = generated_of(asked(Scaled(), demo, tmp_path), NONE, classifier, "train", pass_through=True)
    assert not training.statistics


def test_the_real_leads_have_the_real_features(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    found = generated_of(request_of("real-leads", demo, tmp_path), NONE, classifier, "test", pass_through=True)
    np.testing.assert_allclose(found.features, real_features(classifier)[found.rows], rtol=1e-5, atol=1e-6)
    assert not found.statistics["mse"].any()


def test_to_a_score_per_lead_a_multiple_of_lead_i_is_lead_i(demo: Dataset, tmp_path: Path) -> None:
    """Why the classifier's normalisation is a switch: it decides whether the size of a generated lead counts."""
    choices = GenerateChoices(classifier_weights="random", results=tmp_path)
    features = {}
    for scope in ("own", "zscore-lead"):
        wanted = generative.Settings(classifier_preset="tiny", classifier_normalization=scope)  # type: ignore[arg-type]
        judge = classifier_for(wanted, choices, demo, print)
        requests = (asked(Scaled(), demo, tmp_path), request_of("copy-lead", demo, tmp_path))
        features[scope] = [generated_of(each, NONE, judge, "test", pass_through=True).features for each in requests]
    np.testing.assert_allclose(*features["zscore-lead"], rtol=1e-3, atol=1e-5)
    assert np.abs(np.subtract(*features["own"])).max() > 1e-2


def test_what_is_there_is_not_made_again_and_what_is_damaged_is(
    demo: Dataset, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (embed, generated):
        monkeypatch.setattr(module, "PART_RECORDS", 5)
    adapter = Scaled()
    request = asked(adapter, demo, tmp_path)
    first = generated_of(request, NONE, classifier, "test", pass_through=True)
    parts = sorted((home() / "generated").rglob("part-*.npz"))
    assert len(parts) == -(-len(first.rows) // 5) > 1
    adapter.windows.clear()
    again = generated_of(request, NONE, classifier, "test", pass_through=True)
    assert not adapter.windows
    np.testing.assert_array_equal(again.features, first.features)

    parts[1].write_bytes(parts[1].read_bytes()[:1000])
    mended = generated_of(request, NONE, classifier, "test", pass_through=True)
    assert adapter.windows.count(25) == 1, "only the damaged part, in one batch of 5 records"
    for name, array in first.statistics.items():
        np.testing.assert_array_equal(mended.statistics[name], array)
    np.testing.assert_array_equal(mended.features, first.features)
    other = generated_of(request, NONE, classifier, "test", pass_through=False)
    assert (other.features != first.features).any()


@pytest.mark.parametrize(("kind", "says"), [(NotFinite, "not finite"), (Eleven, r"must (give|return) .*12")])
def test_wrong_generators_are_refused(
    kind: type[Scaled], says: str, demo: Dataset, classifier: Classifier, tmp_path: Path
) -> None:
    with pytest.raises(MibenchError, match=says):
        generated_of(asked(kind(), demo, tmp_path), NONE, classifier, "test", pass_through=True)
    assert not list((home() / "generated").rglob("part-*.npz"))


def test_an_encoder_generates_nothing(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="is an encoder: it generates nothing"):
        generated_of(classifier.request, classifier.weights, classifier, "test", pass_through=True)


def test_one_lead_is_no_classifier_of_twelve(demo: Dataset, tmp_path: Path) -> None:
    for method in ("ecgfounder", "copy-lead"):
        with pytest.raises(MibenchError, match=f"{method} cannot classify twelve leads"):
            Classifier(request_of(method, demo, tmp_path), RANDOM)
