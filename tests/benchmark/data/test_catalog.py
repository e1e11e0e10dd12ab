"""Registering data: names, paths, subsets, repeats, and what a kill leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data import catalog
from mibench.benchmark.data.catalog import AddOptions, add, open_dataset
from mibench.benchmark.data.dataset import DESCRIPTION, Dataset, load_dataset
from mibench.benchmark.data.demo import DemoOptions
from mibench.benchmark.ecg import MI_STATEMENTS, TRAIN_FOLDS


def test_real_ptb_xl_comes_in_whole(ptb_xl_500: Path) -> None:
    data = add("ptb-xl", ptb_xl_500, AddOptions(name="ptb-xl"))
    assert len(data.records) == 500
    assert not data.complete
    assert data.notice is None
    assert data.release.startswith("subset of PTB-XL")
    assert data.store.read([0], ["I"]).shape == (1, 1, 5000)
    counted = data.positives().sum(axis=1)
    assert {name: int(counted[name]) for name in ("ASMI", "IMI", "AMI", "PMI")} == {
        "ASMI": 30,
        "IMI": 37,
        "AMI": 7,
        "PMI": 0,
    }
    assert open_dataset(None).manifest == data.manifest, "once registered it is the default"


def test_the_manifest_is_of_content_not_of_place(demo_tree: Path, tmp_path: Path) -> None:
    first = add("ptb-xl", demo_tree, AddOptions(name="here"))
    copy = shutil.copytree(demo_tree, tmp_path / "copy")
    second = add("ptb-xl", copy, AddOptions(name="there", workers=2))
    assert first.manifest == second.manifest


def test_other_labels_are_other_data(demo_tree: Path, tmp_path: Path) -> None:
    first = add("ptb-xl", demo_tree, AddOptions(name="here"))
    copy = shutil.copytree(demo_tree, tmp_path / "copy")
    csv = copy / "ptbxl_database.csv"
    csv.write_text(csv.read_text().replace("'NORM': 100.0", "'NDT': 100.0", 1))
    with pytest.raises(MibenchError, match=r"ptbxl_database\.csv differs from its entry in SHA256SUMS\.txt"):
        add("ptb-xl", copy, AddOptions(name="there"))
    (copy / "SHA256SUMS.txt").unlink()
    second = add("ptb-xl", copy, AddOptions(name="there"))
    assert first.store.manifest == second.store.manifest
    assert first.manifest != second.manifest


def test_adding_again_opens_and_adding_other_files_rebuilds(demo_tree: Path, tmp_path: Path) -> None:
    first = add("ptb-xl", demo_tree, AddOptions(name="set"))
    built = (first.store.path / "manifest.json").stat().st_mtime_ns
    again = add("ptb-xl", demo_tree, AddOptions(name="set"))
    assert (again.store.path / "manifest.json").stat().st_mtime_ns == built
    slow = add("ptb-xl", demo_tree, AddOptions(name="set", sampling_rate=100))
    assert slow.store.sampling_rate == 100
    assert slow.store.samples == 1000
    assert load_dataset(catalog.data_folder() / "set").manifest == slow.manifest


def test_a_path_is_a_data_set_too(demo_tree: Path) -> None:
    data = open_dataset(str(demo_tree))
    assert len(data.records) == 120
    assert not data.is_demo, "only the demo heart itself is called demo; this is a PTB-XL folder like any other"


def test_missing_files_are_all_named_and_what_was_built_stays(demo_tree: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(demo_tree, tmp_path / "copy")
    (copy / "SHA256SUMS.txt").unlink()
    broken = sorted((copy / "records500").rglob("*.dat"))[10:13]
    for file in broken:
        file.unlink()
    with pytest.raises(MibenchError, match="3"):
        add("ptb-xl", copy, AddOptions(name="half"))
    assert "half" not in catalog.registered()
    data = add("ptb-xl", copy, AddOptions(name="half", skip_bad=True))
    assert len(data.records) == 117
    assert not data.complete
    assert "3 unreadable records left out" in data.release
    for file in broken:
        assert str(int(file.name[:5])) not in data.records.tolist()


@pytest.mark.parametrize(
    ("choice", "says"),
    [("ptbxl", "Register PTB-XL"), ("dem", "did you mean `demo`"), ("/nowhere/at/all", "no folder has that path")],
)
def test_an_unknown_name_is_said(choice: str, says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        open_dataset(choice)


@pytest.mark.parametrize("name", ["demo", "", "../x", ".hidden", "a/b"])
def test_odd_names_are_refused(demo_tree: Path, name: str) -> None:
    with pytest.raises(MibenchError, match="cannot name a data set"):
        add("ptb-xl", demo_tree, AddOptions(name=name))


def test_several_sets_ask_for_a_choice(demo_tree: Path) -> None:
    for name in ("one", "two"):
        add("ptb-xl", demo_tree, AddOptions(name=name))
    with pytest.raises(MibenchError, match=r"choose one with --data one \| two"):
        open_dataset(None)
    add("ptb-xl", demo_tree, AddOptions(name="ptb-xl"))
    assert open_dataset(None).name == "ptb-xl"


@pytest.mark.parametrize("damage", ["description", "cohort", "store"])
def test_an_incomplete_data_set_is_never_read_as_whole(demo_tree: Path, damage: str) -> None:
    data = add("ptb-xl", demo_tree, AddOptions(name="set"))
    folder = catalog.data_folder() / "set"
    if damage == "description":
        (folder / DESCRIPTION).write_text('{"schema": 1')
    elif damage == "cohort":
        (folder / "records.parquet").write_bytes(b"torn")
    else:
        shutil.rmtree(data.store.path)
    with pytest.raises(MibenchError):
        open_dataset("set")


def test_the_demo_is_ten_folds_of_everything(demo: Dataset) -> None:
    assert demo.is_demo
    assert demo.notice == "demo data: not a result"
    assert set(demo.folds.tolist()) == set(range(1, 11))
    positives = demo.positives().loc[list(MI_STATEMENTS)]
    assert (positives > 0).all(axis=None)
    patients = {fold: set(demo.patients[demo.folds == fold].tolist()) for fold in range(1, 11)}
    assert sum(map(len, patients.values())) == len(set().union(*patients.values()))
    assert np.isin(demo.folds[demo.split()["train"]], TRAIN_FOLDS).all()


def test_a_kill_while_the_demo_is_made_leaves_nothing_half_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {**os.environ, "MIBENCH_HOME": str(home)}
    code = (
        "from mibench.benchmark.data import catalog\n"
        "from mibench.benchmark.data.demo import DemoOptions\n"
        "print(catalog.make_demo(DemoOptions(records=120)).manifest)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    deadline = time.monotonic() + 60
    while len(list(home.rglob("*.dat"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=120
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIBENCH_HOME", str(tmp_path / "undisturbed"))
        assert whole.stdout.strip() == catalog.make_demo(DemoOptions(records=120)).manifest
