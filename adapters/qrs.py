"""Where the heart beats, and the ECG cut into its beats: the tokens of HeartLang."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..methods.beats import cut_words
from .base import LEADS

RATE = 100.0
"""Hz; detector and words were made for this rate."""

VERSION = 1


class BeatTokenizer:
    """Cuts a record around the beats of its first lead, lead I, into a sentence of words.

    Args:
        words: length of a sentence, padding included.
        samples_per_word: at 100 Hz.

    Attributes:
        tokenizer: what determines the tokens beside the signal; the detector is wfdb's, so its release is part of it.
    """

    def __init__(self, words: int, samples_per_word: int) -> None:
        self._size = {"words": words, "samples": samples_per_word}
        self.tokenizer: Mapping[str, Any] = {
            "name": "beats",
            "version": VERSION,
            "detector": f"wfdb {importlib.metadata.version('wfdb')} xqrs",
            **self._size,
        }

    def tokenize(self, ecg: Tensor) -> dict[str, Tensor]:
        """One record after the other through the detector, then all of them cut at once.

        Args:
            ecg: (batch, 1, samples), lead I, or (batch, 12, samples), the standard leads in their order; at 100 Hz.

        Returns:
            On the CPU: "words" (batch, words, samples per word) float32; "leads" (batch, words) int64, 1 for lead I to
            12 for V6; "seconds" (batch, words) int64, 1 to 10. All are zero behind the last word: everywhere in a
            record without a beat.

        Raises:
            ValueError: another number of leads.
        """
        if ecg.ndim != 3 or ecg.shape[1] not in (1, len(LEADS)):
            raise ValueError(f"sentences are cut out of 1 or {len(LEADS)} leads; got {tuple(ecg.shape)}")
        signal = ecg.detach().to("cpu", torch.float32)
        beats = [torch.from_numpy(detect_beats(lead)) for lead in signal[:, 0].double().numpy()]
        return cut_words(signal, beats, rate=RATE, **self._size)


def detect_beats(lead: npt.NDArray[np.float64], rate: float = RATE) -> npt.NDArray[np.int64]:
    """Samples at which wfdb's XQRS finds a QRS complex, ascending; none in what is flat, not finite or too short.

    Args:
        lead: (samples,) at `rate` Hz.
    """
    from wfdb.processing import xqrs_detect

    nothing = np.empty(0, dtype=np.int64)
    if not np.isfinite(lead).all() or np.ptp(lead) == 0:
        return nothing
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = xqrs_detect(sig=lead, fs=rate, verbose=False)
        except (ValueError, IndexError):
            # Of a few samples its filters make nothing. One odd record among a million must not end a pre-training.
            return nothing
    return np.asarray(found).astype(np.int64)
