"""What an AUC does not say: precision where positives are rare, and how many are found at a chosen specificity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bootstrap import BLOCK

Float = NDArray[np.float64]


def average_precision(scores: ArrayLike, labels: ArrayLike) -> Float:
    """Area under the precision-recall curve, by steps as scikit-learn defines it; NaN without a positive.

    Args:
        scores: (records, statements), any increasing scale.
        labels: (records, statements), 0 or 1.

    Returns:
        (statements,).
    """
    values, truth = np.asarray(scores), np.asarray(labels) != 0
    return np.asarray(resampled_average_precision(values, truth, np.ones((1, len(truth)), dtype=np.int16))[0])


def sensitivity_at(scores: ArrayLike, labels: ArrayLike, specificity: float) -> Float:
    """The highest sensitivity of any threshold whose specificity is at least the one asked for.

    The threshold is chosen on the same records, so this is a point of the ROC curve and no promise for other data.

    Args:
        scores: (records, statements), any increasing scale.
        labels: (records, statements), 0 or 1.
        specificity: share of negatives below the threshold, 0 to 1.

    Returns:
        (statements,). NaN without a positive or a negative.
    """
    values, truth = np.asarray(scores), np.asarray(labels) != 0
    once = np.ones((1, len(truth)), dtype=np.int16)
    return np.asarray(resampled_sensitivity(values, truth, once, specificity)[0])


def resampled_average_precision(
    scores: NDArray[Any], labels: NDArray[np.bool_], weights: NDArray[np.integer[Any]]
) -> Float:
    """`average_precision` of every resample.

    Args:
        weights: (resamples, records), how often each record counts.

    Returns:
        (resamples, statements).
    """
    found = np.full((len(weights), labels.shape[1]), np.nan)
    for k in np.flatnonzero(labels.any(0)):
        order = np.argsort(-scores[:, k], kind="stable")
        ranked, present = scores[order, k], labels[order, k]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        # Precision counts only where positives are met; what lies between them need not be kept.
        met = np.diff(np.cumsum(present)[last], prepend=0) > 0
        for start in range(0, len(weights), BLOCK):
            block = np.ascontiguousarray(weights[start : start + BLOCK].T[order], dtype=np.int32)
            called = np.cumsum(block, axis=0)[last[met]].astype(np.float64)
            hits = np.cumsum(np.where(present[:, None], block, 0), axis=0)[last[met]]
            gained = np.diff(hits, axis=0, prepend=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                precision = np.where(called > 0, hits / called, 0.0)
                found[start : start + BLOCK, k] = (gained * precision).sum(0) / hits[-1]
    return found


def resampled_sensitivity(
    scores: NDArray[Any], labels: NDArray[np.bool_], weights: NDArray[np.integer[Any]], specificity: float
) -> Float:
    """`sensitivity_at` of every resample, each with a threshold of its own.

    Args:
        weights: (resamples, records), how often each record counts.

    Returns:
        (resamples, statements). NaN where a resample lost one class.
    """
    if not 0 <= specificity <= 1:
        raise ValueError(f"specificity is a share from 0 to 1, not {specificity}")
    found = np.full((len(weights), labels.shape[1]), np.nan)
    for k in np.flatnonzero(labels.any(0) & ~labels.all(0)):
        negative, positive = np.flatnonzero(~labels[:, k]), np.flatnonzero(labels[:, k])
        negative = negative[np.argsort(-scores[negative, k])]
        positive = positive[np.argsort(-scores[positive, k])]
        # Of each negative, how many positives stand above it: those that a threshold just over it finds.
        above = np.searchsorted(-scores[positive, k], -scores[negative, k], side="left")
        for start in range(0, len(weights), BLOCK):
            block = weights[start : start + BLOCK].T.astype(np.int32)
            alarms = np.cumsum(block[negative], axis=0)
            hits = np.vstack([np.zeros((1, block.shape[1]), np.int32), np.cumsum(block[positive], axis=0)])
            allowed = np.floor((1 - specificity) * alarms[-1] + 1e-9)
            first_refused = (alarms <= allowed).sum(0)
            reached = np.where(first_refused < len(negative), above[np.minimum(first_refused, len(above) - 1)], -1)
            with np.errstate(invalid="ignore"):
                share = hits[reached, np.arange(block.shape[1])] / hits[-1]
            found[start : start + BLOCK, k] = np.where(alarms[-1] > 0, share, np.nan)
    return found
