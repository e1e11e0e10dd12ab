"""Run records: one immutable JSON file per run, with its test scores beside it as .npz.

A record lies at `results/<data>/<protocol>-v<N>/<method>/<key>.json`. Its key is a hash of everything that determines
the number and of nothing else, so a record that exists is a run that need not be made again. The schema is documented
in `run_record.schema.json`. Reading needs nothing but the standard library.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.errors import MibenchError
from .files import atomic_path, safe_name, sha256_file, sha256_json, write_json
from .record_check import fault

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA_VERSION = 1
APART = ".apart"
"""Name of a file that keeps a folder out of the results of those around it."""

_EMPTY: dict[str, Any] = {
    "metrics": None,
    "training": None,
    "pretraining": None,
    "predictions": None,
    "error": None,
}


class StoredRecord(dict[str, Any]):
    """A record as it was read, which remembers its file: `path`."""

    path: Path


class NewerRecordError(MibenchError):
    """Written by a mibench that knows more than this one; never to be overwritten."""


class UnwritableError(MibenchError):
    """The folder takes no more: the disk is full, or it may not be written."""


def run_key(determinants: Mapping[str, Any]) -> str:
    """16 hex digits that name a run: a hash of what determines its number, whatever the order of the keys."""
    return sha256_json(dict(determinants))[:16]


def record_path(root: Path, data: str, protocol: str, method: str, key: str) -> Path:
    """Where the record of a run lies.

    Args:
        root: the results folder.
        data: name of the data set.
        protocol: with its version, such as "linear_probe-v1".
        method: any name, a plug-in's path included; odd characters give way to a hash in the folder's name.
        key: of the run.
    """
    return root / safe_name(data) / safe_name(protocol) / safe_name(method) / f"{key}.json"


def path_of(root: Path, record: Mapping[str, Any]) -> Path:
    """Where a record lies, by what it says of itself."""
    protocol = record["protocol"]
    folder = f"{protocol['name']}-v{protocol['version']}"
    return record_path(root, record["data"]["name"], folder, record["method"]["name"], record["key"])


def exists(root: Path, data: str, protocol: str, method: str, key: str) -> bool:
    """True when the run has finished well; a failure, or a file that cannot be read, is a run still to be made.

    Raises:
        MibenchError: the record is of a newer schema.
    """
    return finished(record_path(root, data, protocol, method, key))


def write(root: Path, record: Mapping[str, Any], predictions: Mapping[str, NDArray[Any]] | None) -> Path:
    """Keep a finished run: first its predictions, then the record that vouches for them by their sha256.

    Args:
        root: the results folder.
        record: as in `run_record.schema.json`; `schema`, `status`, `predictions` and empty blocks are filled in.
        predictions: arrays of numbers or strings, among them `records`, the identifiers; None when there are none.

    Returns:
        The record's path.

    Raises:
        MibenchError: the folder cannot be written, or holds this run in a newer schema.
        ValueError: the record lacks a block, or an array would need pickling.
    """
    kept = _complete({**record, "status": "done", "error": None})
    path = path_of(root, kept)
    finished(path)  # stops at a newer record, which even --force must not replace
    try:
        kept["predictions"] = None if predictions is None else _write_predictions(path, predictions)
        write_json(path, kept)
    except OSError as problem:
        raise _unwritable(path, problem) from problem
    return path


def write_failure(root: Path, record: Mapping[str, Any], error: str) -> Path:
    """Keep what is known of a run that failed. A later success takes its place; a finished run is never replaced.

    Raises:
        MibenchError: the folder cannot be written, or holds this run in a newer schema.
    """
    kept = _complete({**record, "status": "failed", "error": error, "metrics": None, "predictions": None})
    path = path_of(root, kept)
    if path.is_file() and finished(path):
        return path
    try:
        write_json(path, kept)
    except OSError as problem:
        raise _unwritable(path, problem) from problem
    return path


def adopt(root: Path, record: StoredRecord) -> Path:
    """Copy a record of another folder, and its predictions, as they are: first those, then the record.

    Raises:
        MibenchError: its predictions are missing or changed; the folder cannot be written, or holds this run in a
            newer schema.
    """
    kept = dict(record)
    path = path_of(root, kept)
    finished(path)
    file = None if kept["predictions"] is None else verified_file(record.path, kept["predictions"])
    try:
        if file is not None:
            kept["predictions"] = _keep_bytes(path, file.read_bytes())
        write_json(path, kept)
    except OSError as problem:
        raise _unwritable(path, problem) from problem
    return path


def read(path: Path) -> StoredRecord:
    """One record, checked to be whole.

    Raises:
        MibenchError: the file is unreadable, damaged, not a run record, or of a newer schema.
    """
    try:
        record = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except OSError as problem:
        raise MibenchError(f"{path} cannot be read: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise MibenchError(f"{path} is damaged: it is not JSON; delete it and run again") from problem
    schema = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise MibenchError(f"{path} is not a run record of mibench: move it out of the results folder")
    if schema > SCHEMA_VERSION:
        raise NewerRecordError(
            f"{path} has schema {schema} and this mibench reads up to {SCHEMA_VERSION}: update mibench"
        )
    wrong = fault(record)
    if wrong:
        raise MibenchError(f"{path} is damaged: {wrong}; delete it and run again")
    stored = StoredRecord(record)
    stored.path = path
    return stored


def scan(root: Path) -> tuple[list[StoredRecord], list[str]]:
    """All records under a folder in the order of their paths, and a sentence for each file that is none."""
    records, warnings = [], []
    for path in record_files(root):
        try:
            records.append(read(path))
        except MibenchError as problem:
            warnings.append(str(problem))
    return records, warnings


def record_files(root: Path) -> Iterator[Path]:
    """Every file under a folder that should be a record, in the order of their paths.

    Hidden files and folders, temporary ones among them, are passed by, and so are inner folders with a file `APART`:
    those are results folders of their own.
    """
    for folder, inner, files in os.walk(root):
        here = Path(folder)
        inner[:] = sorted(name for name in inner if not (name.startswith(".") or (here / name / APART).is_file()))
        for name in sorted(files):
            if name.endswith(".json") and not name.startswith("."):
                yield here / name


def predictions(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays kept beside a record, verified against the sha256 that it holds.

    Args:
        path: of the record, the JSON file.

    Raises:
        MibenchError: the record keeps none, or they are missing or changed.
    """
    import numpy as np

    kept = read(path)["predictions"]
    if kept is None:
        raise MibenchError(f"{path} keeps no predictions: only finished probing runs have them")
    with np.load(verified_file(path, kept), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def verified_file(path: Path, kept: Mapping[str, Any]) -> Path:
    """The predictions beside a record, their bytes held against the sha256 of its block `predictions`.

    Raises:
        MibenchError: they are missing or changed.
    """
    file = path.with_name(Path(str(kept["file"])).name)
    again = "run it again with --force to make them anew"
    if not file.is_file():
        raise MibenchError(f"the predictions of {path} are missing: {file.name} is not beside it; {again}")
    if sha256_file(file) != kept["sha256"]:
        raise MibenchError(f"{file} is not what {path.name} vouches for: its sha256 differs; {again}")
    return file


def _write_predictions(path: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    import numpy as np

    ready = {name: np.asarray(array) for name, array in arrays.items()}
    pickled = [name for name, array in ready.items() if array.dtype.hasobject]
    if pickled:
        raise ValueError(f"predictions are numbers or strings; {', '.join(pickled)} would have to be pickled")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **ready)  # type: ignore[arg-type]
    return _keep_bytes(path, buffer.getvalue())


def _keep_bytes(path: Path, content: bytes) -> dict[str, str]:
    digest = hashlib.sha256(content).hexdigest()
    file = path.with_suffix(".npz")
    # A run made again must not pull the scores from under the record that still stands, should it be killed here.
    if file.is_file() and sha256_file(file) != digest:
        file = path.with_name(f"{path.stem}-{digest[:8]}.npz")
    with atomic_path(file) as temporary:
        temporary.write_bytes(content)
    return {"file": file.name, "sha256": digest}


def _complete(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its empty blocks, refused when no reader would take it."""
    kept = {**_EMPTY, **record, "schema": SCHEMA_VERSION}
    wrong = fault(kept)
    if wrong:
        raise ValueError(f"not a run record: {wrong}")
    return kept


def finished(path: Path) -> bool:
    """True when a record has finished well; a failure, or a file that cannot be read, is a run still to be made.

    Raises:
        MibenchError: it is of a newer schema.
    """
    try:
        return path.is_file() and bool(read(path)["status"] == "done")
    except NewerRecordError:
        raise
    except MibenchError:
        return False


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _unwritable(path: Path, problem: OSError) -> UnwritableError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space and run again: what is finished stays"
    else:
        remedy = "choose a folder that can be written, with --results or $MIBENCH_RESULTS"
    return UnwritableError(f"the result cannot be written to {path} ({problem.strerror}): {remedy}")
