"""Retrieval out of run records alone, as a table for a terminal; records of different data or settings share none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .grid import Cell, Grid, Line
from .labels import label_variants, label_weights
from .render import grid_text

DEPTHS = ("1", "5", "10")
LOSSES: Mapping[str, str] = {"infonce": "InfoNCE", "siglip_sum": "SigLIP sum", "siglip_mean": "SigLIP mean"}
"""Names of validation losses in records and in headers; a method that gives others has them in its record."""

Record = Mapping[str, Any]


def text(records: Sequence[Record]) -> str:
    """Finished runs of the protocol retrieval, the best R@1 first."""
    return "\n".join(map(grid_text, grids(records)))


def grids(records: Sequence[Record]) -> list[Grid]:
    """The tables before any format, a row for each run, the best R@1 first; none for no record."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: -record["retrieval"]["recall"]["1"]):
        shared = {name: record["determinants"].get(name) for name in ("protocol", "data")}
        groups.setdefault(json.dumps(shared, sort_keys=True), []).append(record)
    return list(map(_grid, groups.values()))


def recall_cell(block: Mapping[str, Any], depth: str) -> Cell:
    """R@K in percent with its interval."""
    value, interval = block["recall"][depth], block["interval"].get(depth)
    ends = None if interval is None else (f"{100 * interval[0]:.2f}", f"{100 * interval[1]:.2f}")
    return Cell(f"{100 * value:.2f}", ends)


def loss_cell(block: Mapping[str, Any], name: str) -> Cell:
    """A validation loss, four decimals as the paper prints its own."""
    value = block["losses"].get(name)
    return Cell("--" if value is None else f"{value:.4f}")


def counts(record: Record) -> str:
    """What was looked for among what, and what chance finds, as a sentence."""
    block = record["retrieval"]
    chance = ", ".join(f"R@{depth} {100 * block['chance'][depth]:.3g} %" for depth in DEPTHS)
    return (
        f"Retrieval: {block['queries']:,} queries of {block['patients']:,} patients (lead I), each among "
        f"{block['gallery']:,} records (twelve leads), by cosine, ties counted against the query. Chance: {chance}; "
        f"InfoNCE {block['infonce_chance']:.2f}."
    )


def losses(record: Record) -> str:
    """Over which batches the losses are, as a sentence."""
    block = record["retrieval"]
    batches = f"{block['loss_batches']:,} batch{'es' * (block['loss_batches'] != 1)}"
    return (
        f"Losses: means over {batches} of {block['loss_batch']} held-out records in record order, a short last one "
        f"left out."
    )


def _grid(records: Sequence[Record]) -> Grid:
    data, protocol = records[0]["data"], records[0]["protocol"]
    notice = data.get("notice") or ""
    variants = label_variants(records)
    weights = label_weights(records, variants)
    lines = []
    for place, (record, variant, label) in enumerate(zip(records, variants, weights, strict=True)):
        block = record["retrieval"]
        title = record["method"].get("title") or record["method"]["name"]
        words = [Cell(f"{title} ({variant})" if variant else title), Cell(label), *[Cell(notice)] * bool(notice)]
        figures = [*(recall_cell(block, depth) for depth in DEPTHS), *(loss_cell(block, name) for name in LOSSES)]
        lines.append(Line("row" if place else "first", (*words, *figures, Cell(f"{block['queries']:,}"))))
    caption = f"Lead I retrieves its twelve leads (%), {protocol['name']} v{protocol['version']} on {data['name']}."
    footer = [counts(records[0]), losses(records[0])]
    footer.append("95 % intervals: bootstrap of whole patients, the gallery as it is; none at 0 and 100 %.")
    footer.append(f"Data: {data['name']}, {data.get('release') or 'release unknown'}, {data['manifest'][:12]}.")
    return Grid(
        caption=f"{notice}. {caption}" if notice else caption,
        label=re.sub(r"[^a-z0-9]+", "-", f"{data['name']} retrieval {data['manifest'][:6]}".lower()),
        header=(
            *("Method", "Weights", *["Data"] * bool(notice)),
            *(f"R@{depth}" for depth in DEPTHS),
            *LOSSES.values(),
            "Queries",
        ),
        lines=tuple(lines),
        notes=(),
        footer=tuple(f"{line}   [{notice}]" if notice else line for line in footer),
    )
