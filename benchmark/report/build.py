"""What stands in the report, out of run records alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...adapters.errors import MibenchError
from .. import ablation_table, latent_table, profile_table, retrieval_table
from ..board import Board
from ..grid import Grid
from ..profile_check import NAME as PROFILE
from ..profiles import machines
from ..provenance import version
from ..published import load_paper
from ..standing import judged
from ..suites.file import load_suite
from ..tables import leaderboards
from . import markdown, runs
from .boards import board_sections, section, titles
from .filters import form
from .markup import element, escape, sentences
from .page import RESULTS, Part, packaged, page

Record = Mapping[str, Any]

_COMMAND = "`mibench run --method selfmis` makes the first run"


def report(
    records: Sequence[Record],
    unreadable: Sequence[str],
    *,
    data: str | None = None,
    folder: Path | None = None,
    figures: bool = True,
) -> str:
    """The whole page; the same records give the same bytes.

    Args:
        records: as `results.scan` gives them, pre-trainings too.
        unreadable: its sentences on files that are no records.
        data: only this data set, and the pre-trainings that its runs rest on.
        folder: where the records lie.
        figures: whether to draw.

    Raises:
        MibenchError: there is no record, or none on these data.
    """
    chosen = _chosen(records, data, folder)
    # A report is sent around: it says where files lie below the results folder, not where that is on this machine.
    unreadable = [sentence.replace(f"{folder}{os.sep}", "") for sentence in unreadable]
    paper = load_paper()
    boards, uncompared = _leaderboards(chosen, paper)
    uncompared = [sentence.replace(f"{folder}{os.sep}", "") for sentence in uncompared]
    others = _other_tables(chosen, paper)
    deviations = markdown.html(packaged("DEVIATIONS.md", RESULTS), level=2, left_out=1)
    parts = [
        Part("summary", "At a glance", _summary(chosen, unreadable)),
        Part("boards", "Leaderboards", _boards(boards, uncompared)),
        Part("tables", "Other tables", "\n".join(section(grid, title) for title, grid in others)),
        Part("figures", "Figures", _figures(boards, chosen, paper) if figures else ""),
        Part("runs", "Runs", _runs(chosen, folder)),
        Part("failed", "Runs that failed", _failed(chosen)),
        Part("unreadable", "Files that cannot be read", sentences(unreadable)),
        Part("reading", "How to read the numbers", markdown.html(packaged("reading.md"), level=2)),
        Part("deviations", "What the paper leaves open", deviations),
        Part("cite", "How to cite", _citation()),
    ]
    notices = sorted({str(record["data"].get("notice") or "") for record in chosen} - {""})
    banners = [f"{notice}. Nothing that is marked so says anything about patients." for notice in notices]
    subtitle = f"Detecting myocardial infarction from a single-lead ECG: {_counts(chosen)}."
    footer = f"Made by mibench {version()} from {len(chosen):,} run records, the newest of {_newest(chosen)}."
    return page("mibench report", subtitle, banners, [part for part in parts if part.content], footer)


def _chosen(records: Sequence[Record], data: str | None, folder: Path | None) -> list[Record]:
    """Records on a data set, of the pre-trainings behind them, and of costs, which depend on no data."""
    where = f" in {folder}" if folder else ""
    if not records:
        raise MibenchError(f"there is no run to report{where}: {_COMMAND}")
    if data is None:
        return list(records)
    chosen = [record for record in records if record["data"]["name"] == data]
    if not chosen:
        names = ", ".join(_data_names(records)) or "none"
        raise MibenchError(f"there is no run on {data} to report{where}: there are runs on {names}")
    behind = {(record["weights"].get("pretraining") or {}).get("key") for record in chosen}
    return [
        record
        for record in records
        if record["data"]["name"] == data or record["key"] in behind or not _has_data(record)
    ]


def _has_data(record: Record) -> bool:
    return bool(record["protocol"]["name"] != PROFILE)


def _data_names(records: Sequence[Record]) -> list[str]:
    return sorted({str(record["data"]["name"]) for record in filter(_has_data, records)})


def _counts(records: Sequence[Record]) -> str:
    methods = len({record["method"]["name"] for record in records})
    data = _data_names(records)
    return f"{_many(len(records), 'run')} of {_many(methods, 'method')}" + (f" on {', '.join(data)}" if data else "")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _newest(records: Sequence[Record]) -> str:
    return str(max(record["created"] for record in records))[:10]


def _summary(records: Sequence[Record], unreadable: Sequence[str]) -> str:
    protocols = Counter(f"{r['protocol']['name']} v{r['protocol']['version']}" for r in records)
    failed = sum(record["status"] == "failed" for record in records)
    facts = {"Runs": escape(", ".join(f"{name}: {count:,}" for name, count in sorted(protocols.items())))}
    if failed:
        facts["Failed"] = element("a", escape(_many(failed, "run")), href="#failed")
    if unreadable:
        facts["Not readable"] = element("a", escape(_many(len(unreadable), "file")), href="#unreadable")
    data = sorted({escape(_data_words(record["data"])) for record in filter(_has_data, records)})
    if data:
        facts["Data"] = "<br>".join(data)
    facts["Methods"] = escape(", ".join(sorted({_title(record) for record in records}, key=str.lower)))
    facts["Made by"] = escape("; ".join(sorted({_maker(record["provenance"]) for record in records})))
    facts["Made"] = f"{str(min(record['created'] for record in records))[:10]} to {_newest(records)}"
    return element("dl", "\n".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items()), class_="facts")


def _title(record: Record) -> str:
    return str(record["method"].get("title") or record["method"]["name"])


def _data_words(data: Mapping[str, Any]) -> str:
    notice = data.get("notice") or ("" if data.get("complete", True) else "a subset of the release")
    words = f"{data['name']}, {data.get('release') or 'release unknown'}, manifest {data['manifest'][:12]}"
    return f"{words} ({notice})" if notice else words


def _maker(made: Mapping[str, Any]) -> str:
    commit = runs.short_commit(made.get("git"))
    return f"mibench {made.get('mibench') or 'unknown'}" + ("" if commit == "--" else f", commit {commit}")


def _leaderboards(records: Sequence[Record], paper: Mapping[str, Any]) -> tuple[list[Board], list[str]]:
    """The boards with what stands out marked, and sentences on what could not be compared."""
    try:
        boards = leaderboards(records, paper)
    except MibenchError:
        return [], []  # pre-trainings alone have a report too
    found = [judged(board) for board in boards]
    # Of each data set the paper's main table first; all else stays as `mibench table` has it.
    found.sort(key=lambda one: (bool(one.board.warning), one.board.data, one.board.protocol != "linear_probe"))
    return [one.board for one in found], list(dict.fromkeys(warning for one in found for warning in one.warnings))


def _boards(boards: Sequence[Board], uncompared: Sequence[str]) -> str:
    if not boards:
        return ""
    rows = [row for board in boards for row in board.rows]
    choices = {
        "data Data": sorted({board.data for board in boards}),
        "protocol Protocol": sorted({board.protocol for board in boards}),
        "ratio Train %": [f"{100 * ratio:g}" for ratio in sorted({row.ratio for row in rows if row.ratio is not None})],
        "source Weights": sorted({row.source for row in rows}),
    }
    sections = "\n".join(map(board_sections, boards, titles(boards)))
    parts = [form("board-rows", "leaderboards", choices, ticks=True), element("div", sections, id="board-rows")]
    if uncompared:
        parts.append(element("details", element("summary", "What could not be compared") + sentences(uncompared)))
    return "\n".join(parts)


def _other_tables(records: Sequence[Record], paper: Mapping[str, Any]) -> list[tuple[str, Grid]]:
    """Tables of what is no row of a leaderboard, each with its heading."""
    done = [record for record in records if record["status"] == "done"]
    latent = [record for record in done if record["protocol"]["name"] == "latent_fid"]
    retrieval = [record for record in done if record["protocol"]["name"] == "retrieval"]
    tables = [
        ("Resources (Table 4)", [profile_table.grid(machine, paper) for machine in machines(done)]),
        ("Ablations (Table 5)", ablation_table.grids(records, load_suite("ablation"), paper)),
        ("Retrieval: lead I finds its twelve leads", retrieval_table.grids(retrieval)),
        ("Latent space of generated leads (Figure 1)", latent_table.grids(latent)),
    ]
    return [(title, grid) for title, grids in tables for grid in grids]


def _figures(boards: Sequence[Board], records: Sequence[Record], paper: Mapping[str, Any]) -> str:
    from .pictures import figures

    profiles = [r for r in records if r["protocol"]["name"] == PROFILE and r["status"] == "done"]
    return figures(boards, profiles, paper) if boards else ""


def _runs(records: Sequence[Record], folder: Path | None) -> str:
    choices = {
        "status Status": _values(record["status"] for record in records),
        "data Data": _values(record["data"]["name"] for record in records),
        "protocol Protocol": _values(record["protocol"]["name"] for record in records),
        "ratio Train %": _values(f"{100 * r['ratio']:g}" for r in records if r["ratio"] is not None),
        "source Weights": _values(record["weights"]["source"] for record in records),
    }
    hint = "Open a line for everything that its record says: settings, weights, data, seeds, versions, machine."
    return "\n".join(
        [
            element("p", hint, class_="soft"),
            form("run-rows", "runs", choices),
            element("div", runs.table(records, folder), id="run-rows"),
            element("noscript", element("p", "The lines open only where scripts run; the records have it all.")),
        ]
    )


def _values(found: Iterable[Any]) -> list[str]:
    return sorted(set(map(str, found)), key=lambda text: (not text.isdigit(), int(text) if text.isdigit() else 0, text))


def _failed(records: Sequence[Record]) -> str:
    failed = [record for record in records if record["status"] == "failed"]
    return runs.failures(failed) if failed else ""


def _citation() -> str:
    words = (
        "Cite mibench, and with it the data and methods that you ran: `mibench methods show NAME` leads to its paper."
    )
    bibliography = element("pre", element("code", escape(packaged("citation.bib", RESULTS).strip())), tabindex=0)
    return markdown.html(words, level=3) + bibliography
