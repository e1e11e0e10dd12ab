"""The demo heart on disk, in PTB-XL's own layout."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ....adapters.errors import MibenchError
from ... import seeds
from ...files import sha256_file, write_text
from ..records import write_recording
from .chunks import in_chunks, write_sums
from .cohort import FOLDS, Visit, draw_cohort
from .database import COLUMNS as DATABASE_COLUMNS
from .database import database_row, filenames
from .electrodes import decimated, twelve_leads
from .heart import Array
from .simulate import SAMPLING_RATE, simulate
from .statements import COLUMNS as STATEMENT_COLUMNS
from .statements import statement_rows

_DECIMATION = 5


@dataclass(frozen=True)
class DemoOptions:
    """Which demo heart.

    Attributes:
        records: number of records, at least one per fold; from 100 on every fold has each MI statement, from 640 on
            four times or more.
        seed: another seed, another cohort.
        version: of the model; bumped whenever its signals or labels change.
    """

    records: int = 640
    seed: int = 0
    version: int = 1

    def __post_init__(self) -> None:
        if self.records < FOLDS:
            raise MibenchError(
                f"the demo heart needs at least {FOLDS} records, one per fold; {self.records} were asked"
            )


def write_demo(
    root: Path,
    options: DemoOptions | None = None,
    progress: Callable[[int], None] | None = None,
    workers: int = 1,
) -> None:
    """Write a synthetic PTB-XL into `root`: both csv files, 500 and 100 Hz WFDB records, and SHA256SUMS.txt.

    The same options give the same bytes, whatever the number of workers. A run that was cut short leaves a tree
    without SHA256SUMS.txt; the caller writes into a temporary folder and renames it.

    Args:
        root: a folder, made when missing; nothing is written outside it.
        options: the default demo heart when None.
        progress: called with the number of records written so far.
        workers: processes that simulate and write.
    """
    options = options or DemoOptions()
    seed = seeds.derive(options.seed, "demo", options.version)
    visits = draw_cohort(options.records, seed)
    made = in_chunks(partial(_write_visit, root, seed), visits, workers, progress or (lambda _: None))
    tables = {
        "ptbxl_database.csv": _csv(DATABASE_COLUMNS, (row for row, _ in made)),
        "scp_statements.csv": _csv(STATEMENT_COLUMNS, statement_rows()),
    }
    sums = {name: digest for _, files in made for name, digest in files.items()}
    for name, text in tables.items():
        write_text(root / name, text)
        sums[name] = sha256_file(root / name)
    write_sums(root, sums)


def _write_visit(root: Path, seed: int, visit: Visit) -> tuple[list[object], dict[str, str]]:
    """Write the record of a visit at both rates: its row of the database, and the sha256 of its files by name."""
    simulated = simulate(visit, seed)
    low, high = filenames(visit.ecg_id)
    _write_record(root / high, simulated.leads, SAMPLING_RATE)
    _write_record(root / low, decimated(simulated.leads, _DECIMATION), SAMPLING_RATE // _DECIMATION)
    files = [f"{name}{suffix}" for name in (low, high) for suffix in (".hea", ".dat")]
    return database_row(visit, simulated, seed), {name: sha256_file(root / name) for name in files}


def _write_record(path: Path, leads: Array, sampling_rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, twelve_leads(leads), sampling_rate)


def _csv(columns: Iterable[str], rows: Iterable[list[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
