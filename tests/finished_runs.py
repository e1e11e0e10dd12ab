"""Finished runs whose figures come from the scores that lie beside them, written as the protocols write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mibench.benchmark import results
from mibench.benchmark.ecg import MI_STATEMENTS
from mibench.benchmark.metrics import auc, macro
from mibench.benchmark.seeds import derive
from mibench.benchmark.stats import summarize

MakeRecord = Callable[..., dict[str, Any]]
STATEMENTS = ("NORM", *MI_STATEMENTS)
RESAMPLES = 40
POSITIVES = (24, 24, 30, 22, 28, 5, 3, 20, 2)


def truth(records: int = 160) -> NDArray[np.uint8]:
    """(records, statements): disjoint positives of the nine, as many as `POSITIVES` has; the rest are normal."""
    labels = np.zeros((records, len(STATEMENTS)), dtype=np.uint8)
    first = 0
    for column, count in enumerate(POSITIVES, 1):
        labels[first : first + count, column] = 1
        first += count
    labels[first:, 0] = 1
    return labels


def arrays_of(skill: float, seed: int, labels: NDArray[np.uint8] | None = None) -> dict[str, NDArray[Any]]:
    """Test scores: labels times `skill`, and noise."""
    found = truth() if labels is None else labels
    noise = np.random.default_rng(seed).standard_normal(found.shape)
    names = np.array([f"{1000 + row}" for row in range(len(found))])
    return {
        "records": names,
        "patients": np.array([f"p{row // 2}" for row in range(len(found))]),
        "statements": np.array(STATEMENTS),
        "scores": (noise + skill * found).astype(np.float32),
        "labels": found,
    }


def record_of(make_record: MakeRecord, arrays: Mapping[str, NDArray[Any]], **changes: Any) -> dict[str, Any]:
    """The record of such scores."""
    settings = {"resamples": RESAMPLES, **changes.pop("settings", {})}
    record = make_record(settings=settings, **changes)
    scores, labels = arrays["scores"], arrays["labels"]
    seed = derive(0, "bootstrap", record["data"]["manifest"])
    found = summarize(scores[:, 1:], labels[:, 1:], arrays["patients"], resamples=RESAMPLES, seed=seed)
    record["metrics"] = {**found.to_record(), "macro_trained": float(macro(auc(scores, labels)))}
    record["data"]["records"]["test"] = len(scores)
    return record


def scored_run(make_record: MakeRecord, root: Path, skill: float = 1.0, *, scored_by: int = 0, **changes: Any) -> Path:
    """Write a run; `scored_by` seeds its noise, and the other arguments are those of `make_record`."""
    arrays = arrays_of(skill, scored_by)
    return results.write(root, record_of(make_record, arrays, **changes), arrays)
