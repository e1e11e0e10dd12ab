"""Fetching a data set: its list of hashes first, then its files, several at a time, each held against its hash."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ...adapters.errors import MibenchError
from ..fetch import WRONG, Fetcher, Patience, StoppedError, beside
from ..fetch_answers import FetchError, MissingError, RefusedError, UnreachableError
from ..files import sha256_file
from .cohort import DEMO_MARKER
from .integrity import SUMS_FILE, Sums, read_sha256sums
from .physionet import Collection, Extent, Wanted, extent, in_bytes, wanted

Say = Callable[[str], None]

FIRST_CONTACT = Patience(tries=3)
"""Whoever has no network, or a wrong address, is told at once; later, a line may be down for a while."""

FROM_THEN_ON = Patience(tries=10)

TOO_MANY = 20
_SHOWN = 5


@dataclass(frozen=True)
class Download:
    """What is fetched, from where, to where.

    Attributes:
        collection, release: of PhysioNet.
        folder: where it goes.
        rates: Hz, of PTB-XL; empty takes every file.
        mirror: address in place of PhysioNet's, or None.
        jobs: files at once.
        patience: of every file.
    """

    collection: Collection
    release: str
    folder: Path
    rates: tuple[int, ...] = ()
    mirror: str | None = None
    jobs: int = 8
    patience: Patience = FROM_THEN_ON

    @property
    def url(self) -> str:
        """Of the release."""
        return self.collection.url(self.release, self.mirror)


@dataclass
class Outcome:
    """What came of it so far, of `total` files; threads add to it under `lock`."""

    total: int = 0
    fetched: int = 0
    there: int = 0
    aside: int = 0
    bytes: int = 0
    failed: dict[str, FetchError] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def done(self) -> int:
        """Files that need no more attention, be they here or not to be had."""
        return self.fetched + self.there + len(self.failed)


Watch = Callable[[Outcome], None]


def download(
    task: Download, say: Say, agree: Callable[[Extent], None] = lambda _extent: None, watch: Watch = lambda _: None
) -> Outcome:
    """Fetch a data set, whole: its list of hashes, then every file that is missing.

    Done again, it goes on where it stopped, in the middle of files as well; what is here already is read and held
    against its hash. A file of another content is put aside as `NAME.wrong`, and fetched.

    Args:
        task: what, from where and to where.
        say: told what it is, under which licence, and how much.
        agree: called with the amount before any file is asked for; raises where somebody does not agree.
        watch: called many times a second with what came so far.

    Raises:
        MibenchError: no such release, no network, no room, another release or another process in the folder, or files
            that could not be had, in which case all others are here.
    """
    folder = task.folder
    if folder.exists() and not folder.is_dir():
        raise MibenchError(f"{folder} is a file: choose a folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".download.lock", timeout=0):
            sums = _list_of_hashes(task)
            amount = extent(wanted(sums, folder, task.rates))
            say(_in_words(task, amount))
            _assert_room(task, amount)
            agree(amount)
            outcome = _fetch(task, wanted(sums, folder, task.rates), amount.files, watch)
            if not outcome.failed:
                _demo_marker(task)
    except Timeout:
        raise MibenchError(
            f"another process fetches into {folder}: wait for it, or choose another folder with --out"
        ) from None
    if outcome.failed:
        raise MibenchError(_what_failed(task, outcome))
    return outcome


def _list_of_hashes(task: Download) -> Sums:
    """The hashes of the release, fetched where they are not here yet."""
    url, file = task.url + SUMS_FILE, task.folder / SUMS_FILE
    fresh = beside(file, ".new")
    fetcher = Fetcher(FIRST_CONTACT)
    by_hand = task.collection.by_hand(task.release, task.folder)
    try:
        headers = fetcher.head(url)
        if not _same(file, headers):
            fetcher.fetch(url, fresh)
            _take(task, fresh, headers)
    except MissingError as problem:
        raise MibenchError(_no_release(task)) from problem
    except RefusedError as problem:
        raise MibenchError(f"{problem}. {by_hand}") from problem
    except UnreachableError as problem:
        raise MibenchError(
            f"{problem}. Check the network (HTTPS_PROXY is honoured), or give --mirror. {by_hand}"
        ) from problem
    try:
        sums = read_sha256sums(task.folder)
    except MibenchError:
        sums = Sums(str(task.folder), ())
    if task.folder / task.collection.proof not in sums:
        file.unlink()
        raise MibenchError(
            f"{url} lists no {task.collection.proof}: it is not {task.collection.title}; check --mirror, and whether "
            f"the network asks to log in"
        )
    return sums


def _take(task: Download, fresh: Path, headers: Mapping[str, str]) -> None:
    """Let a fetched list take its name and the server's date; one of another release is never replaced."""
    file = task.folder / SUMS_FILE
    if file.exists() and sha256_file(file) != sha256_file(fresh):
        fresh.unlink()
        raise MibenchError(
            f"{task.folder} holds another release, or half of one: its {SUMS_FILE} is not that of "
            f"{task.collection.title} {task.release}. Choose another folder with --out; if the file is only cut "
            f"short, remove it"
        )
    _, modified = _length_and_date(headers)
    if modified is not None:
        os.utime(fresh, (modified, modified))
    os.replace(fresh, file)


def _same(file: Path, headers: Mapping[str, str]) -> bool:
    """Whether a list is still the server's, by size and date: that of MIMIC-IV-ECG takes 200 MB."""
    length, modified = _length_and_date(headers)
    if length is None or modified is None or not file.is_file():
        return False
    about = file.stat()
    return about.st_size == length and int(about.st_mtime) == modified


def _length_and_date(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    length, date = headers.get("Content-Length", ""), headers.get("Last-Modified", "")
    try:
        return int(length), int(parsedate_to_datetime(date).timestamp())
    except (TypeError, ValueError):
        return None, None


def _in_words(task: Download, amount: Extent) -> str:
    here = amount.files - amount.missing
    rest = f", of which {here:,} are there already" if here else ""
    free = shutil.disk_usage(task.folder).free
    return (
        f"{task.collection.title} {task.release} from {task.url}\n"
        f"  licence: {task.collection.license}\n"
        f"  {amount.files:,} files, about {in_bytes(amount.bytes)}{rest}; into {task.folder} "
        f"({in_bytes(free)} free)"
    )


def _assert_room(task: Download, amount: Extent) -> None:
    free = shutil.disk_usage(task.folder).free
    if amount.missing_bytes > free:
        raise MibenchError(
            f"{task.folder} has {in_bytes(free)} free and the {amount.missing:,} files that are missing need "
            f"{in_bytes(amount.missing_bytes)}: make room, or choose another disk with --out"
        )


def _fetch(task: Download, files: Iterator[Wanted], total: int, watch: Watch) -> Outcome:
    fetcher = Fetcher(task.patience, connections=task.jobs)
    outcome, crashed = Outcome(total), list[BaseException]()

    def work() -> None:
        try:
            while (file := _next(files, outcome.lock)) is not None:
                _one(fetcher, task.url, file, outcome)
                if _hopeless(outcome):
                    fetcher.stop()
        except StoppedError:
            pass
        except BaseException as problem:  # a full disk, for one
            crashed.append(problem)
            fetcher.stop()

    # Daemons, so that Ctrl-C never waits for a server that does not answer.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(task.jobs)]
    for thread in threads:
        thread.start()
    try:
        while (working := next((thread for thread in threads if thread.is_alive()), None)) is not None:
            working.join(0.05)
            watch(outcome)
    finally:
        fetcher.stop()
    if crashed:
        raise crashed[0]
    return outcome


def _next(files: Iterator[Wanted], lock: threading.Lock) -> Wanted | None:
    with lock:
        return next(files, None)


def _one(fetcher: Fetcher, base: str, file: Wanted, outcome: Outcome) -> None:
    def told(count: int) -> None:
        with outcome.lock:
            outcome.bytes += count

    if file.target.is_file():
        if sha256_file(file.target) == file.sha256:
            with outcome.lock:
                outcome.there += 1
            return
        os.replace(file.target, beside(file.target, WRONG))
        with outcome.lock:
            outcome.aside += 1
    try:
        fetcher.fetch(base + file.path, file.target, file.sha256, told)
    except FetchError as problem:
        with outcome.lock:
            outcome.failed[file.path] = problem
    else:
        with outcome.lock:
            outcome.fetched += 1


def _hopeless(outcome: Outcome) -> bool:
    """Whether to go on would only find more of the same."""
    with outcome.lock:
        lost = any(isinstance(problem, UnreachableError) for problem in outcome.failed.values())
        return lost or len(outcome.failed) >= TOO_MANY


def _what_failed(task: Download, outcome: Outcome) -> str:
    names = sorted(outcome.failed)
    told = "".join(f"\n  {outcome.failed[name]}" for name in names[:_SHOWN])
    more = f"\n  and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    one = "1 file" if len(names) == 1 else f"{len(names)} files"
    return (
        f"{one} of {task.collection.title} {task.release} could not be had:{told}{more}\n"
        f"{outcome.fetched + outcome.there:,} files are in {task.folder} and stay; the same command goes on from "
        f"there"
    )


def _no_release(task: Download) -> str:
    collection = task.collection
    known = ", ".join(collection.releases)
    if task.release in collection.releases:
        return f"{task.url}{SUMS_FILE} is not there: check --mirror, which must lead to {collection.name}/RELEASE/"
    return f"there is no release {task.release} of {collection.title} at {task.url}; known are {known}"


def _demo_marker(task: Download) -> None:
    """From a mirror of synthetic data, also the file that says so: no list of hashes holds it."""
    if task.mirror is None:
        return
    try:
        Fetcher(FIRST_CONTACT).fetch(task.url + DEMO_MARKER, task.folder / DEMO_MARKER)
    except (MissingError, RefusedError):  # which is how S3 says that it has no such file
        return
