"""What is in a results folder, counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..adapters.errors import MibenchError
from .results import StoredRecord
from .selection import Selection, what_there_is

_HEADER = ("Data", "Protocol", "Method", "Weights", "Train %", "Done", "Failed", "Newest", "")


def listing(records: Sequence[StoredRecord], selection: Selection, folder: Path) -> str:
    """A line for each method and its weights, and the totals, for a terminal.

    Raises:
        MibenchError: there is nothing to list.
    """
    from tabulate import tabulate

    chosen = chosen_of(records, selection, folder)
    groups: dict[tuple[Any, ...], list[StoredRecord]] = {}
    for record in chosen:
        groups.setdefault(_group(record), []).append(record)
    lines = [[*name, _shares(group), *_counts(group)] for name, group in sorted(groups.items())]
    table = tabulate(lines, _HEADER, "simple", disable_numparse=True, colalign=["left"] * 4 + ["right"] * 3)
    done = sum(record["status"] == "done" for record in chosen)
    scored = sum(record["predictions"] is not None for record in chosen)
    total = f"{folder}: {len(chosen)} records, {done} done, {len(chosen) - done} failed, {scored} with their scores."
    return f"{table}\n\n{total}"


def chosen_of(records: Sequence[StoredRecord], selection: Selection, folder: Path) -> list[StoredRecord]:
    """The records that are meant.

    Raises:
        MibenchError: none is.
    """
    if not records:
        raise MibenchError(f"{folder} holds no run records: `mibench run --method selfmis` makes the first")
    chosen = [record for record in records if selection.takes(record)]
    if not chosen:
        raise MibenchError(f"no run fits what was asked for; there are {what_there_is(records)}")
    return chosen


def _group(record: StoredRecord) -> tuple[Any, ...]:
    protocol = record["protocol"]
    name = f"{protocol['name']} v{protocol['version']}"
    return record["data"]["name"], name, record["method"]["name"], record["weights"]["source"]


def _shares(group: Sequence[StoredRecord]) -> str:
    shares = sorted({record["ratio"] for record in group if record["ratio"] is not None})
    return ", ".join(f"{100 * share:g}" for share in shares) or "--"


def _counts(group: Sequence[StoredRecord]) -> list[str]:
    done = sum(record["status"] == "done" for record in group)
    newest = max(record["created"] for record in group)[:10]
    return [str(done), str(len(group) - done), newest, group[0]["data"].get("notice") or ""]
