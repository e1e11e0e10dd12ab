"""What `mibench profile` prints: one line for each method with all of its figures, and what must be said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .profile_check import COUNTED, NAME
from .profiles import cell_of, disagreements, latency_of, machines, macs, mib_of

Record = Mapping[str, Any]

_COUNTED = "~"
"""Before a memory that was counted, not measured."""

_HEADER = (
    "method",
    "params, M\n(trainable)",
    "GMac\npaper",
    "GMac\none step",
    "GMac\nlead I",
    "MiB by batch\nfp32 / AMP",
    "records/s\nfp32 / AMP",
    "ms\none thread",
    "ms\nCPU",
    "ms\nGPU",
)


def overview(records: Sequence[Record]) -> str:
    """A text for a terminal; one table for each machine."""
    return "\n\n".join(_of_machine(machine.words, machine.records) for machine in machines(records))


def _of_machine(words: str, records: Sequence[Record]) -> str:
    from tabulate import tabulate

    body = [_line(record) for record in records]
    exported = any((record.get(NAME) or {}).get("export") for record in records)
    header = [*_HEADER, *["ONNX\nMiB / ms"] * exported]
    for line, record in zip(body, records, strict=True):
        line += [_export(record)] * exported
    sides = ["left", *["right"] * (len(header) - 1)]
    below = [
        f"Hardware: {words}.",
        "GMac of one record: by ptflops on what the paper counted, then by a counter of all products. Memory: one "
        f"pre-training step; {_COUNTED} is of live tensors, counted without a GPU. ms: median (quartiles) of one "
        "record's forward pass.",
        *_disagreements(records),
        *_busy(records),
    ]
    return "\n".join([tabulate(body, header, "simple", disable_numparse=True, colalign=sides), "", *below])


def _line(record: Record) -> list[str]:
    block = record.get(NAME) or {}
    found = block.get("parameters", {})
    trainable = "" if found.get("trainable") == found.get("total") else f"\n({_in(found.get('trainable'), 1e6)})"
    batches = sorted({cell["batch"] for cell in block.get("memory", [])})
    return [
        str(record["method"]["name"]),
        _in(found.get("total"), 1e6) + trainable,
        _in(macs(record, "paper", "ptflops"), 1e9),
        _in(macs(record, "pretraining-step", "counted"), 1e9),
        _in(macs(record, "single-lead-inference", "counted"), 1e9),
        "\n".join(f"{batch}: {_memory(record, batch)}" for batch in batches) or "--",
        "\n".join(_rates(record, batch) for batch in batches) or "--",
        *(_latency(record, device) for device in ("cpu, one thread", "cpu", "gpu")),
    ]


def _memory(record: Record, batch: int) -> str:
    cells = [cell for name in ("fp32", "amp") if (cell := cell_of(record, batch, name)) is not None]
    words = list(dict.fromkeys(_mib(cell) for cell in cells))
    return words[0] if len(words) == 1 else " / ".join(_mib(cell) for cell in cells)


def _mib(cell: Mapping[str, Any]) -> str:
    mib = mib_of(cell)
    if mib is None:
        return str(cell["status"])
    return f"{_COUNTED if cell['status'] == COUNTED else ''}{mib:,.0f}"


def _rates(record: Record, batch: int) -> str:
    rates = [(cell_of(record, batch, name) or {}).get("records_per_second") for name in ("fp32", "amp")]
    return "--" if rates == [None, None] else " / ".join("--" if r is None else f"{r:,.1f}" for r in rates)


def _latency(record: Record, device: str) -> str:
    found = latency_of(record, device)
    if found is None:
        return "--"
    if found.get("median_ms") is None:
        return str(found["status"])
    return f"{found['median_ms']:,.1f}\n({found['low_ms']:,.1f}-{found['high_ms']:,.1f})"


def _export(record: Record) -> str:
    found = (record.get(NAME) or {}).get("export") or {}
    if found.get("mib") is None:
        return str(found.get("status") or "--")
    return f"{found['mib']:,.1f} / {found['median_ms']:,.1f}"


def _disagreements(records: Sequence[Record]) -> list[str]:
    """A sentence for each way in which the two counters differ, with its methods."""
    said: dict[str, list[str]] = {}
    for record in records:
        off = disagreements(record)
        if off:
            text = ", ".join(f"{share:+.0%} in {recipe}" for recipe, share in off.items())
            said.setdefault(text, []).append(str(record["method"]["name"]))
    return [f"ptflops differs from the other counter by {text}: {', '.join(names)}." for text, names in said.items()]


def _busy(records: Sequence[Record]) -> list[str]:
    names = [
        str(record["method"]["name"])
        for record in records
        if any(cell.get("load") for cell in (record.get(NAME) or {}).get("latency", []))
    ]
    said = "Others used the machine meanwhile, so that these took longer than they need"
    return [f"{said}: {', '.join(names)}."] if names else []


def _in(number: int | None, unit: float) -> str:
    return "--" if number is None else f"{number / unit:.2f}"
