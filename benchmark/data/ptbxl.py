"""PTB-XL as published: its csv files become labels and folds, its folders become sources of signals.

Source: Wagner et al. 2020, PhysioNet. Labels are the 44-statement diagnostic task of the PTB-XL benchmark (Strodthoff
et al. 2021): a statement counts as present whatever its likelihood.
"""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...adapters.errors import MibenchError
from ..ecg import MI_STATEMENTS
from ..files import sha256_file
from .cohort import Cohort
from .shards import RecordSource

DATABASE = "ptbxl_database.csv"
STATEMENTS = "scp_statements.csv"
COLUMNS = ("ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
SECONDS = 10
RATES = {500: ("filename_hr", "records500"), 100: ("filename_lr", "records100")}
DIAGNOSTIC_STATEMENTS = 44

RELEASE_BY_HASH = {"7600de9c1b27d181d850b3c6038a35d7c3ddb6bb33b702e3a20252a6859d216b": "1.0.3"}
"""sha256 of `ptbxl_database.csv`; only 1.0.3's is published widely enough to be relied on."""

RELEASE_BY_COUNT = {21837: "1.0.1 or 1.0.2", 21799: "1.0.3"}
"""1.0.3 removed 38 records; 1.0.1 and 1.0.2 hold the same ones."""


def read_ptbxl(root: Path, sampling_rate: int = 500) -> Cohort:
    """Read the csv files of a PTB-XL folder and check that they fit together.

    Raises:
        MibenchError: a file or column is missing, a fold or statement is unreadable, or folds share patients.
    """
    if sampling_rate not in RATES:
        raise MibenchError(f"PTB-XL is published at 500 and 100 Hz; {sampling_rate} Hz is neither")
    if not (root / DATABASE).exists() and (root / "record_list.csv").exists():
        raise MibenchError(f"{root} is MIMIC-IV-ECG: mibench data add mimic-iv-ecg {root}")
    for needed in (root, root / DATABASE, root / STATEMENTS, root / RATES[sampling_rate][1]):
        if not needed.exists():
            raise MibenchError(
                f"{needed} is missing: give the folder that holds {DATABASE}, {STATEMENTS} and "
                f"{RATES[sampling_rate][1]}/, and copy it whole"
            )
    database = root / DATABASE
    table = _read_csv(database, COLUMNS)
    statements = _diagnostic_statements(root / STATEMENTS)
    patients = _identifiers(table["patient_id"], database)
    folds = _folds(table["strat_fold"], database)
    _assert_disjoint(patients, folds, database)
    records = _identifiers(table["ecg_id"], database)
    if len(set(records.tolist())) != len(records):
        raise MibenchError(f"{database}: an ecg_id stands twice; fetch the file again")
    release, complete = _release(database, len(table))
    files = table[RATES[sampling_rate][0]].astype(str)
    sources = tuple(
        RecordSource(record=record, patient=patient, path=root / file)
        for record, patient, file in zip(records.tolist(), patients.tolist(), files, strict=True)
    )
    return Cohort(
        records=records,
        patients=patients,
        folds=folds,
        statements=statements,
        labels=_labels(table["scp_codes"], statements, database),
        sources=sources,
        release=release,
        complete=complete,
    )


def _read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as problem:
        raise MibenchError(f"{path} is not a readable csv file ({problem}); fetch it again") from problem
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise MibenchError(f"{path} has no column {', '.join(missing)}: it is not PTB-XL's file, or was edited")
    if table.empty:
        raise MibenchError(f"{path} lists no record: fetch it again")
    return table


def _diagnostic_statements(path: Path) -> tuple[str, ...]:
    table = _read_csv(path, ("diagnostic",))
    names = tuple(sorted(table.iloc[:, 0][table["diagnostic"] == 1.0].astype(str)))
    if len(names) != DIAGNOSTIC_STATEMENTS or not set(MI_STATEMENTS) <= set(names):
        raise MibenchError(
            f"{path} names {len(names)} diagnostic statements; the task has {DIAGNOSTIC_STATEMENTS}, among them the "
            f"nine of myocardial infarction: use the file that came with the release"
        )
    return names


def _identifiers(column: pd.Series, path: Path) -> npt.NDArray[np.str_]:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any():
        row = int(np.flatnonzero(numbers.isna())[0]) + 2
        raise MibenchError(f"{path}, line {row}: {column.name} is no number; fetch the file again")
    return np.array([str(int(number)) for number in numbers], dtype=np.str_)


def _folds(column: pd.Series, path: Path) -> npt.NDArray[np.int8]:
    folds = pd.to_numeric(column, errors="coerce")
    wrong = ~folds.isin(range(1, 11))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 2
        raise MibenchError(f"{path}, line {row}: strat_fold must be 1 to 10; fetch the file again")
    return folds.to_numpy(dtype=np.int8)


def _assert_disjoint(patients: npt.NDArray[np.str_], folds: npt.NDArray[np.int8], path: Path) -> None:
    """A patient in two folds would be learnt by heart and tested on."""
    per_patient = pd.Series(folds).groupby(patients).nunique()
    shared = per_patient[per_patient > 1]
    if len(shared):
        raise MibenchError(
            f"{path}: patient {shared.index[0]} (and {len(shared) - 1} more) stands in several folds; the folds must "
            f"be patient-disjoint, so use strat_fold as published"
        )


def _labels(column: pd.Series, statements: tuple[str, ...], path: Path) -> npt.NDArray[np.uint8]:
    position = {name: index for index, name in enumerate(statements)}
    labels = np.zeros((len(column), len(statements)), dtype=np.uint8)
    for row, text in enumerate(column):
        try:
            codes = ast.literal_eval(str(text))
            found = [position[code] for code in codes if code in position]
            if not isinstance(codes, dict):
                raise ValueError("no dictionary")
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as problem:
            raise MibenchError(
                f"{path}, line {row + 2}: scp_codes is not a dictionary of statements ({str(text)[:40]!r}); "
                f"fetch the file again"
            ) from problem
        labels[row, found] = 1
    return labels


def _release(database: Path, count: int) -> tuple[str, bool]:
    digest = sha256_file(database)
    if digest in RELEASE_BY_HASH:
        return RELEASE_BY_HASH[digest], True
    if count in RELEASE_BY_COUNT:
        known = RELEASE_BY_COUNT[count] in RELEASE_BY_HASH.values()
        edited = "; csv differs from the published one" if known else ""
        return f"{RELEASE_BY_COUNT[count]} by record count, csv {digest[:12]}{edited}", True
    return f"subset of PTB-XL, {count:,} records, csv {digest[:12]}", False
