"""Where the heart beats, and how fast, in recorded and in generated leads: wfdb's XQRS detector at 250 Hz.

The rate is a measured choice. In lead I of 500 real records of PTB-XL, XQRS needs 40 % of the time that it needs at 500
Hz, the heart rate is the same in 98 of 100, and beats are found in the 12 in which it finds none at 500 Hz. At 100 Hz
it takes T waves for beats in half of the records, which is not for want of signal: brought from 100 to 250 Hz, it finds
what it finds at 250. So every lead is brought to 250 Hz.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from ..adapters.errors import MibenchError
from .data.store import SignalStore
from .embed import PART_RECORDS
from .files import read_arrays, sha256_json, write_arrays
from .home import home
from .progress import Steps

RATE = 250.0
"""Hz at which the detector works."""

DETECTOR: dict[str, Any] = {
    "detector": f"wfdb {importlib.metadata.version('wfdb')} xqrs",
    "sampling_rate": RATE,
    "version": 1,
}
"""What determines the beats of a lead, beside the lead."""

LEAD = "I"
"""In which the beats of real records are looked for: the lead that every generator is given."""

WORTH_PROCESSES = 64
"""Leads from which on several processes share them."""

Beats = npt.NDArray[np.int64]


def real_beats(store: SignalStore, rows: npt.NDArray[np.int64], steps: Steps) -> list[Beats]:
    """R peaks in lead I of some records, from the cache or looked for part by part.

    Args:
        store: of the records.
        rows: of the store.
        steps: makes a progress function.

    Returns:
        For each row, ascending samples at the store's rate; none in a lead that is flat.
    """
    what = {**DETECTOR, "lead": LEAD, "signals": store.manifest, "rows": sha256_json(np.asarray(rows).tolist())}
    folder = home() / "beats" / sha256_json(what)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Beats] = []
    with FileLock(folder / ".lock"):
        bar = steps("looking for heart beats", len(rows))
        for start in range(0, len(rows), PART_RECORDS):
            chosen = rows[start : start + PART_RECORDS]
            file = folder / f"part-{start:07d}.npz"
            part = _read(file, len(chosen), store.samples)
            if part is None:
                part = []
                for beats in find_beats(store.read(chosen, [LEAD])[:, 0], store.sampling_rate):
                    part.append(beats)
                    bar(start + len(part))
                _write(file, part)
            found += part
            bar(len(found))
    return found


def heart_rates(signals: npt.NDArray[Any], sampling_rate: float) -> npt.NDArray[np.float32]:
    """Heart rate of every lead by itself, in beats per minute: 60 over the mean RR interval.

    Args:
        signals: (batch, leads, samples) in mV.
        sampling_rate: Hz.

    Returns:
        (batch, leads); NaN where fewer than two beats are found.
    """
    beats = find_beats(signals.reshape(-1, signals.shape[-1]), sampling_rate)
    return rates_of(beats, sampling_rate).reshape(signals.shape[:2])


def rates_of(beats: Iterable[Beats], sampling_rate: float) -> npt.NDArray[np.float32]:
    """(records,) heart rates in beats per minute from the samples of the beats; NaN with fewer than two."""
    rates = [
        60.0 * sampling_rate * (len(found) - 1) / (found[-1] - found[0]) if len(found) > 1 else np.nan
        for found in beats
    ]
    return np.array(rates, dtype=np.float32)


def find_beats(leads: npt.NDArray[Any], sampling_rate: float) -> Iterator[Beats]:
    """R peaks of many leads (leads, samples), one after the other; several processes look when there are many.

    Raises:
        MibenchError: one of the processes was killed.
    """
    look = partial(detect_beats, sampling_rate=sampling_rate)
    workers = os.cpu_count() or 1
    if len(leads) < WORTH_PROCESSES or workers == 1 or not hasattr(os, "fork"):
        yield from map(look, leads)
        return
    # Forked, since starting Python anew costs more than a batch of leads; no network runs in them.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
        try:
            yield from pool.map(look, leads, chunksize=8)
        except BrokenProcessPool as problem:
            raise MibenchError(
                "a process that looked for heart beats was killed, mostly for want of memory: run again with a smaller "
                "batch; what was found so far is kept"
            ) from problem


def detect_beats(lead: npt.NDArray[Any], sampling_rate: float) -> Beats:
    """Samples at which XQRS finds the R peaks of one lead, ascending; none in what is flat, not finite or too short.

    Args:
        lead: (samples,) in mV.
        sampling_rate: Hz, of `lead` and of the samples returned.
    """
    # Both take seconds to import, and a run of encoders needs neither.
    from scipy.signal import resample_poly
    from wfdb.processing import xqrs_detect

    nothing = np.empty(0, dtype=np.int64)
    millivolt = np.asarray(lead, dtype=np.float64)
    if not millivolt.size or not np.isfinite(millivolt).all() or np.ptp(millivolt) == 0:
        return nothing
    ratio = Fraction(RATE / sampling_rate).limit_denominator(1000)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            resampled = resample_poly(millivolt, ratio.numerator, ratio.denominator, padtype="line")
            found = xqrs_detect(sig=resampled, fs=RATE, verbose=False)
        except (ValueError, IndexError):
            # Of a few samples its filters make nothing. One odd record must not end the run of a fold.
            return nothing
    samples = np.rint(np.asarray(found, dtype=np.float64) * sampling_rate / RATE).astype(np.int64)
    return np.minimum(samples, len(millivolt) - 1)


def _read(file: Path, records: int, samples: int) -> list[Beats] | None:
    kept = read_arrays(file, ["beats", "counts"])
    if kept is None:
        return None
    beats, counts = kept["beats"], kept["counts"]
    whole = beats.dtype == np.int64 and len(counts) == records and counts.sum() == len(beats)
    if not whole or (len(beats) and (beats.min() < 0 or beats.max() >= samples)):
        return None
    return np.split(beats, np.cumsum(counts)[:-1])


def _write(file: Path, part: Sequence[Beats]) -> None:
    write_arrays(file, {"beats": np.concatenate(part), "counts": np.array([len(found) for found in part])})
