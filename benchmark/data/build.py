"""Building a signal store: in parts that survive a kill, by one process at a time, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow
import pyarrow.parquet
from filelock import FileLock, Timeout

from ...adapters.errors import MibenchError
from ..ecg import LEADS
from ..files import write_json, write_text
from .bad import report as report_of
from .bad import tolerated, too_many
from .estimate import bytes_needed
from .integrity import Sums
from .processes import in_processes
from .records import Shape
from .shards import RecordSource, Shard, ShardJob, build_shard, finished_shard, shard_name, sidecar_name, unchanged
from .store import INDEX, INDEX_SCHEMA, KIND, MANIFEST, SCHEMA, SignalStore, content_hash, read_manifest

__all__ = ["RecordSource", "build_store"]

PLAN = "plan.json"

_IDENTITY_BATCH = 1000
_DIED = (
    "a process that was reading records died, perhaps for want of memory: run the same command again, with fewer "
    "workers; finished parts are kept"
)

T = TypeVar("T")
Announce = Callable[[Sequence[RecordSource], int], None]
"""Told, before anything is read, which records are to be read and by how many processes."""

_logger = logging.getLogger(__name__)


def build_store(
    sources: Sequence[RecordSource],
    target: Path,
    *,
    sampling_rate: float,
    samples: int,
    workers: int = 1,
    checksums: Mapping[Path, str] | None = None,
    skip_bad: bool | float = False,
    shard_records: int = 512,
    progress: Callable[[int], None] | None = None,
    announce: Announce = lambda _sources, _workers: None,
) -> SignalStore:
    """Read records into a new store, or open the one that a build of the same records already made.

    Interrupted, it goes on from the last finished shard; a shard whose source files changed since is made again.
    A second process that wants the same store waits for the first.

    Args:
        sources: the records, in store order.
        target: folder of the store; a store of other records there is replaced once the new one is whole.
        sampling_rate, samples: what every record must have, Hz and length.
        workers: processes that read; 1 reads in this one.
        checksums: sha256 by absolute path (see `read_sha256sums`) to compare the files with.
        skip_bad: leave records that cannot be read out, and list them in the store, instead of failing; a number is
            the share of all records up to which that is fine.
        shard_records: records per file.
        progress: called with the number of records finished so far.
        announce: called before reading, unless everything is there already.

    Raises:
        MibenchError: records that cannot be read (after all others were; listed in TARGET.bad-records.txt), no room,
            a folder that is not a store in the way.
    """
    shape = Shape(float(sampling_rate), samples)
    report = progress or (lambda _: None)
    _check_sources(sources)
    sums = Sums.of(checksums or {})
    jobs = _plan(sources, _sibling(target, "building"), shape, sums, shard_records)
    with _alone(target):
        store = _already_built(target, jobs[0].plan, tolerated(float(skip_bad), len(sources)))
        if store is None:
            _prepare(target, jobs)
            shards = _make(jobs, sums, workers, report, announce)
            _judge(target, shards, len(sources), float(skip_bad))
            _finish(jobs[0].folder, shape, shards)
            _publish(jobs[0].folder, target)
            store = SignalStore.open(target)
    report(len(sources))
    return store


def _check_sources(sources: Sequence[RecordSource]) -> None:
    if not sources:
        raise MibenchError("there are no records to build a signal store from: check the data set's list of records")
    names = set()
    for source in sources:
        if source.record in names:
            raise MibenchError(f"record {source.record} is listed twice: remove one of them from the list of records")
        names.add(source.record)


def _plan(
    sources: Sequence[RecordSource], folder: Path, shape: Shape, sums: Sums, shard_records: int
) -> list[ShardJob]:
    """The shards to be made; the checksums join a job when it is its turn."""
    absolute = [
        source
        if os.path.isabs(source.path)  # noqa: PTH117 (for each of a million files, where a Path each is slow)
        else replace(source, path=Path(source.path).absolute())
        for source in sources
    ]
    plan = hashlib.sha256()
    for part in _identity(absolute, shape, sums, shard_records):
        plan.update(part.encode())
    return [
        ShardJob(
            start // shard_records, folder, plan.hexdigest(), tuple(absolute[start : start + shard_records]), shape, {}
        )
        for start in range(0, len(absolute), shard_records)
    ]


def _identity(sources: Sequence[RecordSource], shape: Shape, sums: Sums, shard_records: int) -> Iterator[str]:
    """What a build is told by, as `sha256_json` would spell it, in pieces: whole it can be half a gigabyte."""

    def spelt(value: Mapping[str, object] | Sequence[object]) -> str:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))[1:-1]

    yield '{"checksums":{'
    yield from _joined(spelt(dict(part)) for part in _batches(sums.folders(), _IDENTITY_BATCH))
    shape_text = json.dumps([shape.sampling_rate, shape.samples], separators=(",", ":"))
    yield f'}},"schema":{SCHEMA},"shape":{shape_text},"shard_records":{shard_records},"sources":['
    rows = ([source.record, source.patient, os.fspath(source.path)] for source in sources)
    yield from _joined(spelt(part) for part in _batches(rows, _IDENTITY_BATCH))
    yield "]}"


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while part := list(islice(waiting, size)):
        yield part


def _joined(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f",{text}" if number else text


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other processes from building the same store; a killed process lets go by itself."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_sibling(target, "lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _logger.info("waiting for another process that builds %s", target)
            lock.acquire()
    except OSError as problem:
        raise MibenchError(
            f"{target.parent} cannot be written ({problem.strerror}): choose another place with MIBENCH_HOME"
        ) from problem
    try:
        yield
    finally:
        lock.release()


def _already_built(target: Path, plan: str, may_lack: int) -> SignalStore | None:
    """The finished store, if it was made from these very files."""
    try:
        store = SignalStore.open(target)
        if store.details.get("plan") != plan or len(store.skipped) > may_lack:
            return None
        same = all(unchanged(Shard.load(target / name).stamps) for name in store.details["parts"])
    except (MibenchError, OSError, ValueError, TypeError, KeyError):
        return None
    return store if same else None


def _prepare(target: Path, jobs: Sequence[ShardJob]) -> None:
    """Make the working folder, keep in it only what belongs to this build, and see that there is room."""
    folder = jobs[0].folder
    if target.exists() and not _replaceable(target):
        raise MibenchError(f"{target} is in the way and is no signal store: move it, or choose another place")
    try:
        if folder.exists() and not _is_working_folder(folder, jobs[0].plan):
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        (folder / PLAN).write_text(json.dumps({"plan": jobs[0].plan}), encoding="utf-8")
        for leftover in [*folder.glob("*.tmp"), *folder.glob(".*.tmp")]:
            leftover.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as problem:
        raise _cannot_write(folder, problem) from problem
    needed = sum(bytes_needed(len(job.sources), job.shape) for job in jobs if not job.sidecar.exists())
    if needed > free:
        raise MibenchError(
            f"{target.parent} has {free / 1e9:.2f} GB free and the signal store needs {needed / 1e9:.2f} GB: make "
            "room, or choose another place with MIBENCH_HOME"
        )


def _make(
    jobs: Sequence[ShardJob], sums: Sums, workers: int, report: Callable[[int], None], announce: Announce
) -> list[Shard]:
    """All shards in order: those of an earlier try where they still hold, the rest anew."""
    shards = {}
    for job in jobs:
        if (shard := finished_shard(job)) is not None:
            shard.stamps.clear()
            shards[job.number] = shard
    todo = [job for job in jobs if job.number not in shards]
    if todo:
        announce([source for job in todo for source in job.sources], min(workers, len(todo)))
    done = sum(len(job.sources) for job in jobs if job.number in shards)
    report(done)

    def tick(records: int) -> None:
        nonlocal done
        done += records
        report(done)

    ready = (replace(job, checksums=sums.in_folders(_folders(job.sources))) for job in todo)
    if min(workers, len(todo)) <= 1:
        for job in ready:
            shards[job.number] = _built(job, tick)
    else:
        for job, shard in in_processes(_built, ready, min(workers, len(todo)), died=_DIED):
            shards[job.number] = shard
            tick(len(job.sources))
    return [shards[job.number] for job in jobs]


def _folders(sources: Sequence[RecordSource]) -> list[str]:
    return list({os.path.dirname(source.path) for source in sources})  # noqa: PTH120


def _built(job: ShardJob, tick: Callable[[int], None] | None = None) -> Shard:
    """The shard of a job, without the stamps: they are in its file, and those of a million records fill the memory."""
    shard = build_shard(job, tick)
    shard.stamps.clear()
    return shard


def _judge(target: Path, shards: Sequence[Shard], total: int, share: float) -> None:
    """Stop when too many records are bad; either way list them in a file."""
    bad = [problem for shard in shards for _, problem in shard.bad]
    listing = target.with_name(f"{target.name}.bad-records.txt")
    try:
        if bad:
            write_text(listing, report_of(bad, total))
        else:
            listing.unlink(missing_ok=True)
    except OSError as problem:
        raise _cannot_write(listing, problem) from problem
    if len(bad) == total:
        raise MibenchError(f"none of the {total} records can be read (all listed in {listing}), the first: {bad[0]}")
    if len(bad) > tolerated(share, total):
        raise too_many(bad, total, share, listing)


def _finish(folder: Path, shape: Shape, shards: Sequence[Shard]) -> None:
    """Write the index, then the manifest that makes the folder a store."""
    index = _index(shards)
    files = [
        {"number": number, "file": shard_name(number), "records": len(shard.records), "sha256": shard.sha256}
        for number, shard in enumerate(shards)
        if shard.records
    ]
    details = {
        "schema": SCHEMA,
        "kind": KIND,
        "manifest": content_hash(index, files, shape),
        "plan": shards[0].plan,
        "sampling_rate": shape.sampling_rate,
        "samples": shape.samples,
        "leads": list(LEADS),
        "records": len(index["record"]),
        "shards": files,
        "parts": [sidecar_name(number) for number in range(len(shards))],
        "skipped": {record: problem for shard in shards for record, problem in shard.bad},
        "checked": sum(shard.checked for shard in shards),
    }
    try:
        with (folder / INDEX).open("wb") as file:
            pyarrow.parquet.write_table(index, file)
            file.flush()
            os.fsync(file.fileno())
        write_json(folder / MANIFEST, details)
    except OSError as problem:
        raise _cannot_write(folder, problem) from problem


def _index(shards: Sequence[Shard]) -> pyarrow.Table:
    scales = [[shard.scales[choice] for choice in shard.scale] for shard in shards]
    return pyarrow.Table.from_pydict(
        {
            "record": [record for shard in shards for record in shard.records],
            "patient": [patient for shard in shards for patient in shard.patients],
            "shard": [number for number, shard in enumerate(shards) for _ in shard.records],
            "row": [row for shard in shards for row in range(len(shard.records))],
            "gain": [gain for part in scales for gain, _ in part],
            "baseline": [baseline for part in scales for _, baseline in part],
            "invalid": [invalid for shard in shards for invalid in shard.invalid],
            "flat": [flat for shard in shards for flat in shard.flat],
        },
        schema=INDEX_SCHEMA,
    )


def _publish(folder: Path, target: Path) -> None:
    """Give the finished folder its name; a store of that name goes away."""
    old = _sibling(target, "old")
    try:
        if old.exists():
            shutil.rmtree(old)
        if target.exists():
            os.replace(target, old)
        os.replace(folder, target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as problem:
        raise _cannot_write(target, problem) from problem


def _replaceable(target: Path) -> bool:
    if not target.is_dir():
        return False
    try:
        read_manifest(target)
    except MibenchError:
        return not any(target.iterdir())
    return True


def _is_working_folder(folder: Path, plan: str) -> bool:
    try:
        return bool(json.loads((folder / PLAN).read_text(encoding="utf-8"))["plan"] == plan)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _sibling(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{role}")


def _cannot_write(path: Path, problem: OSError) -> MibenchError:
    return MibenchError(
        f"{path} cannot be written ({problem.strerror or problem}): make room or check its permissions, then run the "
        "same command again; finished parts are kept"
    )
