"""Are the kept results what they say they are? Keys, places, hashes and schema, and every figure made again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.errors import MibenchError
from . import results
from .ecg import MI_STATEMENTS
from .progress import Steps
from .results import StoredRecord
from .seeds import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-6
"""A figure further than this from what the stored scores give is wrong; the same program finds it to the last digit."""

SCHEMA_FILE = "run_record.schema.json"


@dataclass(frozen=True)
class Verdict:
    """What was found of one file.

    Attributes:
        path: of the record.
        faults: what is wrong, a few words each; none for a record that is what it says.
        scored: its figures were made again from its scores.
        remarks: what could not be looked at, and why.
    """

    path: Path
    faults: tuple[str, ...]
    scored: bool = False
    remarks: tuple[str, ...] = ()


def verify(root: Path, steps: Steps, *, intervals: bool = True) -> list[Verdict]:
    """Look at every record under a folder; nothing is changed.

    Args:
        root: a results folder, or a part of one.
        steps: progress.
        intervals: make the intervals again as well, which takes most of the time.

    Raises:
        MibenchError: there is no such folder, or no record in it.
    """
    files = list(results.record_files(root)) if root.is_dir() else []
    if not files:
        raise MibenchError(f"{root} holds no run records: give a folder that `mibench run` wrote to")
    schema = schema_validator()
    bar = steps("verifying", len(files))
    verdicts = []
    for place, path in enumerate(files, 1):
        verdicts.append(_verdict(path, schema, intervals))
        bar(place)
    return verdicts


def orphans(root: Path) -> list[Path]:
    """Predictions that no readable record vouches for: harmless, and left by what was killed or run again."""
    claimed = set()
    for record in results.scan(root)[0]:
        if record["predictions"] is not None:
            claimed.add(record.path.with_name(Path(str(record["predictions"]["file"])).name))
    return sorted(path for path in root.rglob("*.npz") if path not in claimed and not path.name.startswith("."))


def schema_text() -> str:
    """The JSON Schema of run records."""
    return (resources.files("mibench.benchmark") / SCHEMA_FILE).read_text(encoding="utf-8")


def schema_validator() -> Any:
    """The schema as jsonschema checks it; None where that is not installed, and `record_check` must do."""
    try:
        import jsonschema
    except ImportError:
        return None
    return jsonschema.Draft202012Validator(json.loads(schema_text()))


def _verdict(path: Path, schema: Any, intervals: bool) -> Verdict:
    try:
        record = results.read(path)
    except MibenchError as problem:
        return Verdict(path, (_without(path, str(problem)),))
    faults = list(_identity_faults(record))
    if schema is not None:
        faults += [_schema_fault(problem) for problem in schema.iter_errors(dict(record))]
    if record["predictions"] is None:
        return Verdict(path, tuple(faults))
    try:
        arrays = results.predictions(path)
    except (MibenchError, OSError, ValueError, KeyError) as problem:
        return Verdict(path, (*faults, _without(path, str(problem))))
    if "scores" not in arrays:
        return Verdict(path, (*faults, *_rank_faults(record, arrays)), scored=True)
    broken = _array_fault(arrays)
    if broken:
        return Verdict(path, (*faults, broken))
    found, remarks = _figure_faults(record, arrays, intervals)
    return Verdict(path, (*faults, *found), scored=True, remarks=tuple(remarks))


def _without(path: Path, sentence: str) -> str:
    """What stands beside the file's name need not repeat it."""
    return sentence.replace(f"{path} ", "").replace(f"{path.parent}/", "")


def _identity_faults(record: StoredRecord) -> Iterator[str]:
    key = results.run_key(record["determinants"])
    if record["key"] != key:
        yield f"`key` {record['key']} is not the hash of `determinants` ({key}): one of them was changed"
    place = results.path_of(Path(), record)
    if record.path.parts[-len(place.parts) :] != place.parts:
        yield f"it belongs at {place}, where a run looks for it; `mibench results merge` puts it there"
    said, meant = record["determinants"].get("data"), record["data"]["manifest"]
    if isinstance(said, str) and said != meant:
        yield "`data.manifest` is not that of `determinants`"
    for name in ("ratio", "seed"):
        if record["determinants"].get(name, record[name]) != record[name]:
            yield f"`{name}` {record[name]} is not that of `determinants` ({record['determinants'][name]})"


def _schema_fault(problem: Any) -> str:
    where = ".".join(map(str, problem.absolute_path)) or "the record"
    message = problem.message if len(problem.message) <= 120 else f"{problem.message[:117]}..."
    return f"against the schema: `{where}`: {message}"


def _array_fault(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    import numpy as np

    missing = [name for name in ("records", "patients", "statements", "scores", "labels") if name not in arrays]
    if missing:
        return f"its predictions lack {', '.join(missing)}"
    shape = (len(arrays["records"]), len(arrays["statements"]))
    if arrays["scores"].shape != shape or arrays["labels"].shape != shape or len(arrays["patients"]) != shape[0]:
        return f"its predictions do not belong together: {shape[0]} records and {shape[1]} statements, but " + (
            f"scores {arrays['scores'].shape}, labels {arrays['labels'].shape}, {len(arrays['patients'])} patients"
        )
    if len(np.unique(arrays["records"])) < shape[0]:
        return "its predictions hold a record twice"
    bad = int((~np.isfinite(arrays["scores"])).any(axis=1).sum())
    if bad:
        return f"the scores of {bad} of {shape[0]} test records are not finite numbers: run it again with --force"
    if not np.isin(arrays["labels"], (0, 1)).all():
        return "its labels are not 0 and 1"
    return None


def _figure_faults(
    record: StoredRecord, arrays: Mapping[str, NDArray[Any]], intervals: bool
) -> tuple[list[str], list[str]]:
    """What the record says of its scores, against what they give; and what was not compared."""
    from .metrics import auc, macro
    from .stats import summarize

    metrics, names = record["metrics"] or {}, arrays["statements"].tolist()
    absent = [name for name in MI_STATEMENTS if name not in names]
    if absent:
        return [f"its scores lack the statements {', '.join(absent)}"], []
    nine = [names.index(name) for name in MI_STATEMENTS]
    settings = record["protocol"].get("settings") or {}
    again = summarize(
        arrays["scores"][:, nine],
        arrays["labels"][:, nine],
        arrays["patients"],
        resamples=max(2, int(settings.get("resamples", 2000))) if intervals else 2,
        seed=derive(0, "bootstrap", record["data"]["manifest"]),
    ).to_record()
    tested = record["data"].get("records", {}).get("test", len(arrays["records"]))
    faults, remarks = [], []
    if tested != len(arrays["records"]):
        faults.append(f"`data.records.test` is {tested:,} and there are scores of {len(arrays['records']):,} records")
    every = float(macro(auc(arrays["scores"], arrays["labels"])))
    again["macro_trained"] = every if math.isfinite(every) else None
    if sorted(metrics.get("left_out", [])) != sorted(again["left_out"]):
        faults.append(f"`metrics.left_out` is {metrics.get('left_out')} and should be {again['left_out']}")
    for block in ("auc", "positives"):
        for name in MI_STATEMENTS:
            faults += _unlike(f"metrics.{block}.{name}", metrics.get(block, {}).get(name), again[block][name])
    for name in ("avg", "avg6", "macro_trained"):
        faults += _unlike(f"metrics.{name}", metrics.get(name), again[name])
    if intervals:
        for path, said, found in _interval_pairs(metrics, again):
            if said and found and said[2] != found[2]:
                remarks.append(f"`{path}` was made as `{said[2]}` and is now made as `{found[2]}`: not compared")
            else:
                faults += _unlike(path, said, found)
    return faults, remarks


def _interval_pairs(metrics: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in MI_STATEMENTS:
        yield f"metrics.interval.{name}", metrics.get("interval", {}).get(name), again["interval"][name]
    for name in ("avg_interval", "avg6_interval"):
        yield f"metrics.{name}", metrics.get(name), again[name]


def _unlike(path: str, said: Any, found: Any) -> list[str]:
    """A sentence when two figures, or the ends of two intervals, are not the same."""
    left, right = (value[:2] if isinstance(value, list) else [value] for value in (said, found))
    if len(left) == len(right) and all(map(_near, left, right)):
        return []

    def word(values: list[Any]) -> str:
        return " to ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in values)

    return [f"`{path}` is {word(left)} and the scores give {word(right)}"]


def _near(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    return bool(abs(first - second) <= TOLERANCE)


def _rank_faults(record: StoredRecord, arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Retrieval keeps the rank of each query's own record in place of scores."""
    if "ranks" not in arrays or not record.get("retrieval"):
        return ["its predictions hold neither scores nor ranks"]
    ranks, block = arrays["ranks"], record["retrieval"]
    faults = _unlike("retrieval.queries", block["queries"], len(ranks))
    for depth, said in block["recall"].items():
        faults += _unlike(f"retrieval.recall.{depth}", said, float((ranks < int(depth)).mean()))
    return faults
