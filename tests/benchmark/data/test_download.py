"""`mibench data download`, from a server on this machine that fails in every way that servers do."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Fault, FaultyServer

from mibench.benchmark.data.catalog import registered
from mibench.benchmark.data.cohort import DEMO_MARKER, mark_as_demo
from mibench.benchmark.data.demo import DemoOptions, TreeOptions, write_demo, write_tree
from mibench.benchmark.data.physionet import COLLECTIONS, extent, in_bytes, wanted
from mibench.benchmark.files import sha256_file
from mibench.benchmark.home import home

Command = Callable[..., Any]
RELEASE = "/ptb-xl/1.0.3"
RECORDS = 12


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo heart, as PhysioNet would have it."""
    folder = tmp_path_factory.mktemp("published")
    write_demo(folder / RELEASE[1:], DemoOptions(RECORDS))
    return folder


@pytest.fixture
def server(published: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    with FaultyServer(published) as server:
        monkeypatch.setenv("MIBENCH_MIRROR", server.url)
        yield server


def signal_path(number: int, rate: int = 500) -> str:
    place = "records500/00000/{:05d}_hr.dat" if rate == 500 else "records100/00000/{:05d}_lr.dat"
    return f"{RELEASE}/{place.format(number)}"


def contents(folder: Path) -> dict[str, str]:
    hidden = {".download.lock", "SHA256SUMS.txt"}
    files = (file for file in folder.rglob("*") if file.is_file() and file.name not in hidden)
    return {file.relative_to(folder).as_posix(): sha256_file(file) for file in files}


def test_it_is_fetched_checked_and_registered(mibench: Command, server: FaultyServer, published: Path) -> None:
    server.faults[signal_path(1)] = [Fault(cut=60_000)]
    server.faults[signal_path(2)] = [Fault(spoil=True)]
    server.faults[signal_path(3)] = [Fault(429, {"Retry-After": "0"}), Fault(503, {"Retry-After": "0.2"})]
    server.faults[signal_path(4)] = [Fault(cut=60_000), Fault(ignore_range=True)]
    answer = mibench("data", "download", "ptb-xl")
    assert answer.code == 0, answer.err
    folder = home() / "downloads" / "ptb-xl-1.0.3"
    there = contents(folder)
    source = contents(published / RELEASE[1:])
    assert there == {name: digest for name, digest in source.items() if not name.startswith("records100/")}
    assert f"PTB-XL 1.0.3 from {server.url}{RELEASE}/" in answer.err
    assert "CC BY 4.0" in answer.err
    assert f"{2 * RECORDS + 2} fetched, 0 were there" in answer.err
    assert "12 records of" in answer.out
    assert registered() == ["ptb-xl"]
    shutil.rmtree(folder)
    assert mibench("data", "verify", "ptb-xl").code == 0, "the store needs the downloaded files no more"


def test_again_it_fetches_only_what_is_missing(mibench: Command, server: FaultyServer, tmp_path: Path) -> None:
    command = ("data", "download", "ptb-xl", "--out", tmp_path / "x", "--no-register", "--jobs", "2")
    assert mibench(*command).code == 0
    asked = len(server.asked)
    again = mibench(*command)
    assert again.code == 0
    assert f"0 fetched, {2 * RECORDS + 2} were there" in again.err
    assert f"Next: mibench data add ptb-xl {tmp_path / 'x'}" in again.out
    fresh = server.asked[asked:]
    assert [asked.method for asked in fresh if "SHA256SUMS" in asked.path] == ["HEAD"], "the list is still the server's"
    assert {asked.path for asked in fresh} <= {f"{RELEASE}/SHA256SUMS.txt", f"{RELEASE}/{DEMO_MARKER}"}
    both = mibench(*command, "--rate", "both")
    assert f"{2 * RECORDS} fetched, {2 * RECORDS + 2} were there" in both.err


def test_a_file_that_was_changed_is_put_aside_and_fetched(
    mibench: Command, server: FaultyServer, tmp_path: Path, published: Path
) -> None:
    command = ("data", "download", "ptb-xl", "--out", tmp_path / "x", "--no-register")
    assert mibench(*command).code == 0
    file = tmp_path / "x" / "ptbxl_database.csv"
    file.write_text("mine\n")
    answer = mibench(*command)
    assert "1 fetched" in answer.err
    assert "1 of another content were put aside as NAME.wrong" in answer.err
    assert sha256_file(file) == sha256_file(published / RELEASE[1:] / file.name)
    assert file.with_name(file.name + ".wrong").read_text() == "mine\n"


def test_some_files_that_fail_leave_the_others_there(mibench: Command, server: FaultyServer, tmp_path: Path) -> None:
    server.faults[signal_path(5)] = [Fault(spoil=True), Fault(spoil=True)]
    server.faults[signal_path(6)] = [Fault(404)]
    command = ("data", "download", "ptb-xl", "--out", tmp_path / "x", "--no-register")
    answer = mibench(*command)
    assert answer.code == 2
    assert "2 files of PTB-XL 1.0.3 could not be had" in answer.err
    assert "00005_hr.dat came twice with another SHA-256" in answer.err
    assert "00006_hr.dat is not there (answer 404)" in answer.err
    assert f"{2 * RECORDS} files are in {tmp_path / 'x'} and stay; the same command goes on" in answer.err
    assert not (tmp_path / "x" / "records500/00000/00005_hr.dat").exists()
    assert (tmp_path / "x" / "records500/00000/00005_hr.dat.wrong").exists()
    assert "2 fetched" in mibench(*command).err


def test_killed_in_the_middle_it_goes_on_there(
    mibench: Command, server: FaultyServer, tmp_path: Path, published: Path
) -> None:
    out = tmp_path / "x"
    server.faults[signal_path(7)] = [Fault(delay=0.1)]
    arguments = ["data", "download", "ptb-xl", "--out", str(out), "--no-register"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mibench.benchmark.cli", *arguments], stderr=subprocess.DEVNULL, env=os.environ
    )
    part = out / "records500/00000/00007_hr.dat.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 20_000):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    half = part.stat().st_size
    answer = mibench(*arguments)
    assert answer.code == 0, answer.err
    ranges = [asked.headers.get("Range") for asked in server.asked if asked.path == signal_path(7)]
    assert ranges == [None, f"bytes={half}-"]
    assert sha256_file(part.with_suffix("")) == sha256_file(published / signal_path(7)[1:])
    assert not list(out.rglob("*.part"))


def test_what_cannot_work_is_said_in_a_sentence(mibench: Command, server: FaultyServer, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        answer = mibench("data", "download", *arguments, "--no-register")
        assert answer.code == 2, answer.err
        assert "Traceback" not in answer.err
        return str(answer.err)

    assert "no release 1.0.9 of PTB-XL" in refused("ptb-xl", "--release", "1.0.9")
    assert "known are 1.0.3, 1.0.2, 1.0.1" in refused("ptb-xl", "--release", "1.0.9")
    assert "is no release" in refused("ptb-xl", "--release", "../etc")
    assert "check --mirror" in refused("mimic-iv-ecg")
    assert "did you mean `ptb-xl`" in refused("ptbxl")
    assert "--rate is for PTB-XL" in refused("mimic-iv-ecg", "--rate", "100")
    (tmp_path / "file").write_text("")
    assert "is a file: choose a folder" in refused("ptb-xl", "--out", tmp_path / "file")
    server.answers[f"{RELEASE}/SHA256SUMS.txt"] = ({}, b"<html>Please log in</html>")
    assert "whether the network asks to log in" in refused("ptb-xl", "--out", tmp_path / "x")
    astray = f"{'0' * 64}  ../../etc/passwd\n{'0' * 64}  ptbxl_database.csv\n".encode()
    server.answers[f"{RELEASE}/SHA256SUMS.txt"] = ({}, astray)
    assert "is not below it" in refused("ptb-xl", "--out", tmp_path / "x")
    assert not [file for file in tmp_path.rglob("*") if file.name == "passwd"]


def test_another_release_in_the_folder_is_never_mixed_in(
    mibench: Command, server: FaultyServer, tmp_path: Path
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "SHA256SUMS.txt").write_text(f"{'0' * 64}  ptbxl_database.csv\n")
    answer = mibench("data", "download", "ptb-xl", "--out", tmp_path / "x")
    assert answer.code == 2
    assert "holds another release, or half of one" in answer.err
    assert [file.name for file in (tmp_path / "x").iterdir() if file.suffix == ".txt"] == ["SHA256SUMS.txt"]


def test_without_a_network_the_way_by_hand_is_told(mibench: Command, tmp_path: Path) -> None:
    with FaultyServer(tmp_path) as gone:
        url = gone.url
    answer = mibench("data", "download", "ptb-xl", "--mirror", url, "--out", tmp_path / "x")
    assert answer.code == 2
    assert "connection refused" in answer.err
    assert f"aws s3 sync --no-sign-request s3://physionet-open/ptb-xl/1.0.3/ {tmp_path / 'x'}" in answer.err
    assert f"mibench data add ptb-xl {tmp_path / 'x'}" in answer.err


def test_no_room_is_said_before_anything_is_fetched(
    mibench: Command, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: full)
    answer = mibench("data", "download", "ptb-xl", "--out", tmp_path / "x")
    assert answer.code == 2
    assert "has 1 MB free and the 26 files that are missing need 14 MB" in answer.err
    assert {asked.path for asked in server.asked} == {f"{RELEASE}/SHA256SUMS.txt"}


def test_mimic_iv_ecg_is_asked_about_and_demo_data_stay_demo_data(
    mibench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "served/mimic-iv-ecg/1.0", TreeOptions("mimic-iv-ecg", 8))
    with FaultyServer(tmp_path / "served") as server:
        command = ("data", "download", "mimic-iv-ecg", "--mirror", server.url, "--out", tmp_path / "x")
        answer = mibench(*command)
        assert answer.code == 2
        assert "are to be fetched: give the same command with --yes" in answer.err
        assert "ODbL" in answer.err
        assert mibench(*command, "--yes").code == 0
    assert (tmp_path / "x" / DEMO_MARKER).exists()
    assert "demo data: not a result" in mibench("data", "show", "mimic-iv-ecg").out


def test_a_tree_that_is_marked_as_demo_is_fetched_as_such(mibench: Command, published: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(published, tmp_path / "served")
    mark_as_demo(copy / RELEASE[1:])
    with FaultyServer(copy) as server:
        answer = mibench("data", "download", "ptb-xl", "--mirror", server.url, "--out", tmp_path / "x")
    assert answer.code == 0, answer.err
    assert "demo data: not a result" in answer.out


def test_sizes_are_reckoned_from_names(tmp_path: Path) -> None:
    from mibench.benchmark.data.integrity import Sums

    names = [b"records500/00000/00001_hr.dat", b"records500/00000/00001_hr.hea", b"records100/00000/00001_lr.dat"]
    sums = Sums(str(tmp_path), [(name, hashlib.sha256(name).digest()) for name in names])
    every = extent(wanted(sums, tmp_path, ()))
    assert (every.files, every.missing) == (3, 3)
    assert every.bytes == 122_880 + 4096 + 24_576
    assert extent(wanted(sums, tmp_path, (500,))).files == 2
    (tmp_path / "records500/00000").mkdir(parents=True)
    (tmp_path / "records500/00000/00001_hr.dat").touch()
    assert extent(wanted(sums, tmp_path, ())).missing == 2
    assert in_bytes(2_798_000_000) == "2.8 GB"
    assert COLLECTIONS["ptb-xl"].url("1.0.3") == "https://physionet.org/files/ptb-xl/1.0.3/"
