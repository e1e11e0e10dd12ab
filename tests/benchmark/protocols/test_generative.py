"""The generative pipeline: what must be exactly true of the real leads, and what is kept of everybody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mibench.adapters.base import LEADS, LoadReport, MethodSpec
from mibench.adapters.errors import MibenchError
from mibench.benchmark import config, results
from mibench.benchmark.choices import make
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.embed import Batching
from mibench.benchmark.generated import Classifier
from mibench.benchmark.home import home
from mibench.benchmark.protocols import generative, linear_probe
from mibench.benchmark.protocols.generative import Settings
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.weights import Weights
from support import assert_valid, request_of

NONE = Weights("none", "none")
RANDOM = Weights("random", "random", seed=0)
QUICK = Settings(epochs=3, resamples=50, classifier_preset="tiny")


@pytest.fixture
def classifier(demo: Dataset, tmp_path: Path) -> Classifier:
    return Classifier(request_of("ecgfounder-12lead", demo, tmp_path, preset="tiny"), RANDOM)


def ran(request: Request, classifier: Classifier, settings: Settings = QUICK) -> dict[str, Any]:
    (path,) = generative.run(request, NONE, classifier, settings, 1, [1.0], [0])
    record = results.read(path)
    assert_valid(record)
    return record


def test_the_defaults_are_those_of_the_protocol_s_file() -> None:
    settings, version = config.protocol(generative.NAME, Settings)
    assert (settings, version) == (Settings(), 1)


def test_the_real_leads_are_the_ceiling_exactly(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    """MSE 0, FID 0, and the AUCs of the twelve-lead probe on real records, digit for digit."""
    record = ran(request_of("real-leads", demo, tmp_path), classifier)
    probed = linear_probe.Settings(epochs=3, resamples=50, observed_leads=LEADS)
    (path,) = linear_probe.run(classifier.request, classifier.weights, probed, 1, [1.0], [0])
    assert record["metrics"] == results.read(path)["metrics"]
    about = record["generation"]
    assert about["signal"]["twelve"]["mse"] == 0
    assert about["signal"]["missing"]["pearson"] == pytest.approx(1)
    assert about["latent"]["fid"] <= 1e-9 * about["latent"]["total_variance"]
    assert about["sees"] == "record"
    assert about["classifier"] == {
        "method": "ecgfounder-12lead",
        "title": "ECGFounder (12-lead)",
        "preset": "tiny",
        "trained_on": "real",
        "weights": {"source": "random", "name": "random", "sha256": None, "seed": 0},
    }


def test_generated_training_records_are_another_run(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    request = request_of("copy-lead", demo, tmp_path)
    real, generated = ran(request, classifier), ran(request, classifier, replace(QUICK, trained_on="generated"))
    place = tmp_path / "demo" / "generative-v1" / "copy-lead"
    scores = [results.predictions(place / f"{record['key']}.json")["scores"] for record in (real, generated)]
    assert real["key"] != generated["key"]
    assert generated["generation"]["classifier"]["trained_on"] == "generated"
    assert real["generation"]["signal"] == generated["generation"]["signal"], "the test fold is the same"
    assert (scores[0] != scores[1]).any()
    ceiling = request_of("real-leads", demo, tmp_path)
    metrics = [ran(ceiling, classifier, replace(QUICK, trained_on=kind))["metrics"] for kind in ("real", "generated")]
    assert metrics[0] == metrics[1], "what is generated is what is real"


def test_shuffled_records_show_that_a_small_fid_says_nothing_of_diagnosis(
    demo: Dataset, classifier: Classifier, tmp_path: Path
) -> None:
    about = ran(request_of("shuffled-record", demo, tmp_path), classifier)["generation"]
    assert about["pass_through"] is False
    assert about["sees"] == "another-record"
    assert about["latent"]["fid"] <= 1e-6 * about["latent"]["total_variance"], "the same records in another order"
    assert about["latent"]["paired_distance"] > 0.5 * about["latent"]["total_variance"]
    assert about["signal"]["missing"]["pearson"] < 0.5


def test_all_generators_are_judged_by_the_same_heads(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    ran(request_of("zero-mask", demo, tmp_path), classifier)
    (head,) = (home() / "classifiers").rglob("*.npz")
    before = head.stat().st_mtime_ns
    ran(request_of("copy-lead", demo, tmp_path), classifier)
    ran(request_of("copy-lead", demo, tmp_path), classifier, replace(QUICK, pass_through=False))
    assert [file.stat().st_mtime_ns for file in (home() / "classifiers").rglob("*.npz")] == [before]
    head.write_bytes(b"damaged")
    record = ran(request_of("zero-mask", demo, tmp_path / "again"), classifier)
    assert record["metrics"] == ran(request_of("zero-mask", demo, tmp_path), classifier)["metrics"]


def test_what_determines_the_number_is_in_its_key(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    request = request_of("copy-lead", demo, tmp_path)

    def key(classifier: Classifier = classifier, settings: Settings = QUICK, weights: Weights = NONE) -> str:
        (run,) = generative.plan(request, weights, classifier, settings, 1, [1.0], [0])
        return run.key

    others = [
        key(replace(classifier, weights=Weights("random", "random:1", seed=1))),
        key(settings=replace(QUICK, pass_through=False)),
        key(settings=replace(QUICK, trained_on="generated")),
        key(weights=Weights("published", "a.pt", sha256="a" * 64)),
    ]
    assert len({key(), *others}) == 5
    ran(request, classifier)
    said: list[str] = []
    ran(replace(request, say=said.append), classifier)
    assert said == ["copy-lead, none: 1 of 1 runs are done already"]


class Swapped:
    """The real leads, with aVR and aVL exchanged, as some sources have them."""

    spec = MethodSpec(
        name="swapped", kind="generator", leads=LEADS, normalization="none", needs_weights=False, sees="record"
    )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        return LoadReport()

    def synthesize(self, lead: Tensor) -> Tensor:
        return lead[:, [0, 1, 2, 4, 3, *range(5, 12)]]


def test_leads_in_another_order_are_refused_and_the_failure_is_kept(
    demo: Dataset, classifier: Classifier, tmp_path: Path
) -> None:
    card, _ = make("real-leads")
    request = Request(Swapped(), card, demo, tmp_path, Batching(torch.device("cpu")))
    with pytest.raises(MibenchError, match=r"another order .*aVR like aVL.*check_order=false"):
        ran(request, classifier)
    (path,) = (tmp_path / "demo" / "generative-v1" / "swapped").glob("*.json")
    assert results.read(path)["status"] == "failed"
    assert_valid(results.read(path))
    assert ran(request, classifier, replace(QUICK, check_order=False))["status"] == "done"


def test_one_test_record_has_no_latent_distance(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    test = demo.split()["test"]
    folds = demo.folds.copy()
    folds[test[1:]] = 1
    alone = replace(demo, folds=folds, manifest="0" * 64)
    encoder = replace(classifier, request=replace(classifier.request, data=alone))
    record = ran(request_of("copy-lead", alone, tmp_path), encoder)
    assert record["generation"]["latent"] is None
    assert record["generation"]["signal"]["records"] == 1
    assert record["generation"]["signal"]["missing"]["mse_interval"] is None
    with pytest.raises(MibenchError, match="not enough others to exchange"):
        ran(request_of("shuffled-record", alone, tmp_path), encoder)


def test_seeds_and_ratios_are_rows_of_one_generation(demo: Dataset, classifier: Classifier, tmp_path: Path) -> None:
    request = request_of("copy-lead", demo, tmp_path)
    paths = generative.run(request, NONE, classifier, QUICK, 1, [0.5, 1.0], range(2))
    records = [results.read(path) for path in paths]
    assert [(record["ratio"], record["seed"]) for record in records] == [(0.5, 0), (0.5, 1), (1.0, 0), (1.0, 1)]
    assert len({str(record["generation"]) for record in records}) == 1
    kept = results.predictions(paths[0])
    np.testing.assert_array_equal(kept["records"], demo.records[demo.split()["test"]])
