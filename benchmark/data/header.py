"""The text of a WFDB header: which files hold which leads, in which format and in which units.

Follows the WFDB header specification (physionet.org/physiotools/wag/header-5.htm), defaults included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...adapters.errors import MibenchError
from ..ecg import LEADS

COPY_AGAIN = "copy or download the record again, or leave it out"
DEFAULT_GAIN = 200.0
DEFAULT_RATE = 250.0

_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?")
_GAIN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\(([-+]?\d+)\))?(?:/(\S+))?")
# The micro sign folds to a Greek mu. A gain per microvolt is a thousandth of the gain per millivolt.
_TO_PER_MILLIVOLT = {"mv": 1.0, "uv": 1e3, "\N{GREEK SMALL LETTER MU}v": 1e3, "v": 1e-3}
_STANDARD = {lead.casefold(): lead for lead in LEADS}


@dataclass(frozen=True)
class Signal:
    """One signal line.

    Attributes:
        lead: the name as written in the header.
        gain: digital units per mV, whatever unit the header uses.
        baseline: the digital value of 0 mV.
        format: WFDB storage format, such as 16 or 212.
        samples_per_frame, skew, offset: as in the specification; 1, 0 and 0 in an ordinary record.
    """

    lead: str
    gain: float
    baseline: int
    format: int
    samples_per_frame: int
    skew: int
    offset: int


@dataclass(frozen=True)
class Layout:
    """How the signals of a record become the twelve leads.

    Attributes:
        order: (12,) position in the record of each lead of `LEADS`.
        standard: True when that is the record's own order.
        gain, baseline: (12,) in the order of `LEADS`; read-only, shared between records.
        plain: True when every signal is format 16 with nothing unusual.
    """

    order: npt.NDArray[np.intp]
    standard: bool
    gain: npt.NDArray[np.float64]
    baseline: npt.NDArray[np.int32]
    plain: bool


class Header(NamedTuple):
    """A parsed header; `segments` is empty in a record of one piece, and `files` in a record of several.

    Attributes:
        file: the header file.
        sampling_rate: frames per second, Hz.
        frames: length, None where the header does not tell.
        files: the signal file of each signal.
        checksums: the 16-bit sum of each signal's samples, None where the header has none.
        segments: names of the records that make up this one, "~" for a gap.
        columns: format, gain, ADC zero and lead of each signal as written.
    """

    file: str
    sampling_rate: float
    frames: int | None
    files: tuple[str, ...]
    checksums: tuple[int | None, ...]
    segments: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]

    def signals(self) -> tuple[Signal, ...]:
        """The signal lines, in the order of the header.

        Raises:
            MibenchError: a format, gain or unit that means nothing to mibench.
        """
        try:
            return _signals(*self.columns)
        except ValueError as problem:
            raise bad_record(self.file, str(problem)) from None

    def layout(self) -> Layout:
        """Where the twelve leads are.

        Raises:
            MibenchError: a lead is unknown, missing or there twice.
        """
        try:
            return _layout(*self.columns)
        except ValueError as problem:
            raise bad_record(self.file, str(problem)) from None


def bad_record(file: str, problem: str, remedy: str = COPY_AGAIN) -> MibenchError:
    """The error for one unreadable record."""
    return MibenchError(f"{file}: {problem}; {remedy}")


def parse_header(data: bytes, file: str) -> Header:
    """Parse the bytes of the header file `file`.

    Raises:
        MibenchError: it is empty, cut off, or no WFDB header.
    """
    lines = [line for line in map(str.strip, _decode(data).splitlines()) if line and line[0] != "#"]
    if not lines:
        raise bad_record(file, "the header is empty")
    try:
        return _parse(lines, file)
    except ValueError as problem:
        raise bad_record(file, f"this is not a whole WFDB header ({problem})") from None


def twelve_leads(signals: Sequence[Signal]) -> Layout:
    """Find the twelve leads among the signals of a record, by name.

    Raises:
        ValueError: a lead is unknown, missing or there twice.
    """
    names = [_STANDARD.get(signal.lead.casefold()) for signal in signals]
    unknown = [signal.lead for signal, name in zip(signals, names, strict=True) if name is None]
    if unknown:
        raise ValueError(f"unknown lead {_listed(unknown)}: mibench reads {', '.join(LEADS)}")
    double = [lead for lead in LEADS if names.count(lead) > 1]
    if double:
        raise ValueError(f"lead {_listed(double)} is there more than once")
    missing = [lead for lead in LEADS if lead not in names]
    if missing:
        raise ValueError(f"{len(signals)} leads instead of {len(LEADS)}: {_listed(missing)} missing")
    order = np.array([names.index(lead) for lead in LEADS], dtype=np.intp)
    chosen = [signals[position] for position in order]
    gain = np.array([signal.gain for signal in chosen], dtype=np.float64)
    baseline = np.array([signal.baseline for signal in chosen], dtype=np.int32)
    for array in (order, gain, baseline):
        array.flags.writeable = False
    return Layout(
        order=order,
        standard=bool((order == np.arange(len(LEADS))).all()),
        gain=gain,
        baseline=baseline,
        plain=all((s.format, s.samples_per_frame, s.skew, s.offset) == (16, 1, 0, 0) for s in signals),
    )


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _parse(lines: list[str], file: str) -> Header:
    fields = lines[0].split()
    if len(fields) < 2 or not fields[1].isdecimal():
        raise ValueError("its first line should give the record's name and number of signals")
    rate = float(fields[2].split("/")[0]) if len(fields) > 2 else DEFAULT_RATE
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"sampling rate {fields[2]!r}")
    frames = _whole(fields[3], "length") if len(fields) > 3 else 0
    name, _, segment_count = fields[0].partition("/")
    expected = int(segment_count or fields[1])
    if len(lines) - 1 != expected:
        raise ValueError(f"{name} should have {expected} lines after the first and has {len(lines) - 1}")
    if segment_count:
        segments = tuple(line.split()[0] for line in lines[1:])
        return Header(file, rate, frames or None, (), (), segments, ())
    rows = [line.split(None, 8) for line in lines[1:]]
    if rows and min(map(len, rows)) < 9:
        rows = [row + [""] * (9 - len(row)) for row in rows]
    files, formats, gains, _, zeros, _, sums, _, names = zip(*rows, strict=True) if rows else ((),) * 9
    try:
        checksums = tuple([int(text) & 0xFFFF if text else None for text in sums])
    except ValueError:
        raise ValueError(f"checksums {', '.join(sums)}") from None
    return Header(file, rate, frames or None, files, checksums, (), (formats, gains, zeros, names))


# Most headers of a data set say the same of their leads, so what they say is worked out once.
@lru_cache(maxsize=256)
def _layout(*columns: tuple[str, ...]) -> Layout:
    return twelve_leads(_signals(*columns))


@lru_cache(maxsize=256)
def _signals(*columns: tuple[str, ...]) -> tuple[Signal, ...]:
    return tuple(_signal(*line) for line in zip(*columns, strict=True))


def _signal(storage: str, scale: str, zero: str, lead: str) -> Signal:
    found = _FORMAT.fullmatch(storage)
    if not found:
        raise ValueError(f"storage format {storage!r} of lead {lead!r}")
    number, per_frame, skew, offset = (int(text) if text else None for text in found.groups())
    gain, baseline = _scale(scale, lead)
    if baseline is None:
        baseline = _whole(zero, f"ADC zero of lead {lead!r}", signed=True) if zero else 0
    if not -(2**31) <= baseline < 2**31:
        raise ValueError(f"baseline {baseline} of lead {lead!r}")
    return Signal(lead, gain, baseline, number or 0, per_frame or 1, skew or 0, offset or 0)


def _scale(text: str, lead: str) -> tuple[float, int | None]:
    """Digital units per millivolt, and the baseline where it is given."""
    if not text:
        return DEFAULT_GAIN, None
    found = _GAIN.fullmatch(text)
    if not found:
        raise ValueError(f"gain {text!r} of lead {lead!r}")
    units = found[3] or "mV"
    if units.casefold() not in _TO_PER_MILLIVOLT:
        raise ValueError(f"lead {lead!r} is in {units!r}: mibench reads mV, uV and V")
    gain = (float(found[1]) or DEFAULT_GAIN) * _TO_PER_MILLIVOLT[units.casefold()]
    if not 1e-6 <= abs(gain) <= 1e12:
        raise ValueError(f"gain {text!r} of lead {lead!r}")
    return gain, int(found[2]) if found[2] else None


def _whole(text: str, what: str, *, signed: bool = False) -> int:
    if not (text[1:] if signed and text[:1] in "+-" else text).isdecimal():
        raise ValueError(f"{what} {text!r}")
    return int(text)


def _listed(leads: Sequence[str]) -> str:
    return ", ".join(lead or "(no name)" for lead in leads)
