"""One shard of a signal store: a few hundred records read, hashed and written, whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ...adapters.errors import MibenchError
from ..ecg import LEADS
from ..files import sha256_file
from .records import Recording, Shape, Stamp, UnreadableFileError, load_recording

HEADER_BYTES = 128
"""Length of the npy header of a shard, whatever its number of records."""

NEVER_AGAIN = Stamp("", -2, 0, 0, False)
"""Of no file: a shard with this stamp counts as changed."""

_CHUNK_BYTES = 1 << 20
_CHUNKS_IN_FLIGHT = 4
_CHUNKS_PER_SYNC = 8


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Where one record comes from.

    Attributes:
        record: its name in the store.
        patient: whose it is.
        path: WFDB record, without suffix; as text where there are so many that a Path each would be felt.
    """

    record: str
    patient: str
    path: Path | str


@dataclass(frozen=True)
class ShardJob:
    """What a process needs to know to make one shard.

    Attributes:
        number: position of the shard in the store.
        folder: the working folder.
        plan: hash of the build that the shard belongs to.
        sources: its records.
        shape: what every record must be like.
        checksums: sha256 of the records' files, spelt as the sources are.
    """

    number: int
    folder: Path
    plan: str
    sources: tuple[RecordSource, ...]
    shape: Shape
    checksums: Mapping[str, str]

    @property
    def file(self) -> Path:
        """The samples."""
        return self.folder / shard_name(self.number)

    @property
    def sidecar(self) -> Path:
        """What is known of the samples; written after them, so a shard that has one is whole."""
        return self.folder / sidecar_name(self.number)


@dataclass
class Shard:
    """What was made of a job; rows of all lists are rows of the shard's file.

    Attributes:
        plan: as in the job.
        records, patients: who.
        sha256: of the shard's file; empty when it has no records.
        scales: the different (gain, baseline) found, each twelve numbers.
        scale: position in `scales`.
        invalid: samples without a value.
        flat: leads without variation.
        bad: (record, problem) of those that could not be read; they have no row.
        stamps: the files that the rows came from.
        checked: records whose files were all compared with a sha256.
    """

    plan: str
    sha256: str = ""
    records: list[str] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    scales: list[tuple[list[float], list[int]]] = field(default_factory=list)
    scale: list[int] = field(default_factory=list)
    invalid: list[int] = field(default_factory=list)
    flat: list[list[str]] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    checked: int = 0

    @classmethod
    def load(cls, sidecar: Path) -> Shard:
        """Read what `build_shard` wrote; OSError, ValueError or TypeError when it is not whole."""
        shard = cls(**json.loads(sidecar.read_text(encoding="utf-8")))
        shard.stamps = [Stamp(*stamp) for stamp in shard.stamps]
        return shard


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.npy"


def sidecar_name(number: int) -> str:
    """File name of what is known of a shard."""
    return f"shard-{number:05d}.json"


def finished_shard(job: ShardJob) -> Shard | None:
    """The shard of an earlier, interrupted build, if it is whole and its sources have not changed since."""
    try:
        shard = Shard.load(job.sidecar)
        size = job.file.stat().st_size if shard.records else 0
    except (OSError, ValueError, TypeError):
        return None
    whole = HEADER_BYTES + len(shard.records) * len(LEADS) * job.shape.samples * 2 if shard.records else 0
    if shard.plan != job.plan or size != whole or not unchanged(shard.stamps):
        return None
    return shard


def unchanged(stamps: Sequence[Stamp]) -> bool:
    """Whether all files are as they were when they were read, or still away."""
    return all(_state(file) == (size, modified, changed) for file, size, modified, changed, _ in stamps)


def _state(file: str) -> tuple[int, int, int]:
    try:
        state = os.stat(file)  # noqa: PTH116 (called for each of a million files, where a Path each is slow)
    except OSError:
        return (-1, 0, 0)
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


def build_shard(job: ShardJob, tick: Callable[[int], None] | None = None) -> Shard:
    """Read the records of a job and write its shard; `tick` gets the number of records done since it was last called.

    A record that cannot be read is listed in `bad`, and the others go on.

    Raises:
        MibenchError: the shard cannot be written.
    """
    job.sidecar.unlink(missing_ok=True)
    job.file.unlink(missing_ok=True)
    shard = Shard(job.plan)
    temporary = job.file.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            _fill(job, shard, file, tick or (lambda _: None))
        if shard.records:
            os.replace(temporary, job.file)
        else:
            temporary.unlink()
        _write_sidecar(job.sidecar, shard)
    except OSError as problem:
        temporary.unlink(missing_ok=True)
        raise MibenchError(
            f"{job.folder}: writing the signal store failed ({problem.strerror or problem}); make room or check the "
            "disk and run the same command again: finished parts are kept"
        ) from problem
    return shard


def _write_sidecar(file: Path, shard: Shard) -> None:
    # Not synced to disk: one that a power cut spoils cannot be parsed, and costs no more than making the shard again.
    temporary = file.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(vars(shard)), encoding="utf-8")
    os.replace(temporary, file)


def _fill(job: ShardJob, shard: Shard, file: BinaryIO, tick: Callable[[int], None]) -> None:
    """Read, and hash, write and sync what was read meanwhile, in chunks that stay in the processor's cache."""
    record_shape = (len(LEADS), job.shape.samples)
    size = min(len(job.sources), max(1, _CHUNK_BYTES // (2 * len(LEADS) * job.shape.samples)))
    chunks = [np.empty((size, *record_shape), dtype="<i2") for _ in range(_CHUNKS_IN_FLIGHT)]
    with _Output(file, npy_header((len(job.sources), *record_shape))) as output:
        for start in range(0, len(job.sources), size):
            output.wait_for_room()
            batch = job.sources[start : start + size]
            chunk = chunks[(start // size) % _CHUNKS_IN_FLIGHT]
            output.put(chunk[: _read_batch(job, batch, shard, chunk)])
            tick(len(batch))
    shard.sha256 = output.hash.hexdigest()
    if shard.bad:
        file.seek(0)
        file.write(npy_header((len(shard.records), *record_shape)))
        file.flush()
        shard.sha256 = sha256_file(Path(file.name)) if shard.records else ""
    file.flush()
    os.fsync(file.fileno())


class _Output:
    """Hashes and writes chunks while the next ones are read; leaving the block waits for all of them.

    Each has a thread that takes a chunk at a time: smaller steps would keep them waiting for the interpreter's lock.
    What was written is synced early and often, or the disk would stand idle first and be waited for at the end.
    """

    def __init__(self, file: BinaryIO, header: bytes) -> None:
        self._file = file
        self._header = header
        self._hasher, self._writer, self._syncer = (ThreadPoolExecutor(1) for _ in range(3))
        self._chunks: list[tuple[Future[None], Future[int]]] = []
        self._syncs: list[Future[None]] = []
        self._written = 0
        self.hash = hashlib.sha256(header)

    def __enter__(self) -> _Output:
        self._file.write(self._header)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while kind is None and self._chunks:
                self._settle()
        finally:
            for thread in (self._hasher, self._writer, self._syncer):
                thread.shutdown()
        for sync in self._syncs if kind is None else []:
            sync.result()

    def put(self, chunk: npt.NDArray[np.int16]) -> None:
        """Take a chunk, which must stay as it is until `wait_for_room` has made room for another one in its place."""
        self._chunks.append(
            (self._hasher.submit(self.hash.update, chunk.data), self._writer.submit(self._file.write, chunk.data))
        )

    def wait_for_room(self) -> None:
        """Return once fewer chunks are on their way than there are places for."""
        while len(self._chunks) >= _CHUNKS_IN_FLIGHT:
            self._settle()

    def _settle(self) -> None:
        for done in self._chunks.pop(0):
            done.result()
        self._written += 1
        if self._written % _CHUNKS_PER_SYNC == 0:
            self._syncs.append(self._syncer.submit(os.fsync, self._file.fileno()))


def _read_batch(job: ShardJob, sources: Sequence[RecordSource], shard: Shard, chunk: npt.NDArray[np.int16]) -> int:
    """Read records into the first rows of `chunk`; returns how many are good."""
    row = 0
    for source in sources:
        try:
            recording, stamps = load_recording(
                os.fspath(source.path), shape=job.shape, checksums=job.checksums, out=chunk[row]
            )
        except MibenchError as problem:
            shard.bad.append((source.record, str(problem)))
            shard.stamps += _around(Path(source.path))
            if isinstance(problem, UnreadableFileError):  # a disk that failed once may answer the next time
                shard.stamps.append(NEVER_AGAIN)
            continue
        _note(shard, source, recording)
        shard.stamps += stamps
        shard.checked += all(stamp.compared for stamp in stamps)
        row += 1
    return row


def _around(path: Path) -> list[Stamp]:
    """The files that a bad record seems to consist of, so that mending it is noticed."""
    files = {path.with_name(f"{path.name}.hea"), path.with_name(f"{path.name}.dat")}
    files.update(path.parent.glob(f"{glob.escape(path.name)}*"))
    return [Stamp(str(file), *_state(str(file)), False) for file in sorted(files)]


def _note(shard: Shard, source: RecordSource, recording: Recording) -> None:
    scale = (recording.gain.tolist(), recording.baseline.tolist())
    if scale not in shard.scales:
        shard.scales.append(scale)
    shard.records.append(source.record)
    shard.patients.append(source.patient)
    shard.scale.append(shard.scales.index(scale))
    shard.invalid.append(recording.invalid)
    shard.flat.append(list(recording.flat))


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The header of an npy file (format 1.0) of int16, padded to `HEADER_BYTES`."""
    text = repr({"descr": "<i2", "fortran_order": False, "shape": shape})
    return (
        b"\x93NUMPY\x01\x00"
        + (HEADER_BYTES - 10).to_bytes(2, "little")
        + text.ljust(HEADER_BYTES - 11).encode()
        + b"\n"
    )
