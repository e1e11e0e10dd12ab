"""Beats, and sentences cut around them: on made-up and on real records."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import wfdb
from wfdb.processing import xqrs_detect

from mibench.adapters.base import LEADS
from mibench.adapters.heartlang_vqhbr import heartbeat_view
from mibench.adapters.qrs import BeatTokenizer, detect_beats
from mibench.adapters.signal import prepare
from mibench.methods.beats import cut_words

Lead = npt.NDArray[np.float64]


def made_up(beats: range, samples: int = 1000) -> Lead:
    """QRS complexes of 1 mV and T waves of 0.2 mV on a little noise, at 100 Hz."""
    lead = 0.01 * np.random.default_rng(0).normal(size=samples + 100)
    for beat in beats:
        lead[beat - 4 : beat + 5] += np.hanning(9)
        lead[beat + 20 : beat + 41] += 0.2 * np.hanning(21)
    return lead[:samples]


def test_finds_the_beats() -> None:
    beats = range(60, 960, 85)
    found = detect_beats(made_up(beats))
    assert found.dtype == np.int64
    # The detector marks the rise of a complex, not its top.
    assert found.tolist() == pytest.approx(list(beats), abs=8)


def test_equals_wfdb() -> None:
    lead = made_up(range(60, 960, 70))
    assert detect_beats(lead).tolist() == xqrs_detect(lead, fs=100, verbose=False).tolist()


def test_no_beats_in_what_is_no_ecg_and_no_word_about_it(capfd: pytest.CaptureFixture[str]) -> None:
    gap = made_up(range(60, 960, 85))
    gap[7] = np.nan
    impulse = np.zeros(1000)
    impulse[0] = 1.0
    odd = (np.zeros(1000), np.full(1000, 0.7), gap, impulse, made_up(range(0))[:10], np.ones(1), 1e300 * gap[::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [detect_beats(lead) for lead in odd]
    assert [len(beats) for beats in found] == [0] * len(odd)
    assert {beats.dtype for beats in found} == {np.dtype(np.int64)}
    assert capfd.readouterr() == ("", "")


def test_noise_is_quiet_and_gives_something_that_can_be_cut() -> None:
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 1, 1000)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokens = BeatTokenizer(256, 96).tokenize(noise * torch.logspace(-9, 30, 6, dtype=torch.float64)[:, None, None])
    assert all(torch.isfinite(value).all() for value in tokens.values())


def test_one_lead_is_lead_i_and_twelve_are_twelve() -> None:
    tokenizer = BeatTokenizer(256, 96)
    lead = torch.from_numpy(made_up(range(60, 960, 85))).float()
    alone = tokenizer.tokenize(lead.view(1, 1, -1))
    count = int((alone["leads"] > 0).sum())
    assert alone["leads"][0, :count].tolist() == [1] * count

    twelve = torch.zeros(1, 12, 1000)
    twelve[0, 0] = lead
    masked = tokenizer.tokenize(twelve)
    for name, value in alone.items():
        assert torch.equal(masked[name][:, :count], value[:, :count])
    assert masked["leads"][0, : 12 * count].tolist() == [number for number in range(1, 13) for _ in range(count)]
    assert not masked["words"][0, count:].any(), "silent leads have words of zeros, with lead and second"
    assert masked["seconds"][0, count : 12 * count].all()
    assert not masked["seconds"][0, 12 * count :].any()


def test_beats_are_those_of_lead_i_whatever_the_others_do() -> None:
    ecg = torch.zeros(2, 12, 1000)
    ecg[:, 0] = torch.from_numpy(made_up(range(60, 960, 85)))
    ecg[1, 5] = torch.from_numpy(made_up(range(30, 960, 50)))
    tokens = BeatTokenizer(256, 96).tokenize(ecg)
    assert torch.equal(tokens["leads"][0], tokens["leads"][1])
    assert torch.equal(tokens["seconds"][0], tokens["seconds"][1])


def test_a_flat_lead_i_is_an_empty_sentence() -> None:
    ecg = torch.randn(2, 12, 1000)
    ecg[:, 0] = 0.0
    tokens = BeatTokenizer(256, 96).tokenize(ecg)
    assert {name: tuple(value.shape) for name, value in tokens.items()} == {
        "words": (2, 256, 96),
        "leads": (2, 256),
        "seconds": (2, 256),
    }
    assert not any(value.any() for value in tokens.values())


@pytest.mark.parametrize("shape", [(2, 3, 1000), (12, 1000)])
def test_refuses_other_numbers_of_leads(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 or 12 leads"):
        BeatTokenizer(256, 96).tokenize(torch.zeros(shape))


def test_what_determines_the_tokens() -> None:
    tokenizer = BeatTokenizer(256, 96).tokenizer
    assert tokenizer["detector"] == f"wfdb {wfdb.__version__} xqrs"
    assert (tokenizer["words"], tokenizer["samples"]) == (256, 96)
    assert tokenizer != BeatTokenizer(128, 96).tokenizer


def test_real_records_in_a_batch_as_one_by_one(ptb_xl_500: Path) -> None:
    headers = sorted((ptb_xl_500 / "records100" / "00000").glob("*.hea"))[::10]
    millivolt = np.stack([wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T for header in headers])
    ecg = prepare(torch.from_numpy(millivolt), 100.0, LEADS, heartbeat_view("heartlang", "none"))[:, 0]
    tokens = BeatTokenizer(256, 96).tokenize(ecg)
    counts = []
    for record, signal in enumerate(ecg):
        beats = torch.from_numpy(xqrs_detect(signal[0].double().numpy(), fs=100, verbose=False))
        counts.append(len(beats))
        alone = cut_words(signal[None], [beats])
        assert all(torch.equal(tokens[name][record], value[0]) for name, value in alone.items()), headers[record]
        assert int((tokens["leads"][record] > 0).sum()) == min(256, 12 * len(beats))
    assert len(counts) == 50
    # At 100 Hz the detector also takes some T waves for beats: 94 in a minute on average, over all 500 records.
    assert min(counts) >= 6
    assert max(counts) <= 32
    assert 13 < np.mean(counts) < 19
