"""The signal metrics of a fold: by hand on small folds, and whose leads are thought to be in another order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import wfdb
from scipy.signal import lfilter

from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.ecg import LEADS
from mibench.benchmark.signal_metrics import record_statistics
from mibench.benchmark.signal_summary import mean_intervals, summarize_signals, suspected_order

Signals = npt.NDArray[np.float32]
RATE = 100.0
RECORDS = 24
PATIENTS = np.array([f"p{k // 2}" for k in range(RECORDS)])
BEATS = [np.array([40, 120, 200])] * RECORDS


def fold(seed: int = 0) -> Signals:
    """Records with beats of differing height in twelve leads that obey Einthoven, at 100 Hz."""
    generator = np.random.default_rng(seed)
    signals = generator.normal(0, 0.02, (RECORDS, 12, 300))
    for beat in (40, 120, 200):
        signals[..., beat - 3 : beat + 4] += generator.uniform(0.2, 2.0, (RECORDS, 12, 1)) * np.hanning(7)
    one, two = signals[:, 0], signals[:, 1]
    signals[:, 2:6] = np.stack([two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=1)
    return signals.astype(np.float32)


def summary(real: Signals, generated: Signals, **more: npt.NDArray[Any]) -> dict[str, Any]:
    statistics = {**record_statistics(real, generated, BEATS, RATE), **more}
    found = summarize_signals(statistics, PATIENTS, resamples=200, seed=0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def test_the_real_leads_are_perfect() -> None:
    found = summary(fold(), fold())
    assert found["records"] == RECORDS
    assert found["leads"] == list(LEADS)
    for group in ("missing", "twelve"):
        assert found[group]["mse"] == found[group]["mae"] == 0
        assert found[group]["mse_interval"] == [0, 0]
        assert found[group]["pearson"] == pytest.approx(1)
    assert found["per_lead"]["variance_ratio"] == pytest.approx([1] * 12)
    assert found["per_lead"]["flat"] == [0] * 12
    assert max(found["frontal_plane"].values()) < 1e-6
    for line in found["r_amplitude"].values():
        assert (line["slope"], line["r2"], line["error_slope"]) == pytest.approx((1, 1, 0))
        assert line["error_r2"] is None
        assert line["records"] == RECORDS
    assert found["heart_rate"] is None
    assert found["order"] is None


def test_half_the_size_is_a_quarter_of_the_variance_and_regression_to_nothing() -> None:
    real = fold()
    found = summary(real, real / 2)
    assert found["per_lead"]["variance_ratio"] == pytest.approx([0.25] * 12)
    assert found["per_lead"]["mse"] == pytest.approx((np.float64(real) ** 2).mean(axis=(0, 2)) / 4, rel=1e-5)
    assert found["missing"]["mae"] == pytest.approx(np.abs(real[:, 1:]).mean() / 2, rel=1e-5)
    assert found["twelve"]["pearson"] == pytest.approx(1)
    for line in found["r_amplitude"].values():
        assert list(line.values())[:4] == pytest.approx([0.5, 1, -0.5, 1], rel=1e-4)


def test_a_silent_generator_has_numbers_where_they_are_defined_and_none_elsewhere() -> None:
    real = fold()
    only_one = np.zeros_like(real)
    only_one[:, 0] = real[:, 0]
    found = summary(real, only_one)
    assert found["missing"]["pearson"] == 0
    assert found["twelve"]["pearson"] == pytest.approx(1 / 12)
    assert found["per_lead"]["flat"] == [0] + [RECORDS] * 11
    assert found["per_lead"]["variance_ratio"] == pytest.approx([1] + [0] * 11)
    # III = II - I is off by all of lead I.
    wanted = np.sqrt(np.mean(real[:, 0] ** 2.0) / np.mean(real[:, 2] ** 2.0))
    assert found["frontal_plane"]["III"] == pytest.approx(wanted, rel=1e-5)
    assert found["frontal_plane_real"]["III"] < 1e-6
    line = found["r_amplitude"]["V3"]
    assert (line["slope"], line["error_slope"], line["error_r2"]) == pytest.approx((0, -1, 1))
    assert line["r2"] is None


def test_lines_through_r_amplitudes_are_those_of_numpy() -> None:
    real = fold()
    generated = 0.3 * real + fold(1)
    found = summary(real, generated)["r_amplitude"]
    statistics = record_statistics(real, generated, BEATS, RATE)
    for column, line in enumerate(found.values()):
        x, y = (np.float64(statistics[name][:, column]) for name in ("real_r", "generated_r"))
        assert line["slope"] == pytest.approx(np.polyfit(x, y, 1)[0])
        assert line["r2"] == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
        assert line["error_slope"] == pytest.approx(np.polyfit(x, y - x, 1)[0])
        assert line["error_r2"] == pytest.approx(np.corrcoef(x, y - x)[0, 1] ** 2)


def test_records_without_beats_are_counted_out() -> None:
    real = fold()
    statistics = record_statistics(real, real / 2, [np.empty(0, dtype=np.int64)] * 22 + BEATS[22:], RATE)
    line = summarize_signals(statistics, PATIENTS, resamples=50, seed=0)["r_amplitude"]["V1"]
    assert line == {"slope": None, "r2": None, "error_slope": None, "error_r2": None, "records": 2}


def test_intervals_are_a_bootstrap_of_patients_written_by_hand() -> None:
    generator = np.random.default_rng(3)
    people = generator.integers(0, 40, 150)
    values = (generator.normal(size=40)[people] + 0.1 * generator.normal(size=150))[:, None]
    ((low, high),) = [ends or [] for ends in mean_intervals(values, people, 4000, 0)]
    names = np.unique(people)
    members = [np.flatnonzero(people == name) for name in names]
    drawn = [
        values[np.concatenate([members[k] for k in generator.integers(len(names), size=len(names))])].mean()
        for _ in range(4000)
    ]
    assert [low, high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)
    ((alone_low, alone_high),) = [ends or [] for ends in mean_intervals(values, np.arange(150), 1000, 0)]
    assert high - low > 1.3 * (alone_high - alone_low), "records of one patient tell less than as many of others"


def test_the_order_of_records_does_not_matter() -> None:
    real, generated = fold(), 0.5 * fold() + fold(1)
    statistics = record_statistics(real, generated, BEATS, RATE)
    order = np.random.default_rng(0).permutation(RECORDS)
    shuffled = {name: array[order] for name, array in statistics.items()}
    first = summarize_signals(statistics, PATIENTS, resamples=100, seed=5)
    second = summarize_signals(shuffled, PATIENTS[order], resamples=100, seed=5)
    for name in ("mse", "mae", "pearson"):
        assert second["missing"][name] == pytest.approx(first["missing"][name])
        assert second["missing"][f"{name}_interval"] == pytest.approx(first["missing"][f"{name}_interval"])


@pytest.mark.parametrize("records", [1, 3])
def test_one_patient_has_means_and_no_intervals(records: int) -> None:
    real = fold()[:records]
    statistics = record_statistics(real, real / 2, BEATS[:records], RATE)
    found = summarize_signals(statistics, np.array(["p"] * records), resamples=100, seed=0)
    json.dumps(found, allow_nan=False)
    assert found["missing"]["mse"] > 0
    assert {found[group][f"{name}_interval"] for group in ("missing", "twelve") for name in ("mse", "pearson")} == {
        None
    }


def test_heart_rates_that_were_not_found_are_not_dropped() -> None:
    real = fold()
    rates = np.full((RECORDS, 2), np.nan)
    true = np.full(RECORDS, 60.0)
    true[20:] = np.nan
    rates[:10] = [62.0, 66.0]
    rates[10:16, 0] = 90.0
    found = summary(real, real, heart_rate=rates, real_heart_rate=true)["heart_rate"]
    assert found["records"] == 20
    assert found["undetected"] == pytest.approx([4 / 20, 10 / 20])
    assert found["mae"] == pytest.approx([(10 * 2 + 6 * 30) / 16, 6])
    assert found["within_5_bpm"] == pytest.approx([0.5, 0])
    assert found["within_record_sd"] == pytest.approx(2)
    assert found["within_record_sd_records"] == 10
    nothing = summary(real, real, heart_rate=rates, real_heart_rate=np.full(RECORDS, np.nan))["heart_rate"]
    assert nothing["records"] == 0
    assert nothing["mae"] == nothing["within_5_bpm"] == nothing["undetected"] == [None, None]
    assert nothing["within_record_sd"] is None


def test_what_does_not_belong_together_is_refused() -> None:
    statistics = record_statistics(fold(), fold(), BEATS, RATE)
    with pytest.raises(ValueError, match="do not belong to 23 patients"):
        summarize_signals(statistics, PATIENTS[1:], resamples=100, seed=0)
    with pytest.raises(ValueError, match="at least 2 resamples"):
        summarize_signals(statistics, PATIENTS, resamples=1, seed=0)


ORDERS = {
    "aVR and aVL exchanged": "I II III aVL aVR aVF V1 V2 V3 V4 V5 V6",
    "II and III exchanged": "I III II aVR aVL aVF V1 V2 V3 V4 V5 V6",
    "chest leads second": "I II V1 V2 V3 V4 V5 V6 III aVR aVL aVF",
    "chest leads first": "V1 V2 V3 V4 V5 V6 I II III aVR aVL aVF",
    "alphabetical": "I II III V1 V2 V3 V4 V5 V6 aVF aVL aVR",
    "Cabrera": "aVL I aVR II aVF III V1 V2 V3 V4 V5 V6",
}


@pytest.fixture(scope="module")
def heart(demo: Dataset) -> Signals:
    return demo.store.read(np.arange(60))[..., ::5]


@pytest.fixture(scope="module")
def real(ptb_xl_500: Path) -> Signals:
    headers = sorted((ptb_xl_500 / "records100").glob("*/*.hea"))[::10]
    leads = [wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T for header in headers]
    return np.stack(leads).astype(np.float32)


@pytest.fixture(params=["heart", "real"])
def records(request: pytest.FixtureRequest) -> Signals:
    """Records of the demo heart, and real ones, at 100 Hz."""
    signals: Signals = request.getfixturevalue(request.param)
    return signals


def order_of(real: Signals, generated: npt.NDArray[Any]) -> dict[str, str] | None:
    nothing = [np.empty(0, dtype=np.int64)] * len(real)
    statistics = record_statistics(real, generated.astype(np.float32), nothing, 100.0)
    return suspected_order(statistics["confusion"].mean(axis=0))


def test_leads_in_the_standard_order_are_never_suspected(records: Signals) -> None:
    assert order_of(records, records) is None
    noise = np.random.default_rng(0).normal(size=records.shape) * records.std(axis=-1, keepdims=True)
    assert order_of(records, records + 1.5 * noise) is None
    assert all(order_of(records[k : k + 1], records[k : k + 1]) is None for k in range(10))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_other_orders_are_named(records: Signals, order: str) -> None:
    names = order.split()
    found = order_of(records, records[:, [LEADS.index(name) for name in names]])
    truth = {lead: name for lead, name in zip(LEADS, names, strict=True) if lead != name}
    assert found, order
    assert found.items() <= truth.items()
    # Leads that look alike, as I and V6 do, may not be told apart.
    assert len(found) >= len(truth) / 2


def test_an_exchange_is_seen_through_noise_and_pass_through(records: Signals) -> None:
    noise = np.random.default_rng(0).normal(size=records.shape) * records.std(axis=-1, keepdims=True)
    exchanged = records[:, [LEADS.index(name) for name in ORDERS["aVR and aVL exchanged"].split()]] + 0.8 * noise
    exchanged[:, 0] = records[:, 0]
    assert order_of(records, exchanged) == {"aVR": "aVL", "aVL": "aVR"}


def test_poor_generators_are_not_taken_for_another_order(records: Signals) -> None:
    first = records[:, :1]
    gains = np.random.default_rng(1).normal(size=(12, 1))
    poor = {
        "copies of lead I": np.repeat(first, 12, axis=1),
        "lead I at any scale": gains * first,
        "upside down": -records,
        "one lead upside down": np.where(np.arange(12)[:, None] == 3, -records, records),
        "nothing": np.zeros_like(records),
        "lead I alone": np.where(np.arange(12)[:, None] == 0, records, 0),
        "another record": np.roll(records, 1, axis=0),
        "the mean of all leads": np.repeat(records.mean(axis=1, keepdims=True), 12, axis=1),
    }
    assert {name: order_of(records, generated) for name, generated in poor.items()} == dict.fromkeys(poor)


def test_filters_of_lead_i_as_an_untrained_network_makes_them_are_not_suspected(real: Signals) -> None:
    generator = np.random.default_rng(0)
    for _ in range(12):
        generated = np.empty_like(real)
        for lead in range(12):
            taps = generator.normal(size=generator.integers(1, 13))
            generated[:, lead] = np.roll(lfilter(taps, [1.0], real[:, 0]), -(len(taps) // 2), axis=-1)
        assert order_of(real, generated) is None
