"""Signal adaptation against scipy and numpy, and its order: normalise first, then silence."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mibench.adapters.base import LEADS, InputSpec, MethodSpec, Tail
from mibench.adapters.errors import MibenchError
from mibench.adapters.signal import cut_windows, join, normalize, prepare, resample, tile_starts


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(20, 400), wanted=st.sampled_from([100.0, 125.0, 250.0, 360.0, 500.0, 1000.0]))
def test_resampling_is_scipys(samples: int, wanted: float) -> None:
    signal = np.random.default_rng(samples).standard_normal((2, 3, samples))
    ours = resample(torch.from_numpy(signal), 500.0, wanted).numpy()
    np.testing.assert_allclose(ours, scipy.signal.resample(signal, round(samples * wanted / 500), axis=-1), atol=1e-10)


def test_a_tone_survives_resampling() -> None:
    time = torch.arange(1000) / 100
    slow = torch.sin(2 * torch.pi * 5 * time)[None, None]
    fast = resample(slow, 100.0, 500.0)[0, 0]
    torch.testing.assert_close(fast, torch.sin(2 * torch.pi * 5 * torch.arange(5000) / 500), atol=1e-4, rtol=0)


def test_flat_leads_stay_zero_and_nothing_is_nan() -> None:
    signal = torch.randn(2, 3, 100)
    signal[0, 1] = 1.7
    signal[1] = -0.3
    for scope in ("zscore-lead", "zscore-record"):
        scaled = normalize(signal, scope)
        assert torch.isfinite(scaled).all()
        assert (scaled[1] == 0).all()
    assert (normalize(signal, "zscore-lead")[0, 1] == 0).all()


def test_scopes_are_numpys_z_scores() -> None:
    signal = torch.randn(2, 12, 200) * torch.linspace(0.1, 3, 12)[:, None] + 5
    per_lead = normalize(signal, "zscore-lead").numpy()
    whole = normalize(signal, "zscore-record").numpy()
    x = signal.numpy()
    np.testing.assert_allclose(per_lead, (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(whole, (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True), atol=1e-4)


@pytest.mark.parametrize("scope", ["zscore-lead", "zscore-record"])
def test_lead_one_is_scaled_alone_before_it_is_placed_among_silence(scope: str) -> None:
    spec = InputSpec(leads=LEADS, normalization=scope)  # type: ignore[arg-type]
    lead = torch.randn(4, 1, 5000)
    placed = prepare(lead, 500.0, ["I"], spec)[:, 0]
    assert placed.shape == (4, 12, 5000)
    assert (placed[:, 1:] == 0).all()
    # Masking first would have made this sqrt(12) = 3.46.
    torch.testing.assert_close(placed[:, 0].std(dim=-1, correction=0), torch.ones(4), atol=1e-4, rtol=0)


def test_unobserved_leads_cannot_leak() -> None:
    twelve = torch.randn(2, 12, 5000)
    other = twelve.clone()
    other[:, 1:] *= 7
    spec = InputSpec(leads=("I",), normalization="zscore-record")
    torch.testing.assert_close(prepare(twelve, 500.0, LEADS, spec), prepare(other, 500.0, LEADS, spec))


def test_leads_are_found_by_name() -> None:
    signal = torch.randn(1, 3, 5000)
    spec = InputSpec(leads=("V2", "I"), normalization="none")
    torch.testing.assert_close(prepare(signal, 500.0, ["I", "II", "V2"], spec)[0, 0], signal[0, [2, 0]])


def test_windows_are_equally_spaced_from_end_to_end() -> None:
    spec = InputSpec(samples=2250, sampling_rate=250, normalization="none", windows="mean-of-windows", window_count=3)
    signal = torch.arange(2500.0)[None, None]
    windows = prepare(signal, 250.0, ["I"], spec)
    assert windows[0, :, 0, 0].tolist() == [0, 125, 250]
    assert windows.shape == (1, 3, 1, 2250)


def test_each_window_is_normalised_by_itself() -> None:
    spec = InputSpec(samples=100, sampling_rate=100, windows="mean-of-windows", window_count=2)
    signal = torch.cat([torch.randn(1, 1, 100), 50 * torch.randn(1, 1, 100)], dim=-1)
    deviation = prepare(signal, 100.0, ["I"], spec).std(dim=-1, correction=0)
    torch.testing.assert_close(deviation, torch.ones_like(deviation), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("samples", "rate", "leads", "says"),
    [
        (6000, 500.0, ["I"], "these have 12 s"),
        (5000, 500.0, ["V1"], "choose --leads"),
        (1000, 500.0, ["I"], "these have 2 s"),
    ],
)
def test_wrong_records_are_refused(samples: int, rate: float, leads: list[str], says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        prepare(torch.randn(1, 1, samples), rate, leads, InputSpec())


def test_specs_refuse_unknown_leads() -> None:
    with pytest.raises(ValueError, match="aVX"):
        InputSpec(leads=("aVX",))


def test_a_random_window_is_a_piece_of_its_record_and_the_seed_decides_which() -> None:
    spec = InputSpec(leads=("I", "II"), samples=2000, normalization="none", windows="random-window")
    record = torch.arange(5000.0).repeat(64, 2, 1) + torch.tensor([0.0, 1e4])[:, None]
    torch.manual_seed(1)
    cut = prepare(record, 500.0, ["I", "II"], spec)
    assert cut.shape == (64, 1, 2, 2000)
    starts = cut[:, 0, 0, 0]
    torch.testing.assert_close(cut[:, 0, 0], starts[:, None] + torch.arange(2000.0))
    torch.testing.assert_close(cut[:, 0, 1], cut[:, 0, 0] + 1e4, msg="all leads of a record are cut at the same place")
    assert len(starts.unique()) > 50
    assert starts.max() <= 3000
    torch.manual_seed(1)
    assert torch.equal(cut, prepare(record, 500.0, ["I", "II"], spec))


def test_a_random_window_reaches_both_ends() -> None:
    spec = InputSpec(samples=5, sampling_rate=500.0, normalization="none", windows="random-window")
    starts = prepare(torch.arange(7.0).repeat(200, 1, 1), 500.0, ["I"], spec)[:, 0, 0, 0]
    assert starts.unique().tolist() == [0.0, 1.0, 2.0]


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(40, 500),
    samples=st.integers(2, 40),
    share=st.floats(0, 0.5),
    tail=st.sampled_from(["shift", "repeat", "zeros"]),
)
def test_a_record_cut_into_tiles_and_joined_is_the_record(length: int, samples: int, share: float, tail: Tail) -> None:
    spec = InputSpec(samples=samples, windows="tiled", tail=tail, overlap=int(share * samples))
    record = torch.randn(2, 3, length, dtype=torch.float64)
    windows = cut_windows(record, spec)
    assert windows.shape[1] == len(tile_starts(length, spec))
    joined = join(windows, spec, length)
    if spec.overlap:
        torch.testing.assert_close(joined, record, rtol=0, atol=1e-12)
    else:
        assert torch.equal(joined, record)


def test_the_three_ways_to_end_a_record() -> None:
    record = torch.arange(10.0)[None, None]

    def last(tail: Tail) -> list[float]:
        return cut_windows(record, InputSpec(samples=4, windows="tiled", tail=tail))[0, -1, 0].tolist()

    assert last("shift") == [6.0, 7.0, 8.0, 9.0], "nothing is invented"
    assert last("repeat") == [8.0, 9.0, 8.0, 9.0], "MCMA's demo: 5000 samples grow to 5120 by the last 120 of them"
    assert last("zeros") == [8.0, 9.0, 0.0, 0.0]


def test_seams_are_hard_unless_windows_overlap() -> None:
    spec = InputSpec(samples=4, windows="tiled")
    levels = torch.tensor([0.0, 1.0])[None, :, None, None].expand(1, 2, 1, 4)
    assert join(levels, spec, 8)[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    moved = join(levels, spec, 6)[0, 0].tolist()
    assert moved == [0, 0, 0, 0, 1, 1], "a window that was moved back gives only what is missing"
    faded = join(levels, InputSpec(samples=4, windows="tiled", overlap=2), 6)[0, 0]
    torch.testing.assert_close(faded, torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1]))


def test_tiles_are_cut_after_resampling_and_longer_than_no_record() -> None:
    spec = InputSpec(leads=LEADS, samples=512, normalization="none", windows="tiled")
    assert prepare(torch.randn(2, 12, 1000), 100.0, LEADS, spec).shape == (2, 10, 12, 512)
    with pytest.raises(MibenchError, match=r"windows of 1.024 s; these records have only 1 s"):
        prepare(torch.randn(1, 12, 500), 500.0, LEADS, spec)


@pytest.mark.parametrize("wrong", [{"overlap": 3, "windows": "tiled"}, {"overlap": 1}, {"overlap": -1}])
def test_specs_refuse_an_overlap_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="at most half a window"):
        InputSpec(samples=4, **wrong)  # type: ignore[arg-type]


def test_an_encoder_s_identity_knows_nothing_of_tiles() -> None:
    """Otherwise every key from before there were generators would be another one."""
    known = MethodSpec(name="encoder", embedding_dim=4).identity()
    assert not {"tail", "overlap", "sees"} & known.keys()
    tiled = MethodSpec(name="net", kind="generator", windows="tiled", sees="record").identity()
    assert {"tail": "shift", "overlap": 0, "sees": "record"}.items() <= tiled.items()
