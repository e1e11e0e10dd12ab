"""Is a run record whole? What every reader counts on, checked without a schema library and fast enough for thousands.

`run_record.schema.json` says more; the tests hold both together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .profile_check import profile_fault

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


class _Absent:
    """What stands for a field that is not there."""


_MISSING = _Absent()
_OPTIONAL_NUMBER = (*_MAYBE_NUMBER, _Absent)
_OPTIONAL_TEXT = (str, _NONE, _Absent)
_OPTIONAL_BLOCK = (dict, _NONE, _Absent)

_ERRORS = ("mse", "mae", "pearson")
_RATES = ("mae", "within_5_bpm", "undetected")
_LATENT = (
    *("fid", "fid_mean", "fid_covariance", "fid_infinite", "floor", "floor_sd", "total_variance", "relative"),
    *("paired_distance", "cosine", "kid", "records", "features", "floor_records"),
)
_INTERVALS = (
    *(f"signal.{part}.{name}_interval" for part in ("missing", "twelve") for name in _ERRORS),
    *("latent.paired_distance_interval", "latent.cosine_interval"),
)
_GENERATION: dict[str, dict[str, Any]] = {
    "classifier": {
        "method": str,
        "title": _OPTIONAL_TEXT,
        "preset": _OPTIONAL_TEXT,
        "trained_on": (str, _Absent),
        "weights": dict,
        "weights.source": str,
        "weights.name": _OPTIONAL_TEXT,
        "weights.sha256": _OPTIONAL_TEXT,
        "weights.seed": (int, _NONE, _Absent),
    },
    "signal": {
        "records": int,
        **{f"{part}.{name}": _MAYBE_NUMBER for part in ("missing", "twelve") for name in _ERRORS},
        "per_lead": (dict, _Absent),
        "frontal_plane": _OPTIONAL_BLOCK,
        "frontal_plane_real": _OPTIONAL_BLOCK,
        "r_amplitude": _OPTIONAL_BLOCK,
        "heart_rate": _OPTIONAL_BLOCK,
        **{f"heart_rate.{name}": (list, _Absent) for name in _RATES},
    },
    "latent": {**dict.fromkeys(_LATENT, _OPTIONAL_NUMBER), "fid": _MAYBE_NUMBER, "notes": (list, _Absent)},
}
"""The parts of `generation`, any of which may be absent or null, and what they hold."""
_FINISHED: dict[str, dict[str, Any]] = {
    "generative": {"classifier.trained_on": str, "pass_through": bool, "sees": str, "signal": dict},
    "latent_fid": {"latent": dict},
}
"""What `generation` must hold once a run of a protocol has finished."""


_RETRIEVAL: dict[str, Any] = {
    **dict.fromkeys(("queries", "patients", "gallery", "loss_batch", "loss_batches"), int),
    **dict.fromkeys(("recall", "interval", "chance", "losses"), dict),
    **{f"{name}.{depth}": _NUMBER for name in ("recall", "chance") for depth in ("1", "5", "10")},
    **dict.fromkeys(("median_rank", "infonce_chance"), _NUMBER),
}
"""What `retrieval` must hold wherever it stands."""


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
        if block is not _MISSING and not (isinstance(block, dict) and _all_are(block.values(), kinds)):
            return f"`{path}` holds what does not belong there"
    if record["status"] not in ("done", "failed"):
        return "`status` is neither done nor failed"
    if record["predictions"] is not None and not {"file", "sha256"} <= record["predictions"].keys():
        return "`predictions` names no file"
    return (
        _interval_fault(record["metrics"] or {})
        or _generation_fault(record)
        or _retrieval_fault(record)
        or profile_fault(record)
    )


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


def _generation_fault(record: Mapping[str, Any]) -> str | None:
    needed = _FINISHED.get(record["protocol"]["name"], {}) if record["status"] == "done" else {}
    block = record.get("generation")
    if block is None and not needed:
        return None
    if not isinstance(block, dict):
        return "`generation` is missing or of another kind"
    parts = [(f"{part}.", fields) for part, fields in _GENERATION.items() if block.get(part) is not None]
    for prefix, fields in (("", needed), *parts):
        for path, kinds in fields.items():
            if not isinstance(_at(block, f"{prefix}{path}"), kinds):
                return f"`generation.{prefix}{path}` is missing or of another kind"
    if _at(block, "classifier.trained_on") not in (_MISSING, "real", "generated"):
        return "`generation.classifier.trained_on` is neither real nor generated"
    if block.get("sees", "observed") not in ("observed", "record", "another-record"):
        return "`generation.sees` is none of observed, record, another-record"
    if not isinstance(block.get("pass_through", False), bool):
        return "`generation.pass_through` is neither true nor false"
    for path in _INTERVALS:
        if not _are_ends(_at(block, path)):
            return f"`generation.{path}` is not [low, high]"
    return _signal_fault(block.get("signal") or {})


def _signal_fault(signal: Mapping[str, Any]) -> str | None:
    """Lists and blocks whose length or keys are their own."""
    for name, figures in signal.get("per_lead", {}).items():
        if not isinstance(figures, list) or len(figures) != 12 or not _all_are(figures, _MAYBE_NUMBER):
            return f"`generation.signal.per_lead.{name}` is no list of twelve numbers"
    for name in _RATES:
        if not _all_are((signal.get("heart_rate") or {}).get(name, []), _MAYBE_NUMBER):
            return f"`generation.signal.heart_rate.{name}` is no list of numbers"
    for name in ("frontal_plane", "frontal_plane_real"):
        if not _all_are((signal.get(name) or {}).values(), _MAYBE_NUMBER):
            return f"`generation.signal.{name}` holds what does not belong there"
    for lead, line in (signal.get("r_amplitude") or {}).items():
        if not isinstance(line, (dict, _NONE)) or not _all_are((line or {}).values(), _MAYBE_NUMBER):
            return f"`generation.signal.r_amplitude.{lead}` holds what does not belong there"
    return None


def _retrieval_fault(record: Mapping[str, Any]) -> str | None:
    block = record.get("retrieval")
    if block is None and (record["protocol"]["name"] != "retrieval" or record["status"] != "done"):
        return None
    if not isinstance(block, dict):
        return "`retrieval` is missing or of another kind"
    for path, kinds in _RETRIEVAL.items():
        if not isinstance(_at(block, path), kinds):
            return f"`retrieval.{path}` is missing or of another kind"
    if not _all_are(block["losses"].values(), _NUMBER):
        return "`retrieval.losses` holds what is no number"
    if not all(_are_ends(ends) for ends in block["interval"].values()):
        return "`retrieval.interval` holds what is not [low, high]"
    return None


def _are_ends(ends: Any) -> bool:
    if ends is None or ends is _MISSING:
        return True
    return isinstance(ends, list) and len(ends) == 2 and _all_are(ends, _NUMBER)


def _at(record: Mapping[str, Any], path: str) -> Any:
    value: Any = record
    for step in path.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return _MISSING
        value = value[step]
    return value


def _all_are(values: Iterable[Any], kinds: Any) -> bool:
    return all(isinstance(value, kinds) for value in values)
