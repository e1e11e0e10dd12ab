"""ROC AUC, for many heads and statements at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def auc(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve of every statement; records with equal scores count half.

    Args:
        scores: (..., records, statements), any increasing scale: logits serve as well as probabilities.
        labels: (records, statements), 0 or 1.

    Returns:
        (..., statements). NaN where a statement has no positive or no negative record, or a score is NaN.

    Raises:
        ValueError: the shapes do not belong together.
    """
    values, truth = np.asarray(scores), np.asarray(labels)
    if truth.ndim != 2 or values.ndim < 2 or values.shape[-2:] != truth.shape:
        raise ValueError(f"scores {values.shape} and labels {truth.shape} must end in the same (records, statements)")
    positive = np.ascontiguousarray(truth.T != 0)
    areas = np.empty((*values.shape[:-2], truth.shape[1]))
    # One head at a time stays in the processor's cache: faster than one sort of all, and memory does not grow.
    for place in np.ndindex(areas.shape[:-1]):
        areas[place] = _areas(np.ascontiguousarray(values[place].T), positive)
    return areas


def macro(aucs: ArrayLike) -> NDArray[np.float64]:
    """Mean over the last axis that leaves undefined (NaN) values out; NaN when nothing is left."""
    values = np.asarray(aucs, dtype=np.float64)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(-1) / known.sum(-1))


def _areas(scores: NDArray[Any], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(statements, records) each -> (statements,), by the rank sum of the positives."""
    order = np.argsort(scores, axis=-1)
    ranked = np.take_along_axis(scores, order, axis=-1)
    found = np.take_along_axis(positive, order, axis=-1)
    positives = positive.sum(-1, dtype=np.float64)
    negatives = positive.shape[-1] - positives
    rank_sum = found @ np.arange(1.0, positive.shape[-1] + 1)
    # Few statements have tied scores, and only they need more than the places in the order.
    tied = (ranked[:, 1:] == ranked[:, :-1]).any(-1)
    rank_sum[tied] = np.where(found[tied], mid_ranks(ranked[tied]), 0.0).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)
    undefined = (positives * negatives == 0) | np.isnan(ranked[:, -1:]).any(-1)  # NaN sorts last
    return np.where(undefined, np.nan, areas)


def mid_ranks(ranked: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 1 along the last axis of sorted values; equal values share the middle of their ranks."""
    count = ranked.shape[-1]
    place = np.arange(count)
    changes = ranked[:, 1:] != ranked[:, :-1]
    edge = np.ones((len(ranked), min(count, 1)), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), place, 0), axis=-1)
    last_reversed = np.where(np.hstack([changes, edge]), place, count - 1)[:, ::-1]
    last = np.minimum.accumulate(last_reversed, axis=-1)[:, ::-1]
    return np.asarray((first + last) / 2 + 1)
