"""The paper's Table 4 out of profiles: parameters, MACs and memory of pre-training, the paper's figures beneath."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..adapters.errors import MibenchError
from .grid import Cell, Grid, Line
from .profile_check import COUNTED, MEASURED, NAME
from .profiles import WIDE, Machine, cell_of, disagreements, latency_of, machines, macs, mib_of, parameters
from .render import grid_text, markdown
from .render_html import page
from .render_latex import latex

SAME = 128
"""Records of the batch in the paper's first memory column."""

HEADER = (
    *("Method", "Precision", "Params (M)", "GMac (paper's recipe)", "GMac (one step)", "GMac (lead I)"),
    *(f"MiB (batch {SAME})", "MiB (own batch)", "ms (one thread)"),
)
AGAIN = "`mibench profile --method selfmis` makes the first row"
LIVE = (
    "live tensors, counted without a GPU: without its context and what its allocator keeps in hand, so less than is "
    "measured"
)
PRECISIONS = {"fp32": "fp32", "amp": "AMP"}

Record = Mapping[str, Any]


def table(
    records: Sequence[Record],
    paper: Mapping[str, Any],
    form: str,
    *,
    data: str | None = None,
    folder: Path | None = None,
) -> str:
    """Table 4 in a format of `render.FORMATS`; one table for each machine.

    Args:
        records: as `results.scan` gives them, in any order; other protocols are passed by.
        paper: as `load_paper` gives it.
        data: ignored: no cost depends on data.
        folder: where the records were looked for, for the error.

    Raises:
        MibenchError: there is no profile.
    """
    found = machines(records)
    if not found:
        raise MibenchError(f"there is no profile to show{f' in {folder}' if folder else ''}: {AGAIN}")
    if form == "csv":
        return _csv(found, paper)
    grids = [grid(machine, paper) for machine in found]
    if form == "html":
        return page(grids)
    return "\n".join(map({"text": grid_text, "latex": latex, "markdown": markdown}[form], grids))


def grid(machine: Machine, paper: Mapping[str, Any]) -> Grid:
    """One machine's table."""
    lines: list[Line] = []
    notes: list[str] = []
    for record in ordered(machine.records, paper):
        for place, precision in enumerate(_precisions(record)):
            lines.append(Line("row" if lines else "first", _cells(record, precision, place == 0, notes)))
            printed = printed_row(record, paper, precision)
            if printed and (place == 0 or "AMP" in printed[0]):
                lines.append(Line("paper", _printed_cells(printed[1])))
    return Grid(
        caption=f"Resources, the paper's Table 4, on {machine.words}.",
        label=f"resources-{machine.label}",
        header=HEADER,
        lines=tuple(lines),
        notes=tuple(notes),
        footer=_footer(machine, paper),
    )


def ordered(records: Sequence[Record], paper: Mapping[str, Any]) -> list[Record]:
    """In the paper's order, then by title."""
    order = [name for name in paper["methods"] if paper["methods"][name] in _titles(paper)]

    def place(record: Record) -> tuple[int, str]:
        name = record["method"]["name"]
        return order.index(name) if name in order else len(order), str(record["method"].get("title") or name)

    return sorted(records, key=place)


def printed_row(record: Record, paper: Mapping[str, Any], precision: str) -> tuple[str, Mapping[str, Any]] | None:
    """The paper's row for a method at a precision, with its name; None where it printed none.

    Options can make another network of a method, which then has other parameters than the paper printed.
    """
    name, found = paper["methods"].get(record["method"]["name"]), parameters(record)
    rows = paper["table4_resources"]["rows"]
    for printed in (f"{name} ({'w' if precision == 'amp' else 'w/o'} AMP)", name):
        if printed in rows and found is not None and abs(found / 1e6 / rows[printed]["params_M"] - 1) < WIDE:
            return printed, rows[printed]
    return None


def _titles(paper: Mapping[str, Any]) -> set[str]:
    return {str(name).partition(" (w")[0] for name in paper["table4_resources"]["rows"]}


def _precisions(record: Record) -> list[str]:
    cells = (record.get(NAME) or {}).get("memory", [])
    return [name for name in PRECISIONS if any(cell["precision"] == name for cell in cells)] or [""]


def _cells(record: Record, precision: str, first: bool, notes: list[str]) -> tuple[Cell, ...]:
    """Of one line; what does not depend on the precision stands in the first alone."""
    block = record.get(NAME) or {}
    name = Cell(str(record["method"].get("title") or record["method"]["name"]), mark=_mark(_note(record), notes))
    words = (name if first else Cell(name.text), Cell(PRECISIONS.get(precision, "")))
    once = (
        Cell(_in(parameters(record), 1e6)),
        Cell(_in(macs(record, "paper", "ptflops"), 1e9)),
        Cell(_in(macs(record, "pretraining-step", "counted"), 1e9)),
        Cell(_in(macs(record, "single-lead-inference", "counted"), 1e9)),
    )
    own = block.get("default_batch")
    memory = (
        _memory_cell(cell_of(record, SAME, precision), notes),
        _memory_cell(cell_of(record, own, precision), notes, f" at {own}"),
    )
    return (*words, *(once if first else (Cell(),) * len(once)), *memory, _latency_cell(record) if first else Cell())


def _memory_cell(cell: Mapping[str, Any] | None, notes: list[str], after: str = "") -> Cell:
    if cell is None:
        return Cell("--")
    mib = mib_of(cell)
    if mib is None:
        return Cell(str(cell["status"]))
    ends = (cell.get("allocated_mib"), cell.get("reserved_mib"))
    second = None
    if cell["status"] == MEASURED and ends[0] is not None and ends[1] is not None:
        second = (f"{ends[0]:,.0f}", f"{ends[1]:,.0f}")
    mark = _mark(LIVE, notes) if cell["status"] == COUNTED else None
    return Cell(f"{mib:,.0f}{after}", second, mark=mark)


def _latency_cell(record: Record) -> Cell:
    found = latency_of(record, "cpu, one thread")
    if found is None or found.get("median_ms") is None:
        return Cell("--")
    return Cell(f"{found['median_ms']:,.1f}", (f"{found['low_ms']:,.1f}", f"{found['high_ms']:,.1f}"))


def _printed_cells(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    def text(name: str, form: str) -> Cell:
        return Cell("--" if row.get(name) is None else format(row[name], form))

    figures = (text("params_M", ".2f"), text("gmac", ".2f"), Cell(), Cell())
    memory = (text("mem_same_batch_mib", ",.0f"), text("mem_default_mib", ",.0f"))
    return (Cell("paper"), Cell(), *figures, *memory, Cell())


def _note(record: Record) -> str:
    if record["status"] == "failed":
        return f"failed: {' '.join(str(record.get('error') or 'no reason was kept').split())[:300]}"
    off = disagreements(record)
    if not off:
        return ""
    shares = ", ".join(f"{share:+.0%} in {recipe}" for recipe, share in off.items())
    return f"ptflops is off the counter of all products by over 2 %: {shares}"


def _mark(note: str, notes: list[str]) -> int | None:
    if not note:
        return None
    if note not in notes:
        notes.append(note)
    return 1 + notes.index(note)


def _in(number: int | None, unit: float) -> str:
    return "--" if number is None else f"{number / unit:.2f}"


def _footer(machine: Machine, paper: Mapping[str, Any]) -> tuple[str, ...]:
    reference = str(paper["meta"]["public"]).split(" (")[0]
    versions = sorted({record["protocol"]["version"] for record in machine.records})
    return (
        f"Hardware: {machine.words}.",
        "Params and the first GMac column by ptflops, on what the paper counted: the forward pass of one record, "
        "twelve leads where pre-training has them, nothing masked. One step: the forward pass of pre-training for one "
        "record, masks and views as they are. Lead I: a record of 10 s in use, all of its windows. These two by a "
        "counter of all matrix products and convolutions.",
        "MiB of one pre-training step (forward, backward, AdamW): of the whole process on the GPU, in brackets "
        "allocated and reserved. Own batch: of the method's own recipe. ms: forward pass of one record, median and "
        "quartiles.",
        f"Protocol: {NAME} v{'-'.join(map(str, versions))}. "
        f"Newest record: {max(str(record['created']) for record in machine.records)[:10]}.",
        f"paper: Table 4 of {reference}; it names neither its GPU nor the recipe of its MACs.",
    )


def _csv(found: Sequence[Machine], paper: Mapping[str, Any]) -> str:
    """One line for each method, batch and precision; counts as whole numbers, empty where there are none."""
    lines = [
        _csv_line(machine, record, cell, paper)
        for machine in found
        for record in ordered(machine.records, paper)
        for cell in (record.get(NAME) or {}).get("memory") or [{}]
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_line(machine: Machine, record: Record, cell: Mapping[str, Any], paper: Mapping[str, Any]) -> dict[str, Any]:
    counts = (record.get(NAME) or {}).get("parameters", {})
    printed = (printed_row(record, paper, cell.get("precision", "fp32")) or ("", {}))[1]
    figures = ("batch", "precision", "status", "counted_mib", "allocated_mib", "reserved_mib", "process_mib")
    speed = ("step_seconds", "records_per_second", "joules_per_record")
    line = {
        "hardware": machine.words,
        "method": record["method"]["name"],
        "title": record["method"].get("title"),
        **{f"parameters_{name}": counts.get(name) for name in ("total", "trainable", "probed", "paper")},
        **{
            f"macs_{recipe}_{counter}": macs(record, recipe, counter)
            for recipe in ("paper", "pretraining-step", "single-lead-inference")
            for counter in ("ptflops", "counted")
        },
        **{name: cell.get(name) for name in (*figures, *speed)},
    }
    for device, short in (("cpu, one thread", "one_thread"), ("cpu", "cpu"), ("gpu", "gpu")):
        timed = latency_of(record, device) or {}
        line |= {f"{short}_{name}": timed.get(name) for name in ("median_ms", "low_ms", "high_ms", "prepare_ms")}
    line |= {f"paper_{name}": printed.get(name) for name in paper["table4_resources"]["columns"]}
    return line | {"note": _note(record)}
