"""What a build will take: room on the disk, and time, from a sample of the records themselves."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...adapters.errors import MibenchError
from ..ecg import LEADS
from .integrity import Sums
from .records import Shape, load_recording
from .shards import RecordSource

SAMPLE = 64
MOST_SECONDS = 1.5
_INDEX_BYTES = 1024


@dataclass(frozen=True)
class Estimate:
    """What a build will take.

    Attributes:
        records: to be read.
        bytes: of the parts of the store that are to be written.
        folder: of the store.
        free: bytes on its disk.
        seconds: all of it; None where none of the sample could be read.
        workers: processes that read.
        sample: records that the time was measured on.
    """

    records: int
    bytes: int
    folder: Path
    free: int
    seconds: float | None
    workers: int
    sample: int

    def __str__(self) -> str:
        """One line for the user."""
        room = f"{_gigabytes(self.bytes)} in {self.folder} ({_gigabytes(self.free)} free)"
        if self.seconds is None:
            return f"{self.records:,} records, {room}; none of the {self.sample} records tried can be read"
        processes = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return (
            f"{self.records:,} records, {room}, about {in_words(self.seconds)} with {processes}, measured on "
            f"{self.sample} records"
        )


def estimate(sources: Sequence[RecordSource], shape: Shape, sums: Sums, target: Path, workers: int) -> Estimate:
    """Look at a few records, spread over all, and reckon what reading every one takes.

    Args:
        sources: what is to be read.
        shape: of every record; one of another shape is bad, and is read as quickly.
        sums: published hashes, which are computed and compared as the build does.
        target: folder of the store, which need not be there yet.
        workers: processes.
    """
    place = next(parent for parent in (target, *target.parents) if parent.exists())
    seconds, good, tried = _per_record(sources, shape, sums)
    # Each process reads for itself, at the time when others write; all of them write to one disk.
    reading, writing = seconds / min(workers, os.cpu_count() or 1), _per_write(place, shape, tried)
    return Estimate(
        records=len(sources),
        bytes=bytes_needed(len(sources), shape),
        folder=target,
        free=shutil.disk_usage(place).free,
        seconds=max(reading, writing) * len(sources) if good else None,
        workers=workers,
        sample=tried,
    )


def bytes_needed(records: int, shape: Shape) -> int:
    """Room that so many records take, with a little for the index."""
    return records * (len(LEADS) * shape.samples * 2 + _INDEX_BYTES)


def in_words(seconds: float) -> str:
    """A duration as people say it.

    >>> in_words(11_400)
    '3 h 10 min'
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _per_record(sources: Sequence[RecordSource], shape: Shape, sums: Sums) -> tuple[float, int, int]:
    """Seconds for each record, how many were read, and how many were tried."""
    places = np.unique(np.linspace(0, len(sources) - 1, SAMPLE).astype(int))
    # In no order, so that those that there is time for are spread over all as well.
    chosen = [sources[place] for place in np.random.default_rng(0).permutation(places).tolist()]
    wanted = sums.in_folders({os.path.dirname(source.path) for source in chosen})  # noqa: PTH120
    out = np.empty((len(LEADS), shape.samples), dtype=np.int16)
    good = tried = 0
    started = time.perf_counter()
    for source in chosen:
        tried += 1
        try:
            load_recording(os.fspath(source.path), shape=shape, checksums=wanted, out=out)
            hashlib.sha256(out.data)  # which a build does in a thread, and a writer after it
            good += 1
        except MibenchError:
            pass
        if time.perf_counter() - started > MOST_SECONDS:
            break
    return (time.perf_counter() - started) / tried, good, tried


def _per_write(place: Path, shape: Shape, records: int) -> float:
    """Seconds for each record that the disk takes to have so many of them."""
    record = np.zeros((len(LEADS), shape.samples), dtype=np.int16).data
    started = time.perf_counter()
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            for _ in range(records):
                file.write(record)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return 0.0  # whoever builds will say why it cannot be written
    return (time.perf_counter() - started) / records


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number < 100e9 else f"{number / 1e9:,.0f} GB"
