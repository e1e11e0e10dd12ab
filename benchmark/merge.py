"""Results of other folders brought into one: each record and its predictions whole, and nothing of ours lost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..adapters.errors import MibenchError
from . import results
from .labels import flat
from .progress import Steps
from .results import StoredRecord
from .selection import Selection, describe

TOLERANCE = 1e-6
"""Figures nearer to each other than this are the same; of figures over one, this share of them."""

MEASURED = ("metrics", "generation", "retrieval")
COUNTED = ("parameters", "macs")
"""The blocks, and the parts of `profile`, that the same determinants make the same; the rest is the machine's."""

Prefer = Literal["ours", "theirs", "newer"]
What = Literal["copied", "replaced", "kept", "conflict", "refused"]


@dataclass(frozen=True)
class Outcome:
    """What became of one file of another folder; `why` is a sentence, empty where there is nothing to say."""

    what: What
    why: str = ""


def merge(
    root: Path,
    folders: Sequence[Path],
    selection: Selection,
    steps: Steps,
    *,
    prefer: Prefer | None = None,
    dry_run: bool = False,
) -> list[Outcome]:
    """Copy the records of some folders into `root`, and say what became of each.

    A finished run is never replaced by a failed one, and by another finished one of the same key only when their
    figures differ and `prefer` says so. Killed in the middle, it leaves whole records, and begins anew where it was.

    Args:
        root: the results folder that receives them.
        folders: of others, each searched as a whole.
        selection: which of their records.
        steps: progress.
        prefer: whose figures stay where both have finished and differ; None keeps ours and calls it a conflict.
        dry_run: write nothing.

    Raises:
        MibenchError: a folder is not there or is the one that receives; or it cannot be written.
    """
    sources = [_source(root, folder) for folder in folders]
    outcomes = [Outcome("refused", warning) for _, warnings in sources for warning in warnings]
    chosen = [record for records, _ in sources for record in records if selection.takes(record)]
    bar = steps("merging", len(chosen))
    for place, record in enumerate(chosen, 1):
        outcomes.append(_merged(root, record, prefer, dry_run))
        bar(place)
    return outcomes


def _source(root: Path, folder: Path) -> tuple[list[StoredRecord], list[str]]:
    if not folder.is_dir():
        raise MibenchError(f"{folder} is no folder: give the results folder of another machine or checkout")
    ours, theirs = root.resolve(), folder.resolve()
    if theirs == ours or _holds(ours, theirs) or _holds(theirs, ours):
        raise MibenchError(f"{folder} and {root} lie one in the other: merge takes another folder's records into this")
    records, warnings = results.scan(folder)
    if not records and not warnings:
        raise MibenchError(f"{folder} holds no run records: give a folder that `mibench run` wrote to")
    return records, warnings


def _holds(outer: Path, inner: Path) -> bool:
    """Whether what lies in one folder belongs to the results of another around it."""
    if outer not in inner.parents:
        return False
    between = [inner, *inner.parents]
    return not any((folder / results.APART).is_file() for folder in between[: between.index(outer)])


def _merged(root: Path, record: StoredRecord, prefer: Prefer | None, dry_run: bool) -> Outcome:
    """Put one record where it belongs, unless what is there is better."""
    if record["key"] != results.run_key(record["determinants"]):
        return Outcome("refused", f"{record.path}: its key is not the hash of its determinants; it was changed by hand")
    try:
        outcome = _compared(root, record, prefer)
        if outcome.what in ("copied", "replaced"):
            if record["predictions"] is not None:
                results.verified_file(record.path, record["predictions"])
            if not dry_run:
                results.adopt(root, record)
    except results.UnwritableError:
        raise
    except MibenchError as problem:
        return Outcome("refused", str(problem))
    return outcome


def _compared(root: Path, theirs: StoredRecord, prefer: Prefer | None) -> Outcome:
    path = results.path_of(root, theirs)
    if not path.is_file():
        return Outcome("copied")
    try:
        ours = results.read(path)
    except results.NewerRecordError:
        raise
    except MibenchError as problem:
        return Outcome("replaced", f"ours could not be read: {problem}")
    if theirs["status"] != "done":
        return Outcome("kept")
    if ours["status"] != "done":
        return Outcome("replaced", f"{describe(theirs)}: ours had failed ({ours['error']})")
    found = list(differing(ours, theirs))
    if not found:
        return Outcome("kept")
    newer = theirs["created"] > ours["created"]
    which = f"{describe(theirs)}: {_told(found)}"
    if prefer == "theirs" or (prefer == "newer" and newer):
        return Outcome("replaced", f"{which}; theirs took its place")
    return Outcome("kept" if prefer else "conflict", f"{which}; ours stays")


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The measured figures of two records of one key that are further apart than `TOLERANCE`: path, ours, theirs."""
    left, right = (_figures(record) for record in (ours, theirs))
    for path in sorted(left.keys() | right.keys()):
        first, second = left.get(path), right.get(path)
        if first != second and not _near(first, second):
            yield path, first, second


def _figures(record: Mapping[str, Any]) -> dict[str, Any]:
    counted = {name: (record.get("profile") or {}).get(name) or {} for name in COUNTED}
    blocks = flat({"profile": counted, **{name: record.get(name) or {} for name in MEASURED}})
    spread: dict[str, Any] = {}
    for path, value in blocks.items():
        spread |= {f"{path}.{i}": entry for i, entry in enumerate(value)} if isinstance(value, list) else {path: value}
    return spread


def _near(first: Any, second: Any) -> bool:
    if not all(isinstance(value, (int, float)) for value in (first, second)):
        return False
    return math.isclose(first, second, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _told(found: Sequence[tuple[str, Any, Any]]) -> str:
    def word(value: Any) -> str:
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    shown = "; ".join(f"{path} {word(ours)} here and {word(theirs)} there" for path, ours, theirs in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{len(found)} figure{'s' * (len(found) != 1)} differ{'s' * (len(found) == 1)} ({shown}{more})"
