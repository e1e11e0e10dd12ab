"""Frechet distance between the Gaussians that fit two sets of features, and what it needs beside it to be read.

Its value depends on the number of records, so there is its extrapolation to infinitely many, and what two halves of
the same set give. Everything is in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..adapters.errors import MibenchError

SUBSET_SIZES = 8
FEWEST_TO_EXTRAPOLATE = 16
"""With fewer records the subset sizes are no longer eight different ones."""

FEWEST_FOR_FLOOR = 4
"""Halves of one record have no spread."""

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Frechet:
    """Squared Frechet distance of two Gaussians, in squared units of the features: total = mean + covariance."""

    total: float
    mean: float
    covariance: float


@dataclass(frozen=True)
class Floor:
    """FID between two halves of one set: mean and standard deviation over splits, and the records of a half."""

    mean: float
    deviation: float
    records: int


@dataclass(frozen=True)
class _Gaussian:
    """A mean, and an R with R^T R the covariance: (min(records, features), features)."""

    mean: Features
    factor: Features


def frechet(real: ArrayLike, generated: ArrayLike) -> Frechet:
    """Frechet distance between the Gaussians that fit two sets of features (Dowson and Landau 1982).

    tr (S1 S2)^(1/2) is the nuclear norm of R1 R2^T, where QR of the centred features gives S = R^T R. No covariance is
    formed and no root of a matrix taken, so it is right to rounding when there are fewer records than features.
    A single record has a mean and no spread: its covariance counts as zero.

    Args:
        real: (records, features).
        generated: (records, features); the number of records may differ.

    Raises:
        MibenchError: a feature is not finite.
        ValueError: the shapes do not belong together.
    """
    first, second = checked(real), checked(generated)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"the sets have {first.shape[1]} and {second.shape[1]} features")
    return _between(_gaussian(first), _gaussian(second))


def extrapolated(real: ArrayLike, generated: ArrayLike, seed: int) -> float:
    """FID at infinitely many records: the intercept of FID on 1/n (Chong and Forsyth 2020), over nested subsets.

    The sizes run from half of the records to all of them: below the number of features the law in 1/n breaks down.
    Each subset takes the same rows of both sets. Pairs share most of their chance deviations, so that FID hardly
    depends on n; rows drawn for each set by itself would lose the pairs in small subsets and keep them in the whole,
    and put the intercept far below zero (a true 0.01 gave -0.20). For sets without pairs the same rows are a random
    draw like any other. A true zero falls a little below zero half of the time; real records in another order fall far
    below, because they become pairs only when the last one is there.

    Raises:
        MibenchError: a feature is not finite.
        ValueError: other shapes, or fewer than `FEWEST_TO_EXTRAPOLATE` records.
    """
    first, second = pairs_of(real, generated)
    count = len(first)
    if count < FEWEST_TO_EXTRAPOLATE:
        raise ValueError(f"extrapolating takes at least {FEWEST_TO_EXTRAPOLATE} records, not {count}")
    sizes = np.round(np.linspace(count / 2, count, SUBSET_SIZES)).astype(int).tolist()
    order = np.random.default_rng(seed).permutation(count)
    nested = zip(_nested(first[order], sizes), _nested(second[order], sizes), strict=True)
    values = [_between(*gaussians).total for gaussians in nested]
    return float(np.polynomial.polynomial.polyfit(1 / np.array(sizes), values, 1)[0])


def floor(real: ArrayLike, seed: int, splits: int = 4) -> Floor:
    """FID between two disjoint random halves of the real records: what no difference at all looks like.

    It holds for sets of that many records that are not paired. Generated records are paired with the real ones and
    more numerous than a half, so for them it overstates: a value below it is no proof of a perfect generator.

    Raises:
        MibenchError: a feature is not finite.
        ValueError: fewer than `FEWEST_FOR_FLOOR` records, or fewer than 2 splits.
    """
    features = checked(real)
    if len(features) < FEWEST_FOR_FLOOR or splits < 2:
        raise ValueError(f"{splits} splits of {len(features)} records: at least 2 of {FEWEST_FOR_FLOOR} are needed")
    generator = np.random.default_rng(seed)
    half = len(features) // 2
    values = []
    for _ in range(splits):
        order = generator.permutation(len(features))
        values.append(frechet(features[order[:half]], features[order[half : 2 * half]]).total)
    return Floor(float(np.mean(values)), float(np.std(values, ddof=1)), half)


def checked(features: ArrayLike) -> Features:
    """(records, features) in float64, at least one of each.

    Raises:
        MibenchError: a feature is not finite.
        ValueError: no such array.
    """
    array = np.asarray(features, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"features are (records, features); got {array.shape}")
    bad = int((~np.isfinite(array).all(axis=1)).sum())
    if bad:
        raise MibenchError(
            f"the features of {bad} of {len(array)} records are not finite: check the generator and the encoder's "
            "weights; no distance was made of them"
        )
    return array


def pairs_of(real: ArrayLike, generated: ArrayLike) -> tuple[Features, Features]:
    """Both sets, `checked`, row i of both the same record.

    Raises:
        MibenchError: a feature is not finite.
        ValueError: their shapes differ.
    """
    first, second = checked(real), checked(generated)
    if first.shape != second.shape:
        raise ValueError(f"pairs have the same shape; got {first.shape} and {second.shape}")
    return first, second


def _gaussian(features: Features) -> _Gaussian:
    mean = features.mean(axis=0)
    scale = np.sqrt(max(len(features) - 1, 1))
    return _Gaussian(mean, _triangle((features - mean) / scale))


def _nested(features: Features, sizes: list[int]) -> list[_Gaussian]:
    """The Gaussians of the first sizes[0], sizes[1], ... rows, each out of the one before.

    A column of ones goes first: the R of [1, X] holds the mean in its first row and the R of the centred X below, and
    the R of more rows is that of the R so far with those rows under it.
    """
    rows = np.concatenate([np.ones((len(features), 1)), features], axis=1)
    factor = rows[:0]
    found = []
    for start, stop in pairwise([0, *sizes]):
        factor = _triangle(np.concatenate([factor, rows[start:stop]]))
        found.append(_Gaussian(factor[0, 1:] / factor[0, 0], factor[1:, 1:] / np.sqrt(stop - 1)))
    return found


def _triangle(rows: Features) -> Features:
    """R of the QR decomposition: (min(rows, columns), columns)."""
    return np.asarray(np.linalg.qr(rows, mode="r"), dtype=np.float64)


def _between(first: _Gaussian, second: _Gaussian) -> Frechet:
    mean = float(((first.mean - second.mean) ** 2).sum())
    common = np.linalg.svd(first.factor @ second.factor.T, compute_uv=False).sum()
    # Never negative but for rounding: it is the least squared distance between square roots of both covariances.
    covariance = max(0.0, float((first.factor**2).sum() + (second.factor**2).sum() - 2 * common))
    return Frechet(mean + covariance, mean, covariance)
