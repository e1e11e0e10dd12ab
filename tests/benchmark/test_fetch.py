"""One file over HTTP, from a server that drops connections, sends other bytes, and asks to wait."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from faulty_server import Fault, FaultyServer

from mibench.benchmark.fetch import Fetcher, Patience
from mibench.benchmark.fetch_answers import (
    FetchError,
    MissingError,
    RefusedError,
    UnreachableError,
    WrongContentError,
    seconds_to_wait,
)

BYTES = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(BYTES).hexdigest()
HASTY = Patience(tries=4, first=0.01)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file").write_bytes(BYTES)
    with FaultyServer(tmp_path / "served") as server:
        yield server


def fetch(server: FaultyServer, target: Path, sha256: str | None = SHA256, name: str = "file") -> str:
    return Fetcher(HASTY).fetch(f"{server.url}/{name}", target, sha256)


def test_a_file_arrives_whole_in_folders_that_were_not_there(server: FaultyServer, tmp_path: Path) -> None:
    counted: list[int] = []
    target = tmp_path / "a" / "b" / "file"
    assert Fetcher(HASTY).fetch(f"{server.url}/file", target, SHA256, counted.append) == SHA256
    assert target.read_bytes() == BYTES
    assert sum(counted) == len(BYTES)
    assert [file.name for file in target.parent.iterdir()] == ["file"]


def test_a_line_that_breaks_is_taken_up_where_it_broke(server: FaultyServer, tmp_path: Path) -> None:
    server.faults["/file"] = [Fault(cut=100_000), Fault(cut=90_000), Fault(cut=0)]
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BYTES
    first, *later = [asked.headers.get("Range") for asked in server.asked]
    starts = [int(text.removeprefix("bytes=").rstrip("-")) for text in later if text]
    assert first is None
    assert len(starts) == 3
    assert all(start > end - (1 << 14) for start, end in zip(starts, (100_000, 170_000, 160_000), strict=True))
    assert starts[2] == starts[1]


def test_bytes_that_keep_coming_are_progress_however_often_the_line_breaks(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.faults["/file"] = [Fault(cut=90_000) for _ in range(3)]
    Fetcher(Patience(tries=2, first=0.01)).fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == BYTES


@pytest.mark.parametrize("half", [1, 150_000, len(BYTES)])
def test_a_half_from_before_is_gone_on_with(server: FaultyServer, tmp_path: Path, half: int) -> None:
    (tmp_path / "file.part").write_bytes(BYTES[:half])
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BYTES
    assert [asked.headers.get("Range") for asked in server.asked] == [f"bytes={half}-"]


@pytest.mark.parametrize("half", [b"x" * 1000, b"x" * len(BYTES), BYTES + b"more"])
def test_a_half_of_another_file_is_noticed_and_all_of_it_fetched(
    server: FaultyServer, tmp_path: Path, half: bytes
) -> None:
    (tmp_path / "file.part").write_bytes(half)
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BYTES


def test_a_server_that_ignores_ranges_sends_it_from_the_start(server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(BYTES[:1000])
    server.faults["/file"] = [Fault(ignore_range=True)]
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BYTES
    assert len(server.asked) == 1


def test_without_a_hash_an_old_half_is_not_trusted(server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"of another release")
    assert fetch(server, tmp_path / "file", None) == SHA256


def test_wrong_bytes_are_fetched_again_once(server: FaultyServer, tmp_path: Path) -> None:
    server.faults["/file"] = [Fault(spoil=True)]
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BYTES


def test_wrong_bytes_that_stay_wrong_are_kept_apart(server: FaultyServer, tmp_path: Path) -> None:
    server.faults["/file"] = [Fault(spoil=True), Fault(spoil=True)]
    with pytest.raises(WrongContentError, match=r"/file came twice with another SHA-256.*file\.wrong"):
        fetch(server, tmp_path / "file")
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["file.wrong"]
    assert server.times("/file") == 2


def test_a_server_that_asks_to_wait_is_believed(server: FaultyServer, tmp_path: Path) -> None:
    server.faults["/file"] = [Fault(429, {"Retry-After": "0.4"}), Fault(503, {"Retry-After": "0"})]
    started = time.monotonic()
    fetch(server, tmp_path / "file")
    assert time.monotonic() - started >= 0.4
    assert server.times("/file") == 3


def test_one_that_asks_for_hours_is_not_waited_for(server: FaultyServer, tmp_path: Path) -> None:
    server.always = Fault(429, {"Retry-After": "7200"})
    with pytest.raises(UnreachableError, match="asks to wait 120 minutes"):
        fetch(server, tmp_path / "file")
    assert server.times("/file") == 1


@pytest.mark.parametrize(
    ("fault", "kind", "words", "times"),
    [
        (Fault(404), MissingError, "/file is not there", 1),
        (Fault(403), RefusedError, "not given to everybody", 1),
        (Fault(418), FetchError, "answer 418", 1),
        (Fault(500), UnreachableError, "answer 500 .*, 4 times in a row", 4),
        (Fault(cut=0), UnreachableError, "broke off, 4 times in a row", 4),
        (Fault(302, {"Location": "/file"}), FetchError, "leads in circles", None),
    ],
)
def test_what_stays_wrong_is_a_sentence(
    server: FaultyServer, tmp_path: Path, fault: Fault, kind: type[FetchError], words: str, times: int | None
) -> None:
    server.always = fault
    with pytest.raises(kind, match=words):
        fetch(server, tmp_path / "file")
    assert times in (None, server.times("/file"))
    assert not (tmp_path / "file").exists()


def test_nobody_there_is_a_sentence_too(tmp_path: Path) -> None:
    with FaultyServer(tmp_path) as gone:
        url = gone.url
    with pytest.raises(UnreachableError, match="connection refused, 4 times in a row"):
        Fetcher(HASTY).fetch(f"{url}/file", tmp_path / "file")
    with pytest.raises(FetchError, match="no address that can be fetched"):
        Fetcher(HASTY).fetch("physionet/file", tmp_path / "file")


def test_a_password_stays_with_the_server_it_is_for(server: FaultyServer, tmp_path: Path) -> None:
    with FaultyServer(tmp_path / "served") as other:
        server.faults["/moved"] = [Fault(302, {"Location": f"{other.url}/file"})]
        fetcher = Fetcher(HASTY, {"Authorization": "Bearer secret"})
        fetcher.fetch(f"{server.url}/moved", tmp_path / "file", SHA256)
        assert server.asked[0].headers["Authorization"] == "Bearer secret"
        assert "Authorization" not in other.asked[0].headers


def test_what_a_server_asks_for_is_read_as_seconds_or_as_a_date() -> None:
    assert seconds_to_wait("3") == 3
    assert seconds_to_wait("-1") == 0
    assert seconds_to_wait("soon") is None
    assert seconds_to_wait(None) is None
    later = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), usegmt=True)
    assert 80 < (seconds_to_wait(later) or 0) <= 90
