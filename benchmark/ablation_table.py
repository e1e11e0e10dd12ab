"""The paper's Table 5 out of run records alone: recalls, loss and Avg AUC of every row, the paper's figures below."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..adapters.errors import MibenchError
from .ablation import Ablation, Entry, ablations
from .board import Value
from .files import sha256_json
from .grid import Cell, Grid, Line
from .labels import differences, flat
from .render import grid_text, markdown
from .render_html import page
from .render_latex import latex
from .retrieval_table import DEPTHS, LOSSES, counts, loss_cell, losses, recall_cell
from .suites.file import Suite
from .tables import mean_value

LOSS = "infonce"
"""The paper does not say which loss it prints: its recalls rule out Eq. 3 and fit this one, in batches of 128."""

AGAIN = "mibench run --suite ablation"

Record = Mapping[str, Any]


def table(
    records: Sequence[Record],
    suite: Suite,
    paper: Mapping[str, Any],
    form: str,
    *,
    data: str | None = None,
    reasons: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Table 5 in a format of `render.FORMATS`; one table for each combination of data, settings and checkpoints.

    Args:
        records: as `results.scan` gives them, in any order.
        suite: whose rows are shown.
        paper: as `load_paper` gives it.
        data: only this labelled data set.
        reasons: by row, why it was not run, where that is known.
        folder: where the records were looked for, for the error.

    Raises:
        MibenchError: no record belongs to a row.
    """
    found, variants = _found(records, suite, data)
    if not found:
        where = f"{f' in {folder}' if folder else ''}{f' on {data}' if data else ''}"
        raise MibenchError(f"there is no run of Table 5 to show{where}: `{AGAIN}` makes all of its rows")
    if form == "csv":
        return _csv(found, variants, paper)
    tables = [_grid(a, variant, paper, reasons or {}) for a, variant in zip(found, variants, strict=True)]
    if form == "html":
        return page(tables)
    return "\n".join(map({"text": grid_text, "latex": latex, "markdown": markdown}[form], tables))


def grids(records: Sequence[Record], suite: Suite, paper: Mapping[str, Any], *, data: str | None = None) -> list[Grid]:
    """The tables before any format, arguments as of `table`; none where no record belongs to a row."""
    found, variants = _found(records, suite, data)
    return [_grid(ablation, variant, paper, {}) for ablation, variant in zip(found, variants, strict=True)]


def average(entry: Entry) -> Value:
    """Avg AUC of a row: the mean over its seeds, the ends of the intervals too."""
    metrics = [record["metrics"] for record in entry.tested]
    return mean_value([(m.get("avg"), m.get("avg_interval")) for m in metrics])


def notice_of(ablation: Ablation) -> str:
    """What every number must say, for any of the data that it rests on."""
    for record in ablation.records:
        pretrained_on = (record["weights"].get("pretraining") or {}).get("data")
        theirs = pretrained_on.get("notice") if isinstance(pretrained_on, Mapping) else None
        if record["data"].get("notice") or theirs:
            return str(record["data"].get("notice") or theirs)
    return ""


def _found(records: Sequence[Record], suite: Suite, data: str | None) -> tuple[list[Ablation], list[str]]:
    """The tables that the records make, and for each what tells it from the others."""
    found = [a for a in ablations(records, suite) if data is None or a.shared.get("data", {}).get("name") == data]
    return found, differences([flat(a.shared) for a in found]) if len(found) > 1 else [""] * len(found)


def _grid(ablation: Ablation, variant: str, paper: Mapping[str, Any], reasons: Mapping[str, str]) -> Grid:
    notice = notice_of(ablation)
    batch = next((e.retrieval["retrieval"]["loss_batch"] for e in ablation.entries if e.retrieval), None)
    loss = f"Loss ({LOSSES[LOSS]}, batches of {batch})" if batch else f"Loss ({LOSSES[LOSS]})"
    lines: list[Line] = []
    notes: list[str] = []
    printed = paper["table5_ablation"]["rows"]
    for place, entry in enumerate(ablation.entries):
        note = _note(entry, reasons)
        if note and note not in notes:
            notes.append(note)
        words = [
            Cell(entry.row.name, mark=1 + notes.index(note) if note else None),
            Cell(_weights(entry)),
            *[Cell(notice)] * bool(notice),
        ]
        lines.append(Line("row" if place else "first", (*words, *_figures(entry))))
        if entry.row.name in printed:
            below = [Cell(), *[Cell()] * bool(notice)]
            lines.append(Line("paper", (Cell("paper"), *below, *map(Cell, _printed(printed[entry.row.name])))))
    return Grid(
        caption=_caption(ablation, variant, notice),
        label=f"ablation-{sha256_json(dict(ablation.shared))[:8]}",
        header=(
            *("Method", "Weights", *["Data"] * bool(notice)),
            *(f"R@{depth}" for depth in DEPTHS),
            *(loss, "Avg AUC"),
        ),
        lines=tuple(lines),
        notes=tuple(notes),
        footer=tuple(_noticed(sentence, notice) for sentence in _footer(ablation)) + _source(paper),
    )


def _figures(entry: Entry) -> list[Cell]:
    block = entry.retrieval["retrieval"] if entry.retrieval else None
    value = average(entry)
    if value.auc is None:
        area = Cell("--")
    elif value.low is None or value.high is None:
        area = Cell(f"{100 * value.auc:.2f}")
    else:
        area = Cell(f"{100 * value.auc:.2f}", (f"{100 * value.low:.1f}", f"{100 * value.high:.1f}"))
    if block is None:
        return [*[Cell("--")] * (len(DEPTHS) + 1), area]
    return [*(recall_cell(block, depth) for depth in DEPTHS), loss_cell(block, LOSS), area]


def _printed(row: Mapping[str, Any]) -> list[str]:
    def text(name: str, decimals: int) -> str:
        return "--" if row.get(name) is None else f"{row[name]:.{decimals}f}"

    return [*(text(f"R@{depth}", 2) for depth in DEPTHS), text("val_loss", 4), text("avg_auc", 2)]


def _weights(entry: Entry) -> str:
    if entry.head is None:
        return "--"
    return "random start" if entry.supervised else str(entry.head["weights"].get("name") or "pretrained")


def _note(entry: Entry, reasons: Mapping[str, str]) -> str:
    complete = bool(entry.tested) and (entry.supervised or entry.retrieval is not None)
    if complete and entry.others:
        return f"the newest is shown; there are {entry.others} more of this row"
    if complete:
        return ""
    if entry.failed:
        return f"failed: {' '.join(str(entry.failed[-1].get('error') or 'no reason was kept').split())[:300]}"
    if entry.row.name in reasons:
        return f"not run: {' '.join(reasons[entry.row.name].split())}"
    files = "".join(f" --init {part}=FILE" for part in entry.row.init)
    return f"not run{' in part' if entry.head else ''}: {AGAIN}{files}"


def _caption(ablation: Ablation, variant: str, notice: str) -> str:
    heads = ablation.records
    title = str(heads[0]["method"].get("title") or heads[0]["method"]["name"]) if heads else "SelfMIS"
    text = f"Ablation of {title}, the paper's Table 5"
    pretraining, data = ablation.shared.get("pretraining"), ablation.shared.get("data")
    if pretraining:
        text += f": pre-trained on {pretraining['data']['name']}"
    if ablation.shared.get("retrieval"):
        text += (
            f", where held-out lead I retrieves its twelve leads on {ablation.shared['retrieval']['data']['name']} (%)"
        )
    if data:
        text += f"; Avg of nine ROC AUCs (x100) on {data['name']}"
    text += f" [{variant}]." if variant else "."
    return f"{notice}. {text}" if notice else text


def _footer(ablation: Ablation) -> list[str]:
    lines = []
    searches = [entry.retrieval for entry in ablation.entries if entry.retrieval]
    if searches:
        lines += [
            f"{counts(searches[0])} 95 % intervals: bootstrap of whole patients, none at 0 and 100 %.",
            losses(searches[0]),
        ]
        for entry in ablation.entries:
            others = [name for name in LOSSES if name != LOSS]
            if entry.retrieval and any(name in entry.retrieval["retrieval"]["losses"] for name in others):
                block = entry.retrieval["retrieval"]
                told = ", ".join(f"{LOSSES[name]} {loss_cell(block, name).text}" for name in others)
                lines.append(f"{entry.row.name}: {told}.")
    tested = [entry.tested[0] for entry in ablation.entries if entry.tested]
    if tested:
        data = tested[0]["data"]
        seeds = sorted({len(entry.tested) for entry in ablation.entries if entry.tested})
        lines.append(
            f"Avg AUC: {data['name']}, {data.get('release') or 'release unknown'}, manifest {data['manifest'][:12]}, "
            f"{data.get('records', {}).get('test', 0):,} test records; linear probe, without alignment the whole "
            f"network; seeds per row: {'-'.join(map(str, seeds))}; 95 % intervals are of the test records."
        )
    pretraining = ablation.shared.get("pretraining")
    if pretraining:
        settings = pretraining.get("settings") or {}
        files = ", ".join(f"{part} {digest[:8]}" for part, digest in ablation.shared["checkpoints"].items())
        lines.append(
            f"Pre-training: {pretraining['data']['name']}, manifest {str(pretraining['data'].get('manifest'))[:12]}, "
            f"epochs {settings.get('epochs')}, batch {settings.get('batch_size')}; checkpoints: {files or 'none'}. "
            f"S is the student on lead I (single_lead), M the teacher on twelve leads (twelve_lead)."
        )
    return lines


def _source(paper: Mapping[str, Any]) -> tuple[str, ...]:
    reference = str(paper["meta"]["public"]).split(" (")[0]
    facts = paper["text_facts"]
    return (
        f"paper: Table 5 of {reference}: retrieval among the {facts['pretrain_val'].replace('final', 'last')} of "
        f"MIMIC-IV-ECG, Avg AUC on {paper['data']}. Its text gives {facts['text_wo_alignment_auc']} for w/o Alignment. "
        f"It does not say which loss it prints: InfoNCE in batches of 128 is inferred from its recalls.",
    )


def _csv(found: Sequence[Ablation], variants: Sequence[str], paper: Mapping[str, Any]) -> str:
    """One line per row of a table; recalls and AUCs x100, empty where there is none."""
    lines = [
        _csv_line(ablation, variant, entry, paper["table5_ablation"]["rows"].get(entry.row.name, {}))
        for ablation, variant in zip(found, variants, strict=True)
        for entry in ablation.entries
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_line(ablation: Ablation, variant: str, entry: Entry, printed: Mapping[str, Any]) -> dict[str, Any]:
    shared, block = ablation.shared, (entry.retrieval or {}).get("retrieval") or {}
    value = average(entry)

    def hundredfold(number: float | None) -> float | None:
        return None if number is None else round(100 * number, 6)

    line: dict[str, Any] = {
        "table": sha256_json(dict(shared))[:8],
        "variant": variant,
        "notice": notice_of(ablation),
        "row": entry.row.name,
        "method": entry.row.method,
        "data": shared.get("data", {}).get("name"),
        "manifest": shared.get("data", {}).get("manifest"),
        "pretrained_on": shared.get("pretraining", {}).get("data", {}).get("name"),
        "pretraining_manifest": shared.get("pretraining", {}).get("data", {}).get("manifest"),
        "weights": _weights(entry),
        "weights_sha256": entry.head["weights"].get("sha256") if entry.head else None,
    }
    for depth in DEPTHS:
        low, high = block.get("interval", {}).get(depth) or (None, None)
        line[f"R@{depth}"] = hundredfold(block.get("recall", {}).get(depth))
        line[f"R@{depth}_low"], line[f"R@{depth}_high"] = hundredfold(low), hundredfold(high)
        line[f"R@{depth}_paper"] = printed.get(f"R@{depth}")
    line |= {name: block.get("losses", {}).get(name) for name in LOSSES}
    line |= {"loss_paper": printed.get("val_loss")}
    line |= {name: block.get(name) for name in ("loss_batch", "queries", "patients", "gallery")}
    line |= {"avg_auc": hundredfold(value.auc), "avg_low": hundredfold(value.low), "avg_high": hundredfold(value.high)}
    line |= {"avg_paper": printed.get("avg_auc"), "seeds": len(entry.tested), "note": _note(entry, {})}
    return line


def _noticed(sentence: str, notice: str) -> str:
    """A sentence that holds numbers, with the notice that its data demand."""
    return f"{sentence}   [{notice}]" if notice and any(sign.isdigit() for sign in sentence) else sentence
