"""All run records as one table, for other programs: parquet with types, CSV for the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.errors import MibenchError
from .board import COLUMNS
from .files import atomic_path
from .generation_block import figures_of
from .labels import flat
from .more_metrics import NUMBERS, Figures, more_metrics
from .progress import Steps
from .results import StoredRecord
from .results_list import chosen_of
from .selection import Selection

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".parquet", ".csv")
BLOCKS = ("retrieval", "profile", "training", "pretraining", "provenance", "determinants")
"""Blocks whose figures become columns of their own, named by their path."""

Fields = dict[str, Any]


def check_files(files: Sequence[Path]) -> None:
    """Refuse files that could not be written, before anything takes its time.

    Raises:
        MibenchError: another ending than .parquet or .csv, a folder, or one file given twice.
    """
    for file in files:
        if file.suffix.lower() not in ENDINGS:
            raise MibenchError(f"{file}: tables are written as {' or '.join(ENDINGS)}; choose one of these endings")
        if file.is_dir():
            raise MibenchError(f"{file} is a folder: give the name of a file")
    if len({file.absolute() for file in files}) < len(files):
        raise MibenchError("a file was given twice: one table goes into each")


def export(
    records: Sequence[StoredRecord],
    selection: Selection,
    files: Sequence[Path],
    steps: Steps,
    *,
    wide: bool = False,
    folder: Path,
) -> list[str]:
    """Write the records to each of some files; a sentence for each.

    Args:
        records: as `results.scan` gives them.
        selection: which of them.
        files: .parquet or .csv.
        steps: progress.
        wide: a row per run, in place of one per run and statement.
        folder: where they were looked for, for the error.

    Raises:
        MibenchError: nothing to write, or a file that cannot be written.
    """
    chosen = chosen_of(records, selection, folder)
    bar = steps("collecting", len(chosen))
    rows: list[Fields] = []
    said: list[str] = []
    for place, record in enumerate(chosen, 1):
        further: Mapping[str, Figures] = {}
        if "auc" in (record["metrics"] or {}):
            further, problem = _further(record)
            said += [problem] if problem else []
        rows += [_wide(record, further)] if wide else _long(record, further)
        bar(place)
    frame = _frame(rows)
    for file in files:
        _write(frame, file)
        said.append(f"written: {file} ({len(frame):,} rows of {len(chosen):,} runs, {frame.shape[1]} columns)")
    return said


def _further(record: StoredRecord) -> tuple[Mapping[str, Figures], str]:
    """Figures that the record does not hold and its scores give, by statement; and why there are none."""
    if record["predictions"] is None:
        return {}, ""
    try:
        return more_metrics(record.path), ""
    except MibenchError as problem:
        return {}, f"{problem}; AUPRC, sensitivities, Brier score and calibration of this run are left empty"


def _long(record: StoredRecord, further: Mapping[str, Figures]) -> Iterator[Fields]:
    """A row for each statement and mean; one without statement for runs that have no AUC."""
    head, tail = _head(record), _tail(record)
    metrics = record["metrics"] or {}
    if "auc" not in metrics:
        yield head | dict.fromkeys(("statement", *_statement(metrics, COLUMNS[0]))) | tail
        return
    for name in COLUMNS:
        yield head | {"statement": name} | _statement(metrics, name) | further.get(name, {}) | tail


def _wide(record: StoredRecord, further: Mapping[str, Figures]) -> Fields:
    metrics = record["metrics"] or {}
    spread: Fields = {}
    for name in COLUMNS:
        found = _statement(metrics, name) | further.get(name, {})
        spread |= {f"{name}.{figure}": value for figure, value in found.items()}
    return _head(record) | spread | _tail(record)


def _statement(metrics: Mapping[str, Any], name: str) -> Fields:
    """AUC, interval and positives of a statement, or of a mean over statements, which has no positives."""
    short = name.lower()
    mean = name.startswith("Avg")
    area = metrics.get(short) if mean else metrics.get("auc", {}).get(name)
    interval = metrics.get(f"{short}_interval") if mean else metrics.get("interval", {}).get(name)
    low, high, method = interval or (None, None, None)
    positives = None if mean else metrics.get("positives", {}).get(name)
    return {"auc": area, "low": low, "high": high, "interval": method, "positives": positives}


def _head(record: StoredRecord) -> Fields:
    data, protocol, method, weights = (record[name] for name in ("data", "protocol", "method", "weights"))
    return {
        "notice": data.get("notice"),
        "data": data["name"],
        "release": data.get("release"),
        "complete": data.get("complete", True),
        "manifest": data["manifest"],
        "test_records": data.get("records", {}).get("test"),
        "protocol": protocol["name"],
        "protocol_version": protocol["version"],
        "method": method["name"],
        "title": method.get("title"),
        "method_version": method.get("version"),
        "kind": method.get("kind"),
        "saw_in_pretraining": method.get("pretraining_data"),
        "weights_source": weights["source"],
        "weights_name": weights.get("name"),
        "weights_sha256": weights.get("sha256"),
        "weights_seed": weights.get("seed"),
        "pretrained_on": _pretrained_on(weights),
        "ratio": record["ratio"],
        "seed": record["seed"],
        "key": record["key"],
        "status": record["status"],
        "created": record["created"],
        "error": record["error"],
    }


def _pretrained_on(weights: Mapping[str, Any]) -> Any:
    data = (weights.get("pretraining") or {}).get("data")
    return data.get("name") if isinstance(data, Mapping) else data


def _tail(record: StoredRecord) -> Fields:
    generation = record.get("generation") or {}
    about = {name: generation.get(name) for name in ("classifier", "pass_through", "sees")}
    found: Fields = {"macro_trained": (record["metrics"] or {}).get("macro_trained")}
    found |= {f"generation.{path}": value for path, value in flat(about).items() if value is not None}
    found |= {f"generation.{path}": value for path, value in figures_of(record).items()}
    for block in BLOCKS:
        found |= {f"{block}.{path}": value for path, value in flat(record.get(block) or {}).items()}
    found["file"] = f"{record.path.parent.name}/{record.path.name}"
    return found


def _frame(rows: Sequence[Fields]) -> pd.DataFrame:
    import pandas as pd

    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    # What determines a run comes last: its columns are many, and differ from method to method.
    order = sorted(names, key=lambda name: (name.startswith("determinants."), name.startswith("provenance.")))
    return pd.DataFrame(
        {name: _column([row.get(name) for row in rows], name.rpartition(".")[2] in NUMBERS) for name in order}
    )


def _column(values: Sequence[Any], number: bool) -> pd.Series[Any]:
    """One type for a whole column, absent values allowed; what has no one type becomes text.

    `number` says that it holds fractions, even where all are absent.
    """
    import pandas as pd

    known = [value for value in values if value is not None]
    if number and not known:
        return pd.Series([float("nan")] * len(values), dtype="float64")
    if all(isinstance(value, bool) for value in known):
        return pd.Series(values, dtype="boolean" if known else "string")
    if all(isinstance(value, int) and not isinstance(value, bool) for value in known):
        return pd.Series(values, dtype="Int64")
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known):
        return pd.Series([float("nan") if value is None else float(value) for value in values], dtype="float64")
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pd.Series(texts, dtype="string")


def _write(frame: pd.DataFrame, file: Path) -> None:
    try:
        with atomic_path(file) as temporary:
            if file.suffix.lower() == ".csv":
                frame.to_csv(temporary, index=False, lineterminator="\n")
            else:
                frame.to_parquet(temporary, index=False)
    except OSError as problem:
        raise MibenchError(
            f"{file}: cannot be written ({problem.strerror or problem}); choose another file, or free some space"
        ) from problem
