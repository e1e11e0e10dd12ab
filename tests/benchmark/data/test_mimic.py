"""MIMIC-IV-ECG's layout and any WFDB tree, from a demo tree through the command line."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data import catalog, mimic
from mibench.benchmark.data.catalog import AddOptions, add
from mibench.benchmark.data.demo import TreeOptions, write_tree
from mibench.benchmark.data.mimic import LIST, read_mimic
from mibench.benchmark.data.records import write_recording
from mibench.benchmark.data.wfdb_tree import read_wfdb_tree
from mibench.benchmark.ecg import DEMO_NOTICE, LEADS

RECORDS = 60
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mimic") / "tree"
    write_tree(root, TreeOptions(records=RECORDS))
    return root


@pytest.fixture
def tree(original: Path, tmp_path: Path) -> Path:
    """A copy to spoil, without published hashes."""
    root = shutil.copytree(original, tmp_path / "tree")
    (root / "SHA256SUMS.txt").unlink()
    return root


def headers(root: Path) -> list[Path]:
    return [Path(f"{source.path}.hea") for source in read_mimic(root).sources]


def test_the_demo_tree_is_mimics_layout_and_the_wfdb_package_reads_it(original: Path) -> None:
    lines = (original / LIST).read_text().splitlines()
    assert lines[0] == "subject_id,study_id,file_name,ecg_time,path"
    subjects = [line.split(",")[0] for line in lines[1:]]
    assert subjects == sorted(subjects)
    assert 1 < len(set(subjects)) < RECORDS
    subject, study, name, _, path = lines[1].split(",")
    assert path == f"files/p{subject[:4]}/p{subject}/s{study}/{name}"
    record = wfdb.rdrecord(str(original / path))
    assert record.sig_name == ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]
    assert (record.fs, record.sig_len, set(record.adc_gain), set(record.units)) == (500, 5000, {200.0}, {"mV"})
    assert record.base_date is not None
    sums = dict(line.split("  ")[::-1] for line in (original / "SHA256SUMS.txt").read_text().splitlines())
    assert len(sums) == 2 * RECORDS + 1
    assert all(hashlib.sha256((original / file).read_bytes()).hexdigest() == digest for file, digest in sums.items())


@pytest.mark.parametrize("layout", ["mimic-iv-ecg", "ptb-xl"])
def test_the_number_of_workers_leaves_no_trace(tmp_path: Path, layout: Any) -> None:
    for workers in (1, 2):
        write_tree(tmp_path / str(workers), TreeOptions(layout, 40), workers)
    files = [sorted(file.relative_to(tmp_path / one) for file in (tmp_path / one).rglob("*.*")) for one in "12"]
    assert files[0] == files[1]
    assert all((tmp_path / "1" / f).read_bytes() == (tmp_path / "2" / f).read_bytes() for f in files[0])


def test_what_is_in_the_way_of_a_demo_tree_stays(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("one")
    with pytest.raises(MibenchError, match="in the way"):
        write_tree(tmp_path / "thesis", TreeOptions(records=1))
    assert (tmp_path / "thesis" / "chapter").read_text() == "one"


def test_leads_are_reordered_by_name_and_gaps_are_zero(original: Path) -> None:
    data = add("mimic-iv-ecg", original, AddOptions(name="set"))
    assert data.store.checked == RECORDS
    assert (data.labelled, data.statements, data.labels.shape) == (False, (), (RECORDS, 0))
    assert data.notice == DEMO_NOTICE
    assert not data.complete
    gaps = 0
    for row, source in enumerate(read_mimic(original).sources):
        record = wfdb.rdrecord(str(source.path))
        by_name = dict(zip(record.sig_name, record.p_signal.T, strict=True))
        expected = np.stack([by_name[lead] for lead in LEADS])
        gaps += int(np.isnan(expected).sum())
        np.testing.assert_allclose(data.store.read([row])[0], np.nan_to_num(expected), atol=1e-6)
    assert gaps == data.store.invalid


def test_the_command_says_what_it_will_take_and_what_there_is(mibench: Command, original: Path) -> None:
    first = mibench("data", "add", "mimic-iv-ecg", original, "--validation", 10, "--workers", 1)
    assert first.code == 0, first.err
    assert f"{RECORDS} records, 0.0 GB in " in first.err
    assert "measured on 60 records" in first.err
    for words in ("demo data: not a result", "held out: the last 10 records", "No labels", "subset of MIMIC-IV-ECG"):
        assert words in first.out
    assert "Positives" not in first.out
    again = mibench("data", "add", "mimic-iv-ecg", original, "--validation", 10)
    assert "nothing changed" in again.err
    assert "building" not in again.err
    other = mibench("data", "add", "mimic-iv-ecg", original, "--validation", 12, "--straddling", "keep")
    assert "building" not in other.err, "another division is no reason to read signals again"
    assert other.out.splitlines()[4] != first.out.splitlines()[4], "but other data in every key"
    assert mibench("data", "verify", "mimic-iv-ecg").code == 0
    assert "mimic-iv-ecg" in mibench("data").out
    assert catalog.default_name() == "demo", "runs need labels"
    assert catalog.default_pretraining_name() == "mimic-iv-ecg"
    with pytest.raises(MibenchError, match=r"has no labels.*--data ptb-xl"):
        catalog.open_dataset("mimic-iv-ecg").split()


def replaced(old: str, new: str, count: int = 1) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, count)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (replaced("study_id", "study"), "has no column study_id"),
        (lambda text: text.splitlines()[0] + "\n", "lists no record"),
        (lambda text: text + text.splitlines()[1] + "\n", "line 62: study .* for the second time"),
        (replaced("\n1", "\nx1"), "line 2: subject_id 'x1.*' is no number"),
        (replaced("files/", "../files/"), "line 2: path '../files.* does not lead to a record below"),
        (replaced("files/", "/files/"), "line 2: path '/files.* does not lead to a record below"),
    ],
)
def test_a_spoilt_list_is_refused(tree: Path, change: Callable[[str], str], says: str) -> None:
    (tree / LIST).write_text(change((tree / LIST).read_text()))
    with pytest.raises(MibenchError, match=says):
        read_mimic(tree)


def test_a_folder_of_something_else_says_what_to_type(mibench: Command, original: Path, demo_tree: Path) -> None:
    for arguments, says in (
        (("mimic-iv-ecg", demo_tree), "is PTB-XL: mibench data add ptb-xl"),
        (("ptb-xl", original), "is MIMIC-IV-ECG: mibench data add mimic-iv-ecg"),
        (("my-set", original, "--format", "wfdb"), "mibench data add mimic-iv-ecg"),
        (("mimic-iv-ecg", original.parent), "record_list.csv is missing"),
        (("my-set", original), "--format"),
        (("wfdb", original), "needs a name of its own"),
        (("mimic-iv-ecg", original, "--rate", 100), "published at 500 Hz"),
        (("ptb-xl", demo_tree, "--validation", 10), "published with folds"),
        (("mimic-iv-ecg", original, "--validation", RECORDS), "no record left to train on"),
    ):
        answer = mibench("data", "add", *arguments)
        assert (answer.code, says in answer.err) == (2, True), answer.err
        assert "Traceback" not in answer.err


def test_bad_records_beyond_a_hundredth_stop_and_can_be_left_out(mibench: Command, tree: Path) -> None:
    found = headers(tree)
    found[0].with_suffix(".dat").unlink()
    found[1].write_text(found[1].read_text().replace(" V1", " MCL1"))
    found[2].write_text(found[2].read_text().replace(" 500 ", " 250 ", 1))
    found[3].with_suffix(".dat").write_bytes(b"12")
    found[4].with_suffix(".dat").write_bytes(bytes(120_000))
    stopped = mibench("data", "add", "mimic-iv-ecg", tree, "--workers", 1)
    assert stopped.code == 2
    assert "5 of 60 records cannot be read, more than the 1% that may be left out" in stopped.err
    listing = next(catalog.data_folder().rglob("*.bad-records.txt")).read_text()
    for reason in ("the file is missing", "unknown lead MCL1", "sampled at 250 Hz", "truncated", "wrong checksum"):
        assert reason in stopped.err
        assert f"        1  {reason}" in listing
    left_out = mibench("data", "add", "mimic-iv-ecg", tree, "--skip-bad")
    assert left_out.code == 0, left_out.err
    assert "building" not in left_out.err, "what was read stays"
    assert "5 unreadable records left out" in left_out.out


def test_one_bad_record_in_a_hundred_passes_unless_none_may(mibench: Command, tmp_path: Path) -> None:
    for number in range(100):
        write_recording(tmp_path / f"r{number:03d}", np.zeros((12, 50)) + number / 100, 10)
    (tmp_path / "r007.dat").unlink()
    arguments = ("data", "add", "my-set", tmp_path, "--format", "wfdb", "--rate", 10, "--seconds", 5)
    assert mibench(*arguments, "--no-skip-bad").code == 2
    answer = mibench(*arguments)
    assert answer.code == 0, answer.err
    assert "my-set: 99 records of 99 patients, 5 s at 10 Hz" in answer.out
    assert "each record counts as a patient of its own" in answer.out


def test_a_name_keeps_its_data_unless_told_otherwise(mibench: Command, original: Path, tree: Path) -> None:
    assert mibench("data", "add", "mimic-iv-ecg", original).code == 0
    (tree / LIST).write_text("\n".join((tree / LIST).read_text().splitlines()[:-5]) + "\n")
    refused = mibench("data", "add", "mimic-iv-ecg", tree)
    assert refused.code == 2
    assert "60 records" in refused.err
    assert "55 records" in refused.err
    assert len(catalog.open_dataset("mimic-iv-ecg").records) == RECORDS
    assert mibench("data", "add", "mimic-iv-ecg", tree, "--replace").code == 0
    assert len(catalog.open_dataset("mimic-iv-ecg").records) == 55


def test_a_whole_release_is_told_by_its_counts(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patients = len(set(read_mimic(original).patients.tolist()))
    monkeypatch.setitem(mimic.RELEASES, (RECORDS, patients), "1.0")
    cohort = read_mimic(original)
    assert cohort.complete
    assert cohort.release.startswith("1.0 by record count")


def test_records_of_a_tree_come_from_its_list_or_its_headers(tmp_path: Path) -> None:
    for name in ("b/g1/r1", "b/g1/r2", "a/r3", "r4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_recording(tmp_path / name, np.zeros((12, 5)), 10)
    assert read_wfdb_tree(tmp_path).records.tolist() == ["a/r3", "b/g1/r1", "b/g1/r2", "r4"]
    (tmp_path / "RECORDS").write_text("b/g1/\nr4\na\n")
    (tmp_path / "b/g1/RECORDS").write_text("r2\nr1\n")
    assert read_wfdb_tree(tmp_path).records.tolist() == ["b/g1/r2", "b/g1/r1", "r4", "a/r3"]
    who = tmp_path / "who.csv"
    who.write_text("record,patient\nr1,x\nb/g1/r2,x\nr3,y\nr4,z\n")
    assert read_wfdb_tree(tmp_path, who).patients.tolist() == ["x", "x", "z", "y"]
    who.write_text("record,patient\nr1,x\n")
    with pytest.raises(MibenchError, match="does not say whose 3 of 4 records are"):
        read_wfdb_tree(tmp_path, who)
    for entry, says in (("../r4", "does not lead to a record below"), ("./", "circles")):
        (tmp_path / "RECORDS").write_text(f"{entry}\n")
        with pytest.raises(MibenchError, match=says):
            read_wfdb_tree(tmp_path)


def test_a_build_that_was_killed_ends_like_an_undisturbed_one(original: Path, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    rows = (original / LIST).read_text().splitlines()
    big = [rows[0]]
    for row in rows[1:]:  # three shards, of links
        subject, study, _, when, path = row.split(",")
        for copy in range(20):
            name = f"{study}{copy:02d}"
            place = root / f"files/{name}"
            place.mkdir(parents=True)
            for suffix in (".hea", ".dat"):
                (place / f"{study}{suffix}").symlink_to(original / f"{path}{suffix}")
            big.append(f"{subject},{name},{study},{when},files/{name}/{study}")
    (root / LIST).write_text("\n".join(big) + "\n")
    command = [
        sys.executable,
        "-m",
        "mibench.benchmark.cli",
        "data",
        "add",
        "mimic-iv-ecg",
        str(root),
        "--workers",
        "2",
    ]
    environment = {**os.environ, "MIBENCH_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "home").rglob("shard-*.json")) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, "it must still be building"
    process.send_signal(signal.SIGKILL)
    process.wait()
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    assert "(the rest is there already)" in answer.stderr
    undisturbed = add("mimic-iv-ecg", root, AddOptions(name="mimic-iv-ecg"))
    assert undisturbed.manifest[:12] in answer.stdout
