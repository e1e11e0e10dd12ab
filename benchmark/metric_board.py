"""Boards of another figure than ROC AUC, made from the scores that lie beside the records."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..adapters.errors import MibenchError
from .board import COLUMNS, Row, Value
from .more_metrics import ENOUGH_POSITIVES, Figures, more_metrics
from .ranking import by_origin, ranked
from .tables import mean_value

_UNMARKED = "Best and second are not marked, and the paper's figures are left out: it prints ROC AUC only"
_THRESHOLD = (
    "The threshold of each statement is the lowest that no more than {share} % of the negatives of these test records "
    "reach: it was not chosen beforehand. A sensitivity of fewer than {enough} positives has an exact interval, which "
    "takes that threshold as given; means have one only where each of their statements has {enough}."
)


@dataclass(frozen=True)
class Metric:
    """What a board may show in place of ROC AUC.

    Attributes:
        words: what it is, for the caption.
        order: which end of it is better; "auc" keeps the order of ROC AUC.
        notes: what must be said below the table.
        scale: what a value is multiplied with before it stands on a board, which prints a hundred times that.
    """

    words: str
    order: str
    notes: tuple[str, ...]
    scale: float = 1

    @property
    def measure(self) -> str:
        """For the caption, before the protocol."""
        return f"{self.words} from the stored scores"

    @property
    def remark(self) -> str:
        """For the caption, after it."""
        places = {"larger": "ranked by it", "smaller": "ranked by it, smaller is better"}
        return f"{_UNMARKED}; rows are {places.get(self.order, 'in the order of ROC AUC, and so are the ranks')}."


METRICS: Mapping[str, Metric] = {
    "auprc": Metric(
        "AUPRC (average precision, x100) with 95 % intervals",
        "larger",
        (
            "Scores without any skill have an AUPRC of the share of positives, which differs between statements: "
            "compare within a column.",
            f"Statements with fewer than {ENOUGH_POSITIVES} positives, and means over such, have no interval: the "
            "positives are too few for a bootstrap.",
        ),
    ),
    "sens90": Metric(
        "Sensitivity (x100) at 90 % specificity with 95 % intervals",
        "larger",
        (_THRESHOLD.format(share=10, enough=ENOUGH_POSITIVES),),
    ),
    "sens95": Metric(
        "Sensitivity (x100) at 95 % specificity with 95 % intervals",
        "larger",
        (_THRESHOLD.format(share=5, enough=ENOUGH_POSITIVES),),
    ),
    "brier": Metric(
        "Brier score (x100) of the sigmoid of the logits, without intervals,",
        "smaller",
        ("0 is perfect; always saying the share p of positives has p(1-p), so rare statements look good by rarity.",),
    ),
    "slope": Metric(
        "Calibration slope (1 is perfect), without intervals,",
        "auc",
        (
            "Slope of the logistic regression of each label on its logit: below 1 the logits are too extreme, below 0 "
            "they point the wrong way. Of a few positives it is mostly chance, and so are means over such statements.",
        ),
        scale=0.01,
    ),
}


def placed(rows: Sequence[Row], metric: str, *, mixed: bool) -> list[Row]:
    """The rows with another figure in place of ROC AUC, in their order; those without scores last, and saying so."""
    order = METRICS[metric].order
    place = by_origin if mixed else ranked
    if order == "auc":
        found = [_with(row, metric) for row in place(rows)]
        return [row if row.values["Avg"].auc is not None else replace(row, rank=None) for row in found]
    return place([_with(row, metric) for row in rows], smaller=order == "smaller")


def notes(rows: Sequence[Row], metric: str) -> list[str]:
    """What must be said below a board of this metric."""
    said = list(METRICS[metric].notes)
    if metric == "slope":
        said += _without_slope(rows)
    return said


def _with(row: Row, metric: str) -> Row:
    bare = replace(row, values=dict.fromkeys(COLUMNS, Value()), spread=None, paper=None)
    if not row.seeds:
        return bare
    runs = []
    for path in row.paths:
        try:
            runs.append(more_metrics(path))
        except MibenchError as problem:
            # Below a table the name of the file is enough.
            return _noted(bare, str(problem).replace(f"{path.parent}{os.sep}", ""))
    if not runs:
        return _noted(bare, "no test scores are stored beside its records")
    values = {name: mean_value([_with_interval(run[name], metric) for run in runs]) for name in COLUMNS}
    averages = [average for average, _ in (_with_interval(run["Avg"], metric) for run in runs) if average is not None]
    spread = statistics.stdev(averages) if len(averages) > 1 else None
    return replace(bare, values=values, spread=spread)


def _noted(row: Row, sentence: str) -> Row:
    return replace(row, note="; ".join(part for part in (row.note, sentence) if part))


def _with_interval(figures: Figures, metric: str) -> tuple[float | None, list[Any] | None]:
    """A figure and its interval, as records keep those of AUCs."""
    ends = [figures.get(f"{metric}_{end}") for end in ("low", "high", "interval")]
    value = figures[metric]
    scaled = METRICS[metric].scale * value if isinstance(value, (int, float)) else None
    return scaled, None if None in ends else ends


def _without_slope(rows: Sequence[Row]) -> list[str]:
    """Where there is no slope, in some seed at least, by reason."""
    where: dict[str, list[str]] = {}
    for row in rows:
        if row.note and row.values["Avg"].auc is None:
            continue  # its note says why it has nothing
        missing: dict[str, dict[str, None]] = {}
        for run in map(more_metrics, row.paths):
            for name in COLUMNS:
                if run[name]["slope_missing"]:
                    missing.setdefault(str(run[name]["slope_missing"]), {})[name] = None
        for reason, names in missing.items():
            where.setdefault(reason, []).append(f"{row.name}, {row.weights}: {', '.join(names)}")
    return [f"No slope, in a seed at least, as {reason}: {'; '.join(found)}." for reason, found in where.items()]
