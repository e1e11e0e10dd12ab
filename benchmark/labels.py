"""What tells the rows of a board apart, in as few words as will do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .generation_block import UNTRAINED, sees_of

SUPERVISED = "supervised"
"""The protocol that trains the network itself, whatever weights it starts from."""

Record = Mapping[str, Any]

_SEEN = {"record": ", sees the real leads", "another-record": ", sees another patient's leads"}


def label_variants(rows: Sequence[Record]) -> list[str]:
    """For each row's record, the options and settings wherein it differs; mostly nothing.

    Options of a method are compared among its own rows, settings of the protocol among all.
    """
    settings = differences([flat(_part(row, "protocol", "settings")) for row in rows])
    labels = list(settings)
    for name in {row["method"]["name"] for row in rows}:
        own = [i for i, row in enumerate(rows) if row["method"]["name"] == name]
        for i, label in zip(own, differences([flat(_part(rows[i], "method")) for i in own]), strict=True):
            labels[i] = ", ".join(part for part in (label, settings[i]) if part)
    return labels


def label_weights(rows: Sequence[Record], variants: Sequence[str]) -> list[str]:
    """For each row's record, where its weights came from; file names only where the rest would not tell rows apart."""
    labels = [_source(row) for row in rows]
    for detail in (_name, _digest):
        shown = [(row["method"]["name"], row["ratio"], variant) for row, variant in zip(rows, variants, strict=True)]
        seen = Counter(zip(shown, labels, strict=True))
        labels = [
            f"{label}, {detail(row)}" if seen[place, label] > 1 and detail(row) else label
            for row, place, label in zip(rows, shown, labels, strict=True)
        ]
    return [label + _SEEN.get(sees_of(row), "") for label, row in zip(labels, rows, strict=True)]


def _name(record: Record) -> str:
    return str(record["weights"].get("name") or "")


def _digest(record: Record) -> str:
    return str(record["weights"].get("sha256") or "")[:8]


def _source(record: Record) -> str:
    weights = record["weights"]
    source = str(weights["source"])
    if source == "random" and record["protocol"]["name"] == SUPERVISED:
        return "random start"  # trained from there on labels: no anchor
    if source in UNTRAINED:
        return f"{source} (anchor)"
    if source == "own":
        return "its own"
    about = weights.get("pretraining") or {}
    data, settings = about.get("data"), about.get("settings")
    name = data.get("name") if isinstance(data, Mapping) else data
    closed = isinstance(settings, Mapping) and bool(settings.get("closed_form"))
    return f"{'fitted' if closed else source} on {name}" if name else source


def _part(record: Record, *path: str) -> Mapping[str, Any]:
    part: Any = record["determinants"]
    for step in path:
        part = part.get(step) if isinstance(part, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, its keys the paths of theirs, joined by dots."""
    found: dict[str, Any] = {}
    for key, entry in value.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(entry, Mapping):
            found.update(flat(entry, path))
        else:
            found[path] = entry
    return found


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value)) if len(value) <= 4 else f"{len(value)} of them"
    text = str(value).lower() if isinstance(value, bool) or value is None else str(value)
    return text if len(text) <= 24 else f"{text[:8]}..."


def differences(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """`key=value` for every key whose values are not all the same; the key's last word, where that is enough."""
    paths = sorted({path for row in rows for path in row})
    varying = [path for path in paths if any(row.get(path) != rows[0].get(path) for row in rows)]
    last = Counter(path.rpartition(".")[2] for path in varying)
    names = {path: path.rpartition(".")[2] if last[path.rpartition(".")[2]] == 1 else path for path in varying}
    return [", ".join(f"{names[path]}={_word(row[path])}" for path in varying if path in row) for row in rows]
