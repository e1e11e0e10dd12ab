"""R peaks and heart rates: on made-up, demo and real leads, by one process or several, and what the cache survives."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import wfdb
from scipy.signal import resample_poly
from wfdb.processing import xqrs_detect

from mibench.adapters.errors import MibenchError
from mibench.benchmark import heartbeats
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.heartbeats import detect_beats, find_beats, heart_rates, rates_of, real_beats

Lead = npt.NDArray[np.float64]


def made_up(rate_bpm: float, sampling_rate: float = 500.0) -> Lead:
    """Ten seconds of QRS complexes of 1 mV and T waves of 0.2 mV on a little noise."""
    times = np.arange(round(10 * sampling_rate)) / sampling_rate
    lead = 0.01 * np.random.default_rng(0).normal(size=times.size)
    for beat in np.arange(0.5, 10.0, 60.0 / rate_bpm):
        lead += np.exp(-(((times - beat) / 0.015) ** 2)) + 0.2 * np.exp(-(((times - beat - 0.28) / 0.05) ** 2))
    return lead


def silent(_text: str, _total: int) -> Callable[[int], None]:
    return lambda _done: None


@pytest.fixture
def untouchable(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, looking for beats is an error."""

    def refuse() -> None:
        def detect(_lead: Lead, sampling_rate: float) -> None:
            raise AssertionError(f"looked for beats at {sampling_rate} Hz")

        monkeypatch.setattr(heartbeats, "detect_beats", detect)

    return refuse


@pytest.mark.parametrize("sampling_rate", [100.0, 250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("bpm", [48.0, 75.0, 120.0])
def test_finds_r_peaks_and_rates_at_any_sampling_rate(bpm: float, sampling_rate: float) -> None:
    lead = made_up(bpm, sampling_rate)
    peaks = np.arange(0.5, 10.0, 60.0 / bpm) * sampling_rate
    found = detect_beats(lead, sampling_rate)
    assert found.dtype == np.int64
    # A beat near an end may go unseen.
    assert len(peaks) - 1 <= len(found) <= len(peaks)
    assert np.abs(found[:, None] - peaks).min(axis=1).max() <= 0.02 * sampling_rate
    np.testing.assert_allclose(heart_rates(lead[None, None], sampling_rate), [[bpm]], rtol=0.01)


def test_equals_wfdb_at_its_rate() -> None:
    lead = made_up(70.0, 250.0)
    assert detect_beats(lead, 250.0).tolist() == xqrs_detect(lead, fs=250, verbose=False).tolist()


def test_rates_are_sixty_over_the_mean_interval_and_unknown_of_one_beat() -> None:
    beats = [np.array([100, 500, 1000]), np.array([7]), np.empty(0, dtype=np.int64)]
    np.testing.assert_allclose(rates_of(beats, 500.0), [60 / 0.9, np.nan, np.nan], rtol=1e-6)


def test_no_beats_in_what_is_no_ecg_and_no_word_about_it(capfd: pytest.CaptureFixture[str]) -> None:
    gap = made_up(75.0)
    gap[7] = np.nan
    odd = (np.zeros(5000), np.full(5000, 0.7), gap, made_up(75.0)[:20], np.ones(1), np.empty(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [detect_beats(lead, 500.0) for lead in odd]
    assert [len(beats) for beats in found] == [0] * len(odd)
    assert capfd.readouterr() == ("", "")
    leads = np.stack([np.zeros(5000), made_up(75.0)])[None]
    np.testing.assert_allclose(heart_rates(leads, 500.0), [[np.nan, 75.0]], rtol=0.01)


def test_several_processes_find_the_same(demo: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    leads = demo.store.read(np.arange(24), ["I"])[:, 0]
    alone = list(find_beats(leads, 500.0))
    monkeypatch.setattr(heartbeats, "WORTH_PROCESSES", 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    together = list(find_beats(leads, 500.0))
    assert [beats.tolist() for beats in together] == [beats.tolist() for beats in alone]


def test_a_killed_process_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "WORTH_PROCESSES", 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(heartbeats, "detect_beats", die)
    with pytest.raises(MibenchError, match="a process that looked for heart beats was killed"):
        list(find_beats(np.zeros((8, 100)), 500.0))


def die(_lead: Lead, sampling_rate: float) -> None:
    os._exit(int(sampling_rate) % 100 + 9)


def test_beats_of_the_demo_heart_are_kept(demo: Dataset, untouchable: Callable[[], None]) -> None:
    rows = np.array([7, 3, 60, 3])
    found = real_beats(demo.store, rows, silent)
    wanted = [detect_beats(lead, 500.0) for lead in demo.store.read(rows, ["I"])[:, 0]]
    assert [beats.tolist() for beats in found] == [beats.tolist() for beats in wanted]
    untouchable()
    again = real_beats(demo.store, rows, silent)
    assert [beats.tolist() for beats in again] == [beats.tolist() for beats in wanted]
    with pytest.raises(AssertionError, match="looked for beats"):
        real_beats(demo.store, rows[:3], silent)


def test_a_part_that_is_damaged_is_made_again_and_the_others_are_kept(
    demo: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "PART_RECORDS", 4)
    rows, told = np.arange(10), []

    def steps(text: str, total: int) -> Callable[[int], None]:
        told.append((text, total))
        return lambda done: told.append(("", done))

    before = real_beats(demo.store, rows, steps)
    assert told == [("looking for heart beats", 10), *(("", k) for k in (1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 10))]
    files = sorted((heartbeats.home() / "beats").rglob("part-*.npz"))
    assert len(files) == 3
    looked = []
    honest = heartbeats.detect_beats

    def count(lead: Lead, sampling_rate: float) -> npt.NDArray[np.int64]:
        looked.append(len(lead))
        return honest(lead, sampling_rate)

    monkeypatch.setattr(heartbeats, "detect_beats", count)
    for damage in (b"", files[1].read_bytes()[:-30], files[2].read_bytes(), b"\0" * 200):
        files[1].write_bytes(damage)
        looked.clear()
        after = real_beats(demo.store, rows, silent)
        assert len(looked) == 4
        assert [beats.tolist() for beats in after] == [beats.tolist() for beats in before]


def test_no_rows_have_no_beats(demo: Dataset) -> None:
    assert real_beats(demo.store, np.empty(0, dtype=np.int64), silent) == []


def test_real_records_have_the_rate_of_other_leads_and_of_other_sampling_rates(ptb_xl_500: Path) -> None:
    headers = sorted((ptb_xl_500 / "records500").glob("*/*.hea"))[::42]
    leads = np.stack([wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T[[0, 1, 10]] for header in headers])
    rates = heart_rates(leads, 500.0)
    assert np.ptp(rates, axis=1).max() < 5
    assert 55 < np.median(rates) < 90
    slow = heart_rates(resample_poly(leads[:, :1], 1, 5, axis=2, padtype="line"), 100.0)
    np.testing.assert_allclose(slow, rates[:, :1], atol=2)
    for lead in leads[:, 0]:
        for beat in detect_beats(lead, 500.0):
            near = np.abs(lead - np.median(lead))[max(beat - 50, 0) : beat + 51]
            assert near[max(min(beat, 50) - 25, 0) : min(beat, 50) + 26].max() == near.max(), "the R wave is in reach"
