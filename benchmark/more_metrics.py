"""Figures that no run record holds and its stored scores give: precision, sensitivity, Brier score, calibration.

They are computed once per file of scores and kept; what was kept is answered without NumPy and without the scores.
"""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.errors import MibenchError
from . import results
from .board import COLUMNS
from .ecg import FREQUENT_MI_STATEMENTS, MI_STATEMENTS
from .files import sha256_json, write_text
from .home import home
from .seeds import derive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALGORITHM = 1
"""Raised whenever the same scores give other figures: what was kept is then made again."""

ENOUGH_POSITIVES = 20
"""Below, a bootstrap of the positives covers too little."""

BOOTSTRAP = "patient bootstrap"
EXACT = "Clopper-Pearson at the threshold found"
INTERVALS = ("auprc", "sens90", "sens95")
"""Figures with a 95 % interval."""

FIGURES = (
    *(f"{name}{end}" for name in INTERVALS for end in ("", "_low", "_high", "_interval")),
    *("brier", "slope", "intercept", "slope_missing"),
)
"""What each statement has: `_interval` says how an interval was made, `slope_missing` why there is no slope."""

NUMBERS = tuple(figure for figure in FIGURES if not figure.endswith(("_interval", "_missing")))
"""Those that are numbers, even where all runs lack them."""

Figures = dict[str, float | str | None]


def more_metrics(path: Path, *, resamples: int = 2000, cache: Path | None = None) -> dict[str, Figures]:
    """Figures of one run by column of a board (the nine statements, `Avg`, `Avg6`), then by `FIGURES`.

    All are fractions of one but slope and intercept. None where a statement has no positives, and for ends of
    intervals that positives are too few for: AUPRC has none below `ENOUGH_POSITIVES`, sensitivities have an exact one
    there. Means are over the statements that have the figure; intervals of means need enough positives in each.

    Args:
        path: of the run record.
        resamples: of the patient bootstrap.
        cache: where figures are kept; `metrics` in mibench's home unless told.

    Raises:
        MibenchError: the record cannot be read, or its scores are missing, damaged or not numbers.
    """
    record = results.read(path)
    if record["predictions"] is None or record["status"] != "done":
        raise MibenchError(f"{path} keeps no test scores")
    key = {
        "algorithm": ALGORITHM,
        "resamples": resamples,
        "scores": record["predictions"]["sha256"],
        "manifest": record["data"]["manifest"],
    }
    file = (home() / "metrics" if cache is None else cache) / f"{sha256_json(key)[:32]}.json"
    kept = _recall(file)
    if kept is not None:
        return kept
    found = _compute(path, str(record["data"]["manifest"]), resamples)
    # A cache that cannot be written costs time, not the answer.
    with contextlib.suppress(OSError):
        write_text(file, json.dumps(found, separators=(",", ":"), allow_nan=False) + "\n")
    return found


def _recall(file: Path) -> dict[str, Figures] | None:
    """What is kept; None when that is nothing, or damaged."""
    try:
        kept = json.loads(file.read_bytes())
        return {name: {figure: _sound(figure, kept[name][figure]) for figure in FIGURES} for name in COLUMNS}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _sound(figure: str, value: Any) -> float | str | None:
    wanted = str if figure.endswith(("_interval", "_missing")) else (int, float)
    if value is None or (isinstance(value, wanted) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{figure} is {value!r}")


def _compute(path: Path, manifest: str, resamples: int) -> dict[str, Figures]:
    import numpy as np

    from . import paired_scores

    scores = paired_scores.load([path])
    labels, logits = scores.labels, scores.scores[0]
    weights = _weights(labels.tobytes(), tuple(scores.patients.tolist()), resamples, derive(0, "bootstrap", manifest))
    found = {name: dict.fromkeys(FIGURES) for name in COLUMNS}
    resampled: dict[str, NDArray[np.float64]] = {}
    for k, name in enumerate(MI_STATEMENTS):
        if labels[:, k].any() and not labels[:, k].all():
            found[name], resampled[name] = _statement(logits[:, k], labels[:, k], weights)
    enough = {name for k, name in enumerate(MI_STATEMENTS) if labels[:, k].sum() >= ENOUGH_POSITIVES}
    for mean, names in (("Avg", MI_STATEMENTS), ("Avg6", FREQUENT_MI_STATEMENTS)):
        defined = [name for name in names if name in resampled]
        found[mean] = _mean([found[name] for name in defined])
        if defined and enough.issuperset(defined):
            found[mean] |= _ends(np.mean([resampled[name] for name in defined], axis=0))
    return found


@functools.lru_cache(maxsize=1)
def _weights(labels: bytes, patients: tuple[Any, ...], resamples: int, seed: int) -> NDArray[np.int16]:
    """Runs on the same test records have the same resamples: drawn once for all."""
    import numpy as np

    from .stats import resample_weights

    truth = np.frombuffer(labels, dtype=bool).reshape(len(patients), len(MI_STATEMENTS))
    return resample_weights(truth, np.array(patients), resamples, seed)


def _statement(
    logits: NDArray[Any], labels: NDArray[np.bool_], weights: NDArray[np.int16]
) -> tuple[Figures, NDArray[np.float64]]:
    """Of one statement with both classes: its figures, and those with intervals in every resample."""
    import numpy as np

    from .stats.detection import brier, calibration, clopper_pearson, detection_figures

    positives = int(labels.sum())
    one = np.ones((1, len(labels)), dtype=np.int16)
    values = dict(zip(INTERVALS, detection_figures(logits, labels, one)[:, 0].tolist(), strict=True))
    found: Figures = dict.fromkeys(FIGURES)
    found |= values
    found["brier"] = float(brier(logits[:, None], labels[:, None])[0])
    fitted = calibration(logits, labels)
    if isinstance(fitted, str):
        found["slope_missing"] = fitted
    else:
        found["slope"], found["intercept"] = fitted
    resampled = detection_figures(logits, labels, weights)
    if positives >= ENOUGH_POSITIVES:
        found |= _ends(resampled)
    for name in INTERVALS[1:]:
        if found[f"{name}_interval"] is None:
            low, high = clopper_pearson(round(values[name] * positives), positives)
            found |= {f"{name}_low": low, f"{name}_high": high, f"{name}_interval": EXACT}
    return found, resampled


def _ends(resampled: NDArray[np.float64]) -> Figures:
    """Percentile intervals; none of a figure that does not vary."""
    import numpy as np

    found: Figures = {}
    for name, values in zip(INTERVALS, resampled, strict=True):
        known = values[np.isfinite(values)]
        low, high = np.quantile(known, [0.025, 0.975]).tolist() if len(known) else (0.0, 0.0)
        if low < high:
            found |= {f"{name}_low": low, f"{name}_high": high, f"{name}_interval": BOOTSTRAP}
    return found


def _mean(statements: Sequence[Figures]) -> Figures:
    found: Figures = dict.fromkeys(FIGURES)
    for figure in (*INTERVALS, "brier", "slope", "intercept"):
        values = [value for one in statements if isinstance(value := one[figure], (int, float))]
        found[figure] = statistics.fmean(values) if values else None
    return found
