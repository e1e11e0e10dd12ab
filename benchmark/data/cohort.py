"""What a reader makes of a folder: who was recorded, where the signals are, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...adapters.errors import MibenchError
from ..ecg import DEMO_NOTICE
from .shards import RecordSource

DEMO_MARKER = "DEMO-DATA.txt"
"""A file of this name says that everything in its folder is synthetic."""


@dataclass(frozen=True)
class Cohort:
    """Who was recorded, what was found and which fold they are in; row i of every array is record i.

    Attributes:
        records, patients: identifiers as text.
        folds: 1 to 10; None where the data set is published without: a held-out part is then chosen.
        statements: the names of the label columns, alphabetical; none where nothing is known of the records.
        labels: (records, statements) of 0 and 1; a row of zeros has no diagnostic statement.
        sources: where the signals are.
        release: "1.0.3", or what can be said of a list that is none of the published ones.
        complete: True when the record count is that of a release; a subset says so in every result.
        remarks: what else the user should know of the data, a sentence each.
    """

    records: npt.NDArray[np.str_]
    patients: npt.NDArray[np.str_]
    folds: npt.NDArray[np.int8] | None
    statements: tuple[str, ...]
    labels: npt.NDArray[np.uint8]
    sources: tuple[RecordSource, ...]
    release: str
    complete: bool
    remarks: tuple[str, ...] = ()


def unlabelled(
    sources: tuple[RecordSource, ...], release: str, *, complete: bool, remarks: tuple[str, ...] = ()
) -> Cohort:
    """A cohort of which nothing is known but the signals and the patients."""
    return Cohort(
        records=np.array([source.record for source in sources], dtype=np.str_),
        patients=np.array([source.patient for source in sources], dtype=np.str_),
        folds=None,
        statements=(),
        labels=np.zeros((len(sources), 0), dtype=np.uint8),
        sources=sources,
        release=release,
        complete=complete,
        remarks=remarks,
    )


def notice_of(root: Path) -> str | None:
    """What every number from this folder must say: synthetic data carry a marker."""
    return DEMO_NOTICE if (root / DEMO_MARKER).exists() else None


def mark_as_demo(root: Path) -> None:
    """Make whatever is read from this folder say that it is no result."""
    text = f"{DEMO_NOTICE}. Everything here is synthetic: it was written by `mibench data demo`.\n"
    (root / DEMO_MARKER).write_text(text, encoding="utf-8")


def read_csv(path: Path, columns: tuple[str, ...], what: str) -> pd.DataFrame:
    """The named columns of a csv file, as text.

    Args:
        what: whose file it should be, for the sentence that says it is not.

    Raises:
        MibenchError: it is no csv file, lacks a column, or lists nothing.
    """
    try:
        names = pd.read_csv(path, nrows=0).columns
        missing = [column for column in columns if column not in names]
        if missing:
            raise MibenchError(f"{path} has no column {', '.join(missing)}: it is not {what}, or was edited")
        table = pd.read_csv(path, usecols=list(columns), dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise MibenchError(f"{path} is missing: check the path") from None
    except (OSError, ValueError, UnicodeDecodeError) as problem:
        raise MibenchError(f"{path} is not a readable csv file ({problem}); fetch it again") from problem
    if table.empty:
        raise MibenchError(f"{path} lists no record: fetch it again")
    return table


def first_line(wrong: npt.ArrayLike) -> int | None:
    """The line of a csv file, counted from 1 with its header, of the first row that is wrong."""
    rows = np.flatnonzero(np.asarray(wrong))
    return int(rows[0]) + 2 if len(rows) else None
