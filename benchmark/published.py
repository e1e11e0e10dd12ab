"""The paper's figures, and for which of our rows each of them stands."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from .ecg import FREQUENT_MI_STATEMENTS
from .generation_block import UNTRAINED, classifier_of

PAPER_LEADS = ["I"]
_PACKAGE = f"{__name__.rpartition('.benchmark')[0]}.results"


@dataclass(frozen=True)
class Figures:
    """One row of the paper: AUCs x100 by column, `Avg6` computed from its six columns, and the table they stand in."""

    where: str
    values: Mapping[str, float]


@functools.cache
def load_paper() -> Mapping[str, Any]:
    """The published figures, `results/paper.yaml`, read once."""
    import yaml

    # The same as safe_load; libyaml's, where it is there, takes a tenth of the time.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return dict(yaml.load((resources.files(_PACKAGE) / "paper.yaml").read_text(encoding="utf-8"), Loader=loader))


def figures(paper: Mapping[str, Any], record: Mapping[str, Any]) -> Figures | None:
    """The paper's row for a run: trained weights, lead I, the whole of PTB-XL, and a protocol and ratio it printed.

    For generated leads also the paper's classifier, with trained weights and a probe trained on real records.
    """
    data, source = record["data"], record["weights"]["source"]
    if not _whole_ptb_xl(data) or source in UNTRAINED or data.get("observed_leads") != PAPER_LEADS:
        return None
    name = paper["methods"].get(record["method"]["name"])
    for board in paper["boards"]:
        if board["protocol"] != record["protocol"]["name"] or board["ratio"] != record["ratio"]:
            continue
        if "classifier" in board and not _read_by(record, board["classifier"]):
            continue
        table = paper
        for step in board["path"]:
            table = table[step]
        if name in table:
            values = {column: float(value) for column, value in table[name].items()}
            values["Avg6"] = statistics.fmean(values[column] for column in FREQUENT_MI_STATEMENTS)
            return Figures(str(board["where"]), values)
    return None


def source_line(paper: Mapping[str, Any], tables: set[str]) -> str:
    """Where figures that are shown come from."""
    reference = str(paper["meta"]["public"]).split(" (")[0]
    return (
        f"paper: {' and '.join(sorted(tables))} of {reference}, on {paper['data']}; "
        "its Avg6 is the mean of its six columns."
    )


def _read_by(record: Mapping[str, Any], method: str) -> bool:
    classifier = classifier_of(record)
    return (
        classifier is not None
        and classifier.method == method
        and classifier.trained
        and classifier.trained_on == "real"
    )


def _whole_ptb_xl(data: Mapping[str, Any]) -> bool:
    name = str(data["name"]).lower().replace("_", "-").replace("ptbxl", "ptb-xl")
    return "ptb-xl" in name and not data.get("notice") and bool(data.get("complete", True))
