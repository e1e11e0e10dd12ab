"""Is the `profile` block of a record whole? The twin of `$defs/profile` in `run_record.schema.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAME = "profile"

COUNTED, MEASURED, ABSENT, OUT_OF_MEMORY, FAILED = STATES = (
    "counted",
    "measured",
    "needs a GPU",
    "out of memory",
    "failed",
)
"""What became of a cell: only a measured or counted one has figures; running out of memory is one as well."""

_COUNT = (int, type(None))
_FIGURE = (int, float, type(None))
_MEMORY = ("counted_mib", "allocated_mib", "reserved_mib", "process_mib", "step_seconds", "records_per_second")
_TIMES = ("median_ms", "low_ms", "high_ms", "prepare_ms")


def profile_fault(record: Mapping[str, Any]) -> str | None:
    """What is wrong with the block of a record, in a few words; None where it is whole, or absent where it may be."""
    block = record.get(NAME)
    if block is None and (record["protocol"]["name"] != NAME or record["status"] != "done"):
        return None
    if not isinstance(block, Mapping):
        return "`profile` is missing or of another kind"
    return _counts_fault(block) or _cells_fault(block)


def _counts_fault(block: Mapping[str, Any]) -> str | None:
    for name in ("parameters", "macs", "hardware"):
        if not isinstance(block.get(name), Mapping):
            return f"`profile.{name}` is missing or of another kind"
    parameters = block["parameters"]
    if not {"total", "trainable"} <= parameters.keys() or not all(isinstance(v, _COUNT) for v in parameters.values()):
        return "`profile.parameters` is no total and trainable counts"
    for recipe, counts in block["macs"].items():
        both = isinstance(counts, Mapping) and {"ptflops", "counted"} <= counts.keys()
        if not both or not all(isinstance(value, _COUNT) for value in counts.values()):
            return f"`profile.macs.{recipe}` is not what two counters say"
    for name in ("export", "energy"):
        if not isinstance(block.get(name), (Mapping, type(None))):
            return f"`profile.{name}` is of another kind"
    return None


def _cells_fault(block: Mapping[str, Any]) -> str | None:
    for name, words, figures in (("memory", ("precision",), _MEMORY), ("latency", ("device",), _TIMES)):
        cells = block.get(name)
        if not isinstance(cells, list):
            return f"`profile.{name}` is missing or of another kind"
        for cell in cells:
            if not isinstance(cell, Mapping) or not all(isinstance(cell.get(word), str) for word in words):
                return f"`profile.{name}` holds a cell without {' and '.join(words)}"
            if cell.get("status") not in STATES:
                return f"`profile.{name}` holds a cell that is none of {', '.join(STATES)}"
            if not all(isinstance(cell.get(figure), _FIGURE) for figure in figures):
                return f"`profile.{name}` holds a figure that is no number"
            if name == "memory" and not isinstance(cell.get("batch"), int):
                return "`profile.memory` holds a cell without its batch"
    return None
