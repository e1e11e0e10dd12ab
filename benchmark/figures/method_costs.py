"""What the methods of a board cost: from profiles where there are any, else from what is known of each method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...adapters import registry
from ..board import Row
from ..labels import flat
from .view import View

PARAMETERS, MACS, MEMORY = "parameters", "macs", "memory"
TITLES: Mapping[str, str] = {
    PARAMETERS: "parameters (millions)",
    MACS: "MACs of one record (billions)",
    MEMORY: "memory of a pre-training step (GiB)",
}
UNITS: Mapping[str, float] = {PARAMETERS: 1e6, MACS: 1e9, MEMORY: 1024.0}
MEASURED, COUNTED = "allocated_mib", "counted_mib"
"""Memory on a GPU, and that of live tensors, which is counted where there is none: the two never share a panel."""
BATCH, PRECISION = 128, "fp32"
"""The cell of a profile that memory is taken from: that of the paper's Table 4."""


@dataclass(frozen=True)
class Cost:
    """A cost in the unit of its panel; `own` unless it is of the same method in another size than was measured."""

    value: float
    own: bool


def costs(view: View, rows: list[Row]) -> dict[str, list[Cost | None]]:
    """By panel the cost of each row, None where nobody knows it; panels that are empty are left out."""
    cards, _ = registry.cards()
    memory = memory_kind(view, rows)
    found: dict[str, list[Cost | None]] = {name: [] for name in TITLES}
    for row in rows:
        card = cards.get(row.method)
        sources = [
            (_of_profile(profile["profile"], memory), _same(profile["method"]["options"], row.options))
            for profile in _profiles(view, row.method)
        ]
        if card is not None:
            sources.append((_of_facts(card.facts), _same(card.options, row.options)))
        sources.sort(key=lambda source: not source[1])
        for name in TITLES:
            known = [Cost(values[name] / UNITS[name], own) for values, own in sources if values.get(name)]
            found[name].append(known[0] if known else None)
    return {name: values for name, values in found.items() if any(values)}


def memory_kind(view: View, rows: list[Row]) -> str:
    """Which of `MEASURED` and `COUNTED` the memory of these rows is: measured, where one of them was."""
    blocks = [profile["profile"] for row in rows for profile in _profiles(view, row.method)]
    return MEASURED if any(_memory(block, MEASURED) for block in blocks) else COUNTED


def _profiles(view: View, method: str) -> list[Mapping[str, Any]]:
    """Of a method, the newest first."""
    own = [record for record in view.profiles if record["method"]["name"] == method]
    return sorted(own, key=lambda record: str(record["created"]), reverse=True)


def _of_profile(block: Mapping[str, Any], memory: str) -> dict[str, float]:
    """What is used afterwards is what deployment costs; `total` also counts what only pre-training needs."""
    parameters, macs = block.get("parameters") or {}, (block.get("macs") or {}).get("single-lead-inference") or {}
    found = {
        PARAMETERS: parameters.get("probed"),
        MACS: macs.get("counted") or macs.get("ptflops"),
        MEMORY: _memory(block, memory),
    }
    return {name: float(value) for name, value in found.items() if value}


def _memory(block: Mapping[str, Any], kind: str) -> float | None:
    """MiB of a step at `BATCH` and `PRECISION`; None where it was not found out, or did not fit."""
    cells = [
        cell for cell in block.get("memory") or () if (cell.get("batch"), cell.get("precision")) == (BATCH, PRECISION)
    ]
    return next((float(cell[kind]) for cell in cells if cell.get(kind)), None)


def _of_facts(facts: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(facts[name]) for name in (PARAMETERS, MACS) if facts.get(name)}


def _same(options: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether both describe a network of one size; a card leaves out what is as its class has it."""
    one, other = (flat(values.get("net") or {}) for values in (options, others))
    return all(one[name] == other[name] for name in one.keys() & other.keys())
