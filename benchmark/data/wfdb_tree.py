"""Any tree of twelve-lead WFDB records, as PhysioNet publishes them: for pre-training, without labels."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ...adapters.errors import MibenchError
from . import mimic, ptbxl
from .cohort import Cohort, first_line, read_csv, unlabelled
from .shards import RecordSource

LIST = "RECORDS"
HEADER = ".hea"
COLUMNS = ("record", "patient")

_DEEPEST = 8


def read_wfdb_tree(root: Path, patients: Path | None = None) -> Cohort:
    """Find the records of a folder: those of its file RECORDS, else every header below it in sorted order.

    Args:
        root: the folder.
        patients: csv file with the columns record and patient; without, each record counts as a patient of its own.

    Raises:
        MibenchError: no such folder, no record in it, a list that points elsewhere, or a record without a patient.
    """
    if not root.is_dir():
        raise MibenchError(f"{root} is missing, or is no folder: give the folder that holds the records")
    for file, name in ((ptbxl.DATABASE, "ptb-xl"), (mimic.LIST, "mimic-iv-ecg")):
        if (root / file).exists():
            raise MibenchError(
                f"{root} holds {file}: as a plain tree of records its patients and folds would be lost. Use: mibench "
                f"data add {name} {root}"
            )
    names = list(_listed(root, "", 0)) if (root / LIST).is_file() else _found(root, "")
    if not names:
        raise MibenchError(f"{root} holds no WFDB record: neither a file {LIST} nor any *{HEADER} below it")
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise MibenchError(f"{root / LIST}: record {double[0]} is listed twice: remove one of them")
    whose = _patients(patients, names) if patients is not None else {}
    base = str(root)
    sources = tuple(RecordSource(name, whose.get(name, name), os.path.join(base, name)) for name in names)  # noqa: PTH118
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    remarks = (
        ()
        if patients is not None
        else (
            "each record counts as a patient of its own: patients with several records may stand on both sides of "
            "the held-out part; --patients CSV tells who is who",
        )
    )
    return unlabelled(sources, f"{len(names):,} WFDB records, list {digest}", complete=True, remarks=remarks)


def _listed(root: Path, folder: str, depth: int) -> Iterator[str]:
    """The records of a RECORDS file, which lists records, or folders that have such a file of their own."""
    file = root / folder / LIST
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise MibenchError(f"{file} cannot be read ({problem}); copy or download it again") from problem
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry:
            continue
        if entry.startswith(("/", "~")) or "\\" in entry or "\0" in entry or ".." in PurePosixPath(entry).parts:
            raise MibenchError(f"{file}, line {number}: {entry!r} does not lead to a record below the folder")
        name = str(PurePosixPath(folder) / entry).removesuffix(HEADER)
        if not entry.endswith("/") and not (root / name).is_dir():
            yield name
        elif depth >= _DEEPEST or name in {".", folder}:
            raise MibenchError(f"{file}, line {number}: {entry!r} leads round in circles")
        elif (root / name / LIST).is_file():
            yield from _listed(root, name, depth + 1)
        else:
            yield from _found(root, name)


def _found(root: Path, folder: str) -> list[str]:
    headers = (root / folder).rglob(f"*{HEADER}")
    return sorted(header.relative_to(root).as_posix().removesuffix(HEADER) for header in headers)


def _patients(file: Path, names: list[str]) -> dict[str, str]:
    """Whose each record is; the csv file may name records by path or by their last part, where that is enough."""
    table = read_csv(file, COLUMNS, "a list of records and patients")
    line = first_line((table["record"] == "") | (table["patient"] == ""))
    if line is not None:
        raise MibenchError(f"{file}, line {line}: record or patient is empty")
    line = first_line(table["record"].duplicated())
    if line is not None:
        raise MibenchError(f"{file}, line {line}: record {table['record'].iloc[line - 2]} is there for the second time")
    given = dict(zip(table["record"], table["patient"], strict=True))
    last = {name: name.rpartition("/")[2] for name in names}
    shared = Counter(last.values())
    whose = {}
    without = []
    for name in names:
        patient = given.get(name) or (given.get(last[name]) if shared[last[name]] == 1 else None)
        if patient is None:
            without.append(name)
        else:
            whose[name] = patient
    if without:
        raise MibenchError(
            f"{file} does not say whose {len(without):,} of {len(names):,} records are, such as {without[0]}: add them"
        )
    return whose
