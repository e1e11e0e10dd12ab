"""Latent FIDs out of run records alone, as a table: the nearest generator first, and below it what FID needs beside it.

Records of different data, classifiers or settings never share a table.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..adapters.errors import MibenchError
from .grid import Cell, Grid, Line
from .labels import label_variants, label_weights
from .render import grid_text, markdown
from .render_html import page
from .render_latex import latex

FORMATS = ("text", "latex", "markdown", "csv", "html")

_HEADER = ("FID", "FID inf.", "of variance (%)", "Paired distance", "Cosine", "KID", "Records")
_NUMBERS = (
    "fid",
    "fid_mean",
    "fid_covariance",
    "fid_infinite",
    "relative",
    "paired_distance",
    "paired_distance_interval",
    "cosine",
    "cosine_interval",
    "kid",
    "records",
    "features",
    "total_variance",
    "floor",
    "floor_sd",
    "floor_records",
)

Record = Mapping[str, Any]


def table(records: Sequence[Record], form: str = "text") -> str:
    """The records of `mibench fid` in one of `FORMATS`.

    Args:
        records: finished runs of the protocol latent_fid, in any order.
        form: of the table.

    Raises:
        MibenchError: no record to show.
        ValueError: no such format.
    """
    if form not in FORMATS:
        raise ValueError(f"form must be one of {', '.join(FORMATS)}; got {form!r}")
    groups = _groups(records)
    if not groups:
        raise MibenchError("there is no latent FID to show: `mibench fid --method fir-ridge` makes the first")
    if form == "csv":
        return _csv(groups)
    tables = list(map(_grid, groups))
    if form == "html":
        return page(tables)
    return "\n".join(map({"text": grid_text, "latex": latex, "markdown": markdown}[form], tables))


def grids(records: Sequence[Record]) -> list[Grid]:
    """The tables before any format; none for no record."""
    return list(map(_grid, _groups(records)))


def _groups(records: Sequence[Record]) -> list[list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record["generation"]["latent"]["fid"]):
        groups.setdefault(_shared(record), []).append(record)
    return list(groups.values())


def _shared(record: Record) -> str:
    """Whatever determines the number, generator and weights apart."""
    return json.dumps({k: v for k, v in record["determinants"].items() if k not in ("method", "weights")})


def _grid(records: Sequence[Record]) -> Grid:
    data, protocol = records[0]["data"], records[0]["protocol"]
    notice = data.get("notice") or ""
    caption = f"Latent FID of generated against real twelve leads, {protocol['name']} v{protocol['version']}"
    lines = []
    for place, (record, method, weights) in enumerate(_labelled(records)):
        words = [Cell(method), Cell(weights), *[Cell(notice)] * bool(notice)]
        lines.append(Line("row" if place else "first", (*words, *_cells(record["generation"]["latent"]))))
    label = f"{data['name']} {protocol['name']} v{protocol['version']} {data['manifest'][:6]}".lower()
    return Grid(
        caption=_noticed(f"{caption}, on {data['name']}.", notice),
        label=re.sub(r"[^a-z0-9]+", "-", label),
        header=("Method", "Weights", *["Data"] * bool(notice), *_HEADER),
        lines=tuple(lines),
        notes=(),
        footer=tuple(_noticed(sentence, notice) for sentence in _footer(records)),
    )


def _labelled(records: Sequence[Record]) -> list[tuple[Record, str, str]]:
    """Each record with the name of its method and of its weights, told apart where they would be the same."""
    variants = label_variants(records)
    names = [
        f"{record['method'].get('title') or record['method']['name']}{f' ({variant})' if variant else ''}"
        for record, variant in zip(records, variants, strict=True)
    ]
    return list(zip(records, names, label_weights(records, variants), strict=True))


def _cells(latent: Mapping[str, Any]) -> tuple[Cell, ...]:
    def cell(name: str) -> Cell:
        ends = latent.get(f"{name}_interval")
        if ends is None:
            return Cell(_figure(latent.get(name)))
        low, high = map(_figure, ends)
        return Cell(_figure(latent[name]), (low, high), " to ")

    relative = latent.get("relative")
    return (
        Cell(_figure(latent["fid"]), (_figure(latent["fid_mean"]), _figure(latent["fid_covariance"])), " + "),
        cell("fid_infinite"),
        Cell("--" if relative is None else _figure(100 * relative)),
        cell("paired_distance"),
        cell("cosine"),
        cell("kid"),
        Cell(f"{latent['records']:,}"),
    )


def _footer(records: Sequence[Record]) -> list[str]:
    head = records[0]
    data, latent = head["data"], head["generation"]["latent"]
    complete = "" if data.get("complete", True) else ", a subset: not comparable with all of it"
    lines = [
        "FID: Gaussian Frechet distance, its mean and its covariance part; inf.: extrapolated to infinitely many "
        "records; of variance: FID in percent of the real features' total variance. Paired distance: mean squared "
        "distance of a record's real and generated features, which bounds FID but for n/(n - 1); cosine: of the same; "
        "both with 95 % intervals by a patient bootstrap. KID: unbiased kernel distance of features standardised by "
        "the real ones.",
        f"Data: {data['name']}, {data.get('release') or 'release unknown'}, manifest {data['manifest'][:12]}"
        f"{complete}. {_lead(records)}",
        _encoder(head["generation"]["classifier"], latent["features"]),
        "Values compare only within one encoder with the same weights and preprocessing, and one number of records.",
    ]
    if latent.get("floor") is not None:
        lines.insert(
            1,
            f"Floor: {_figure(latent['floor'])} (SD {_figure(latent['floor_sd'])}), FID between two random halves of "
            f"the real records, {latent['floor_records']:,} each. It is that of unpaired sets: generated records are "
            "paired with the real ones and more of them, so for the rows above it overstates.",
        )
    return [*lines, *_notes(records)]


def _lead(records: Sequence[Record]) -> str:
    passed = [record["method"]["name"] for record in records if record["generation"]["pass_through"]]
    if len(passed) == len(records):
        return "The recorded lead I stands in place of the generated one."
    if not passed:
        return "All twelve leads are the generator's, lead I included."
    return f"The recorded lead I stands in place of the generated one in {', '.join(dict.fromkeys(passed))}."


def _encoder(classifier: Mapping[str, Any], features: int) -> str:
    weights = classifier["weights"]
    digest = f", sha256 {weights['sha256'][:12]}" if weights.get("sha256") else ""
    seed = f", seed {weights['seed']}" if weights["source"] == "random" else ""
    preset = f" (preset {classifier['preset']})" if classifier.get("preset") else ""
    file = f", {weights['name']}" if weights.get("name") and weights["name"] != weights["source"] else ""
    return (
        f"Features: {features:,} of {classifier['method']}{preset}, {weights['source']} weights{file}{digest}{seed}."
        + (" They are untrained: distances between them are no result." if weights["source"] == "random" else "")
    )


def _notes(records: Sequence[Record]) -> list[str]:
    """Each note once, with the methods that it is of where it is not of all."""
    owners: dict[str, list[str]] = {}
    for record in records:
        for note in record["generation"]["latent"]["notes"]:
            owners.setdefault(note, []).append(record["method"]["name"])
    everywhere = len(records)
    return [
        f"{note[0].upper()}{note[1:]}." if len(names) == everywhere else f"{', '.join(dict.fromkeys(names))}: {note}."
        for note, names in owners.items()
    ]


def _csv(groups: Iterable[Sequence[Record]]) -> str:
    """One line per record, numbers as they are in it; empty where there is none."""
    lines = []
    for group in groups:
        for record, title, weights in _labelled(group):
            data, generation = record["data"], record["generation"]
            encoder = generation["classifier"]
            lines.append(
                {
                    "data": data["name"],
                    "notice": data.get("notice") or "",
                    "release": data.get("release"),
                    "manifest": data["manifest"],
                    "method": record["method"]["name"],
                    "title": title,
                    "weights": weights,
                    "encoder": encoder["method"],
                    "encoder_weights": encoder["weights"]["name"],
                    "encoder_sha256": encoder["weights"]["sha256"],
                    "pass_through": generation["pass_through"],
                    **_columns(generation["latent"]),
                    "notes": "; ".join(generation["latent"]["notes"]),
                }
            )
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _columns(latent: Mapping[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in _NUMBERS:
        if name.endswith("_interval"):
            short = name.removesuffix("_interval")
            columns[f"{short}_low"], columns[f"{short}_high"] = latent.get(name) or (None, None)
        else:
            columns[name] = latent.get(name)
    return columns


def _figure(value: float | None) -> str:
    """Four significant digits, because distances have the scale of the features; what rounding leaves of 0 is 0."""
    return "--" if value is None else f"{value if abs(value) > 1e-12 else 0:.4g}"


def _noticed(sentence: str, notice: str) -> str:
    """A sentence that holds numbers, with the notice that its data demand."""
    return f"{sentence}   [{notice}]" if notice and any(sign.isdigit() for sign in sentence) else sentence
