"""Heartbeats as words: an ECG cut around its beats into a sentence (HeartLang, arXiv 2502.10707)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def cut_words(
    ecg: Tensor,
    beats: Sequence[Tensor],
    *,
    words: int = 256,
    samples: int = 96,
    rate: float = 100.0,
    seconds: int = 10,
) -> dict[str, Tensor]:
    """Cut every lead around the same beats and put the words into a sentence, one lead after the other.

    A word reaches from the middle between its beat and the one before to the middle between its beat and the one
    behind; the first and the last reach half a word outwards. Its beat stands in the middle of the word, unless more
    than half a word lies before it: then the word starts with the cut. A cut that is longer than a word is made anew,
    half a word to each side. What the sentence cannot hold is left out at its end, so from the last leads.

    Args:
        ecg: (batch, leads, samples) at `rate`.
        beats: for each record the samples of its beats, ascending; empty where there is none.
        words: length of a sentence.
        samples: length of a word, even.
        rate: Hz, to tell the second of a beat.
        seconds: the last second that is told apart.

    Returns:
        "words" (batch, words, samples) as `ecg`; "leads" (batch, words) int64, 1 for the first lead; "seconds"
        (batch, words) int64, 1 for the first second. All are zero behind the last word.

    Raises:
        ValueError: the number of records differs, a beat lies outside its record, or beats do not ascend.
    """
    if ecg.ndim != 3 or len(beats) != len(ecg):
        raise ValueError(f"ecg must be (batch, leads, samples) for {len(beats)} records; got {tuple(ecg.shape)}")
    if samples < 2 or samples % 2:
        raise ValueError(f"the samples of a word must be even; got {samples}")
    leads, length = ecg.shape[1:]
    counts = torch.tensor([len(places) for places in beats], device=ecg.device)
    peaks = _padded(beats, length).to(ecg.device)
    start, first, filled = _cuts(peaks, counts, samples // 2, length)

    position = torch.arange(words, device=ecg.device).expand(len(ecg), -1)
    used = position < (counts * leads)[:, None]
    per_lead = counts.clamp(min=1)[:, None]
    beat = position % per_lead
    lead = (position // per_lead).clamp(max=leads - 1)

    def of_beat(values: Tensor) -> Tensor:
        return values.gather(1, beat)

    inside = torch.arange(samples, device=ecg.device) - of_beat(first)[..., None]
    real = (inside >= 0) & (inside < of_beat(filled)[..., None]) & used[..., None]
    source = (lead * length + of_beat(start))[..., None] + inside
    flat = ecg.flatten(1).gather(1, torch.where(real, source, 0).flatten(1)).view_as(source)
    second = (of_beat(peaks) // rate + 1).clamp(1, seconds).long()
    return {
        "words": torch.where(real, flat, torch.zeros((), dtype=ecg.dtype, device=ecg.device)),
        "leads": torch.where(used, lead + 1, 0),
        "seconds": torch.where(used, second, 0),
    }


def _cuts(peaks: Tensor, counts: Tensor, half: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """For every beat, each (batch, beats): where its cut starts, its first sample in the word, and its length."""
    order = torch.arange(peaks.shape[1], device=peaks.device)
    left, right = (peaks - half).clamp(min=0), (peaks + half).clamp(max=length)
    middle = (peaks[:, :-1] + peaks[:, 1:]) // 2
    start = torch.where(order == 0, left, torch.cat([left[:, :1], middle], dim=1))
    end = torch.where(order == counts[:, None] - 1, right, torch.cat([middle, right[:, -1:]], dim=1))
    long = end - start > 2 * half
    start, end = torch.where(long, left, start), torch.where(long, right, end)
    first = (half - (peaks - start)).clamp(min=0)
    return start, first, torch.minimum(end - start, 2 * half - first)


def _padded(beats: Sequence[Tensor], length: int) -> Tensor:
    """(batch, most beats of a record, at least 1), zero behind the last beat."""
    peaks = torch.zeros(len(beats), max([1, *(len(places) for places in beats)]), dtype=torch.long)
    for row, places in enumerate(beats):
        if len(places) and (int(places[0]) < 0 or int(places[-1]) >= length or not bool((places.diff() > 0).all())):
            raise ValueError(f"beats must ascend within 0 to {length - 1}; got {places.tolist()}")
        peaks[row, : len(places)] = places
    return peaks
