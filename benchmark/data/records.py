"""WFDB records: twelve leads in the standard order as digital samples, read and written.

The usual record (one signal file in format 16) is read here, directly; any other goes through the `wfdb` package.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...adapters.errors import MibenchError
from ..ecg import LEADS
from .header import COPY_AGAIN, Header, Layout, bad_record, parse_header

INVALID = -32768
"""The sample of format 16 that means "no value"."""


class UnreadableFileError(MibenchError):
    """A file that is there and that the system does not give: its permissions, or a disk that fails."""


class Stamp(NamedTuple):
    """A file that was read: its path, its size and times (ns) just before, and whether its sha256 was compared."""

    file: str
    size: int
    modified: int
    changed: int
    compared: bool


@dataclass(frozen=True)
class Recording:
    """Twelve leads as stored; in millivolts they are `(digital - baseline) / gain`.

    Attributes:
        digital: (12, samples) int16, in the order of `LEADS`; samples without a value are set to 0 mV.
        gain: (12,) digital units per mV.
        baseline: (12,) the digital value of 0 mV.
        sampling_rate: Hz.
        invalid: number of samples without a value.
        flat: leads without any variation.
    """

    digital: npt.NDArray[np.int16]
    gain: npt.NDArray[np.float64]
    baseline: npt.NDArray[np.int32]
    sampling_rate: float
    invalid: int
    flat: tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """What all records of one store have in common: Hz, and samples per lead."""

    sampling_rate: float
    samples: int


def read_recording(path: Path, *, verify: bool = True) -> Recording:
    """Read one record; `path` has no suffix, as WFDB names records.

    Args:
        path: such as `records500/00000/00001_hr`.
        verify: compare the samples with the header's checksums, where it has any.

    Raises:
        MibenchError: a file is missing, truncated, damaged, or not a twelve-lead ECG in the standard leads.
    """
    return load_recording(os.fspath(path), verify=verify)[0]


def load_recording(
    path: str,
    *,
    verify: bool = True,
    shape: Shape | None = None,
    checksums: Mapping[str, str] | None = None,
    out: npt.NDArray[np.int16] | None = None,
) -> tuple[Recording, list[Stamp]]:
    """`read_recording` for the builder of a store.

    Args:
        path: record, without suffix.
        verify: as in `read_recording`.
        shape: what the record must be like.
        checksums: sha256 by file, spelt as `path` is; a file that is not listed is not compared.
        out: (12, samples) int16 array to read into; needs `shape`.

    Returns:
        The recording, and the files that it came from, as they were just before they were read.

    Raises:
        MibenchError: as `read_recording`; another rate or length than `shape`; a file that differs from `checksums`.
    """
    data, stamp = read_bytes(f"{path}.hea", checksums)
    header = parse_header(data, stamp.file)
    if len(set(header.files)) == 1:
        layout = header.layout()
        if layout.plain:
            data, data_stamp = read_bytes(signal_path(header, header.files[0]), checksums)
            digital = _demultiplex(data, header, layout, data_stamp.file, shape, out)
            if verify:
                _check_sums(header, layout, np.add.reduce(digital, axis=1, dtype=np.int16))
            return _recording(header.file, digital, layout, header.sampling_rate, None), [stamp, data_stamp]
    return _load_through_wfdb(header, stamp, verify=verify, shape=shape, checksums=checksums, out=out)


def write_recording(
    path: Path,
    millivolt: npt.ArrayLike,
    sampling_rate: float,
    *,
    gain: float = 1000.0,
    leads: Sequence[str] = LEADS,
    capitals: bool = True,
    started: datetime | None = None,
) -> None:
    """Write a record as PTB-XL does: format 16, one signal file, initial values and checksums in the header.

    Args:
        path: record, without suffix; its folder must exist.
        millivolt: (leads, samples); NaN becomes a sample without a value.
        sampling_rate: Hz.
        gain: digital units per mV.
        leads: names for the header, one per row of `millivolt`.
        capitals: write the names in capitals, as PTB-XL does.
        started: when it was recorded, where the header is to tell.

    Raises:
        ValueError: a shape that does not fit `leads`, or a voltage beyond 16 bits at this gain.
    """
    scaled = np.rint(np.asarray(millivolt, dtype=np.float64) * gain)
    if scaled.ndim != 2 or len(scaled) != len(leads):
        raise ValueError(f"{len(leads)} leads need an array of that many rows, not one of shape {scaled.shape}")
    missing = np.isnan(scaled)
    if (np.abs(scaled[~missing]) > 32767).any():
        raise ValueError(f"a sample does not fit 16 bits at {gain} units per mV")
    digital = np.where(missing, INVALID, scaled).astype("<i2")
    sums = digital.sum(axis=1, dtype=np.int64) & 0xFFFF
    first = digital[:, 0] if digital.shape[1] else np.zeros(len(leads), dtype=np.int16)
    when = f" {started:%H:%M:%S %d/%m/%Y}" if started else ""
    lines = [f"{path.name} {len(leads)} {sampling_rate:.12g} {digital.shape[1]}{when}"]
    lines += [
        f"{path.name}.dat 16 {float(gain)}(0)/mV 16 0 {start} {total} 0 {lead.upper() if capitals else lead}"
        for lead, start, total in zip(leads, first, sums, strict=True)
    ]
    path.with_name(path.name + ".dat").write_bytes(np.ascontiguousarray(digital.T).tobytes())
    path.with_name(path.name + ".hea").write_text("\n".join(lines) + "\n", encoding="ascii")


def _demultiplex(
    data: bytes, header: Header, layout: Layout, file: str, shape: Shape | None, out: npt.NDArray[np.int16] | None
) -> npt.NDArray[np.int16]:
    """Turn the bytes of a plain signal file, sample by sample, into leads, (12, samples)."""
    count = len(LEADS)
    frames = len(data) // (2 * count) if header.frames is None else header.frames
    _check_shape(header.file, shape, header.sampling_rate, frames)
    if not frames or len(data) < 2 * count * frames:
        whole = f"{frames} samples" if header.frames else "any sample"
        raise bad_record(file, f"truncated: {len(data)} bytes do not hold {whole} of {count} leads")
    raw = np.frombuffer(data, dtype="<i2", count=frames * count).reshape(frames, count).T
    if out is None:
        out = np.empty((count, frames), dtype=np.int16)
    np.copyto(out, raw if layout.standard else raw[layout.order])
    return out


def _load_through_wfdb(
    header: Header,
    stamp: Stamp,
    *,
    verify: bool,
    shape: Shape | None,
    checksums: Mapping[str, str] | None,
    out: npt.NDArray[np.int16] | None,
) -> tuple[Recording, list[Stamp]]:
    # Only an unusual record waits for the wfdb package, which is slow to import.
    from .wfdb_formats import further_files, read_through_wfdb

    stamps = [stamp, *(read_bytes(file, checksums)[1] for file in further_files(header))]
    signals = read_through_wfdb(header, verify=verify)
    _check_shape(header.file, shape, signals.sampling_rate, signals.digital.shape[1])
    if out is None:
        out = np.empty(signals.digital.shape, dtype=np.int16)
    np.copyto(out, signals.digital, casting="unsafe")
    return _recording(header.file, out, signals.layout, signals.sampling_rate, signals.missing), stamps


def _recording(
    file: str,
    digital: npt.NDArray[np.int16],
    layout: Layout,
    sampling_rate: float,
    missing: npt.NDArray[np.bool_] | None,
) -> Recording:
    """Set samples without a value to 0 mV in place; `missing` is worked out for format 16 when None."""
    if missing is None and digital.min() == INVALID:
        missing = digital == INVALID
    invalid = 0 if missing is None else int(np.count_nonzero(missing))
    if missing is not None and invalid:
        zero = np.broadcast_to(layout.baseline[:, None], digital.shape)[missing]
        if (np.abs(zero) > 32767).any():
            raise bad_record(file, "a lead with missing samples has a 0 mV level beyond 16 bits", "leave it out")
        digital[missing] = zero
    return Recording(digital, layout.gain, layout.baseline, sampling_rate, invalid, _flat_leads(digital))


def _flat_leads(digital: npt.NDArray[np.int16]) -> tuple[str, ...]:
    few = digital[:, :: max(1, digital.shape[1] // 8)]
    if (few != few[:, :1]).any(axis=1).all():
        return ()
    flat = (digital == digital[:, :1]).all(axis=1)
    return tuple([lead for lead, is_flat in zip(LEADS, flat.tolist(), strict=True) if is_flat])


def signal_path(header: Header, name: str) -> str:
    """The path of a file that a header names; it must lie beside the header.

    Raises:
        MibenchError: it points elsewhere.
    """
    if name in {"", ".", "..", "-"} or "/" in name or os.sep in name or "\0" in name:
        raise bad_record(header.file, f"it names the signal file {name!r}, which is not a file beside it")
    folder, slash, _ = header.file.rpartition(os.sep)
    return f"{folder}{slash}{name}"


def _check_shape(file: str, shape: Shape | None, sampling_rate: float, samples: int) -> None:
    if shape is None:
        return
    if sampling_rate != shape.sampling_rate:
        raise bad_record(
            file,
            f"sampled at {sampling_rate:g} Hz where {shape.sampling_rate:g} Hz are expected",
            "choose the folder of the other rate, or leave it out",
        )
    if samples != shape.samples:
        raise bad_record(file, f"{samples} samples long where {shape.samples} are expected", "leave it out")


def _check_sums(header: Header, layout: Layout, sums: npt.NDArray[np.int16]) -> None:
    """`sums` are modulo 2**16 and in the order of `LEADS`."""
    found = sums.view(np.uint16).tolist()
    wanted = [header.checksums[position] for position in layout.order.tolist()]
    if wanted != found:
        wrong = [lead for lead, a, b in zip(LEADS, wanted, found, strict=True) if a is not None and a != b]
        if wrong:
            raise damaged(header.file, wrong)


def damaged(header_file: str, leads: Sequence[str]) -> MibenchError:
    """The error for samples that are not those the header was written for."""
    return bad_record(header_file, f"wrong checksum in {', '.join(leads)}: the signal file is damaged")


def read_bytes(file: str, checksums: Mapping[str, str] | None = None) -> tuple[bytes, Stamp]:
    """A whole file, compared with its sha256 where one is listed.

    Raises:
        MibenchError: it is missing, unreadable, or differs.
    """
    try:
        # The bare calls: a file object for each of two files per record costs as much as reading the signals.
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            state = os.fstat(handle)
            data = os.read(handle, state.st_size)
        finally:
            os.close(handle)
    except OSError as problem:
        raise _unreadable(file, problem) from None
    wanted = checksums.get(file) if checksums else None
    if wanted is not None and hashlib.sha256(data).hexdigest() != wanted:
        raise bad_record(file, "it differs from its entry in SHA256SUMS.txt")
    stamp = Stamp(file, state.st_size, state.st_mtime_ns, state.st_ctime_ns, wanted is not None)
    return data, stamp


def _unreadable(file: str, problem: OSError) -> MibenchError:
    if problem.errno in {errno.ENOENT, errno.ENOTDIR}:
        return bad_record(file, "the file is missing")
    reason = f"cannot be read ({problem.strerror})"
    return UnreadableFileError(str(bad_record(file, reason, f"check the file and its permissions, or {COPY_AGAIN}")))
