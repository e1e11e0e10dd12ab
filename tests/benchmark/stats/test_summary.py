"""Intervals: against the published widths, naive loops, theory, and by how often they cover the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from mibench.adapters.errors import MibenchError
from mibench.benchmark.ecg import FREQUENT_MI_STATEMENTS, MI_STATEMENTS
from mibench.benchmark.metrics import auc
from mibench.benchmark.stats import (
    BOOTSTRAP,
    HANLEY_MCNEIL,
    hanley_mcneil_error,
    hanley_mcneil_interval,
    resample_weights,
    resampled_aucs,
    summarize,
)

TEST_POSITIVES = (29, 35, 236, 48, 268, 5, 3, 20, 2)
RECORDS = 2163


def cohort(
    seed: int, *, separation: float = 1.2, records: int = RECORDS, positives: tuple[int, ...] = TEST_POSITIVES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and patients shaped like PTB-XL's test fold: normal scores, one to three records a patient."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((records, len(positives)), dtype=np.int64)
    for column, count in enumerate(positives):
        labels[generator.choice(records, count, replace=False), column] = 1
    scores = generator.normal(size=labels.shape) + separation * labels
    return scores, labels, generator.integers(0, int(records * 0.85), records)


@pytest.mark.parametrize(("area", "width"), [(0.5, 0.80), (0.9, 0.39), (0.986, 0.13)])
def test_hanley_mcneil_error_gives_the_widths_of_the_protocol(area: float, width: float) -> None:
    # The protocol quotes plain normal intervals for two positives among 2,163 records, cut off at 0 and 1.
    reach = 1.96 * hanley_mcneil_error(area, 2, 2161)
    assert min(area + reach, 1) - max(area - reach, 0) == pytest.approx(width, abs=0.005)


@pytest.mark.parametrize("area", [0.0, 1e-9, 0.3, 0.5, 0.986, 1.0])
@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (1, 2162), (2, 2161), (19, 3), (300, 1800)])
def test_hanley_mcneil_interval_is_never_a_point_and_holds_the_estimate(
    area: float, positives: int, negatives: int
) -> None:
    found = hanley_mcneil_interval(area, positives, negatives)
    half_pair = 0.5 / (positives * negatives)
    assert 0 <= found.low < found.high <= 1
    assert found.low - half_pair <= area <= found.high + half_pair
    mirrored = hanley_mcneil_interval(0.5, positives, negatives)
    assert mirrored.low == pytest.approx(1 - mirrored.high)


def test_resampled_aucs_equal_a_naive_loop_with_ties() -> None:
    scores, labels, patients = cohort(0, records=60, positives=(20, 7, 3))
    scores = np.round(scores)
    weights = resample_weights(labels, patients, 25, seed=3)
    found = resampled_aucs(scores, labels == 1, weights)
    for resample in range(25):
        drawn = np.repeat(np.arange(60), weights[resample])
        np.testing.assert_allclose(found[resample], auc(scores[drawn], labels[drawn]), atol=1e-12)


def test_unit_weights_give_the_plain_auc_beyond_one_block() -> None:
    scores, labels, _ = cohort(1, records=200, positives=(20, 7, 3))
    found = resampled_aucs(scores, labels == 1, np.ones((600, 200), dtype=np.int16))
    np.testing.assert_allclose(found, np.broadcast_to(auc(scores, labels), (600, 3)), atol=1e-12)


def test_resamples_draw_whole_patients_within_their_strata() -> None:
    _, labels, patients = cohort(2)
    weights = resample_weights(labels, patients, 50, seed=0)
    names, first, person = np.unique(patients, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(weights, weights[:, first][:, person])

    rarest_first = np.argsort(TEST_POSITIVES)
    carried = np.array([labels[patients == name].any(0) for name in names])
    stratum = np.array([next((k for k in rarest_first if row[k]), -1) for row in carried])
    assert len(set(stratum)) == 10
    for group in set(stratum):
        chosen = weights[:, first[stratum == group]]
        assert (chosen.sum(1) == (stratum == group).sum()).all()
    assert (weights.std(0) > 0).mean() > 0.99


def test_resamples_depend_on_seed_patients_and_labels_but_not_on_scores_or_order() -> None:
    _, labels, patients = cohort(3, records=400, positives=(40, 9, 3))
    weights = resample_weights(labels, patients, 20, seed=5)
    np.testing.assert_array_equal(weights, resample_weights(labels.astype(bool), patients + 1000, 20, seed=5))
    order = np.random.default_rng(0).permutation(400)
    np.testing.assert_array_equal(weights[:, order], resample_weights(labels[order], patients[order], 20, seed=5))
    assert (weights != resample_weights(labels, patients, 20, seed=6)).any()


def test_bootstrap_error_of_independent_records_agrees_with_delong() -> None:
    generator = np.random.default_rng(4)
    labels = (generator.random((800, 1)) < 0.2).astype(int)
    scores = generator.normal(size=(800, 1)) + labels
    resampled = resampled_aucs(scores, labels == 1, resample_weights(labels, np.arange(800), 2000, seed=0))
    positive, negative = scores[labels == 1], scores[labels == 0]
    wins = (positive[:, None] > negative[None, :]).astype(float)
    delong = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    assert resampled.std() == pytest.approx(np.sqrt(delong), rel=0.06)


def test_clustered_records_widen_the_interval() -> None:
    generator = np.random.default_rng(5)
    labels = np.repeat((generator.random((200, 1)) < 0.4).astype(int), 5, axis=0)
    scores = np.repeat(generator.normal(size=(200, 1)), 5, axis=0) + labels
    patients = np.repeat(np.arange(200), 5)
    widths = []
    for people in (patients, np.arange(1000)):
        interval = summarize(scores, labels, people, ("IMI",), resamples=300, seed=0).interval["IMI"]
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(5), rel=0.15)


def test_summary_of_a_fold_like_the_test_fold() -> None:
    scores, labels, patients = cohort(6)
    found = summarize(scores, labels, patients, seed=1)
    areas = dict(zip(MI_STATEMENTS, auc(scores, labels), strict=True))
    assert found.auc == pytest.approx(areas)
    assert found.positives == dict(zip(MI_STATEMENTS, TEST_POSITIVES, strict=True))
    assert found.left_out == ()
    assert found.avg == pytest.approx(np.mean(list(areas.values())))
    assert found.avg6 == pytest.approx(np.mean([areas[name] for name in FREQUENT_MI_STATEMENTS]))
    for name, interval in found.interval.items():
        assert interval is not None
        assert interval.method == (BOOTSTRAP if found.positives[name] >= 20 else HANLEY_MCNEIL)
        assert interval.low < areas[name] < interval.high
    assert found.avg_interval is not None
    assert found.avg6_interval is not None
    # Three statements with two to five positives make the nine-class mean the less certain one.
    assert found.avg_interval.high - found.avg_interval.low > found.avg6_interval.high - found.avg6_interval.low
    assert found == summarize(scores, labels, patients, seed=1)
    assert found != summarize(scores, labels, patients, seed=2)


def test_error_of_the_mean_of_nine_is_what_the_protocol_says() -> None:
    # "The nine-class mean has a standard error of 2.4 to 3.6 points."
    for separation in (0.7, 1.2, 1.6):
        found = summarize(*cohort(7, separation=separation), seed=0)
        assert found.avg_interval is not None
        assert 0.019 < (found.avg_interval.high - found.avg_interval.low) / 3.92 < 0.045


def test_statements_without_both_classes_are_left_out_and_named() -> None:
    scores, labels, patients = cohort(8, records=120, positives=(30, 0, 120))
    found = summarize(scores, labels, patients, ("IMI", "AMI", "PMI"), resamples=50, seed=0)
    assert found.left_out == ("AMI", "PMI")
    assert found.auc["AMI"] is None
    assert found.interval["PMI"] is None
    assert found.avg == found.auc["IMI"]
    assert found.positives == {"IMI": 30, "AMI": 0, "PMI": 120}


def test_nothing_to_say_is_said_without_a_number() -> None:
    found = summarize(np.zeros((10, 9)), np.zeros((10, 9)), np.arange(10), resamples=10, seed=0)
    assert found.left_out == MI_STATEMENTS
    assert (found.avg, found.avg6, found.avg_interval, found.avg6_interval) == (None, None, None, None)


def test_avg6_without_any_of_its_statements_is_missing() -> None:
    scores, labels, patients = cohort(9, records=100, positives=(5,))
    found = summarize(scores, labels, patients, ("PMI",), resamples=10, seed=0)
    assert found.avg is not None
    assert found.avg6 is None


@pytest.mark.parametrize("sign", [-1, 1])
def test_perfect_scores_still_have_an_interval(sign: int) -> None:
    _, labels, patients = cohort(10)
    found = summarize(sign * labels, labels, patients, resamples=100, seed=0)
    assert set(found.auc.values()) == {1.0 if sign > 0 else 0.0}
    for interval in (*found.interval.values(), found.avg_interval, found.avg6_interval):
        assert interval is not None
        assert 0 <= interval.low < interval.high <= 1
        assert np.isfinite([interval.low, interval.high]).all()


def test_equal_scores_are_worth_one_half() -> None:
    _, labels, patients = cohort(11)
    found = summarize(np.ones(labels.shape), labels, patients, resamples=100, seed=0)
    assert set(found.auc.values()) == {0.5}
    assert all(interval and interval.low < 0.5 < interval.high for interval in found.interval.values())


def test_nan_scores_are_an_error_that_says_how_many() -> None:
    scores, labels, patients = cohort(12, records=50, positives=(10,))
    scores[[3, 7]] = np.nan
    with pytest.raises(MibenchError, match="2 of 50 test records"):
        summarize(scores, labels, patients, ("IMI",), resamples=10, seed=0)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    scores, labels, patients = cohort(13, records=50, positives=(10,))
    with pytest.raises(ValueError, match="do not belong together"):
        summarize(scores, labels, patients[:-1], ("IMI",), seed=0)
    with pytest.raises(ValueError, match="do not belong together"):
        summarize(scores, labels, patients, seed=0)
    with pytest.raises(ValueError, match="at least 2"):
        resample_weights(labels, patients, 1, 0)


def test_to_record_is_plain_json() -> None:
    scores, labels, patients = cohort(14)
    found = summarize(scores, labels, patients, resamples=20, seed=0)
    record = json.loads(json.dumps(found.to_record(), allow_nan=False))
    assert record["avg"] == found.avg
    assert found.avg_interval is not None
    assert record["avg_interval"] == found.avg_interval.to_record()
    assert record["interval"]["PMI"][2] == HANLEY_MCNEIL


def coverage_of_hanley_mcneil(area: float, positives: int, model: str, repeats: int) -> float:
    """Share of simulated test sets whose interval holds the true AUC."""
    generator = np.random.default_rng([int(1000 * area), positives])
    shape = (repeats, positives)
    if model == "exponential":
        negative, positive = generator.exponential(size=(repeats, 800)), generator.exponential(area / (1 - area), shape)
    else:
        shift = norm.ppf(area) * np.sqrt(2)
        negative, positive = generator.normal(size=(repeats, 800)), generator.normal(shift, 1, shape)
    estimates = (positive[:, :, None] > negative[:, None, :]).mean((1, 2))
    intervals = [hanley_mcneil_interval(float(estimate), positives, 800) for estimate in estimates]
    return float(np.mean([interval.low <= area <= interval.high for interval in intervals]))


@pytest.mark.parametrize("model", ["exponential", "normal"])
@pytest.mark.parametrize("area", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("positives", [2, 5])
def test_intervals_of_few_positives_cover_the_truth(area: float, positives: int, model: str) -> None:
    assert coverage_of_hanley_mcneil(area, positives, model, 400) > 0.89


def coverage_of_summary(repeats: int, resamples: int) -> dict[str, float]:
    """Share of simulated folds whose intervals hold the true AUC, by statement and for the means."""
    # What one record adds to all its scores makes the statements' AUCs hang together, as they do in fact.
    shared = 0.7
    area = float(norm.cdf(1.2 / np.sqrt(2 * (1 + shared**2))))
    hits: dict[str, list[bool]] = {}
    for repeat in range(repeats):
        scores, labels, _ = cohort(1000 + repeat, records=500, positives=(29, 35, 90, 48, 100, 5, 3, 20, 2))
        scores += shared * np.random.default_rng(repeat).normal(size=(500, 1))
        found = summarize(scores, labels, np.arange(500), resamples=resamples, seed=repeat)
        for name, interval in (*found.interval.items(), ("Avg", found.avg_interval), ("Avg6", found.avg6_interval)):
            assert interval is not None
            hits.setdefault(name, []).append(interval.low <= area <= interval.high)
    return {name: float(np.mean(found)) for name, found in hits.items()}


def test_intervals_of_a_fold_cover_the_truth() -> None:
    found = coverage_of_summary(repeats=120, resamples=200)
    assert min(found.values()) > 0.86
    assert found["Avg"] > 0.9


@pytest.mark.slow
def test_intervals_of_a_fold_cover_the_truth_over_many_folds() -> None:
    found = coverage_of_summary(repeats=3000, resamples=1000)
    assert all(0.9 < share < 0.99 for share in found.values()), found
