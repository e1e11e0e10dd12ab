"""Profiles out of run records: which stand in a table, and their figures; torch is not needed to read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .files import sha256_json
from .profile_check import COUNTED, MEASURED, NAME

WIDE = 0.02
"""By how much two counters may differ before it is said."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Machine:
    """The profiles of one machine, one for each method with its options.

    Attributes:
        hardware: as records have it.
        records: the fullest, then newest of each, those last that were timed while others used the machine.
    """

    hardware: Mapping[str, Any]
    records: tuple[Record, ...]

    @property
    def words(self) -> str:
        """One line on the machine."""
        return in_words(self.hardware)

    @property
    def label(self) -> str:
        """Tells its table from the others of a document."""
        return sha256_json(dict(self.hardware))[:8]


def machines(records: Sequence[Record]) -> list[Machine]:
    """Profiles by machine, those with a GPU first; records of other protocols are passed by."""
    best: dict[str, dict[str, Record]] = {}
    hardware: dict[str, Mapping[str, Any]] = {}
    for record in records:
        if record["protocol"]["name"] != NAME:
            continue
        machine = record["determinants"].get("hardware") or {}
        place, method = json.dumps(machine, sort_keys=True), record["method"]
        hardware[place] = machine
        options = json.dumps([method["name"], method.get("options"), method.get("title")], sort_keys=True)
        rival = best.setdefault(place, {}).get(options)
        if rival is None or _standing(record) > _standing(rival):
            best[place][options] = record
    found = [Machine(hardware[place], tuple(kept.values())) for place, kept in best.items()]
    return sorted(found, key=lambda machine: (not machine.hardware.get("gpu"), machine.words))


def in_words(machine: Mapping[str, Any]) -> str:
    """A machine in one line."""
    cores = machine.get("cores")
    cpu = f"{machine.get('cpu') or 'unknown CPU'}, {cores} core{'' if cores == 1 else 's'}"
    torch = f"torch {machine.get('torch') or 'unknown'}"
    if not machine.get("gpu"):
        return f"{cpu}, no GPU; {torch}"
    driver, cuda = machine.get("driver") or "unknown", machine.get("cuda") or "unknown"
    return f"{machine['gpu']} (driver {driver}, CUDA {cuda}); {cpu}; {torch}"


def macs(record: Record, recipe: str, counter: str) -> int | None:
    """Multiply-accumulates of one record, by "ptflops" or "counted"; None where there are none."""
    value: int | None = ((record.get(NAME) or {}).get("macs", {}).get(recipe) or {}).get(counter)
    return value


def disagreements(record: Record) -> dict[str, float]:
    """By how much ptflops is off the other counter, as a share of that one, in recipes where it is over 2 %."""
    found = {}
    for recipe in (record.get(NAME) or {}).get("macs", {}):
        theirs, ours = macs(record, recipe, "ptflops"), macs(record, recipe, "counted")
        if theirs is not None and ours and abs(theirs / ours - 1) > WIDE:
            found[recipe] = theirs / ours - 1
    return found


def parameters(record: Record) -> int | None:
    """As the paper's counter has them where it was asked, else of all that is pre-trained."""
    found = (record.get(NAME) or {}).get("parameters", {})
    value: int | None = found.get("paper") or found.get("total")
    return value


def cell_of(record: Record, batch: int | None, precision: str) -> Mapping[str, Any] | None:
    """The memory cell of a batch and a precision; None where there is none."""
    cells = (record.get(NAME) or {}).get("memory", [])
    return next((c for c in cells if c["batch"] == batch and c["precision"] == precision), None)


def mib_of(cell: Mapping[str, Any]) -> float | None:
    """What a cell found: of the whole process where that is known, else allocated, else counted."""
    for name in ("process_mib", "allocated_mib", "counted_mib"):
        if cell["status"] in (MEASURED, COUNTED) and cell.get(name) is not None:
            return float(cell[name])
    return None


def latency_of(record: Record, device: str) -> Mapping[str, Any] | None:
    """The latency on a device: "cpu, one thread", "cpu" or "gpu"; None where none was looked for."""
    return next((c for c in (record.get(NAME) or {}).get("latency", []) if c["device"] == device), None)


def _standing(record: Record) -> tuple[bool, int, bool, str]:
    """A finished one before a failed one, then by figures, then timed while nobody else was at work, then by age."""
    block = record.get(NAME) or {}
    counted = sum(value is not None for counts in block.get("macs", {}).values() for value in counts.values())
    cells = [*block.get("memory", []), *block.get("latency", [])]
    figures = counted + sum(c["status"] != "failed" for c in cells) + bool(block.get("export"))
    calm = not any(cell.get("load") for cell in cells)
    return record["status"] == "done", figures, calm, str(record["created"])
