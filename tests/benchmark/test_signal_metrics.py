"""Statistics of generated records, against a loop over records and leads written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.ecg import LEADS
from mibench.benchmark.signal_metrics import record_statistics

RATE = 100.0
SAMPLES = 300

Signals = npt.NDArray[np.float32]
Beats = list[npt.NDArray[np.int64]]


def made_up(seed: int, records: int) -> tuple[Signals, Signals, Beats]:
    """Real and generated noise around an offset, and one to six beats in each record, some near its ends."""
    generator = np.random.default_rng(seed)
    real = generator.normal(generator.normal(0, 0.2, (records, 12, 1)), 0.3, (records, 12, SAMPLES))
    generated = 0.5 * real + generator.normal(0, 0.2, real.shape)
    beats = [np.sort(generator.choice(SAMPLES, generator.integers(1, 7), replace=False)) for _ in range(records)]
    beats[0] = np.array([0, 2, SAMPLES - 1])
    return real.astype(np.float32), generated.astype(np.float32), beats


def by_hand(real: Signals, generated: Signals, beats: Beats) -> list[dict[str, Any]]:
    records = []
    for r, g, found in zip(real.astype(float), generated.astype(float), beats, strict=True):
        one = dict(zip(LEADS, g, strict=True))
        own = dict(zip(LEADS, r, strict=True))
        entry: dict[str, Any] = {
            "mse": [np.mean((a - b) ** 2) for a, b in zip(g, r, strict=True)],
            "mae": [np.mean(abs(a - b)) for a, b in zip(g, r, strict=True)],
            "pearson": [np.corrcoef(a, b)[0, 1] for a, b in zip(g, r, strict=True)],
            "real_std": [a.std() for a in r],
            "generated_std": [a.std() for a in g],
            "real_rms": [np.sqrt(np.mean(a**2)) for a in r],
            "confusion": [[np.corrcoef(a, b)[0, 1] for b in r] for a in g],
            "flat": [False] * 12,
        }
        for name, lead in (("plane", one), ("real_plane", own)):
            residuals = (
                lead["III"] - (lead["II"] - lead["I"]),
                lead["aVR"] + (lead["I"] + lead["II"]) / 2,
                lead["aVL"] - (lead["I"] - lead["II"] / 2),
                lead["aVF"] - (lead["II"] - lead["I"] / 2),
            )
            entry[name] = [np.sqrt(np.mean(residual**2)) for residual in residuals]
        for name, lead in (("generated_r", one), ("real_r", own)):
            entry[name] = [
                np.median([lead[chest][max(b - 5, 0) : b + 6].max() - np.median(lead[chest]) for b in found])
                for chest in ("V1", "V2", "V3", "V4", "V5", "V6")
            ]
        records.append(entry)
    return records


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), records=st.sampled_from([1, 3, 8, 11]))
def test_equals_a_loop_over_records_and_leads(seed: int, records: int) -> None:
    real, generated, beats = made_up(seed, records)
    found = record_statistics(real, generated, beats, RATE)
    wanted = by_hand(real, generated, beats)
    assert found.keys() == wanted[0].keys()
    for name, array in found.items():
        assert array.dtype == (np.bool_ if name == "flat" else np.float32)
        np.testing.assert_allclose(array, np.array([entry[name] for entry in wanted]), rtol=1e-5, atol=1e-6)


def test_a_record_has_the_same_numbers_alone_and_in_any_batch() -> None:
    real, generated, beats = made_up(1, 19)
    together = record_statistics(real, generated, beats, RATE)
    order = np.random.default_rng(2).permutation(19)
    shuffled = record_statistics(real[order], generated[order], [beats[k] for k in order], RATE)
    alone = [record_statistics(real[k : k + 1], generated[k : k + 1], beats[k : k + 1], RATE) for k in range(19)]
    for name, array in together.items():
        np.testing.assert_array_equal(shuffled[name], array[order])
        np.testing.assert_array_equal(np.concatenate([one[name] for one in alone]), array)


def test_inputs_are_left_as_they_were() -> None:
    real, generated, beats = made_up(3, 2)
    double = real.astype(np.float64)
    before = real.copy(), generated.copy(), double.copy()
    record_statistics(real, generated, beats, RATE)
    record_statistics(double, double, beats, RATE)  # type: ignore[arg-type]
    for array, kept in zip((real, generated, double), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.25, 2.0, -4.0]), offset=st.floats(-1, 1))
def test_a_scaled_and_shifted_copy(seed: int, scale: float, offset: float) -> None:
    real, _, beats = made_up(seed, 4)
    same = record_statistics(real, real, beats, RATE)
    assert not same["mse"].any()
    assert not same["mae"].any()
    np.testing.assert_allclose(same["pearson"], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(same["real_r"], same["generated_r"])
    np.testing.assert_array_equal(same["real_plane"], same["plane"])
    np.testing.assert_array_equal(same["confusion"], same["confusion"].swapaxes(1, 2))

    moved = record_statistics(real, (scale * real + np.float32(offset)).astype(np.float32), beats, RATE)
    np.testing.assert_allclose(moved["pearson"], np.sign(scale), rtol=1e-5)
    np.testing.assert_allclose(moved["generated_std"], abs(scale) * same["real_std"], rtol=1e-4)
    if scale > 0:
        np.testing.assert_allclose(moved["generated_r"], scale * same["real_r"], rtol=1e-3, atol=1e-5)


def test_flat_leads_have_no_correlation_and_are_named() -> None:
    real, generated, beats = made_up(4, 3)
    real[0, 2] = 0.7
    generated[1, 5] = 0.0
    generated[2, 7] = 1000 + 1e-9 * generated[2, 7]
    found = record_statistics(real, generated, beats, RATE)
    assert np.argwhere(found["flat"]).tolist() == [[0, 2], [1, 5], [2, 7]]
    assert np.argwhere(found["pearson"] == 0).tolist() == [[0, 2], [1, 5], [2, 7]]
    assert not found["confusion"][0, :, 2].any()
    assert not found["confusion"][1, 5].any()
    assert all(np.isfinite(array).all() for array in found.values())


def test_a_record_without_beats_has_no_r_amplitude_and_the_others_keep_theirs() -> None:
    real, generated, beats = made_up(5, 4)
    before = record_statistics(real, generated, beats, RATE)
    beats[2] = np.empty(0, dtype=np.int64)
    after = record_statistics(real, generated, beats, RATE)
    for name in ("real_r", "generated_r"):
        assert np.isnan(after[name][2]).all()
        np.testing.assert_array_equal(after[name][[0, 1, 3]], before[name][[0, 1, 3]])
    none = record_statistics(real, generated, [beats[2]] * 4, RATE)
    assert np.isnan(none["real_r"]).all()


def test_the_r_amplitude_is_that_of_the_wave_whatever_the_baseline() -> None:
    real = np.zeros((1, 12, 1000), dtype=np.float32)
    real[:, 6:] = 0.4
    for beat, height in ((100, 1.0), (300, 1.2), (500, 5.0), (700, 1.1)):
        real[0, 6:, beat + 4] += height * np.arange(1, 7)
    beats = [np.array([100, 300, 500, 700])]
    found = record_statistics(real, real, beats, RATE)["real_r"][0]
    np.testing.assert_allclose(found, 1.15 * np.arange(1, 7), rtol=1e-5)
    beyond = record_statistics(real, real, [beats[0] - 2], RATE)["real_r"]
    assert not beyond.any(), "the wave is 60 ms after the mark"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["real", "generated"])
def test_what_is_not_finite_is_refused(bad: float, which: str) -> None:
    real, generated, beats = made_up(6, 2)
    (real if which == "real" else generated)[1, 3, 7] = bad
    with pytest.raises(ValueError, match=f"the {which} records hold values that are not finite"):
        record_statistics(real, generated, beats, RATE)


def test_what_does_not_belong_together_is_refused() -> None:
    real, generated, beats = made_up(7, 2)
    with pytest.raises(ValueError, match=r"not both \(batch, 12, samples\)"):
        record_statistics(real, generated[..., :-1], beats, RATE)
    with pytest.raises(ValueError, match=r"not both \(batch, 12, samples\)"):
        record_statistics(real[:0], generated[:0], [], RATE)
    with pytest.raises(ValueError, match="1 lists of beats were given for 2"):
        record_statistics(real, generated, beats[:1], RATE)
    with pytest.raises(ValueError, match="outside its record"):
        record_statistics(real, generated, [beats[0], np.array([SAMPLES])], RATE)


def test_the_demo_heart_keeps_to_the_frontal_plane(demo: Dataset) -> None:
    real = demo.store.read(np.arange(20))
    found = record_statistics(real, real, [np.empty(0, dtype=np.int64)] * 20, demo.store.sampling_rate)
    assert found["plane"].max() < 0.002, "what rounding to 1 uV leaves"
    assert found["real_rms"][:, 2:6].min() > 0.02
