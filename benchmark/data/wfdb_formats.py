"""Records in any other form that WFDB knows (212, 24, FLAC, several files or segments), through the `wfdb` package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import wfdb

from .header import Header, Layout, Signal, bad_record, parse_header, twelve_leads
from .records import damaged, read_bytes, signal_path

GAP = "~"

_MISSING = {80: -(2**7), 508: -(2**7), 310: -(2**9), 311: -(2**9), 212: -(2**11), 24: -(2**23), 524: -(2**23)}
_MISSING |= {16: -(2**15), 61: -(2**15), 160: -(2**15), 516: -(2**15), 32: -(2**31)}
"""The sample that means "no value" in each format; format 8 has none."""


@dataclass(frozen=True)
class Signals:
    """What the wfdb package made of a record.

    Attributes:
        digital: (12, samples) in the order of `LEADS`, within int16; 0 where there is no value.
        missing: (12, samples) where there is no value.
        layout: gains and baselines.
        sampling_rate: Hz, of samples rather than frames.
    """

    digital: npt.NDArray[np.int64]
    missing: npt.NDArray[np.bool_]
    layout: Layout
    sampling_rate: float


def further_files(header: Header) -> list[str]:
    """Every file of a record but its header, whether it exists or not.

    Raises:
        MibenchError: a segment's header is missing or garbage.
    """
    files = [signal_path(header, name) for name in dict.fromkeys(header.files) if name != GAP]
    for segment in _segments(header):
        files += [segment.file, *(signal_path(segment, name) for name in dict.fromkeys(segment.files) if name != GAP)]
    return files


def read_through_wfdb(header: Header, *, verify: bool) -> Signals:
    """Read the digital samples of any record.

    Raises:
        MibenchError: the wfdb package refuses it, it is damaged, its leads are not the twelve, do not share one
            sampling rate, change their gain on the way, or do not fit 16 bits.
    """
    parts = [part for part in (_segments(header) if header.segments else [header]) if set(part.files) != {GAP}]
    signals = _agreed(header, parts)
    try:
        layout = twelve_leads(signals)
    except ValueError as problem:
        raise bad_record(header.file, str(problem)) from None
    if len({signal.samples_per_frame for signal in signals}) > 1:
        raise bad_record(header.file, "its leads differ in sampling rate", "resample it, or leave it out")
    if verify:
        for part in parts:
            _check(part)
    columns = _columns(header, signals)
    chosen = [(columns[position], signals[position]) for position in layout.order]
    digital = np.array([column for column, _ in chosen], dtype=np.int64)
    missing = np.array([column == _MISSING.get(signal.format) for column, signal in chosen])
    digital[missing] = 0
    if digital.size and (digital.min() < -32768 or digital.max() > 32767):
        raise bad_record(
            header.file,
            f"samples from {digital.min()} to {digital.max()} do not fit the 16 bits of the store",
            "convert it to format 16, or leave it out",
        )
    return Signals(digital, missing, layout, header.sampling_rate * signals[0].samples_per_frame)


def _columns(header: Header, signals: tuple[Signal, ...]) -> list[npt.NDArray[np.int64]]:
    record = _read(header.file, skew=True)
    names = record.sig_name if header.segments else [signal.lead for signal in signals]
    found = dict(zip(names, record.e_d_signal, strict=False))
    columns = [found[signal.lead] for signal in signals if signal.lead in found]
    if len(columns) != len(signals) or len({len(column) for column in columns}) != 1:
        raise bad_record(header.file, "the wfdb package does not find all its leads")
    if not len(columns[0]):
        raise bad_record(header.file, "it holds no samples")
    return columns


def _segments(header: Header) -> list[Header]:
    files = [signal_path(header, f"{name}.hea") for name in dict.fromkeys(header.segments) if name != GAP]
    return [parse_header(read_bytes(file)[0], file) for file in files]


def _agreed(header: Header, parts: list[Header]) -> tuple[Signal, ...]:
    """The signals of all parts, each lead once.

    The wfdb package joins the segments of a record without comparing their gains.
    """
    leads: dict[str, Signal] = {}
    if not header.segments:
        return header.signals()
    for part in parts:
        for signal in part.signals():
            known = leads.setdefault(signal.lead, signal)
            if (known.gain, known.baseline, known.format) != (signal.gain, signal.baseline, signal.format):
                raise bad_record(part.file, f"lead {signal.lead} changes its gain, baseline or format", "leave it out")
    return tuple(leads.values())


def _check(part: Header) -> None:
    """Compare the samples of one record or segment with its header's checksums."""
    record = _read(part.file, skew=False)
    found = [int(np.sum(column, dtype=np.int64)) & 0xFFFF for column in record.e_d_signal]
    pairs = zip(part.signals(), part.checksums, found, strict=True)
    wrong = [signal.lead for signal, a, b in pairs if a is not None and a != b]
    if wrong:
        raise damaged(part.file, wrong)


def _read(header_file: str, *, skew: bool) -> Any:
    try:
        return wfdb.rdrecord(
            str(Path(header_file).absolute().with_suffix("")), physical=False, smooth_frames=False, ignore_skew=not skew
        )
    # The package has no exception of its own: damaged input ends in whatever numpy or soundfile raise.
    except Exception as problem:
        reason = f"{type(problem).__name__}: {problem}".splitlines()[0]
        raise bad_record(header_file, f"the wfdb package cannot read it ({reason})") from None
