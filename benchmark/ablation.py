"""Which records make an ablation table: rows are told by what their pre-training started from, and nothing is mixed.

A table has one method with its options, one pre-training data set with one set of settings, one pair of checkpoints,
one labelled data set, and one version and one set of settings of every protocol. Records that differ in any of these
make tables of their own.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .suites.file import Row, Suite

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """What there is of one row.

    Attributes:
        row: of the suite.
        tested: finished runs on labels, one for each seed: probes, or networks trained end to end.
        retrieval: of the same weights.
        failed: runs that failed where none has finished.
        others: number of further pre-trainings or starts of this row, which are not shown.
    """

    row: Row
    tested: tuple[Record, ...] = ()
    retrieval: Record | None = None
    failed: tuple[Record, ...] = ()
    others: int = 0

    @property
    def supervised(self) -> bool:
        """True for a row without pre-training."""
        return is_supervised(self.row)

    @property
    def head(self) -> Record | None:
        """A finished record of the row."""
        return self.retrieval or (self.tested[0] if self.tested else None)


@dataclass(frozen=True)
class Ablation:
    """The rows of one table, and what they have in common, by name."""

    entries: tuple[Entry, ...]
    shared: Mapping[str, Any]

    @property
    def records(self) -> list[Record]:
        """All finished records that are shown."""
        return [
            record
            for entry in self.entries
            for record in (*entry.tested, *([entry.retrieval] if entry.retrieval else []))
        ]


def is_supervised(row: Row) -> bool:
    """Whether a row trains on labels end to end, without pre-training."""
    return any(step.protocol == "supervised" for step in row.steps)


def rows_of(suite: Suite) -> list[Row]:
    """The suite's rows that an ablation table shows: those that align or do without, not what they are held against."""
    return [row for row in suite.rows if any(step.protocol in ("retrieval", "supervised") for step in row.steps)]


def ablations(records: Iterable[Record], suite: Suite) -> list[Ablation]:
    """Every table that the records make, in a fixed order; none when no record belongs to a row."""
    rows = rows_of(suite)
    methods = {row.method for row in rows}
    ours = [record for record in records if record["method"]["name"] in methods]
    aligned, alone = [r for r in ours if _is_aligned(r)], [r for r in ours if _is_alone(r)]
    found = []
    taken: set[str] = set()
    for group in _grouped(aligned, _pretraining).values():
        for shared in _combinations(group, alone):
            chosen = [record for record in (*group, *alone) if _belongs(record, shared)]
            taken |= {record["key"] for record in chosen if record in alone}
            found.append(_ablation(rows, chosen, shared))
    left = [record for record in alone if record["key"] not in taken]
    for group in _grouped(
        left, lambda r: {"method": _method(r), "supervised": _protocol(r), "data": _data(r)}
    ).values():
        head = group[0]
        shared = {"method": _method(head), "supervised": _protocol(head), "data": _data(head)}
        found.append(_ablation(rows, group, shared))
    return [ablation for ablation in found if ablation.records or any(entry.failed for entry in ablation.entries)]


def _ablation(rows: Sequence[Row], records: Sequence[Record], shared: Mapping[str, Any]) -> Ablation:
    return Ablation(tuple(_entry(row, records) for row in rows), shared)


def _entry(row: Row, records: Sequence[Record]) -> Entry:
    own = [r for r in records if r["method"]["name"] == row.method and _is_of(row, r)]
    done = [record for record in own if record["status"] == "done"]
    failed = [record for record in own if record["status"] == "failed"]
    groups: list[tuple[tuple[int, str], list[Record], Record | None]] = []
    for group in _grouped(done, lambda r: [r["weights"].get("sha256"), r["weights"].get("seed")]).values():
        tested = sorted((r for r in group if not _is_retrieval(r)), key=lambda r: r["seed"] or 0)
        found = max((r for r in group if _is_retrieval(r)), key=lambda r: str(r["created"]), default=None)
        newest = max(str(record["created"]) for record in group)
        groups.append(((bool(tested) + bool(found), newest), tested, found))
    if not groups:
        return Entry(row, failed=tuple(failed))
    _, tested, found = max(groups, key=lambda group: group[0])
    # What failed once and was done later is no news.
    news = [r for r in failed if (_is_retrieval(r) and found is None) or (not _is_retrieval(r) and not tested)]
    return Entry(row, tuple(tested), found, tuple(news), len(groups) - 1)


def _is_of(row: Row, record: Record) -> bool:
    if is_supervised(row) or _is_alone(record):
        return is_supervised(row) and _is_alone(record)
    return set(record["weights"]["pretraining"]["init"]) == set(row.init)


def _is_aligned(record: Record) -> bool:
    """A retrieval or a probe, at all training records, of weights whose pre-training says what it started from."""
    about = record["weights"].get("pretraining")
    if record["weights"]["source"] != "pretrained" or not isinstance((about or {}).get("init"), dict):
        return False
    return _is_retrieval(record) or (record["protocol"]["name"] == "linear_probe" and record["ratio"] == 1.0)


def _is_alone(record: Record) -> bool:
    """Trained end to end on all training records, from a random start."""
    start = record["weights"]["source"] == "random"
    return bool(record["protocol"]["name"] == "supervised" and start and record["ratio"] == 1.0)


def _is_retrieval(record: Record) -> bool:
    return bool(record["protocol"]["name"] == "retrieval")


def _combinations(group: Sequence[Record], alone: Sequence[Record]) -> list[dict[str, Any]]:
    """Whatever may be shared by records of one kind of pre-training, each way of it once."""
    probes = [record for record in group if not _is_retrieval(record)]
    searches = [record for record in group if _is_retrieval(record)]
    labelled = _distinct({"linear_probe": _protocol(r), "data": _data(r)} for r in probes) or [{}]
    found = _distinct({"retrieval": {**_protocol(r), "data": _data(r)}} for r in searches) or [{}]
    inits = [record["weights"]["pretraining"]["init"] for record in group]
    parts = sorted({part for init in inits for part in init})
    files = [sorted({init[part] for init in inits if part in init}) for part in parts]
    combined = []
    for probe, search, checkpoints in itertools.product(labelled, found, itertools.product(*files)):
        base = {**_pretraining(group[0]), **probe, **search, "checkpoints": dict(zip(parts, checkpoints, strict=True))}
        fitting = [r for r in alone if _method(r) == base["method"] and base.get("data", _data(r)) == _data(r)]
        combined += [{**base, **extra} for extra in _distinct({"supervised": _protocol(r)} for r in fitting) or [{}]]
    return combined


def _belongs(record: Record, shared: Mapping[str, Any]) -> bool:
    if _is_alone(record):
        wanted = {"method": _method(record), "supervised": _protocol(record), "data": _data(record)}
        return all(shared.get(name, wanted[name] if name == "data" else None) == wanted[name] for name in wanted)
    if any(shared[name] != value for name, value in _pretraining(record).items()):
        return False
    init = record["weights"]["pretraining"]["init"]
    if any(shared["checkpoints"].get(part) != digest for part, digest in init.items()):
        return False
    if _is_retrieval(record):
        return bool(shared.get("retrieval") == {**_protocol(record), "data": _data(record)})
    return bool(shared.get("linear_probe") == _protocol(record) and shared.get("data") == _data(record))


def _pretraining(record: Record) -> dict[str, Any]:
    about = record["weights"]["pretraining"]
    data = about.get("data")
    named = {name: data.get(name) for name in ("name", "manifest")} if isinstance(data, Mapping) else {"name": data}
    return {"method": _method(record), "pretraining": {"data": named, "settings": about.get("settings")}}


def _method(record: Record) -> Any:
    return record["determinants"].get("method")


def _protocol(record: Record) -> dict[str, Any]:
    return {name: record["protocol"].get(name) for name in ("version", "settings")}


def _data(record: Record) -> dict[str, Any]:
    return {name: record["data"].get(name) for name in ("name", "manifest", "observed_leads")}


def _distinct(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found = {json.dumps(value, sort_keys=True): value for value in values}
    return [found[key] for key in sorted(found)]


def _grouped(records: Iterable[Record], key: Any) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(json.dumps(key(record), sort_keys=True), []).append(record)
    return dict(sorted(groups.items()))
