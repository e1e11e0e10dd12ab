"""What stands below a board of AUCs: data, protocol, weights, seeds, date, and how its intervals were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .board import COLUMNS, Row
from .ecg import MI_STATEMENTS
from .leaks import leak_lines
from .published import source_line

Record = Mapping[str, Any]


def footer(records: Sequence[Record], rows: Sequence[Row], paper: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences for below the table.

    Args:
        records: of the board, failed runs too.
        rows: what became of them.
        paper: as `load_paper` gives it.
    """
    done = [record for record in records if record["status"] == "done"]
    lines = [*_data_lines(records), _protocol_line(records, rows), *_interval_lines(rows)]
    left_out = [name for name in MI_STATEMENTS if any(name in r["metrics"].get("left_out", ()) for r in done)]
    if left_out:
        lines.append(f"Left out of the means for want of test positives or negatives: {', '.join(left_out)}.")
    if any(row.sees != "observed" for row in rows):
        lines.append("Rows without a rank that see more than the observed lead are anchors, out of competition.")
    lines += leak_lines({row.leak for row in rows})
    tables = {row.paper.where for row in rows if row.paper}
    return (*lines, source_line(paper, tables)) if tables else tuple(lines)


def positives(records: Sequence[Record]) -> dict[str, str]:
    """Counts for the header by statement; a range, should the records disagree."""
    done = [record for record in records if record["status"] == "done"]
    counts = {
        name: {r["metrics"]["positives"][name] for r in done if name in r["metrics"].get("positives", {})}
        for name in MI_STATEMENTS
    }
    return {name: "-".join(map(str, sorted({min(seen), max(seen)}))) for name, seen in counts.items() if seen}


def _data_lines(records: Sequence[Record]) -> list[str]:
    """A line for each data set; mostly there is one."""
    sets: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        data = record["data"]
        sets.setdefault((data["name"], data.get("release") or "release unknown", data["manifest"][:12]), []).append(
            record
        )
    tested = [max((r["data"].get("records", {}).get("test", 0) for r in of), default=0) for of in sets.values()]
    return [
        f"Data: {name}, {release}, manifest {manifest}, {count:,} test records."
        for (name, release, manifest), count in zip(sets, tested, strict=True)
    ]


def _protocol_line(records: Sequence[Record], rows: Sequence[Row]) -> str:
    versions = sorted({f"{r['protocol']['name']} v{r['protocol']['version']}" for r in records})
    sources = sorted({row.source for row in rows})
    runs = sorted({len(row.seeds) for row in rows if row.seeds})
    return (
        f"Protocol: {', '.join(versions)}. Weights: {', '.join(sources)}. "
        f"Seeds per row: {'-'.join(map(str, sorted({runs[0], runs[-1]}))) if runs else 'none'}. "
        f"Newest record: {max(r['created'] for r in records)[:10]}."
    )


def _interval_lines(rows: Sequence[Row]) -> list[str]:
    by_method: dict[str, list[str]] = {}
    for name in COLUMNS:
        for method in sorted({row.values[name].method for row in rows} - {""}):
            by_method.setdefault(method, []).append(name)
    if not by_method:
        return []
    methods = "; ".join(f"{method}: {', '.join(names)}" for method, names in by_method.items())
    return [f"95 % intervals are of the test records, their ends averaged over seeds. {methods}."]
