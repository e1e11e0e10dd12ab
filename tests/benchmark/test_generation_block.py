"""The `generation` block of run records, as boards read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mibench.benchmark.generation_block import FIGURES, classifier_of, figures_of, notes_of, sees_of

MakeRecord = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "difference",
    [
        {"classifier": "stmem-12lead"},
        {"preset": "tiny"},
        {"trained_on": "generated"},
        {"classifier_source": "pretrained"},
        {"classifier_source": "random"},
        {"classifier_sha256": "c" * 64},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_classifiers_that_differ_are_not_the_same(difference: dict[str, Any], make_generative: MakeRecord) -> None:
    assert classifier_of(make_generative(**difference)) != classifier_of(make_generative())


def test_classifiers_are_the_same_whatever_their_files_and_titles(make_generative: MakeRecord) -> None:
    record, copied = make_generative(method="mcma"), make_generative(method="ekgan", pass_through=False)
    copied["generation"]["classifier"] |= {"title": "Founder"}
    copied["generation"]["classifier"]["weights"] |= {"name": "copy.pth"}
    assert classifier_of(copied) == classifier_of(record)
    assert hash(classifier_of(copied)) == hash(classifier_of(record))


def test_random_classifiers_of_two_seeds_differ(make_generative: MakeRecord) -> None:
    first, second = (make_generative(classifier_source="random", classifier_seed=seed) for seed in (0, 1))
    assert classifier_of(first) != classifier_of(second)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ({}, "ECGFounder (12-lead), published weights (12_lead_ECGFounder.pth, bbbbbbbb)"),
        ({"classifier_source": "random"}, "ECGFounder (12-lead), random weights (seed 0)"),
        (
            {"classifier": "stmem-12lead", "preset": "tiny", "classifier_source": "random"},
            "stmem-12lead, preset tiny, random weights (seed 0)",
        ),
    ],
)
def test_a_classifier_is_named_with_its_weights(kind: dict[str, Any], words: str, make_generative: MakeRecord) -> None:
    classifier = classifier_of(make_generative(**kind))
    assert classifier is not None
    assert classifier.words == words
    assert classifier.trained == ("random" not in words)


def test_other_protocols_have_neither_classifier_nor_figures(make_record: MakeRecord) -> None:
    for record in (make_record(), {**make_record(), "generation": None}):
        assert classifier_of(record) is None
        assert figures_of(record) == {}
        assert notes_of(record) == ()
        assert sees_of(record) == "observed"


def test_every_figure_is_found(make_generative: MakeRecord) -> None:
    record = make_generative(error=0.5)
    found = figures_of(record)
    assert tuple(found) == FIGURES
    generation = record["generation"]
    assert found["missing_mse"] == generation["signal"]["missing"]["mse"]
    assert [found["missing_mae_low"], found["missing_mae_high"]] == generation["signal"]["missing"]["mae_interval"]
    assert found["twelve_pearson"] == generation["signal"]["twelve"]["pearson"]
    assert found["fid_floor"] == generation["latent"]["floor"]
    assert found["latent_variance"] == generation["latent"]["total_variance"]


def test_means_are_over_what_is_generated_and_known(make_generative: MakeRecord) -> None:
    record = make_generative()
    signal = record["generation"]["signal"]
    signal["per_lead"]["variance_ratio"] = [9.0, *[0.5] * 10, None]
    signal["frontal_plane"] = {"III": 0.1, "aVR": 0.2, "aVL": 0.3, "aVF": 0.4}
    signal["r_amplitude"] = {lead: {"slope": slope, "r2": None} for lead, slope in (("V1", 0.2), ("V6", 0.4))}
    signal["r_amplitude"]["V2"] = None
    signal["heart_rate"]["mae"] = [1.0, None, 3.0]
    found = figures_of(record)
    assert found["variance_ratio"] == pytest.approx(0.5)
    assert found["frontal_plane"] == pytest.approx(0.25)
    assert found["r_amplitude_slope"] == pytest.approx(0.3)
    assert found["heart_rate_mae"] == pytest.approx(2.0)
    assert "r_amplitude_r2" not in found


def test_what_is_null_is_left_out(make_generative: MakeRecord) -> None:
    record = make_generative(latent=False)
    signal = record["generation"]["signal"]
    signal["missing"] |= {"pearson": None, "pearson_interval": None}
    signal |= {"heart_rate": None, "frontal_plane": None, "r_amplitude": None}
    found = figures_of(record)
    assert "missing_mse" in found
    for name in ("missing_pearson", "missing_pearson_low", "heart_rate_mae", "frontal_plane", "fid", "cosine"):
        assert name not in found
