"""A data set as the protocols see it: signals, patients, folds and labels, whole and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.parquet

from ...adapters.errors import MibenchError
from ..ecg import MI_STATEMENTS, TEST_FOLD, TRAIN_FOLDS, VALIDATION_FOLD
from ..files import atomic_path, sha256_json, write_json
from .store import SignalStore

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
DESCRIPTION = "dataset.json"
COHORT = "records.parquet"
STORE = "store"


@dataclass(frozen=True)
class Dataset:
    """Row i of every array is row i of the store.

    Attributes:
        name: as registered, such as "ptb-xl".
        release: which release, or which subset.
        notice: what every number from it must say ("demo data: not a result"), or None.
        complete: False for a subset of a release.
        source: the folder it was read from.
        store: the signals.
        records, patients: (N,) identifiers.
        folds: (N,) 1 to 10; in data for pre-training alone 1 is trained on, 9 is held out, and 0 is neither.
        statements: names of the label columns; none in data for pre-training alone.
        labels: (N, statements) of 0 and 1.
        manifest: sha256 over signals, patients, folds and labels: what identifies the data in every key.
        remarks: what else there is to know, a sentence each: how records were held out, for one.
        origin: what was read, with which reader and options.
    """

    name: str
    release: str
    notice: str | None
    complete: bool
    source: str
    store: SignalStore
    records: npt.NDArray[np.str_]
    patients: npt.NDArray[np.str_]
    folds: npt.NDArray[np.int8]
    statements: tuple[str, ...]
    labels: npt.NDArray[np.uint8]
    manifest: str
    remarks: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_demo(self) -> bool:
        """True for synthetic data, of which no number is a result."""
        return self.notice is not None

    @property
    def labelled(self) -> bool:
        """False for data for pre-training alone, of which nothing is known but the signals and the patients."""
        return bool(self.statements)

    @property
    def training_part(self) -> str:
        """What pre-training learns from, in words."""
        return "folds 1-8" if self.labelled else "the training records"

    def training_rows(self) -> npt.NDArray[np.int64]:
        """What pre-training learns from, with or without a diagnostic statement."""
        return self.rows(TRAIN_FOLDS, labelled=False)

    def held_out_rows(self) -> npt.NDArray[np.int64]:
        """What pre-training is watched and chosen by; no patient of it is in `training_rows`, unless asked for."""
        return self.rows([VALIDATION_FOLD], labelled=False)

    def rows(self, folds: Sequence[int], *, labelled: bool = True) -> npt.NDArray[np.int64]:
        """Rows of the given folds; `labelled` leaves out records without any diagnostic statement."""
        chosen = np.isin(self.folds, folds)
        if labelled:
            chosen &= self.labels.any(axis=1)
        return np.flatnonzero(chosen)

    def split(self) -> dict[str, npt.NDArray[np.int64]]:
        """Labelled rows for training (folds 1-8), validation (9) and test (10).

        Raises:
            MibenchError: one of them is empty, or nothing is labelled.
        """
        if not self.labelled:
            raise MibenchError(
                f"{self.name} has no labels: it is for pre-training and retrieval. Linear probing takes a data set "
                f"with labels: --data ptb-xl"
            )
        parts = {
            "train": self.rows(TRAIN_FOLDS),
            "validation": self.rows([VALIDATION_FOLD]),
            "test": self.rows([TEST_FOLD]),
        }
        empty = [name for name, rows in parts.items() if not len(rows)]
        if empty:
            raise MibenchError(f"{self.name} has no {', '.join(empty)} records: linear probing needs folds 1 to 10")
        return parts

    def mi_columns(self) -> list[int]:
        """The label columns of the nine MI statements, in the order of `MI_STATEMENTS`."""
        return [self.statements.index(name) for name in MI_STATEMENTS]

    def positives(self) -> pd.DataFrame:
        """Positives of each MI statement in training, validation and test folds; then the records of each."""
        import pandas as pd

        parts = {"train 1-8": TRAIN_FOLDS, "validation 9": (VALIDATION_FOLD,), "test 10": (TEST_FOLD,)}
        columns = {}
        for title, folds in parts.items():
            everyone = self.rows(folds, labelled=False)
            counts = self.labels[everyone][:, self.mi_columns()].sum(axis=0).astype(int).tolist()
            columns[title] = [*counts, len(everyone), len(self.rows(folds))]
        return pd.DataFrame(columns, index=pd.Index([*MI_STATEMENTS, "records", "with a diagnostic statement"]))


def save_dataset(
    folder: Path,
    store: SignalStore,
    *,
    name: str,
    release: str,
    notice: str | None,
    complete: bool,
    source: str,
    folds: npt.NDArray[np.int8],
    statements: Sequence[str],
    labels: npt.NDArray[np.uint8],
    remarks: Sequence[str] = (),
    origin: Mapping[str, Any] | None = None,
) -> Dataset:
    """Write the cohort beside its store; the description comes last, so a folder that has one is whole.

    `folds` and `labels` are in the order of the store.
    """
    patients = store.patients
    columns: dict[str, Any] = {"record": store.records.tolist(), "patient": patients.tolist(), "fold": folds}
    if statements:
        columns["labels"] = labels.tolist()
    with atomic_path(folder / COHORT) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    description = {
        "schema": SCHEMA,
        "name": name,
        "release": release,
        "notice": notice,
        "complete": complete,
        "source": source,
        "sampling_rate": store.sampling_rate,
        "records": len(store),
        "statements": list(statements),
        "manifest": _manifest(store.manifest, columns, statements),
        "store_manifest": store.manifest,
        "remarks": list(remarks),
        "origin": dict(origin or {}),
    }
    write_json(folder / DESCRIPTION, description)
    return load_dataset(folder)


def load_dataset(folder: Path) -> Dataset:
    """Open what `save_dataset` wrote.

    Raises:
        MibenchError: the folder is incomplete, of another version, or does not fit its store.
    """
    again = f"run `mibench data add` again for {folder.name}"
    description = read_description(folder)
    try:
        table = pyarrow.parquet.ParquetFile(folder / COHORT).read(use_threads=False)
        records, patients = (_text(table[column]) for column in ("record", "patient"))
        folds = table["fold"].to_numpy().astype(np.int8)
        labels = _labels(table, len(description["statements"]))
    # pyarrow's own exceptions are OSError, ValueError and KeyError underneath.
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise MibenchError(f"{folder} is not a complete data set ({problem}): {again}") from problem
    store = SignalStore.open(folder / STORE)
    if store.manifest != description["store_manifest"] or not np.array_equal(store.records, records):
        raise MibenchError(f"{folder}: the signals are not those that the labels were read for: {again}")
    return Dataset(
        name=description["name"],
        release=description["release"],
        notice=description["notice"],
        complete=description["complete"],
        source=description["source"],
        store=store,
        records=store.records,
        patients=patients,
        folds=folds,
        statements=tuple(description["statements"]),
        labels=labels,
        manifest=description["manifest"],
        remarks=tuple(description.get("remarks", ())),
        origin=description.get("origin", {}),
    )


def read_description(folder: Path) -> dict[str, Any]:
    """What is known of a data set without opening it.

    Raises:
        MibenchError: there is none, or it is of another version.
    """
    again = f"run `mibench data add` again for {folder.name}"
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise MibenchError(f"{folder} is not a complete data set ({problem}): {again}") from problem
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        raise MibenchError(f"{folder} was written by another version of mibench: {again}")
    return description


def _text(column: pyarrow.ChunkedArray) -> npt.NDArray[np.str_]:
    return np.array(column.to_pylist(), dtype=np.str_)


def _labels(table: pyarrow.Table, statements: int) -> npt.NDArray[np.uint8]:
    if not statements:
        return np.zeros((len(table), 0), dtype=np.uint8)
    flat = table["labels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    labels: npt.NDArray[np.uint8] = flat.astype(np.uint8).reshape(len(table), statements)
    return labels


def _manifest(signals: str, columns: Mapping[str, Any], statements: Sequence[str]) -> str:
    return sha256_json(
        {
            "signals": signals,
            "records": columns["record"],
            "patients": columns["patient"],
            "folds": columns["fold"].tolist(),
            "labels": columns.get("labels", []),
            "statements": list(statements),
        }
    )
