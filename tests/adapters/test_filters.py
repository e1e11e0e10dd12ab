"""The filters against figures of ECGFounder's own program, and what they do to a beat."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mibench.adapters.errors import MibenchError
from mibench.adapters.filters import FILTERS

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "ecgfounder_filter.json").read_text())
RATE = 500.0


def test_equals_the_program_of_ecgfounder() -> None:
    filtered = FILTERS["ecgfounder"](_golden_input(), RATE)
    at = [0, 100, 2500, 4999]
    assert filtered[0, at] == pytest.approx(GOLDEN["filtered_lead0_at[0,100,2500,4999]"], abs=1e-6)
    assert filtered[1, at] == pytest.approx(GOLDEN["filtered_lead1_at[0,100,2500,4999]"], abs=1e-6)
    assert filtered.std(axis=-1) == pytest.approx(GOLDEN["filtered_std_per_lead"], abs=1e-6)
    assert [filtered.mean(), filtered.std()] == pytest.approx(GOLDEN["global_mean_std"], abs=1e-6)
    scaled = (filtered - filtered.mean()) / (filtered.std() + 1e-8)
    assert scaled[1, [100, 2500]] == pytest.approx(GOLDEN["global_zscore_lead1_at[100,2500]"], abs=2e-6)


@pytest.mark.parametrize(
    ("hertz", "gain"), [(0.7, 0.03), (1.2, 0.20), (2.0, 0.64), (10.0, 1.0), (35.0, 0.76), (45.0, 0.26)]
)
def test_gains_of_the_chain(hertz: float, gain: float) -> None:
    wave = np.sin(2 * np.pi * hertz * np.arange(10_000) / RATE)
    middle = slice(2500, 7500)
    assert FILTERS["ecgfounder"](wave, RATE)[middle].std() / wave[middle].std() == pytest.approx(gain, abs=0.03)


def test_the_chain_takes_an_elevated_st_and_t_away_and_the_band_pass_does_not() -> None:
    ecg = np.zeros(5000)
    beats = range(200, 5000, 450)
    for beat in beats:
        ecg[beat : beat + 20] += np.hanning(20)
        ecg[beat + 20 : beat + 150] += 0.2
    middle = beats[5]

    def elevation(name: str) -> float:
        filtered = FILTERS[name](ecg, RATE)
        return float(filtered[middle + 75 : middle + 95].mean() - filtered[middle - 40 : middle - 10].mean())

    assert elevation("none") == pytest.approx(0.2)
    assert elevation("bandpass") > 0.12
    assert abs(elevation("ecgfounder")) < 0.03


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_any_number_of_leading_axes_and_the_input_untouched(name: str) -> None:
    ecg = np.random.default_rng(0).normal(size=(3, 2, 1000))
    before = ecg.copy()
    filtered = FILTERS[name](ecg, RATE)
    assert filtered.shape == ecg.shape
    assert filtered[1, 1] == pytest.approx(FILTERS[name](ecg[1, 1], RATE))
    assert np.array_equal(ecg, before)


@pytest.mark.parametrize("name", ["bandpass", "ecgfounder"])
def test_flat_leads_become_zero_and_gaps_no_nan(name: str) -> None:
    ecg = np.random.default_rng(0).normal(size=(3, 1000))
    ecg[0] = 0.7
    ecg[1, 100:200] = np.nan
    ecg[2, 5] = np.inf
    filtered = FILTERS[name](ecg, RATE)
    assert not filtered[0].any()
    assert np.isfinite(filtered).all()
    assert filtered[1:].std() > 0.1


def test_no_wave_is_delayed() -> None:
    ecg = np.zeros(2000)
    ecg[1000 - 15 : 1000 + 16] = np.hanning(31)
    for name in ("bandpass", "ecgfounder"):
        assert np.argmax(FILTERS[name](ecg, RATE)) == 1000


@pytest.mark.parametrize(("name", "rate"), [("bandpass", 80.0), ("ecgfounder", 100.0)])
def test_a_rate_that_cannot_hold_the_band(name: str, rate: float) -> None:
    with pytest.raises(MibenchError, match=f"not {rate:g} Hz: choose the filter none"):
        FILTERS[name](np.zeros(1000), rate)


def test_a_record_that_is_too_short() -> None:
    with pytest.raises(MibenchError, match="more than 27 samples, not 20"):
        FILTERS["bandpass"](np.zeros(20), RATE)


def _golden_input() -> npt.NDArray[np.float64]:
    sample, lead = np.arange(5000), np.arange(2)[:, None]
    wave = np.sin(2 * np.pi * 1.2 * sample / RATE + 0.3 * lead)
    wave = wave + 0.25 * np.sin(2 * np.pi * 7.5 * sample / RATE + 0.11 * lead)
    wave = wave + 0.05 * np.sin(2 * np.pi * 33 * sample / RATE)
    drift = 0.5 * np.sin(2 * np.pi * 0.1 * sample / RATE) + 0.3 * np.sin(2 * np.pi * 50 * sample / RATE)
    return wave.astype(np.float32).astype(np.float64) + drift
