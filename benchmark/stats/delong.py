"""DeLong, DeLong and Clarke-Pearson (1988): variances and covariances of AUCs, without resampling.

The fast way of Sun and Xu (2014): mid-ranks in place of a comparison of every positive with every negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..metrics import mid_ranks

Float = NDArray[np.float64]


def delong(scores: ArrayLike, labels: ArrayLike) -> tuple[Float, Float]:
    """AUCs of many methods on one statement, and their covariance.

    Records count as independent; `influence` is for patients with several.

    Args:
        scores: (methods, records), each any increasing scale.
        labels: (records,), 0 or 1.

    Returns:
        (methods,) and (methods, methods). The covariance is NaN where a class has fewer than two records.
    """
    truth = np.asarray(labels) != 0
    above, below = placements(np.asarray(scores), truth)
    positives, negatives = above.shape[1], below.shape[1]
    size = len(above)
    if min(positives, negatives) < 2:
        return above.mean(1), np.full((size, size), np.nan)
    covariance = np.cov(above).reshape(size, size) / positives + np.cov(below).reshape(size, size) / negatives
    return above.mean(1), covariance


def placements(scores: NDArray[Any], positive: NDArray[np.bool_]) -> tuple[Float, Float]:
    """The structural components of AUCs, ties counted half.

    Args:
        scores: (methods, records).
        positive: (records,).

    Returns:
        Of each positive the share of negatives below it (methods, positives), and of each negative the share of
        positives above it (methods, negatives). Both have the AUC as their mean.
    """
    own, others = scores[:, positive], scores[:, ~positive]
    ranks = _ranks(np.concatenate([own, others], axis=1))
    count = own.shape[1]
    above = (ranks[:, :count] - _ranks(own)) / others.shape[1]
    below = 1 - (ranks[:, count:] - _ranks(others)) / count
    return above, below


def influence(scores: NDArray[Any], positive: NDArray[np.bool_], person: NDArray[np.intp]) -> Float:
    """What each patient adds to the mean AUC of some runs: squares add up to its variance, products to covariances.

    DeLong's components summed over patients (Obuchowski 1997); with a record a patient it is DeLong's variance but for
    the small rest that one sum for both classes leaves.

    Args:
        scores: (runs, records): runs whose mean AUC is meant, such as the seeds of a method.
        positive: (records,).
        person: (records,), the patient of each as 0, 1, 2 ...

    Returns:
        (patients,). A class that lies in a single patient adds nothing: its variance cannot be told.
    """
    added = np.zeros(int(person.max(initial=-1)) + 1)
    for chosen, components in zip((positive, ~positive), placements(scores, positive), strict=True):
        patients = len(np.unique(person[chosen]))
        if patients > 1:
            mean = components.mean(0)
            share = (mean - mean.mean()) / len(mean) * np.sqrt(patients / (patients - 1))
            np.add.at(added, person[chosen], share)
    return added


def _ranks(values: NDArray[Any]) -> Float:
    """Mid-ranks from 1 along the last axis."""
    order = np.argsort(values, axis=-1)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, mid_ranks(np.take_along_axis(values, order, axis=-1)), axis=-1)
    return ranks
