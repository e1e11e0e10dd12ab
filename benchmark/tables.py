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
from .board import AVERAGES, Board, Origin, Row, Value
from .board_footer import footer, positives
from .ecg import MI_STATEMENTS
from .generation_block import classifier_of, figures_of, notes_of, sees_of
from .labels import label_variants, label_weights
from .leaks import leak_of
from .published import Figures, figures, load_paper
from .ranking import by_origin, ranked
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
    protocols: Sequence[str] | None = None,
    mixed: bool = False,
    folder: Path | None = None,
    metric: str = "auc",
) -> list[Board]:
    """The boards that the records make, real data first.

    Args:
        records: as `results.scan` gives them, in any order; pre-trainings are passed by.
        paper: as `load_paper` gives it.
        data: only this data set.
        ratios: only these shares of the training records, 0 to 1.
        methods: only these methods.
        protocols: only these protocols.
        mixed: rows of different data, releases and versions of a protocol may share a board, which then says so.
        folder: where the records were looked for, for the error.
        metric: "auc", or one of `metric_board.METRICS`, which come from the stored scores.

    Raises:
        MibenchError: no record is left to show.
    """
    rows = _distinct(
        record
        for record in records
        if _is_row(record) and (protocols is None or record["protocol"]["name"] in protocols)
    )
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
    groups = _grouped(chosen, lambda record: _board_key(record, mixed))
    return sorted((_board(group, paper, metric) for group in groups.values()), key=_board_order)


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


def _origin(record: Record) -> Origin:
    data = record["data"]
    return Origin(
        data=data["name"],
        release=str(data.get("release") or "unknown"),
        manifest=data["manifest"],
        complete=data.get("complete", True),
        notice=data.get("notice") or "",
        version=record["protocol"]["version"],
    )


def _board_key(record: Record, mixed: bool) -> tuple[Any, ...]:
    way = (record["protocol"]["name"], classifier_of(record))
    return way if mixed else (_origin(record), *way)


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


def _board(records: Sequence[Record], paper: Mapping[str, Any], metric: str) -> Board:
    # What tells rows apart is asked of those that may be compared: between data sets everything differs.
    found = [row for group in _grouped(records, _origin).values() for row in _rows(group, paper)]
    mixed = len({row.origin for row in found}) > 1
    if metric != "auc":
        return _of_another_metric(records, found, paper, metric, mixed)
    return _assembled(records, by_origin(found) if mixed else ranked(found), paper, mixed)


def _of_another_metric(
    records: Sequence[Record], found: Sequence[Row], paper: Mapping[str, Any], metric: str, mixed: bool
) -> Board:
    from . import metric_board

    about = metric_board.METRICS[metric]
    board = _assembled(records, metric_board.placed(found, metric, mixed=mixed), paper, mixed)
    below = (*board.footer, *metric_board.notes(board.rows, metric))
    return replace(board, metric=metric, measure=about.measure, remark=about.remark, footer=below)


def _assembled(records: Sequence[Record], rows: Sequence[Row], paper: Mapping[str, Any], mixed: bool) -> Board:
    origins = [row.origin for row in rows]
    return Board(
        data=_each(origin.data for origin in origins),
        release=_each(origin.release for origin in origins),
        manifest=_each(origin.manifest for origin in origins),
        warning="; ".join(dict.fromkeys(origin.warning for origin in origins if origin.warning)),
        row_notice="" if mixed else origins[0].notice,
        protocol=records[0]["protocol"]["name"],
        version=max(origin.version for origin in origins),
        classifier=classifier_of(records[0]),
        positives=positives(records),
        rows=tuple(rows),
        footer=footer(records, rows, paper),
        mixed=mixed,
    )


def _rows(records: Sequence[Record], paper: Mapping[str, Any]) -> list[Row]:
    groups = [sorted(group, key=lambda r: r["seed"] or 0) for group in _grouped(records, _row_key).values()]
    heads = [group[0] for group in groups]
    variants = label_variants(heads)
    weights = label_weights(heads, variants)
    return [
        _row(group, variant, label, figures(paper, group[0]))
        for group, variant, label in zip(groups, variants, weights, strict=True)
    ]


def _each(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


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
        origin=_origin(head),
        about=head["data"].get("notice") or "",
        leak=leak_of(head),
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


def _what_there_is(records: Sequence[Record]) -> str:
    names = sorted({record["data"]["name"] for record in records})
    methods = sorted({record["method"]["name"] for record in records})
    ratios = sorted({record["ratio"] for record in records if record["ratio"] is not None})
    shares = ", ".join(f"{100 * ratio:g}" for ratio in ratios)
    return f"runs on {', '.join(names)}, of {', '.join(methods)}, at {shares} % of the training records"
