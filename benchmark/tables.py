"""Leaderboards out of run records alone: which rows there are, what stands in them, and what must be said below.

A row is a method with its weights, options and share of training records; its figures are means over seeds. Data sets,
releases, versions of a protocol and classifiers of generated leads never share a board. `render` turns them into text.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..adapters.errors import MibenchError
from .board import AVERAGES, COLUMNS, Board, Row, Value
from .ecg import MI_STATEMENTS
from .generation_block import classifier_of, figures_of, notes_of, sees_of
from .labels import label_variants, label_weights
from .published import Figures, figures, load_paper, source_line
from .render import FORMATS, render, render_all
from .results import StoredRecord

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FORMATS", "Board", "Row", "Value", "leaderboards", "load_paper", "render", "render_all"]

_NOT_ROWS = ("pretrain", "latent_fid", "retrieval", "profile")
_FIRST = "`mibench run --method selfmis` makes the first row"

Record = Mapping[str, Any]


def leaderboards(
    records: Sequence[Record],
    paper: Mapping[str, Any],
    *,
    data: str | None = None,
    ratios: Sequence[float] | None = None,
    methods: Sequence[str] | None = None,
    folder: Path | None = None,
) -> list[Board]:
    """The boards that the records make, real data first.

    Args:
        records: as `results.scan` gives them, in any order; pre-trainings are passed by.
        paper: as `load_paper` gives it.
        data: only this data set.
        ratios: only these shares of the training records, 0 to 1.
        methods: only these methods.
        folder: where the records were looked for, for the error.

    Raises:
        MibenchError: no record is left to show.
    """
    rows = _distinct(record for record in records if _is_row(record))
    if not rows:
        where = f" in {folder}" if folder else ""
        raise MibenchError(f"there is no run to show{where}: {_FIRST}")
    chosen = [
        record
        for record in rows
        if (data is None or record["data"]["name"] == data)
        and (ratios is None or any(abs((record["ratio"] or 0) - ratio) < 1e-9 for ratio in ratios))
        and (methods is None or record["method"]["name"] in methods)
    ]
    if not chosen:
        raise MibenchError(f"no run fits what was asked for; there are {_what_there_is(rows)}")
    return sorted((_board(group, paper) for group in _grouped(chosen, _board_key).values()), key=_board_order)


def _is_row(record: Record) -> bool:
    if record["protocol"]["name"] in _NOT_ROWS:
        return False
    return record["status"] == "failed" or "auc" in (record["metrics"] or {})


def _distinct(records: Iterable[Record]) -> list[Record]:
    """One record per run: of copies of a file, the finished one, then the newest."""
    best: dict[tuple[str, ...], Record] = {}
    for record in records:
        identity = (record["key"], record["data"]["name"], record["method"]["name"])
        rival = best.get(identity)
        if rival is None or _standing(record) > _standing(rival):
            best[identity] = record
    return list(best.values())


def _standing(record: Record) -> tuple[bool, str]:
    return record["status"] == "done", record["created"]


def _grouped(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    groups: dict[Any, list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def _board_key(record: Record) -> tuple[Any, ...]:
    data, protocol = record["data"], record["protocol"]
    parts = (data.get("release"), data.get("notice"), data.get("complete", True))
    return (data["name"], data["manifest"], *parts, protocol["name"], protocol["version"], classifier_of(record))


def _board_order(board: Board) -> tuple[Any, ...]:
    """Real data first; of generated leads, trained classifiers first, and before those trained on generated records."""
    place = (bool(board.row_notice), bool(board.warning), board.data, board.release, board.protocol, -board.version)
    read_by = board.classifier
    if read_by is None:
        return place
    return (*place, not read_by.trained, read_by.words, read_by.trained_on == "generated")


def _row_key(record: Record) -> str:
    """Whatever determines the number, the seed left out: plug-in code, options and settings included."""
    weights = record["weights"]
    named = [record["method"]["name"], weights["source"], weights.get("name"), weights.get("sha256"), record["ratio"]]
    return json.dumps([named, {**record["determinants"], "seed": None}], sort_keys=True)


def _board(records: Sequence[Record], paper: Mapping[str, Any]) -> Board:
    groups = [sorted(group, key=lambda r: r["seed"] or 0) for group in _grouped(records, _row_key).values()]
    heads = [group[0] for group in groups]
    variants = label_variants(heads)
    weights = label_weights(heads, variants)
    rows = _ranked(
        [
            _row(group, variant, label, figures(paper, group[0]))
            for group, variant, label in zip(groups, variants, weights, strict=True)
        ]
    )
    done = [record for record in records if record["status"] == "done"]
    data, protocol = heads[0]["data"], heads[0]["protocol"]
    notice = data.get("notice") or ""
    subset = "" if data.get("complete", True) else "a subset of the data: not comparable with results on all of it"
    return Board(
        data=data["name"],
        release=str(data.get("release") or "unknown"),
        manifest=data["manifest"],
        warning=notice or subset,
        row_notice=notice,
        protocol=protocol["name"],
        version=protocol["version"],
        classifier=classifier_of(heads[0]),
        positives=_positives(done),
        rows=tuple(rows),
        footer=tuple(_footer(records, done, rows, paper)),
    )


def _row(group: Sequence[Record], variant: str, weights: str, published: Figures | None) -> Row:
    head = group[0]
    done = [record for record in group if record["status"] == "done"]
    metrics = [record["metrics"] for record in done]
    averages = [entry["avg"] for entry in metrics if entry.get("avg") is not None]
    values = {
        name: mean_value([(m["auc"].get(name), m.get("interval", {}).get(name)) for m in metrics])
        for name in MI_STATEMENTS
    }
    for name in AVERAGES:
        short = name.lower()
        values[name] = mean_value([(m.get(short), m.get(f"{short}_interval")) for m in metrics])
    method, first = head["method"], done[0] if done else head
    return Row(
        rank=None,
        method=method["name"],
        title=method.get("title") or method["name"],
        variant=variant,
        weights=weights,
        source=head["weights"]["source"],
        weights_name=str(head["weights"].get("name") or ""),
        ratio=head["ratio"],
        seeds=tuple(record["seed"] for record in done),
        spread=statistics.stdev(averages) if len(averages) > 1 else None,
        values=values,
        paper=published,
        options=method.get("options") or {},
        note=_failures([record for record in group if record["status"] == "failed"], len(group)),
        # The seed is the probe's: what was generated is the same for all.
        fidelity=figures_of(first),
        fidelity_notes=notes_of(first),
        sees=sees_of(head),
        pass_through=(head.get("generation") or {}).get("pass_through"),
        paths=tuple(record.path for record in done if isinstance(record, StoredRecord)),
    )


def mean_value(found: Sequence[tuple[float | None, Sequence[Any] | None]]) -> Value:
    """The mean over seeds of (AUC, interval as records keep it), the ends of the intervals averaged as well."""
    areas = [area for area, _ in found if area is not None]
    intervals = [interval for area, interval in found if area is not None and interval is not None]
    if not areas:
        return Value()
    if not intervals:
        return Value(statistics.fmean(areas))
    low, high = (statistics.fmean(interval[end] for interval in intervals) for end in (0, 1))
    return Value(statistics.fmean(areas), low, high, str(intervals[0][2]))


def _failures(failed: Sequence[Record], runs: int) -> str:
    if not failed:
        return ""
    error = " ".join(str(failed[-1].get("error") or "no reason was kept").split())
    error = error if len(error) <= 200 else f"{error[:197]}..."
    return f"failed: {error}" if runs == 1 else f"{len(failed)} of {runs} seeds failed: {error}"


def _ranked(rows: Sequence[Row]) -> list[Row]:
    """By share of training records, the largest first, then by Avg; without a result last.

    A generator that sees more than the observed lead stands where its Avg puts it, out of competition.
    """

    def order(row: Row) -> tuple[Any, ...]:
        average = row.values["Avg"].auc
        return -(row.ratio or 0), average is None, -(average or 0), row.title, row.variant, row.weights

    ranked: list[Row] = []
    places: dict[float | None, int] = {}
    for row in sorted(rows, key=order):
        if row.values["Avg"].auc is None or row.sees != "observed":
            ranked.append(row)
            continue
        places[row.ratio] = places.get(row.ratio, 0) + 1
        ranked.append(replace(row, rank=places[row.ratio]))
    return ranked


def _positives(done: Sequence[Record]) -> dict[str, str]:
    """Counts for the header; a range, should records of one manifest disagree."""
    counts = {
        name: {r["metrics"]["positives"][name] for r in done if name in r["metrics"].get("positives", {})}
        for name in MI_STATEMENTS
    }
    return {name: "-".join(map(str, sorted({min(seen), max(seen)}))) for name, seen in counts.items() if seen}


def _footer(
    records: Sequence[Record], done: Sequence[Record], rows: Sequence[Row], paper: Mapping[str, Any]
) -> list[str]:
    head = records[-1]
    tested = max((r["data"].get("records", {}).get("test", 0) for r in records), default=0)
    sources = sorted({row.source for row in rows})
    runs = sorted({len(row.seeds) for row in rows if row.seeds})
    lines = [
        f"Data: {head['data']['name']}, {head['data'].get('release') or 'release unknown'}, "
        f"manifest {head['data']['manifest'][:12]}, {tested:,} test records.",
        f"Protocol: {head['protocol']['name']} v{head['protocol']['version']}. Weights: {', '.join(sources)}. "
        f"Seeds per row: {'-'.join(map(str, sorted({runs[0], runs[-1]}))) if runs else 'none'}. "
        f"Newest record: {max(r['created'] for r in records)[:10]}.",
    ]
    by_method: dict[str, list[str]] = {}
    for name in COLUMNS:
        for method in sorted({row.values[name].method for row in rows} - {""}):
            by_method.setdefault(method, []).append(name)
    if by_method:
        methods = "; ".join(f"{method}: {', '.join(names)}" for method, names in by_method.items())
        lines.append(f"95 % intervals are of the test records, their ends averaged over seeds. {methods}.")
    left_out = [name for name in MI_STATEMENTS if any(name in r["metrics"].get("left_out", ()) for r in done)]
    if left_out:
        lines.append(f"Left out of the means for want of test positives or negatives: {', '.join(left_out)}.")
    if any(row.sees != "observed" for row in rows):
        lines.append("Rows without a rank that see more than the observed lead are anchors, out of competition.")
    tables = {row.paper.where for row in rows if row.paper}
    return [*lines, source_line(paper, tables)] if tables else lines


def _what_there_is(records: Sequence[Record]) -> str:
    names = sorted({record["data"]["name"] for record in records})
    methods = sorted({record["method"]["name"] for record in records})
    ratios = sorted({record["ratio"] for record in records if record["ratio"] is not None})
    shares = ", ".join(f"{100 * ratio:g}" for ratio in ratios)
    return f"runs on {', '.join(names)}, of {', '.join(methods)}, at {shares} % of the training records"
