"""The demo heart on disk, in PTB-XL's own layout."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ....adapters.errors import MibenchError
from ... import seeds
from ...files import sha256_file, write_text
from ..records import write_recording
from .cohort import FOLDS, draw_cohort
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


def write_demo(root: Path, options: DemoOptions | None = None, progress: Callable[[int], None] | None = None) -> None:
    """Write a synthetic PTB-XL into `root`: both csv files, 500 and 100 Hz WFDB records, and SHA256SUMS.txt.

    The same options give the same bytes. A run that was cut short leaves a tree without SHA256SUMS.txt; the caller
    writes into a temporary folder and renames it.

    Args:
        root: a folder, made when missing; nothing is written outside it.
        options: the default demo heart when None.
        progress: called after every record with the number written so far.
    """
    options = options or DemoOptions()
    seed = seeds.derive(options.seed, "demo", options.version)
    rows, written = [], [root / "ptbxl_database.csv", root / "scp_statements.csv"]
    for done, visit in enumerate(draw_cohort(options.records, seed), 1):
        simulated = simulate(visit, seed)
        low, high = (root / name for name in filenames(visit.ecg_id))
        _write_record(high, simulated.leads, SAMPLING_RATE)
        _write_record(low, decimated(simulated.leads, _DECIMATION), SAMPLING_RATE // _DECIMATION)
        written += [path.with_name(path.name + suffix) for path in (low, high) for suffix in (".hea", ".dat")]
        rows.append(database_row(visit, simulated, seed))
        if progress is not None:
            progress(done)
    write_text(written[0], _csv(DATABASE_COLUMNS, rows))
    write_text(written[1], _csv(STATEMENT_COLUMNS, statement_rows()))
    sums = sorted((path.relative_to(root).as_posix(), sha256_file(path)) for path in written)
    write_text(root / "SHA256SUMS.txt", "".join(f"{digest}  {name}\n" for name, digest in sums))


def _write_record(path: Path, leads: Array, sampling_rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, twelve_leads(leads), sampling_rate)


def _csv(columns: Iterable[str], rows: Iterable[list[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
