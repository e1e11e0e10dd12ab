"""More metrics of a run, from the scores that lie beside its record: nothing is run again.

What was worked out once is kept, so tables of other metrics are as quick as those of the AUC.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .board import AVERAGES, COLUMNS
from .ecg import FREQUENT_MI_STATEMENTS, MI_STATEMENTS
from .files import sha256_json, write_text
from .home import home
from .scores import source

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from .paired_scores import Scores

    Figures = tuple[NDArray[np.float64], NDArray[np.float64]]  # by statement, and in every resample

VERSION = 1
"""Raised whenever the same scores give other numbers: what was kept is then made again."""


@dataclass(frozen=True)
class Metric:
    """What a metric is called, and what is good.

    `best` is the value of perfect scores; `percent` where it is a share that tables print times 100.
    """

    title: str
    best: Literal[0, 1]
    percent: bool


METRICS: Mapping[str, Metric] = {
    "auprc": Metric("area under the precision-recall curve (average precision)", 1, True),
    "sens90": Metric("sensitivity at 90 % specificity, threshold chosen on the test records", 1, True),
    "sens95": Metric("sensitivity at 95 % specificity, threshold chosen on the test records", 1, True),
    "brier": Metric("Brier score", 0, False),
    "slope": Metric("calibration slope: under 1, scores are too sure", 1, False),
    "intercept": Metric("calibration intercept, beside the slope", 0, False),
    "in_the_large": Metric("calibration in the large: intercept with the slope held at 1", 0, False),
}


def more_metrics(path: Path, *, resamples: int = 2000, cache: Path | None = None) -> dict[str, Any]:
    """Metrics of one run beside its AUCs.

    Args:
        path: of its record.
        resamples: of the patient bootstrap, those that the AUCs' intervals rest on.
        cache: where they are kept; `metrics` in mibench's home unless told.

    Returns:
        What JSON can hold: "records", "positives" by statement, "notes" (sentences on what is undefined), and
        "metrics": by the names of `METRICS` and by the columns of a board (Avg and Avg6 are means of what is defined)
        {"value", "low", "high", "method"}; None where undefined. `low` and `high`, the 95 % interval, are None where
        none is given: of calibration, and where a bootstrap would rest on fewer than 20 positives.

    Raises:
        MibenchError: the record keeps no scores, or they are missing, damaged or NaN.
    """
    kept = source(path)
    key = {"version": VERSION, "resamples": resamples, "scores": kept.sha256, "data": kept.manifest}
    place = (home() / "metrics" if cache is None else cache) / f"{sha256_json(key)[:32]}.json"
    found = _recall(place)
    if found is None:
        from .paired_scores import load

        found = _work_out(load([path]), kept.manifest, resamples)
        with contextlib.suppress(OSError):  # where it cannot be kept, only the next reader waits for it
            write_text(place, json.dumps(found, separators=(",", ":"), allow_nan=False) + "\n")
    return found


def _recall(place: Path) -> dict[str, Any] | None:
    """What is kept; None when that is nothing, or damaged."""
    try:
        found: dict[str, Any] = json.loads(place.read_bytes())
        whole = all(found["metrics"][name].keys() == set(COLUMNS) for name in METRICS)
        return found if whole and found.keys() == {"records", "positives", "metrics", "notes"} else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _work_out(run: Scores, manifest: str, resamples: int) -> dict[str, Any]:
    import numpy as np

    from .seeds import derive
    from .stats import ENOUGH_POSITIVES, resample_weights
    from .stats.calibration import brier, recalibrate, squared_errors
    from .stats.operating_points import (
        average_precision,
        resampled_average_precision,
        resampled_sensitivity,
        sensitivity_at,
    )

    scores, labels = run.scores[0].astype(np.float64), run.labels
    weights = resample_weights(labels, run.patients, resamples, derive(0, "bootstrap", manifest))
    positives = labels.sum(0)
    enough = positives >= ENOUGH_POSITIVES
    line = recalibrate(scores, labels)
    total = weights.sum(1, keepdims=True)

    def drawn(replicates: Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[np.float64]]) -> NDArray[np.float64]:
        # A bootstrap of few positives would not be shown: it need not be made.
        found = np.full((resamples, len(enough)), np.nan)
        found[:, enough] = replicates(scores[:, enough], labels[:, enough])
        return found

    def sensitivity(specificity: float) -> Figures:
        return (
            sensitivity_at(scores, labels, specificity),
            drawn(lambda s, y: resampled_sensitivity(s, y, weights, specificity)),
        )

    nothing = np.full((2, len(enough)), np.nan)
    points: dict[str, Figures] = {
        "auprc": (
            average_precision(scores, labels),
            drawn(lambda s, y: resampled_average_precision(s, y, weights)),
        ),
        "sens90": sensitivity(0.90),
        "sens95": sensitivity(0.95),
        "brier": (
            np.where(labels.any(0), brier(scores, labels), np.nan),
            drawn(lambda s, y: weights @ squared_errors(s, y) / total),
        ),
        "slope": (line.slope, nothing),
        "intercept": (line.intercept, nothing),
        "in_the_large": (line.in_the_large, nothing),
    }
    return {
        "records": len(labels),
        "positives": dict(zip(MI_STATEMENTS, positives.tolist(), strict=True)),
        "metrics": {name: _columns(*points[name], enough) for name in METRICS},
        "notes": _notes(labels, points["slope"][0]),
    }


def _columns(
    values: NDArray[np.float64], drawn: NDArray[np.float64], enough: NDArray[np.bool_]
) -> dict[str, dict[str, Any] | None]:
    """By column of a board: the statements, and means over those that are defined."""
    import numpy as np

    def entry(chosen: Sequence[int]) -> dict[str, Any] | None:
        known = [k for k in chosen if np.isfinite(values[k])]
        if not known:
            return None
        low = high = None
        method = ""
        replicates = drawn[:, known].mean(1)
        replicates = replicates[np.isfinite(replicates)]
        if enough[known].all() and len(replicates) > 1:
            low, high = np.quantile(replicates, [0.025, 0.975]).tolist()
            method = "patient bootstrap"
        return {"value": float(values[known].mean()), "low": low, "high": high, "method": method}

    frequent = [MI_STATEMENTS.index(name) for name in FREQUENT_MI_STATEMENTS]
    chosen = [*([k] for k in range(len(MI_STATEMENTS))), list(range(len(MI_STATEMENTS))), frequent]
    return dict(zip((*MI_STATEMENTS, *AVERAGES), map(entry, chosen), strict=True))


def _notes(labels: NDArray[np.bool_], slope: NDArray[np.float64]) -> list[str]:
    counts = dict(zip(MI_STATEMENTS, labels.sum(0).tolist(), strict=True))
    absent = [name for name, count in counts.items() if not count]
    full = [name for name, count in counts.items() if count == len(labels)]
    parted = [name for name, one in zip(MI_STATEMENTS, slope, strict=True) if one != one and name not in absent + full]
    sentences = [
        (absent, "without a test positive, left out: {}"),
        (full, "without a test negative, of no sensitivity or calibration: {}"),
        (parted, "no calibration slope, since one threshold parts positives and negatives or all scores are one: {}"),
    ]
    return [text.format(", ".join(names)) for names, text in sentences if names]
