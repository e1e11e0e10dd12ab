"""The bootstrap: whole patients drawn stratum by stratum, and the AUCs of what was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK = 256
"""Resamples worked on at once: what they need stays in the processor's cache."""

_MOST_POSITIVES = 1000
"""Of a statement for which every positive is compared with every record; beyond, sorting is faster and smaller."""


def resample_weights(labels: ArrayLike, patients: ArrayLike, resamples: int, seed: int) -> NDArray[np.int16]:
    """How often each record counts in each bootstrap resample: whole patients are drawn, stratum by stratum.

    A patient's stratum is the rarest statement among those of all the patient's records, or none; each stratum keeps
    its number of patients. One set of weights therefore serves all statements jointly, and every method: it depends
    on nothing but the arguments, and not on the order of the records.

    Args:
        labels: (records, statements), 0 or 1.
        patients: (records,).
        resamples: how many, at least 2.
        seed: of the draws.

    Returns:
        (resamples, records).
    """
    if resamples < 2:
        raise ValueError(f"a bootstrap takes at least 2 resamples, not {resamples}")
    truth = np.asarray(labels) != 0
    names, person = np.unique(np.asarray(patients), return_inverse=True)
    carried = np.zeros((len(names), truth.shape[1]), dtype=bool)
    np.logical_or.at(carried, person, truth)
    rarity = np.where(carried, truth.sum(0), len(truth) + 1)
    stratum = np.where(carried.any(-1), rarity.argmin(-1), -1)
    members = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    generator = np.random.default_rng(seed)
    drawn = np.empty((resamples, len(names)), dtype=np.int16)
    for start in range(0, resamples, _BLOCK):
        block = drawn[start : start + _BLOCK]
        for group in members:
            size = (len(block), len(group))
            picks = generator.integers(len(group), size=size) + len(group) * np.arange(len(block))[:, None]
            block[:, group] = np.bincount(picks.ravel(), minlength=picks.size).reshape(size)
    return drawn[:, person]


def resampled_aucs(
    scores: NDArray[Any], labels: NDArray[np.bool_], weights: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """AUC of every statement in every resample, ties counted half; NaN where a resample lost one class.

    Args:
        scores: (records, statements).
        labels: (records, statements), True for present.
        weights: (resamples, records), how often each record counts.

    Returns:
        (resamples, statements).
    """
    plans = [_plan(scores[:, k], labels[:, k]) for k in range(scores.shape[1])]
    areas = np.empty((len(weights), len(plans)))
    for start in range(0, len(weights), _BLOCK):
        block = np.ascontiguousarray(weights[start : start + _BLOCK].T, dtype=np.int32)
        for k, (negative, positive, below, upto) in enumerate(plans):
            summed = np.zeros((len(negative) + 1, block.shape[1]), dtype=np.int32)
            np.cumsum(block[negative], axis=0, out=summed[1:])
            own = block[positive]
            won_twice = np.einsum("ij,ij->j", own, summed[below] + summed[upto], dtype=np.float64)
            pairs_twice = 2.0 * own.sum(0) * summed[-1]
            with np.errstate(invalid="ignore"):
                areas[start : start + _BLOCK, k] = won_twice / pairs_twice
    return areas


def resampled_means(
    runs: NDArray[Any], labels: NDArray[np.bool_], weights: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """What `resampled_aucs` gives, as the mean over runs such as the seeds of a method.

    One matrix product does for all runs of a statement, which is the faster way unless positives are many.

    Args:
        runs: (runs, records, statements), scores.
        labels: (records, statements), True for present.
        weights: (resamples, records), how often each record counts.

    Returns:
        (resamples, statements).
    """
    means = np.empty((len(weights), labels.shape[1]))
    many = labels.sum(0) > _MOST_POSITIVES
    if many.any():
        means[:, many] = np.mean([resampled_aucs(run[:, many], labels[:, many], weights) for run in runs], axis=0)
    few = np.flatnonzero(~many)
    parts = [np.flatnonzero(labels[:, k]) for k in few]
    beaten = np.concatenate([_beaten(runs[:, :, k], labels[:, k]) for k in few]) if len(few) else np.empty((0, 0))
    starts = np.cumsum([0, *map(len, parts)])
    for start in range(0, len(weights) if len(few) else 0, _BLOCK):
        block = np.ascontiguousarray(weights[start : start + _BLOCK].T, dtype=np.float32)
        total = block.sum(0, dtype=np.float64)
        won = beaten @ block
        for place, k in enumerate(few):
            own = block[parts[place]]
            count = own.sum(0, dtype=np.float64)
            sums = np.einsum("ij,ij->j", own, won[starts[place] : starts[place + 1]], dtype=np.float64)
            with np.errstate(invalid="ignore"):
                means[start : start + _BLOCK, k] = sums / (2.0 * len(runs) * count * (total - count))
    return means


def _beaten(runs: NDArray[Any], positive: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(positives, records): in how many runs the positive stands above the record, twice; a tie counts once.

    Whole numbers, so products with weights are exact in float32.
    """
    beaten = np.zeros((int(positive.sum()), len(positive)), dtype=np.float32)
    for scores in runs:
        own = scores[positive][:, None]
        beaten += own > scores
        beaten += own >= scores
    beaten[:, positive] = 0
    return beaten


def _plan(
    scores: NDArray[Any], labels: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Negatives in order of score, the positives, and how many negatives lie below, and not above, each positive."""
    negative, positive = np.flatnonzero(~labels), np.flatnonzero(labels)
    negative = negative[np.argsort(scores[negative])]
    ranked = scores[negative]
    below = np.searchsorted(ranked, scores[positive], side="left")
    return negative, positive, below, np.searchsorted(ranked, scores[positive], side="right")
