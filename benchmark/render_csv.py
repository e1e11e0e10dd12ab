"""Boards as one sheet of comma-separated values, for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from .board import COLUMNS, Board, Row
from .ecg import MI_STATEMENTS
from .generation_block import FIGURES
from .grid import differing

Fields = dict[str, str | int | float | None]


def sheet(boards: Sequence[Board]) -> str:
    """One line per row of a board; AUCs, ends of intervals and the paper's figures are x100, empty where unknown.

    `_mark` is "best" or "second" where paired differences say so; `_difference` is ours minus the paper's. Boards that
    were compared with a reference bring further columns: row minus reference, its interval, and p after Holm.
    Generated leads bring further columns: the classifier, and figures of signals and latent space in the units of the
    run record. Boards of another figure than ROC AUC name it in place of `_auc`.
    """
    text = io.StringIO()
    generated = any(board.classifier is not None for board in boards)
    compared = any(row.gaps for board in boards for row in board.rows)
    rows = [
        _row(board, row) | (_generation(board, row) if generated else {}) | (_reference(board, row) if compared else {})
        for board in boards
        for row in board.rows
    ]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _hundredfold(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 6)


def _row(board: Board, row: Row) -> Fields:
    line: Fields = {
        "table": board.number,
        "data": row.origin.data,
        "notice": row.origin.warning,
        "release": row.origin.release,
        "manifest": row.origin.manifest,
        "protocol": board.protocol,
        "protocol_version": row.origin.version,
        "rank": row.rank,
        "method": row.method,
        "title": row.title,
        "variant": row.variant,
        "weights_source": row.source,
        "weights": row.weights,
        "weights_name": row.weights_name,
        "options": json.dumps(row.options, sort_keys=True),
        "ratio": row.ratio,
        "seeds": " ".join(map(str, row.seeds)),
        "seed_sd": _hundredfold(row.spread),
    }
    for name in COLUMNS:
        value = row.values[name]
        line[f"{name}_{board.metric}"] = _hundredfold(value.auc)
        line[f"{name}_low"] = _hundredfold(value.low)
        line[f"{name}_high"] = _hundredfold(value.high)
        line[f"{name}_interval"] = value.method
        if name in MI_STATEMENTS:
            line[f"{name}_positives"] = board.positives.get(name)
        line[f"{name}_mark"] = row.marks.get(name)
        line[f"{name}_paper"] = round(row.paper.values[name], 4) if row.paper else None
        gap = differing(row, name)
        line[f"{name}_difference"] = None if gap is None else round(gap, 4)
    line["leak"] = row.leak
    line["note"] = row.note
    return line


def _generation(board: Board, row: Row) -> Fields:
    read_by = board.classifier
    return {
        "classifier": read_by.words if read_by else None,
        "trained_on": read_by.trained_on if read_by else None,
        "pass_through": None if row.pass_through is None else str(row.pass_through).lower(),
        "sees": row.sees if read_by else None,
        **{name: row.fidelity.get(name) for name in FIGURES},
    }


def _reference(board: Board, row: Row) -> Fields:
    place = (row.ratio, row.origin.manifest)
    found = [other for other in board.rows if other.is_reference and (other.ratio, other.origin.manifest) == place]
    line: Fields = {"reference": f"{found[0].name} ({found[0].weights})" if found and row.gaps else None}
    for name in COLUMNS:
        gap = row.gaps.get(name)
        line[f"{name}_vs_reference"] = _hundredfold(gap.value) if gap else None
        line[f"{name}_vs_reference_low"] = _hundredfold(gap.low) if gap else None
        line[f"{name}_vs_reference_high"] = _hundredfold(gap.high) if gap else None
        line[f"{name}_vs_reference_p"] = round(gap.p, 6) if gap else None
    return line
