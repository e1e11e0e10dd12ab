"""PTB-XL's csv files: labels, folds, releases, and everything that can be wrong with them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data import ptbxl
from mibench.benchmark.data.ptbxl import read_ptbxl
from mibench.benchmark.ecg import MI_STATEMENTS

# Alphabetical positions in the 44 statements, as scikit-learn's MultiLabelBinarizer orders them.
POSITIONS = {"ALMI": 3, "AMI": 4, "ASMI": 6, "ILMI": 12, "IMI": 13, "IPLMI": 19, "IPMI": 20, "LMI": 32, "PMI": 39}


@pytest.fixture
def tree(demo_tree: Path, tmp_path: Path) -> Path:
    """Csv files to spoil, beside the signals of the small demo heart."""
    for name in (ptbxl.DATABASE, ptbxl.STATEMENTS):
        shutil.copy(demo_tree / name, tmp_path / name)
    for name in ("records500", "records100"):
        (tmp_path / name).symlink_to(demo_tree / name)
    return tmp_path


def test_real_labels_folds_and_counts(ptb_xl_500: Path) -> None:
    cohort = read_ptbxl(ptb_xl_500)
    assert len(cohort.records) == 500
    assert len(cohort.statements) == 44
    assert {name: cohort.statements.index(name) for name in MI_STATEMENTS} == POSITIONS
    totals = {name: int(cohort.labels[:, column].sum()) for name, column in POSITIONS.items()}
    assert totals == {
        "ASMI": 30, "IMI": 37, "AMI": 7, "ALMI": 3, "ILMI": 3, "LMI": 3, "IPMI": 1, "IPLMI": 0, "PMI": 0,
    }  # fmt: skip
    assert not cohort.complete
    assert cohort.release.startswith("subset of PTB-XL, 500 records")


def test_a_statement_counts_whatever_its_likelihood(ptb_xl_500: Path) -> None:
    table = pd.read_csv(ptb_xl_500 / ptbxl.DATABASE)
    zero = table["scp_codes"].str.contains(r"'NST_': 0.0")
    assert zero.sum() == 7, "there must be records whose NST_ has likelihood 0 for this test to mean anything"
    cohort = read_ptbxl(ptb_xl_500)
    assert cohort.labels[zero.to_numpy(), cohort.statements.index("NST_")].all()


def test_both_rates_name_their_own_files(demo_tree: Path) -> None:
    fast, slow = read_ptbxl(demo_tree, 500), read_ptbxl(demo_tree, 100)
    assert fast.sources[0].path.name.endswith("_hr")
    assert slow.sources[0].path.name.endswith("_lr")
    np.testing.assert_array_equal(fast.labels, slow.labels)


def test_releases_are_told_by_hash_then_by_count(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "subset" in read_ptbxl(tree).release
    digest = ptbxl.sha256_file(tree / ptbxl.DATABASE)
    monkeypatch.setitem(ptbxl.RELEASE_BY_HASH, digest, "1.0.3")
    known = read_ptbxl(tree)
    assert (known.release, known.complete) == ("1.0.3", True)
    monkeypatch.delitem(ptbxl.RELEASE_BY_HASH, digest)
    monkeypatch.setitem(ptbxl.RELEASE_BY_COUNT, len(known.records), "1.0.3")
    edited = read_ptbxl(tree)
    assert "by record count" in edited.release
    assert "differs from the published" in edited.release


def edit(tree: Path, change: Callable[[pd.DataFrame], pd.DataFrame], name: str = ptbxl.DATABASE) -> None:
    path = tree / name
    change(pd.read_csv(path)).to_csv(path, index=False)


def with_value(column: str, value: object, row: int = 4) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop(columns="strat_fold"), "has no column strat_fold"),
        (lambda table: table.drop(columns=["scp_codes", "patient_id"]), "no column patient_id, scp_codes"),
        (lambda table: table.iloc[:0], "lists no record"),
        (with_value("strat_fold", 11), "line 6: strat_fold must be 1 to 10"),
        (with_value("strat_fold", "x"), "line 6: strat_fold must be 1 to 10"),
        (with_value("ecg_id", "?"), "line 6: ecg_id is no number"),
        (with_value("ecg_id", 1), "an ecg_id stands twice"),
        (with_value("patient_id", None), "patient_id is no number"),
        (with_value("scp_codes", "{'NORM': 1"), "line 6: scp_codes is not a dictionary"),
        (with_value("scp_codes", "['NORM']"), "line 6: scp_codes is not a dictionary"),
        (with_value("scp_codes", "__import__('os').remove('x')"), "line 6: scp_codes is not a dictionary"),
    ],
)
def test_a_spoilt_database_is_refused(tree: Path, change: Callable[[pd.DataFrame], pd.DataFrame], says: str) -> None:
    edit(tree, change)
    with pytest.raises(MibenchError, match=says) as caught:
        read_ptbxl(tree)
    assert ptbxl.DATABASE in str(caught.value)


def test_a_patient_in_two_folds_is_refused(tree: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["strat_fold"] == 1, "patient_id"] = table.loc[table["strat_fold"] == 10, "patient_id"].iloc[0]
        return table

    edit(tree, change)
    with pytest.raises(MibenchError, match="must be patient-disjoint"):
        read_ptbxl(tree)


def test_missing_statements_are_refused(tree: Path) -> None:
    edit(tree, lambda table: table[table.iloc[:, 0] != "PMI"], ptbxl.STATEMENTS)
    with pytest.raises(MibenchError, match="names 43 diagnostic statements"):
        read_ptbxl(tree)


@pytest.mark.parametrize("missing", [ptbxl.DATABASE, ptbxl.STATEMENTS, "records500"])
def test_a_half_copied_folder_is_said(tree: Path, missing: str) -> None:
    (tree / missing).unlink()
    with pytest.raises(MibenchError, match=f"{missing} is missing"):
        read_ptbxl(tree)


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="nowhere is missing"):
        read_ptbxl(tmp_path / "nowhere")


def test_binary_garbage_is_said(tree: Path) -> None:
    (tree / ptbxl.DATABASE).write_bytes(bytes(range(256)) * 10)
    with pytest.raises(MibenchError, match=r"not a readable csv|has no column"):
        read_ptbxl(tree)
