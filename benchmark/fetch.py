"""Files over HTTP: resumed where they were cut, held against their hash, and never there in part.

A file grows as `NAME.part` and takes its name when it is whole and its hash is right. What a server or a line does
wrong is tried again with growing pauses; a server that says how long to wait is believed, by all threads at once.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import requests

from .fetch_answers import FetchError, PassingError, UnreachableError, WrongContentError, reason, refuse
from .files import sha256_file

if TYPE_CHECKING:
    from hashlib import _Hash

_T = TypeVar("_T")

PART = ".part"
WRONG = ".wrong"

_BLOCK = 1 << 14
"""Bytes asked for at once: those of a block that breaks off are lost with it."""

_STEP = 1 << 16
"""An attempt that brought fewer bytes than this counts as one that brought none."""


class StoppedError(Exception):
    """Somebody called `Fetcher.stop`."""


@dataclass(frozen=True)
class Patience:
    """How long to go on.

    Attributes:
        tries: attempts in a row that bring nothing new.
        first, most: seconds of the first pause, which doubles, and of the longest.
        longest: seconds that a server may ask to wait.
        connect, read: seconds without an answer, and without a byte.
    """

    tries: int = 7
    first: float = 0.5
    most: float = 60.0
    longest: float = 600.0
    connect: float = 20.0
    read: float = 60.0


class Fetcher:
    """Fetches files; one may serve many threads."""

    def __init__(
        self, patience: Patience | None = None, headers: Mapping[str, str] | None = None, connections: int = 1
    ) -> None:
        self.patience = patience or Patience()
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": "mibench", "Accept-Encoding": "identity", **(headers or {})})
        pool = requests.adapters.HTTPAdapter(pool_connections=connections, pool_maxsize=connections)
        self._session.mount("https://", pool)
        self._session.mount("http://", pool)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._not_before = 0.0

    def fetch(
        self, url: str, target: Path, sha256: str | None = None, told: Callable[[int], None] = lambda _bytes: None
    ) -> str:
        """Fetch one file, from where an earlier attempt stopped.

        Args:
            url: where it is.
            target: what it becomes; its folder is made.
            sha256: hex digest that it must have; without it, an old half is not trusted, and what came whole is taken.
            told: called with the number of bytes of every block.

        Returns:
            The sha256 of the file.

        Raises:
            WrongContentError: the hash is wrong for the second time; the file lies beside `target` as `NAME.wrong`.
            FetchError: it cannot be had.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        part, aside = beside(target, PART), beside(target, WRONG)
        if sha256 is None:
            part.unlink(missing_ok=True)
        digest = self._whole(url, part, told)
        if sha256 is not None and digest != sha256:
            part.unlink()  # an old half of another file, or a fault of the line: once more, from nothing
            digest = self._whole(url, part, told)
            if digest != sha256:
                os.replace(part, aside)
                raise WrongContentError(
                    f"{url} came twice with another SHA-256 than was published ({digest[:12]} in place of "
                    f"{sha256[:12]}); what came is kept as {aside}"
                )
        # Not forced onto the disk, file by file: whoever goes on after a power cut compares hashes anyway.
        os.replace(part, target)
        return digest

    def head(self, url: str) -> Mapping[str, str]:
        """The headers of a file that is not fetched.

        Raises:
            FetchError: as `fetch`.
        """

        def ask() -> Mapping[str, str]:
            with self._answer("HEAD", url, {}) as answer:
                return answer.headers

        return self.patiently(ask, url)

    def patiently(self, attempt: Callable[[], _T], url: str, gained: Callable[[], bool] = lambda: False) -> _T:
        """The result of an attempt, made again and again while it fails for reasons that may pass.

        Args:
            attempt: raises what `_answer` does.
            url: of what is wanted, for the sentence.
            gained: whether the last attempt brought something, so that the count of tries starts anew.
        """
        tries = 0
        while True:
            try:
                self._wait_for_turn()
                return attempt()
            except PassingError as problem:
                tries = 1 if gained() else tries + 1
                if tries >= self.patience.tries:
                    raise UnreachableError(f"{url}: {problem}, {tries} times in a row") from problem
                self._back_off(problem, tries, url)

    def stop(self) -> None:
        """Make every thread give up at its next block; halves stay, to be resumed."""
        self._stopped.set()

    def _whole(self, url: str, part: Path, told: Callable[[int], None]) -> str:
        most = [_size(part)]

        def gained() -> bool:
            reached = _size(part)
            better = reached >= most[0] + _STEP
            most[0] = max(most[0], reached)
            return better

        return self.patiently(lambda: self._receive(url, part, told), url, gained)

    def _receive(self, url: str, part: Path, told: Callable[[int], None]) -> str:
        """One attempt: what is missing is appended to `part`; the digest of all of it."""
        have = _size(part)
        with self._answer("GET", url, {"Range": f"bytes={have}-"} if have else {}) as answer:
            if answer.status_code == 416:
                if answer.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                    return sha256_file(part)  # it was whole already: killed just before it took its name
                part.unlink()
                raise PassingError("the half that was here did not fit")
            begins = answer.headers.get("Content-Range", "").removeprefix("bytes").strip().partition("-")[0]
            goes_on = answer.status_code == 206 and begins == str(have)
            if answer.status_code == 206 and not goes_on:
                part.unlink(missing_ok=True)
                raise PassingError("another part came than was asked for")
            digest = hashlib.sha256()
            if goes_on:
                _digest_file(part, digest)
            with part.open("ab" if goes_on else "wb") as file:
                for block in answer.iter_content(_BLOCK):
                    file.write(block)
                    digest.update(block)
                    told(len(block))
                    if self._stopped.is_set():
                        raise StoppedError
        return digest.hexdigest()

    @contextmanager
    def _answer(self, method: str, url: str, headers: Mapping[str, str]) -> Iterator[requests.Response]:
        """What a server answers, when that is a file or a part of one; a context, so that connections are used again.

        Raises:
            PassingError: no answer, one that breaks off, or one that may be another later.
            FetchError: one that will stay.
        """
        timeout = (self.patience.connect, self.patience.read)
        try:
            with self._session.request(
                method, url, headers=dict(headers), stream=True, timeout=timeout, allow_redirects=True
            ) as answer:
                refuse(answer, url)
                yield answer
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.exceptions.InvalidSchema):
            raise FetchError(f"{url} is no address that can be fetched: give one that begins with https://") from None
        except requests.exceptions.TooManyRedirects as problem:
            raise FetchError(f"{url} leads in circles: check the address") from problem
        except requests.RequestException as problem:
            raise PassingError(reason(problem)) from problem

    def _wait_for_turn(self) -> None:
        while (seconds := self._not_before - time.monotonic()) > 0:
            if self._stopped.wait(seconds):
                break
        if self._stopped.is_set():
            raise StoppedError

    def _back_off(self, problem: PassingError, tries: int, url: str) -> None:
        if problem.wait is None:
            # No jitter: threads fail at moments of their own.
            self._stopped.wait(min(self.patience.first * 2 ** (tries - 1), self.patience.most))
            return
        if problem.wait > self.patience.longest:
            raise UnreachableError(
                f"{urlsplit(url).netloc} asks to wait {problem.wait / 60:.0f} minutes: give the same command again then"
            )
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + problem.wait)


def beside(target: Path, suffix: str) -> Path:
    """The file beside `target` that has its name and a suffix."""
    return target.with_name(target.name + suffix)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _digest_file(path: Path, digest: _Hash) -> None:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
