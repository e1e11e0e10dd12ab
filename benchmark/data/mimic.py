"""MIMIC-IV-ECG as published: `record_list.csv` and a folder of WFDB files for each study.

Source: Gow et al. 2023, PhysioNet: 800,035 records of 161,352 subjects, 10 s at 500 Hz, without labels. Its files hold
aVF before aVL; the reader of records goes by name. The published list is by subject and is taken as it stands.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from ...adapters.errors import MibenchError
from ..files import sha256_file
from . import ptbxl
from .cohort import Cohort, first_line, read_csv, unlabelled
from .integrity import SUMS_FILE
from .shards import RecordSource

LIST = "record_list.csv"
COLUMNS = ("subject_id", "study_id", "file_name", "ecg_time", "path")
SAMPLING_RATE = 500
SECONDS = 10

RELEASES = {(800_035, 161_352): "1.0"}
"""Release by number of records and subjects."""

_WHOLE = r"[0-9]+"
_ASTRAY = r"(?:^|/)\.\.?(?:/|$)|^/|^~|\\|^$|^[A-Za-z]:|\0"


def read_mimic(root: Path) -> Cohort:
    """Read the record list of a MIMIC-IV-ECG folder; record = study, patient = subject, in the order of the list.

    Raises:
        MibenchError: it is another folder, or the list lacks a column, repeats a study, or points out of the folder.
    """
    file = root / LIST
    if not file.is_file():
        if (root / ptbxl.DATABASE).exists():
            raise MibenchError(f"{root} is PTB-XL: mibench data add ptb-xl {root}")
        raise MibenchError(
            f"{file} is missing: give the folder that holds {LIST}, {SUMS_FILE} and files/; other WFDB records are "
            f"read with: mibench data add NAME {root} --format wfdb"
        )
    table = read_csv(file, COLUMNS, "MIMIC-IV-ECG's list")
    _check(table, file)
    base = str(root)
    places = zip(table["study_id"], table["subject_id"], table["path"], strict=True)
    sources = tuple(RecordSource(study, subject, os.path.join(base, path)) for study, subject, path in places)  # noqa: PTH118
    release, complete = _release(table, file)
    return unlabelled(sources, release, complete=complete, remarks=_remarks(table))


def _check(table: pd.DataFrame, file: Path) -> None:
    for column in ("subject_id", "study_id"):
        line = first_line(~table[column].str.fullmatch(_WHOLE))
        if line is not None:
            found = table[column].iloc[line - 2]
            raise MibenchError(f"{file}, line {line}: {column} {found!r} is no number; fetch the file again")
    line = first_line(table["path"].str.contains(_ASTRAY))
    if line is not None:
        raise MibenchError(
            f"{file}, line {line}: path {table['path'].iloc[line - 2]!r} does not lead to a record below the folder; "
            "fetch the file again"
        )
    line = first_line(table["study_id"].duplicated())
    if line is not None:
        raise MibenchError(
            f"{file}, line {line}: study {table['study_id'].iloc[line - 2]} is there for the second time; fetch the "
            "file again"
        )


def _release(table: pd.DataFrame, file: Path) -> tuple[str, bool]:
    digest = sha256_file(file)[:12]
    known = RELEASES.get((len(table), table["subject_id"].nunique()))
    if known is not None:
        return f"{known} by record count, list {digest}", True
    return f"subset of MIMIC-IV-ECG, {len(table):,} records, list {digest}", False


def _remarks(table: pd.DataFrame) -> tuple[str, ...]:
    subjects = table["subject_id"].to_numpy()
    stretches = int(np.count_nonzero(subjects[1:] != subjects[:-1])) + 1
    if stretches == table["subject_id"].nunique():
        return ()
    return (f"{LIST} is not by subject, as the published one is: subjects come back later in the list",)
