"""Is a run record whole? What every reader counts on, checked without a schema library and fast enough for thousands.

`run_record.schema.json` says more; the tests hold both together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NONE = type(None)
_NUMBER = (int, float)
_MAYBE_NUMBER = (int, float, _NONE)

_REQUIRED: tuple[tuple[str, Any], ...] = (
    ("protocol", dict),
    ("method", dict),
    ("weights", dict),
    ("data", dict),
    ("determinants", dict),
    ("provenance", dict),
    ("key", str),
    ("status", str),
    ("created", str),
    ("ratio", _MAYBE_NUMBER),
    ("seed", (int, _NONE)),
    ("metrics", (dict, _NONE)),
    ("predictions", (dict, _NONE)),
    ("error", (str, _NONE)),
    ("protocol.name", str),
    ("protocol.version", int),
    ("method.name", str),
    ("weights.source", str),
    ("data.name", str),
    ("data.manifest", str),
)
_OPTIONAL: tuple[tuple[str, Any], ...] = (
    ("method.title", (str, _NONE)),
    ("weights.name", (str, _NONE)),
    ("weights.sha256", (str, _NONE)),
    ("weights.pretraining", (dict, _NONE)),
    ("data.release", (str, _NONE)),
    ("data.notice", (str, _NONE)),
    ("data.complete", bool),
    ("data.records", dict),
    ("metrics.avg", _MAYBE_NUMBER),
    ("metrics.avg6", _MAYBE_NUMBER),
    ("metrics.left_out", list),
)
_VALUES: tuple[tuple[str, Any], ...] = (
    ("data.records", _NUMBER),
    ("metrics.auc", _MAYBE_NUMBER),
    ("metrics.positives", _NUMBER),
    ("metrics.interval", (list, _NONE)),
)
_MISSING = object()


def fault(record: Mapping[str, Any]) -> str | None:
    """What is wrong with a record of the current schema, in a few words; None for a whole one."""
    for path, kinds in _REQUIRED:
        if not isinstance(_at(record, path), kinds):
            return f"`{path}` is missing or of another kind"
    for path, kinds in _OPTIONAL:
        value = _at(record, path)
        if value is not _MISSING and not isinstance(value, kinds):
            return f"`{path}` is of another kind"
    for path, kinds in _VALUES:
        block = _at(record, path)
        if block is not _MISSING and not _all_are(block, kinds):
            return f"`{path}` holds what does not belong there"
    if record["status"] not in ("done", "failed"):
        return "`status` is neither done nor failed"
    if record["predictions"] is not None and not {"file", "sha256"} <= record["predictions"].keys():
        return "`predictions` names no file"
    return _interval_fault(record["metrics"] or {})


def _interval_fault(metrics: Mapping[str, Any]) -> str | None:
    intervals = [metrics.get("avg_interval"), metrics.get("avg6_interval"), *metrics.get("interval", {}).values()]
    for interval in intervals:
        if interval is None:
            continue
        if (
            not isinstance(interval, list)
            or len(interval) != 3
            or not all(isinstance(e, _NUMBER) for e in interval[:2])
        ):
            return "`metrics` holds an interval that is not [low, high, method]"
    return None


def _at(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for step in path.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return _MISSING
        value = value[step]
    return value


def _all_are(block: Any, kinds: Any) -> bool:
    return isinstance(block, dict) and all(isinstance(value, kinds) for value in block.values())
