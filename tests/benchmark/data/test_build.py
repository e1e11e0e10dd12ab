"""Building a signal store: bad records, kills, waiting, resuming, and the same hash whatever the way."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.build import RecordSource, build_store
from mibench.benchmark.data.integrity import read_sha256sums
from mibench.benchmark.data.records import write_recording
from mibench.benchmark.data.store import SignalStore
from mibench.benchmark.ecg import LEADS

SAMPLES = 60
RECORDS = 12
SHARD = 3

CHILD = f"""
import logging, sys, time
from pathlib import Path
from mibench.benchmark.data.build import RecordSource, build_store

logging.basicConfig(level=logging.INFO, stream=sys.stdout)
root, target, hold, go, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])

def progress(done):
    print("done", done, flush=True)
    while done >= hold and not Path(go).exists():
        time.sleep(0.01)

if __name__ == "__main__":
    sources = [RecordSource(f"r{{n:02d}}", f"p{{n}}", root / f"r{{n:02d}}") for n in range({RECORDS})]
    store = build_store(sources, target, sampling_rate=100, samples={SAMPLES}, shard_records={SHARD},
                        workers=workers, progress=progress)
    print("manifest", store.manifest, flush=True)
"""
"""A process that builds, and stops in the middle until it is killed or a file appears."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve good records."""
    folder = tmp_path / "wfdb"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(RECORDS):
        write_recording(folder / f"r{number:02d}", rng.normal(size=(12, SAMPLES)), 100)
    return folder


def sources_in(folder: Path) -> list[RecordSource]:
    return [RecordSource(f"r{number:02d}", f"p{number}", folder / f"r{number:02d}") for number in range(RECORDS)]


def build(folder: Path, target: Path, **options: object) -> SignalStore:
    settings = {"sampling_rate": 100, "samples": SAMPLES, "shard_records": SHARD, **options}
    return build_store(sources_in(folder), target, **settings)  # type: ignore[arg-type]


def write_sums(folder: Path) -> None:
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(folder.iterdir())]
    (folder / "SHA256SUMS.txt").write_text("".join(lines))


def inodes(folder: Path) -> dict[str, tuple[int, int]]:
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.glob("shard-*.npy")}


@pytest.fixture
def child(root: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start building processes; none of them outlives the test."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    started: list[subprocess.Popen[str]] = []

    def start(target: Path, hold: int, go: Path, workers: int = 1) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), str(root), str(target), str(hold), str(go), str(workers)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for(process: subprocess.Popen[str], wanted: Callable[[str], bool]) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if wanted(line.strip()):
            return lines
    raise AssertionError(f"the process ended early: {lines}")


def finished(line: str) -> int:
    return int(line.split()[1]) if line.startswith("done") else -1


def test_the_manifest_does_not_depend_on_how_or_where_the_store_was_built(root: Path, tmp_path: Path) -> None:
    first = build(root, tmp_path / "first")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in root.iterdir():
        (elsewhere / file.name).write_bytes(file.read_bytes())
    second = build(elsewhere, tmp_path / "deep" / "down", workers=2)
    assert first.manifest == second.manifest
    np.testing.assert_array_equal(first.read(range(RECORDS)), second.read(range(RECORDS)))


@pytest.mark.parametrize("what", ["sample", "gain", "name", "order", "patient"])
def test_the_manifest_depends_on_what_was_recorded(root: Path, tmp_path: Path, what: str) -> None:
    plain = build(root, tmp_path / "plain").manifest
    sources = sources_in(root)
    options = {"sampling_rate": 100, "samples": SAMPLES, "shard_records": SHARD}
    header = root / "r05.hea"
    if what == "sample":
        write_recording(root / "r05", np.zeros((12, SAMPLES)), 100)
    elif what == "gain":
        header.write_text(header.read_text().replace("1000.0(0)", "999.0(0)", 1))
    elif what == "name":
        sources[5] = RecordSource("other", "p5", root / "r05")
    elif what == "patient":
        sources[5] = RecordSource("r05", "other", root / "r05")
    else:
        sources[4:6] = reversed(sources[4:6])
    assert build_store(sources, tmp_path / "changed", **options).manifest != plain  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_ends_with_all_records(root: Path, tmp_path: Path, workers: int) -> None:
    seen: list[int] = []
    build(root, tmp_path / "store", workers=workers, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == RECORDS


def test_building_again_opens_what_is_there(root: Path, tmp_path: Path) -> None:
    build(root, tmp_path / "store")
    before = inodes(tmp_path / "store")
    seen: list[int] = []
    build(root, tmp_path / "store", progress=seen.append)
    assert seen == [RECORDS]
    assert inodes(tmp_path / "store") == before


def test_a_source_changed_since_is_read_again(root: Path, tmp_path: Path) -> None:
    first = build(root, tmp_path / "store")
    write_recording(root / "r07", np.full((12, SAMPLES), 0.5), 100)
    second = build(root, tmp_path / "store")
    assert second.manifest != first.manifest
    np.testing.assert_allclose(second.read([7]), 0.5)
    assert not list(tmp_path.glob(".store.old*"))


def test_a_change_that_keeps_size_and_time_is_noticed(root: Path, tmp_path: Path) -> None:
    build(root, tmp_path / "store")
    files = [root / "r07.hea", root / "r07.dat"]
    times = [file.stat().st_mtime_ns for file in files]
    sizes = [file.stat().st_size for file in files]
    write_recording(root / "r07", np.full((12, SAMPLES), 0.5), 100)
    files[0].write_text(files[0].read_text().ljust(sizes[0], "\n")[: sizes[0]])
    for file, changed in zip(files, times, strict=True):
        os.utime(file, ns=(changed, changed))
    np.testing.assert_allclose(build(root, tmp_path / "store").read([7]), 0.5)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_build_resumes_and_ends_the_same(
    root: Path, tmp_path: Path, child: Callable[..., subprocess.Popen[str]], workers: int
) -> None:
    undisturbed = build(root, tmp_path / "undisturbed").manifest
    target = tmp_path / "store"
    process = child(target, 2 * SHARD, tmp_path / "never", workers)
    wait_for(process, lambda line: finished(line) >= 2 * SHARD)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    with pytest.raises(MibenchError, match="no finished signal store"):
        SignalStore.open(target)
    left = {path.with_suffix(".npy").name for path in (tmp_path / ".store.building").glob("shard-*.json")}
    before = {name: state for name, state in inodes(tmp_path / ".store.building").items() if name in left}
    assert before

    seen: list[int] = []
    store = build(root, target, progress=seen.append)
    assert seen[0] == len(before) * SHARD
    assert store.manifest == undisturbed
    assert before.items() <= inodes(target).items()
    assert not list(tmp_path.glob(".store.building*"))
    assert not list(target.glob("*.tmp"))
    store.verify()


def test_workers_end_with_a_killed_parent(
    root: Path, tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to see processes")
    process = child(tmp_path / "store", SHARD, tmp_path / "never", 2)
    wait_for(process, lambda line: finished(line) >= SHARD)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.kill()
    process.wait()

    def alive(pid: str) -> bool:
        try:
            return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False

    deadline = time.monotonic() + 10
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, children))


def test_after_a_kill_a_changed_source_is_not_reused(
    root: Path, tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
) -> None:
    process = child(tmp_path / "store", RECORDS - 1, tmp_path / "never")
    wait_for(process, lambda line: finished(line) >= RECORDS - 1)
    process.kill()
    process.wait()
    write_recording(root / "r01", np.full((12, SAMPLES), -0.25), 100)
    store = build(root, tmp_path / "store")
    np.testing.assert_allclose(store.read([1]), -0.25)


def test_leftovers_of_another_build_are_not_reused(
    root: Path, tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
) -> None:
    process = child(tmp_path / "store", 2 * SHARD, tmp_path / "never")
    wait_for(process, lambda line: finished(line) >= 2 * SHARD)
    process.kill()
    process.wait()
    seen: list[int] = []
    sources = sources_in(root)[::-1]
    store = build_store(
        sources, tmp_path / "store", sampling_rate=100, samples=SAMPLES, shard_records=SHARD, progress=seen.append
    )
    assert seen[0] == 0
    assert store.records.tolist() == [source.record for source in sources]


def test_of_two_builds_at_once_one_waits_and_opens(
    root: Path, tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
) -> None:
    target, go = tmp_path / "store", tmp_path / "go"
    first = child(target, SHARD, go)
    wait_for(first, lambda line: finished(line) >= SHARD)
    second = child(target, SHARD, go)
    wait_for(second, lambda line: "waiting for another process" in line)
    go.touch()
    hashes = []
    for process, builds in ((first, True), (second, False)):
        lines = wait_for(process, lambda line: line.startswith("manifest"))
        hashes.append(lines[-1])
        assert (len([line for line in lines if finished(line) >= 0]) > 1) == builds
        assert process.wait(timeout=20) == 0
    assert hashes[0] == hashes[1]


def spoil_missing(root: Path) -> None:
    (root / "r04.dat").unlink()


def spoil_truncated(root: Path) -> None:
    (root / "r04.dat").write_bytes((root / "r04.dat").read_bytes()[:-1])


def spoil_checksum(root: Path) -> None:
    content = bytearray((root / "r04.dat").read_bytes())
    content[0] ^= 1
    (root / "r04.dat").write_bytes(content)


def spoil_rate(root: Path) -> None:
    write_recording(root / "r04", np.zeros((12, SAMPLES)), 500)


def spoil_length(root: Path) -> None:
    write_recording(root / "r04", np.zeros((12, SAMPLES + 1)), 100)


def spoil_header(root: Path) -> None:
    (root / "r04.hea").write_bytes(b"\x00\xff garbage")


def spoil_leads(root: Path) -> None:
    write_recording(root / "r04", np.zeros((11, SAMPLES)), 100, leads=LEADS[1:])


SPOILT = [
    (spoil_missing, "r04.dat: the file is missing"),
    (spoil_truncated, "r04.dat: truncated"),
    (spoil_checksum, "r04.hea: wrong checksum in I"),
    (spoil_rate, "r04.hea: sampled at 500 Hz where 100 Hz are expected"),
    (spoil_length, "r04.hea: 61 samples long where 60 are expected"),
    (spoil_header, "r04.hea: this is not a whole WFDB header"),
    (spoil_leads, "r04.hea: 11 leads instead of 12: I missing"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
def test_a_bad_record_is_named_and_the_rest_is_kept(
    root: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    target, listing = tmp_path / "store", tmp_path / "store.bad-records.txt"
    keep = {file.name: file.read_bytes() for file in root.glob("r04.*")}
    spoil(root)
    with pytest.raises(MibenchError) as caught:
        build(root, target)
    assert words in str(caught.value)
    assert "1 of 12 records" in str(caught.value)
    assert str(listing) in str(caught.value)
    assert words in listing.read_text()
    assert not target.exists()

    seen: list[int] = []
    left_out = build(root, target, skip_bad=True, progress=seen.append)
    assert seen[0] == RECORDS, "nothing changed, so nothing is read again to leave it out"
    assert left_out.records.tolist() == [f"r{number:02d}" for number in range(RECORDS) if number != 4]
    assert list(left_out.skipped) == ["r04"]
    assert words in left_out.skipped["r04"]
    left_out.verify()

    assert build(root, target, skip_bad=True, progress=seen.append).manifest == left_out.manifest
    with pytest.raises(MibenchError, match="1 of 12 records"):
        build(root, target)
    for name, content in keep.items():
        (root / name).write_bytes(content)
    whole = build(root, target, skip_bad=True)
    assert len(whole) == RECORDS
    assert not whole.skipped
    assert not listing.exists()


def test_all_bad_records_are_listed(root: Path, tmp_path: Path) -> None:
    for number in (0, 1, 2, 7, 9):
        (root / f"r{number:02d}.dat").write_bytes(b"")
    with pytest.raises(MibenchError, match="5 of 12 records") as caught:
        build(root, tmp_path / "store", workers=2)
    assert "truncated (5)" in str(caught.value)
    assert str(caught.value).count("truncated:") == 3
    listing = (tmp_path / "store.bad-records.txt").read_text()
    assert listing.startswith("5 of 12 records cannot be read\n\n        5  truncated\n")
    assert listing.count(".dat: truncated:") == 5
    store = build(root, tmp_path / "store", skip_bad=True)
    assert sorted(store.skipped) == ["r00", "r01", "r02", "r07", "r09"]
    assert store.index["shard"].tolist() == [1, 1, 1, 2, 2, 3, 3]
    assert store.read(range(7)).shape == (7, 12, SAMPLES)
    store.verify()


def test_a_share_of_bad_records_may_be_left_out_and_more_stop(root: Path, tmp_path: Path) -> None:
    (root / "r04.dat").unlink()
    write_recording(root / "r05", np.zeros((12, SAMPLES)), 250)
    with pytest.raises(MibenchError, match=r"more than the 10% that may be left out: sampled at 250 Hz.*the file is"):
        build(root, tmp_path / "store", skip_bad=0.1)
    store = build(root, tmp_path / "store", skip_bad=0.2)
    assert sorted(store.skipped) == ["r04", "r05"]
    assert build(root, tmp_path / "store", skip_bad=0.2).manifest == store.manifest
    with pytest.raises(MibenchError, match="2 of 12 records"):
        build(root, tmp_path / "store", skip_bad=0.1)


def test_a_file_that_the_disk_would_not_give_is_tried_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def failing(file: str, *options: int) -> int:
        if str(file).endswith("r04.dat"):
            raise OSError(errno.EIO, "Input/output error")
        return opened(file, *options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        with pytest.raises(MibenchError, match="cannot be read \\(Input/output error\\)"):
            build(root, tmp_path / "store")
    assert len(build(root, tmp_path / "store")) == RECORDS


def test_what_is_to_be_read_is_announced_once_and_not_when_all_is_there(root: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def announce(sources: object, workers: int) -> None:
        told.append((len(sources), workers))  # type: ignore[arg-type]

    build(root, tmp_path / "store", announce=announce)
    build(root, tmp_path / "store", announce=announce)
    assert told == [(RECORDS, 1)]


def test_a_store_of_nothing_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="no records"):
        build_store([], tmp_path / "store", sampling_rate=100, samples=SAMPLES)
    for file in root.iterdir():
        file.unlink()
    with pytest.raises(MibenchError, match="none of the 12 records"):
        build(root, tmp_path / "store", skip_bad=True)


def test_a_record_listed_twice_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="r00 is listed twice"):
        build_store([*sources_in(root), sources_in(root)[0]], tmp_path / "s", sampling_rate=100, samples=SAMPLES)


def test_published_hashes_are_compared(root: Path, tmp_path: Path) -> None:
    write_sums(root)
    store = build(root, tmp_path / "store", checksums=read_sha256sums(root))
    assert store.checked == RECORDS
    assert build(root, tmp_path / "unchecked").checked == 0

    write_recording(root / "r04", np.ones((12, SAMPLES)), 100)
    with pytest.raises(MibenchError, match=r"r04\.hea: it differs from its entry in SHA256SUMS\.txt"):
        build(root, tmp_path / "store", checksums=read_sha256sums(root))
    assert build(root, tmp_path / "store").checked == 0


def test_only_records_whose_files_are_all_listed_count_as_checked(root: Path, tmp_path: Path) -> None:
    write_sums(root)
    sums = {file: digest for file, digest in read_sha256sums(root).items() if file.name not in {"r00.hea", "r01.dat"}}
    assert build(root, tmp_path / "store", checksums=sums).checked == RECORDS - 2


def test_sha256sums_are_read_as_published(tmp_path: Path) -> None:
    assert read_sha256sums(tmp_path) == {}
    digest = "aB" * 32
    (tmp_path / "SHA256SUMS.txt").write_text(f"{digest}  a/b c.dat\n\n{digest} *d.hea\r\n")
    assert read_sha256sums(tmp_path) == {tmp_path / "a/b c.dat": digest.lower(), tmp_path / "d.hea": digest.lower()}


@pytest.mark.parametrize("content", [b"abc  file\n", b"\xff\xfe\n", b"<html>not found</html>\n"])
def test_sha256sums_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "SHA256SUMS.txt").write_bytes(content)
    with pytest.raises(MibenchError, match=r"SHA256SUMS\.txt.*copy or download"):
        read_sha256sums(tmp_path)


def test_too_little_room_is_seen_before_anything_is_read(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match=r"GB free and the signal store needs 2\d{4}\.\d\d GB: make room"):
        build_store(sources_in(root), tmp_path / "store", sampling_rate=100, samples=10**11)
    assert not (tmp_path / "store").exists()


LIMITED = """
import hashlib, resource, sys
from pathlib import Path
from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.build import RecordSource, build_store

def long_name(path):
    return "".join(hashlib.sha512(f"{path.stem}{part}".encode()).hexdigest() for part in range(4))

root, target, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
sources = [RecordSource(path.stem, long_name(path), path.with_suffix("")) for path in sorted(root.glob("*.hea"))]
try:
    print(build_store(sources, target, sampling_rate=100, samples=60, shard_records=3).manifest)
except MibenchError as problem:
    print(problem)
"""
"""A build whose files may not grow beyond a limit, as on a disk that is full."""


@pytest.mark.parametrize(("limit", "shards"), [(3000, 0), (4500, 4)])
def test_a_write_that_fails_leaves_nothing_that_passes_for_whole(
    root: Path, tmp_path: Path, limit: int, shards: int
) -> None:
    """The lower limit stops a shard (4,448 bytes), the higher one the index."""

    def build_within(limit: int, target: Path) -> str:
        command = [sys.executable, "-c", LIMITED, str(root), str(target), str(limit)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    target = tmp_path / "store"
    assert "finished parts are kept" in build_within(limit, target)
    assert not target.exists()
    assert not list((tmp_path / ".store.building").glob("*.tmp"))
    before = inodes(tmp_path / ".store.building")
    assert len(before) == shards
    assert build_within(10**9, target) == build_within(10**9, tmp_path / "undisturbed")
    assert before.items() <= inodes(target).items()


@pytest.mark.parametrize("in_the_way", ["file", "folder"])
def test_what_is_no_store_is_not_replaced(root: Path, tmp_path: Path, in_the_way: str) -> None:
    target = tmp_path / "thesis"
    if in_the_way == "file":
        target.write_text("chapter one")
    else:
        target.mkdir()
        (target / "chapter").write_text("one")
    with pytest.raises(MibenchError, match="in the way"):
        build(root, target)
    assert (target if in_the_way == "file" else target / "chapter").read_text().endswith("one")


def test_a_place_that_cannot_be_written_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MibenchError, match="cannot be written"):
        build(root, tmp_path / "file" / "store")
