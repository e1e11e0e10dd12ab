"""Building a signal store: in parts that survive a kill, by one process at a time, whole or not at all."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
from filelock import FileLock, Timeout

from ...adapters.errors import MibenchError
from ..ecg import LEADS
from ..files import sha256_json, write_json, write_text
from .records import Shape
from .shards import RecordSource, Shard, ShardJob, build_shard, finished_shard, shard_name, sidecar_name, unchanged
from .store import INDEX, INDEX_SCHEMA, KIND, MANIFEST, SCHEMA, SignalStore, content_hash, read_manifest

__all__ = ["RecordSource", "build_store"]

PLAN = "plan.json"

_logger = logging.getLogger(__name__)


def build_store(
    sources: Sequence[RecordSource],
    target: Path,
    *,
    sampling_rate: float,
    samples: int,
    workers: int = 1,
    checksums: Mapping[Path, str] | None = None,
    skip_bad: bool = False,
    shard_records: int = 512,
    progress: Callable[[int], None] | None = None,
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
        skip_bad: leave records that cannot be read out, and list them in the store, instead of failing.
        shard_records: records per file.
        progress: called with the number of records finished so far.

    Raises:
        MibenchError: records that cannot be read (after all others were; listed in TARGET.bad-records.txt), no room,
            a folder that is not a store in the way.
    """
    shape = Shape(float(sampling_rate), samples)
    report = progress or (lambda _: None)
    _check_sources(sources)
    jobs = _plan(sources, _sibling(target, "building"), shape, checksums or {}, shard_records)
    with _alone(target):
        store = _already_built(target, jobs[0].plan, skip_bad=skip_bad)
        if store is None:
            _prepare(target, jobs)
            shards = _make(jobs, workers, report)
            _judge(target, shards, len(sources), skip_bad=skip_bad)
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
    sources: Sequence[RecordSource], folder: Path, shape: Shape, checksums: Mapping[Path, str], shard_records: int
) -> list[ShardJob]:
    absolute = [
        source if source.path.is_absolute() else replace(source, path=source.path.absolute()) for source in sources
    ]
    by_folder: dict[str, dict[str, str]] = defaultdict(dict)
    for file, digest in checksums.items():
        by_folder[str(file.parent)][str(file)] = digest
    identity = {
        "schema": SCHEMA,
        "shape": [shape.sampling_rate, shape.samples],
        "shard_records": shard_records,
        "sources": [[source.record, source.patient, str(source.path)] for source in absolute],
        "checksums": by_folder,
    }
    plan = sha256_json(identity)
    jobs = []
    for start in range(0, len(sources), shard_records):
        part = tuple(absolute[start : start + shard_records])
        relevant: dict[str, str] = {}
        for parent in {str(source.path.parent) for source in part}:
            relevant |= by_folder.get(parent, {})
        jobs.append(ShardJob(start // shard_records, folder, plan, part, shape, relevant))
    return jobs


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


def _already_built(target: Path, plan: str, *, skip_bad: bool) -> SignalStore | None:
    """The finished store, if it was made from these very files."""
    try:
        store = SignalStore.open(target)
        if store.details.get("plan") != plan or (store.skipped and not skip_bad):
            return None
        parts = [Shard.load(target / name) for name in store.details["parts"]]
    except (MibenchError, OSError, ValueError, TypeError, KeyError):
        return None
    return store if all(unchanged(part.stamps) for part in parts) else None


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
    needed = sum(_bytes_needed(job) for job in jobs if not job.sidecar.exists())
    if needed > free:
        raise MibenchError(
            f"{target.parent} has {free / 1e9:.2f} GB free and the signal store needs {needed / 1e9:.2f} GB: make "
            "room, or choose another place with MIBENCH_HOME"
        )


def _make(jobs: Sequence[ShardJob], workers: int, report: Callable[[int], None]) -> list[Shard]:
    """All shards in order: those of an earlier try where they still hold, the rest anew."""
    shards = {job.number: shard for job in jobs if (shard := finished_shard(job)) is not None}
    todo = [job for job in jobs if job.number not in shards]
    done = sum(len(job.sources) for job in jobs if job.number in shards)
    report(done)

    def tick(records: int) -> None:
        nonlocal done
        done += records
        report(done)

    if min(workers, len(todo)) <= 1:
        for job in todo:
            shards[job.number] = build_shard(job, tick)
    else:
        for job, shard in _in_processes(todo, min(workers, len(todo))):
            shards[job.number] = shard
            tick(len(job.sources))
    return [shards[job.number] for job in jobs]


def _in_processes(jobs: Sequence[ShardJob], workers: int) -> Iterator[tuple[ShardJob, Shard]]:
    # Fresh processes: forked ones would hold the lock of a build that was killed, and torch's threads do not survive.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent)
    try:
        futures = {pool.submit(build_shard, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as problem:
        raise MibenchError(
            "a process that was reading records died, perhaps for want of memory: run the same command again, with "
            "fewer workers; finished parts are kept"
        ) from problem
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _judge(target: Path, shards: Sequence[Shard], total: int, *, skip_bad: bool) -> None:
    """Stop when records are bad, unless they are to be skipped; either way list them in a file."""
    bad = [problem for shard in shards for _, problem in shard.bad]
    listing = target.with_name(f"{target.name}.bad-records.txt")
    try:
        if bad:
            write_text(listing, "".join(f"{problem}\n" for problem in bad))
        else:
            listing.unlink(missing_ok=True)
    except OSError as problem:
        raise _cannot_write(listing, problem) from problem
    if len(bad) == total:
        raise MibenchError(f"none of the {total} records can be read (all listed in {listing}), the first: {bad[0]}")
    if bad and not skip_bad:
        raise MibenchError(
            f"{len(bad)} of {total} records cannot be read (all listed in {listing}), the first: "
            f"{' | '.join(bad[:3])}. Put them right and run the same command again (the rest is kept), or leave them "
            "out with --skip-bad"
        )


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


def _bytes_needed(job: ShardJob) -> int:
    samples = len(job.sources) * len(LEADS) * job.shape.samples * 2
    return samples + len(job.sources) * 1024


def _sibling(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{role}")


def _cannot_write(path: Path, problem: OSError) -> MibenchError:
    return MibenchError(
        f"{path} cannot be written ({problem.strerror or problem}): make room or check its permissions, then run the "
        "same command again; finished parts are kept"
    )
