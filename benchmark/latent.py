"""How far generated records lie from real ones in the feature space of an encoder: latent FID and what keeps it honest.

The Frechet distance takes both sets for Gaussians (Heusel et al. 2017). Its value depends on the encoder, on the scale
of the features and on the number of records, so it never stands alone: its two parts, its extrapolation to infinitely
many records, what two halves of the real records give, and, because real and generated records are pairs, the distance
within pairs. Everything is in float64; row i of both sets is the same record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..adapters.errors import MibenchError
from .frechet import (
    FEWEST_FOR_FLOOR,
    FEWEST_TO_EXTRAPOLATE,
    Features,
    extrapolated,
    floor,
    frechet,
    pairs_of,
)
from .seeds import derive
from .signal_summary import mean_intervals

_BLOCK = 512
"""Rows of the kernel matrix at once."""


@dataclass(frozen=True)
class Paired:
    """Mean squared distance and mean cosine within pairs, with [low, high] of 95 %; None where there is one patient."""

    distance: float
    distance_interval: list[float] | None
    cosine: float
    cosine_interval: list[float] | None


def paired(real: ArrayLike, generated: ArrayLike, patients: ArrayLike, *, seed: int, resamples: int = 2000) -> Paired:
    """Mean squared distance and mean cosine between each real record and the one generated for it.

    Unbiased at any number of records. FID with covariances over n, `mean + (n - 1) / n * covariance`, never exceeds
    the distance (Gelbrich 1990). Intervals: percentiles of a bootstrap of whole patients. Features that are all zero
    have no direction: their cosine counts as zero.

    Args:
        real, generated: (records, features).
        patients: (records,), whatever identifies the patient of each record.
        seed: of the resamples; the same for every method makes their comparisons paired.
        resamples: of the bootstrap.

    Raises:
        MibenchError: a feature is not finite.
        ValueError: the shapes do not belong together.
    """
    first, second = pairs_of(real, generated)
    people = np.asarray(patients)
    if people.shape != (len(first),):
        raise ValueError(f"{len(first)} records and patients of shape {people.shape}")
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("ij,ij->i", first, second)
    cosines = np.divide(products, lengths, out=np.zeros(len(first)), where=lengths > 0)
    values = np.stack([((first - second) ** 2).sum(axis=1), cosines], axis=1)
    distance, cosine = values.mean(axis=0).tolist()
    of_distance, of_cosine = mean_intervals(values, people, resamples, seed)
    return Paired(distance, of_distance, cosine, of_cosine)


def kid(real: ArrayLike, generated: ArrayLike) -> float | None:
    """Kernel distance (Binkowski et al. 2018): squared MMD of the kernel (x.y / features + 1)^3, unbiased.

    Both sets are first scaled by mean and standard deviation of the real one: on features of small scale the kernel
    is nearly linear and blind to a loss of variance. Features constant in the real set have no scale and are left out.
    A record is never held against the one generated for it, so pairs leave it unbiased, and zero for identical sets.

    Returns:
        The distance, which may fall below zero; None when every feature is constant.

    Raises:
        MibenchError: a feature is not finite.
        ValueError: other shapes, or a single record.
    """
    first, second = pairs_of(real, generated)
    count = len(first)
    if count < 2:
        raise ValueError("a kernel distance takes at least two records")
    varying = ~_constant(first)
    if not varying.any():
        return None
    mean, deviation = first[:, varying].mean(axis=0), first[:, varying].std(axis=0, ddof=1)
    x, y = ((features[:, varying] - mean) / deviation for features in (first, second))
    total = 0.0
    for start in range(0, count, _BLOCK):
        # Pairs (i, j) and (j, i) count the same: only those to the right of the diagonal are worked out.
        rows, rest = slice(start, start + _BLOCK), slice(start, None)
        terms = (
            _cubic(x[rows], x[rest]) + _cubic(y[rows], y[rest]) - _cubic(x[rows], y[rest]) - _cubic(y[rows], x[rest])
        )
        total += float(np.triu(terms, 1).sum())
    return 2 * total / (count * (count - 1))


def summarize_latent(
    real: ArrayLike, generated: ArrayLike, patients: ArrayLike, *, seed: int, resamples: int = 2000
) -> dict[str, Any]:
    """All of it for one generator, as run records keep it; None for what cannot be said of so few records.

    Args:
        real, generated: (records, features), row i of both the same record.
        patients: (records,).
        seed: of subsets, halves and resamples: the same for all methods on the same data.
        resamples: of the bootstrap.

    Raises:
        MibenchError: fewer than two records, or a feature that is not finite.
        ValueError: the shapes do not belong together.
    """
    first, second = pairs_of(real, generated)
    count, width = first.shape
    if count < 2:
        raise MibenchError(
            f"a latent FID takes two test records or more, and there is {count}: give data with more records in fold 10"
        )
    whole = frechet(first, second)
    variance = float(first.var(axis=0, ddof=1).sum())
    infinite = extrapolated(first, second, derive(seed, "subsets")) if count >= FEWEST_TO_EXTRAPOLATE else None
    half = floor(first, derive(seed, "halves")) if count >= FEWEST_FOR_FLOOR else None
    pairs = paired(first, second, patients, seed=derive(seed, "patients"), resamples=resamples)
    return {
        "records": count,
        "features": width,
        "fid": whole.total,
        "fid_mean": whole.mean,
        "fid_covariance": whole.covariance,
        "fid_infinite": infinite,
        "floor": half.mean if half else None,
        "floor_sd": half.deviation if half else None,
        "floor_records": half.records if half else None,
        "total_variance": variance,
        "relative": whole.total / variance if variance > 0 else None,
        "paired_distance": pairs.distance,
        "paired_distance_interval": pairs.distance_interval,
        "cosine": pairs.cosine,
        "cosine_interval": pairs.cosine_interval,
        "kid": kid(first, second),
        "notes": _notes(first, infinite, pairs),
    }


def _notes(real: Features, infinite: float | None, pairs: Paired) -> list[str]:
    count, width = real.shape
    notes = []
    if count <= width:
        notes.append(
            f"{count:,} records for {width:,} features: the covariances are rank-deficient, so FID is exact for these "
            "records and says little of the population; compare it only at the same number of records"
        )
    if infinite is None:
        notes.append(f"fewer than {FEWEST_TO_EXTRAPOLATE} records: FID is not extrapolated to infinitely many")
    elif infinite < 0:
        notes.append(
            "FID at infinitely many records came out below zero: it is not to be told from zero, or the "
            "generated records are the real ones exchanged among each other"
        )
    if pairs.distance_interval is None:
        notes.append("all records are of one patient: there are no intervals")
    constant = int(_constant(real).sum())
    if constant:
        notes.append(f"{constant:,} of {width:,} features are constant over the real records and left out of KID")
    return notes


def _constant(features: Features) -> NDArray[np.bool_]:
    return np.asarray(features.max(axis=0) == features.min(axis=0))


def _cubic(rows: Features, columns: Features) -> Features:
    return np.asarray((rows @ columns.T / rows.shape[1] + 1) ** 3)
