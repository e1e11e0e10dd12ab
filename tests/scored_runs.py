"""Run records with invented scores beside them, and the metrics that these have: for what is compared from scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mibench.benchmark import results
from mibench.benchmark.ecg import MI_STATEMENTS
from mibench.benchmark.stats import summarize

RECORDS = 400
SHARES = dict(zip(MI_STATEMENTS, (0.06, 0.08, 0.2, 0.08, 0.2, 0.02, 0.02, 0.06, 0.02), strict=True))


def heart(records: int = RECORDS) -> dict[str, NDArray[Any]]:
    """The test records that all methods see: their names, patients and labels."""
    generator = np.random.default_rng(7)
    labels = np.column_stack([generator.random(records) < share for share in SHARES.values()])
    labels[:2] = True
    return {
        "records": np.array([f"{number:05d}_hr" for number in range(records)]),
        "patients": np.arange(records) // 2,
        "statements": np.array(MI_STATEMENTS),
        "labels": labels.astype(np.uint8),
    }


def write_scored(
    root: Path,
    record: Mapping[str, Any],
    skill: float,
    *,
    noise: int = 0,
    tested: NDArray[Any] | None = None,
    without: str = "",
) -> Path:
    """Write a run whose scores are normal with a mean `skill` higher for positives.

    Args:
        record: as `make_record` makes it; its metrics become those of the scores.
        noise: seed of what is each method's own; half of the scores' variance is common to all.
        tested: places of the test records that were scored; all unless told.
        without: a statement that has no positives.
    """
    known = heart()
    if without:
        known["labels"][:, MI_STATEMENTS.index(without)] = 0
    common = np.random.default_rng(11).normal(size=known["labels"].shape)
    own = np.random.default_rng(100 + 10 * noise + record["seed"]).normal(size=known["labels"].shape)
    scores = (np.sqrt(0.5) * (common + own) + skill * known["labels"]).astype(np.float32)
    rows = slice(None) if tested is None else tested
    arrays = {name: array if name == "statements" else array[rows] for name, array in known.items()}
    arrays["scores"] = scores[rows]
    summary = summarize(arrays["scores"], arrays["labels"], arrays["patients"], resamples=50, seed=0)
    data = {**record["data"], "records": {**record["data"]["records"], "test": len(arrays["records"])}}
    return results.write(root, {**record, "data": data, "metrics": summary.to_record()}, arrays)
