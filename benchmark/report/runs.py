"""Every record of a results folder as a line, with all that it says for whoever opens the line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..results import StoredRecord
from .markup import element, embedded_json, escape
from .pool import Pool

HEADER = (
    *("Method", "Weights", "Data", "Protocol", "Train %", "Seed", "Avg", "Status", "Made (UTC)", "Seconds"),
    *("Device", "mibench", "Commit", "Weights sha256", "Manifest", "Key"),
)
_NUMBERS = ("Train %", "Seed", "Avg", "Seconds")
_CODES = ("Commit", "Weights sha256", "Manifest", "Key")
_MEASURED = ("metrics", "training", "pretraining", "generation", "retrieval", "profile")
"""Blocks of what was found, as opposed to what was set: five digits of it are enough to look at."""
_SHOWN = 200
"""Lines that are shown before somebody asks for more; `report.css` knows it too."""

Record = Mapping[str, Any]


def table(records: Sequence[Record], folder: Path | None) -> str:
    """The lines, and behind them what a script shows of a line that is opened."""
    head = "".join(element("th", escape(name), scope="col", class_=_look(name)) for name in HEADER)
    lines = "\n".join(_line(record, place) for place, record in enumerate(records))
    caption = f"{len(records):,} run records, one line each; Avg is the mean of the nine ROC AUCs (x100)."
    title = element("caption", element("span", escape(caption)), id="runs-caption")
    whole = element(
        "table", f"{title}\n<thead><tr>{head}</tr></thead>\n{lines}\n", class_="sortable runs", data_limit=_SHOWN
    )
    wide = element("div", whole, class_="wide tall", tabindex=0, role="region", aria_labelledby="runs-caption")
    return f"{wide}\n{embedded_json(details(records, folder), 'run-details')}"


def failures(records: Sequence[Record]) -> str:
    """The runs that failed, with their errors."""
    names = ("Method", "Weights", "Data", "Protocol", "Train %", "Seed", "Made (UTC)")
    head = "".join(element("th", escape(name), scope="col", class_=_look(name)) for name in (*names, "Error"))
    lines = []
    for record in records:
        words = dict(zip(HEADER, text_cells(record), strict=True))
        text = "".join(_cell(name, words[name], "") for name in names)
        error = element("td", escape(str(record["error"])), class_="left error")
        lines.append(element("tbody", element("tr", text + error), **_tags(record)))
    caption = element("caption", element("span", "Runs without a result, and why"), id="failed-caption")
    whole = element("table", f"{caption}\n<thead><tr>{head}</tr></thead>\n" + "\n".join(lines), class_="sortable")
    return element("div", whole, class_="wide", tabindex=0, role="region", aria_labelledby="failed-caption")


def _line(record: Record, place: int) -> str:
    notice = record["data"].get("notice") or ""
    cells = zip(HEADER, text_cells(record), strict=True)
    row = element("tr", "".join(_cell(name, words, notice) for name, words in cells))
    return element("tbody", row, data_run=place, **_tags(record))


def _cell(name: str, words: str, notice: str) -> str:
    if name == HEADER[0]:
        below = f'<small class="notice">{escape(notice)}</small>' if notice else ""
        return element("th", escape(words) + below, scope="row")
    return element("td", escape(words), class_=_look(name))


def _look(name: str) -> str | None:
    return None if name in _NUMBERS else "left code" if name in _CODES else "left"


def _tags(record: Record) -> dict[str, object]:
    """What filters look at."""
    return {
        "data_data": record["data"]["name"],
        "data_protocol": record["protocol"]["name"],
        "data_status": record["status"],
        "data_source": record["weights"]["source"],
        "data_ratio": None if record["ratio"] is None else f"{100 * record['ratio']:g}",
        "data_method": record["method"]["name"],
    }


def text_cells(record: Record) -> tuple[str, ...]:
    """What stands in the columns of `HEADER`."""
    method, weights, data, made = record["method"], record["weights"], record["data"], record["provenance"]
    metrics, protocol = record["metrics"] or {}, record["protocol"]
    average = metrics.get("avg")
    return (
        str(method.get("title") or method["name"]),
        _weights(weights),
        f"{data['name']} {data.get('release') or ''}".strip(),
        f"{protocol['name']} v{protocol['version']}",
        "--" if record["ratio"] is None else f"{100 * record['ratio']:g}",
        "--" if record["seed"] is None else str(record["seed"]),
        "--" if average is None else f"{100 * average:.2f}",
        str(record["status"]),
        str(record["created"])[:19].replace("T", " "),
        "--" if made.get("seconds") is None else f"{made['seconds']:.1f}",
        str(made.get("device") or "--"),
        str(made.get("mibench") or "--"),
        short_commit(made.get("git")),
        str(weights.get("sha256") or "--")[:12],
        str(data["manifest"])[:12],
        str(record["key"]),
    )


def details(records: Sequence[Record], folder: Path | None) -> dict[str, Any]:
    """All that the records say, for a script to show: `runs` in their order, and `shared`, the parts that many have.

    In place of such a part stands what `Pool` says. What was measured is rounded to five digits.
    """
    pool = Pool()
    numbers = [pool.add(_rounded_record(record) | _file(record, folder)) for record in records]
    return {"runs": [pool.packed(number) for number in numbers], "shared": pool.shared}


def _rounded_record(record: Record) -> dict[str, Any]:
    return {
        name: _rounded(block) if name in _MEASURED else block for name, block in record.items() if block is not None
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return value


def _file(record: Record, folder: Path | None) -> dict[str, str]:
    """Where the record lies, below the results folder: a report tells nobody where that is on this machine."""
    if not isinstance(record, StoredRecord):
        return {}
    if folder is not None and record.path.is_relative_to(folder):
        return {"file": record.path.relative_to(folder).as_posix()}
    return {"file": record.path.name}


def _weights(weights: Mapping[str, Any]) -> str:
    source, name = str(weights["source"]), str(weights.get("name") or "")
    return name if name.startswith(source) else ", ".join(filter(None, (source, name)))


def short_commit(commit: str | None) -> str:
    """Ten digits of a commit, and whether it had uncommitted changes."""
    if not commit:
        return "--"
    return commit[:10] + ("-dirty" if commit.endswith("-dirty") else "")
