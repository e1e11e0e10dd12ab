"""Words out of beats: the rules one by one, and all of them against a loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mibench.methods.beats import cut_words


def naive_words(ecg: Tensor, beats: Sequence[int], words: int, samples: int) -> dict[str, Tensor]:
    """One record, (leads, length), lead by lead, beat by beat and sample by sample."""
    half, length = samples // 2, ecg.shape[1]
    sentence: list[tuple[list[float], int, int]] = []
    for lead in range(len(ecg)):
        for number, beat in enumerate(beats):
            start = max(beat - half, 0) if number == 0 else (beats[number - 1] + beat) // 2
            end = min(beat + half, length) if number == len(beats) - 1 else (beat + beats[number + 1]) // 2
            if end - start > samples:
                start, end = max(beat - half, 0), min(beat + half, length)
            word = [0.0] * samples
            place = max(half - (beat - start), 0)
            for sample in range(start, end):
                if place < samples:
                    word[place] = float(ecg[lead, sample])
                place += 1
            sentence.append((word, lead + 1, min(max(beat // 100 + 1, 1), 10)))
    sentence = sentence[:words] + [([0.0] * samples, 0, 0)] * (words - len(sentence))
    return {
        "words": torch.tensor([word for word, _, _ in sentence]),
        "leads": torch.tensor([lead for _, lead, _ in sentence]),
        "seconds": torch.tensor([second for _, _, second in sentence]),
    }


@pytest.mark.parametrize("leads", [1, 12])
@pytest.mark.parametrize(("words", "samples"), [(256, 96), (40, 16)])
def test_a_batch_equals_the_loop_over_its_records(leads: int, words: int, samples: int) -> None:
    torch.manual_seed(leads + words)
    ecg = torch.randn(12, leads, 1000)
    # From a beat every few samples to one or two in ten seconds, from none to all.
    counts = (0, 1, 2, 3, 5, 8, 13, 21, 22, 34, 55, 100)
    beats = [torch.randperm(1000)[:count].sort().values for count in counts]
    cut = cut_words(ecg, beats, words=words, samples=samples)
    for record, places in enumerate(beats):
        expected = naive_words(ecg[record], places.tolist(), words, samples)
        for name, value in cut.items():
            assert torch.equal(value[record], expected[name]), f"{name} of {counts[record]} beats"


def test_shapes_and_kinds() -> None:
    cut = cut_words(torch.ones(3, 2, 1000), _places([50], [], [1, 2]))
    assert {name: (tuple(value.shape), value.dtype) for name, value in cut.items()} == {
        "words": ((3, 256, 96), torch.float32),
        "leads": ((3, 256), torch.int64),
        "seconds": ((3, 256), torch.int64),
    }


def test_a_beat_stands_in_the_middle_and_its_word_ends_midway_to_its_neighbours() -> None:
    word = _words([400, 460, 501])[1]
    assert _span(word) == (430, 480)
    assert word[48] == 460
    assert word[18] == 430
    assert not word[:18].any()
    assert not word[18 + 50 :].any()


def test_the_first_and_the_last_reach_half_a_word_outwards() -> None:
    first, last = _words([400, 460])
    assert _span(first) == (352, 430)
    assert _span(last) == (430, 508)
    assert (first[48], last[48]) == (400, 460)
    assert _span(_words([400])[0]) == (352, 448)


def test_at_the_borders_of_the_record_words_are_shorter() -> None:
    first, last = _words([20, 990])
    assert _span(first) == (1, 68), "sample 0 is the number 0"
    assert first[48] == 20
    assert _span(last) == (942, 1000)
    assert last[48] == 990


def test_a_cut_longer_than_a_word_is_made_anew_around_its_beat() -> None:
    word = _words([300, 401, 500])[1]
    assert _span(word) == (353, 449)
    assert word[48] == 401


def test_more_than_half_a_word_before_the_beat_pushes_it_out_of_the_middle() -> None:
    word = _words([300, 410, 440])[1]
    assert _span(word) == (355, 425)
    assert word[0] == 355
    assert word[55] == 410


def test_sentences_go_lead_by_lead_and_tell_lead_and_second() -> None:
    cut = cut_words(torch.randn(1, 3, 1000), _places([0, 99, 100, 999]))
    assert cut["leads"][0, :13].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [0]
    assert cut["seconds"][0, :13].tolist() == [1, 1, 2, 10] * 3 + [0]


def test_seconds_beyond_the_last_count_as_the_last() -> None:
    cut = cut_words(torch.randn(1, 1, 1500), _places([950, 1450]))
    assert cut["seconds"][0, :3].tolist() == [10, 10, 0]


def test_too_many_words_are_left_out_from_the_end() -> None:
    cut = cut_words(torch.randn(1, 12, 1000), [torch.arange(22) * 44 + 10])
    assert cut["leads"][0, -15:].tolist() == [11] + [12] * 14
    assert cut["leads"].min() == 1


def test_a_silent_lead_has_words_of_zeros_with_a_place() -> None:
    ecg = torch.randn(1, 12, 1000)
    ecg[:, 1:] = 0.0
    cut = cut_words(ecg, _places([100, 200]))
    assert cut["words"][0, :2].any(dim=-1).all()
    assert not cut["words"][0, 2:].any()
    assert cut["leads"][0, :24].tolist() == [lead for lead in range(1, 13) for _ in range(2)]
    assert not cut["leads"][0, 24:].any()


def test_no_beat_no_words() -> None:
    cut = cut_words(torch.randn(2, 1, 1000), _places([], []))
    assert not any(value.any() for value in cut.values())


def test_the_input_stays_as_it_was_and_its_kind() -> None:
    ecg = torch.randn(1, 1, 1000, dtype=torch.float64)
    before = ecg.clone()
    assert cut_words(ecg, _places([500]))["words"].dtype == torch.float64
    assert torch.equal(ecg, before)


@pytest.mark.parametrize(
    ("beats", "samples", "told"),
    [
        ([[1000]], 96, r"within 0 to 999; got \[1000\]"),
        ([[-1, 5]], 96, r"got \[-1, 5\]"),
        ([[7, 7]], 96, "must ascend"),
        ([[9, 3]], 96, "must ascend"),
        ([[1], [2]], 96, "for 2 records"),
        ([[1]], 95, "even; got 95"),
    ],
)
def test_refuses_what_cannot_be_cut(beats: list[list[int]], samples: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        cut_words(torch.zeros(1, 1, 1000), _places(*beats), samples=samples)


def _places(*beats: list[int]) -> list[Tensor]:
    return [torch.tensor(places, dtype=torch.long) for places in beats]


def _words(beats: list[int]) -> Any:
    """Words of a record that counts its samples, so that each sample tells where it was."""
    return cut_words(torch.arange(1000.0).view(1, 1, -1), _places(beats))["words"][0, : len(beats)]


def _span(word: Tensor) -> tuple[int, int]:
    """Samples of the record that a word holds, first and one behind the last."""
    return int(word[word > 0].min()), int(word.max()) + 1
