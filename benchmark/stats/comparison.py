"""Differences between methods on the same test records, with 95 % intervals and p values.

All rows are drawn together: a resample that is kind to one method is kind to the others, and what they share cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ecg import FREQUENT_MI_STATEMENTS
from ..metrics import auc
from .bootstrap import resample_weights, resampled_means
from .delong import influence
from .intervals import ENOUGH_POSITIVES, Z95, score_ends

PAIRED_BOOTSTRAP = "paired patient bootstrap (t)"
PAIRED_THEORY = "paired Hanley-McNeil (score)"
PAIRED_MEAN = "paired patient bootstrap"
PAIRED_MEAN_THEORY = "paired bootstrap with paired Hanley-McNeil"

Float = NDArray[np.float64]

_Z = np.unique(np.append(np.linspace(0, 8, 161), Z95))
"""Normal quantiles at which intervals are made: those that just reach no difference give the p values."""


@dataclass(frozen=True)
class Differences:
    """Row i minus row j in mean AUC over their runs: arrays (rows, rows, columns), NaN where undefined.

    Attributes:
        columns: the statements, then Avg and Avg6.
        value: of the difference, a fraction of one.
        low, high: ends of the 95 % interval.
        p: two-sided, that the difference is none; not adjusted for the number of comparisons.
        method: by column, how interval and p were made.
    """

    columns: tuple[str, ...]
    value: Float
    low: Float
    high: Float
    p: Float
    method: tuple[str, ...]


@dataclass(frozen=True)
class _Known:
    """What is known of the rows on the defined statements: AUCs, their resamples, and what each patient adds."""

    areas: Float  # (rows, statements)
    resampled: Float  # (rows, resamples, statements)
    added: Float  # (rows, patients, statements)
    carriers: NDArray[np.int_]  # patients with a positive, by statement
    positives: NDArray[np.int_]
    negatives: NDArray[np.int_]

    @property
    def few(self) -> NDArray[np.bool_]:
        """Statements that a bootstrap would flatter."""
        return self.positives < ENOUGH_POSITIVES


def paired_differences(
    rows: Sequence[NDArray[Any]],
    labels: NDArray[Any],
    patients: NDArray[Any],
    statements: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int,
    done: Callable[[int], None] = lambda count: None,
) -> Differences:
    """All differences between rows, statement by statement and of the means over statements.

    A statement's interval is Student's, with the variance of the paired patient bootstrap and one degree of freedom
    less than there are patients with a positive. Under `ENOUGH_POSITIVES` positives it is put together from the score
    intervals of both rows (Zou and Yue 2013), whose correlation is taken as low as the positives allow, and is never
    narrower than a normal one with the larger of the bootstrap's and DeLong's variances. Means over statements: the
    bootstrap's, normal, wherein the part of each statement with few positives is that of its own interval.
    A p value is the level at which the interval just touches zero, so both always agree.

    Args:
        rows: scores (runs, records, statements) of each row; runs are such as the seeds of a method.
        labels: (records, statements), 0 or 1.
        patients: (records,).
        statements: names of the columns.
        resamples: of the bootstrap, shared by all rows.
        seed: of the resamples, as `summarize` takes it.
        done: called with the number of rows that were worked on.
    """
    weights = resample_weights(labels, patients, resamples, seed)
    return differences_under(weights, rows, labels, patients, statements, done)


def differences_under(
    weights: NDArray[np.int16],
    rows: Sequence[NDArray[Any]],
    labels: NDArray[Any],
    patients: NDArray[Any],
    statements: Sequence[str],
    done: Callable[[int], None] = lambda count: None,
) -> Differences:
    """`paired_differences` with resamples that are there already, as `resample_weights` gives them."""
    truth = np.asarray(labels) != 0
    positives = truth.sum(0)
    defined = np.flatnonzero((positives > 0) & (positives < len(truth)))
    known = _known(rows, truth[:, defined], patients, defined, weights, done)
    names = [statements[k] for k in defined.tolist()]
    columns = (*statements, "Avg", "Avg6")
    value, low, high, p = (np.full((len(rows), len(rows), len(columns)), np.nan) for _ in range(4))
    method = [""] * len(columns)
    theory = {k: _theory(known, k) for k in np.flatnonzero(known.few).tolist()}
    for place, column in enumerate(columns):
        members = _members(column, names)
        if members:
            mean = known.areas[:, members].mean(1)
            value[..., place] = mean[:, None] - mean[None, :]
            reach, method[place] = _reach(known, column in names, members, theory)
            low[..., place], high[..., place], p[..., place] = _ends(value[..., place], reach)
    return Differences(columns, value, low, high, p, tuple(method))


def _reach(known: _Known, alone: bool, members: Sequence[int], theory: Mapping[int, Float]) -> tuple[Float, str]:
    """Squared distance from the difference to the low end of its interval: (rows, rows, quantiles); and how it came."""
    if not alone:
        return _mean(known, members, theory), PAIRED_MEAN_THEORY if theory.keys() & set(members) else PAIRED_MEAN
    (only,) = members
    return (theory[only], PAIRED_THEORY) if only in theory else (_student(known, only), PAIRED_BOOTSTRAP)


def _members(column: str, names: Sequence[str]) -> list[int]:
    """The defined statements whose mean a column is."""
    if column == "Avg":
        return list(range(len(names)))
    wanted = FREQUENT_MI_STATEMENTS if column == "Avg6" else (column,)
    return [place for place, name in enumerate(names) if name in wanted]


def _known(
    rows: Sequence[NDArray[Any]],
    truth: NDArray[np.bool_],
    patients: NDArray[Any],
    defined: NDArray[np.intp],
    weights: NDArray[np.int16],
    done: Callable[[int], None],
) -> _Known:
    person = np.unique(np.asarray(patients), return_inverse=True)[1]
    areas, resampled, added = [], [], []
    for number, row in enumerate(rows, 1):
        runs = row[:, :, defined]
        areas.append(auc(runs, truth).mean(0))
        resampled.append(resampled_means(runs, truth, weights))
        added.append(np.stack([influence(runs[:, :, k], truth[:, k], person) for k in range(len(defined))], axis=-1))
        done(number)
    positives = truth.sum(0)
    return _Known(
        np.stack(areas),
        np.stack(resampled),
        np.stack(added),
        np.array([len(np.unique(person[truth[:, k]])) for k in range(len(defined))]),
        positives,
        len(truth) - positives,
    )


def _student(known: _Known, k: int) -> Float:
    """The squared distance where positives are many."""
    from scipy.special import ndtr, stdtrit

    half_pair = 0.5 / (known.positives[k] * known.negatives[k])
    variance = np.maximum(_bootstrap_variance(known.resampled[:, :, k]), half_pair**2)
    quantiles = stdtrit(max(known.carriers[k] - 1, 1), ndtr(_Z))
    return np.asarray(variance[..., None] * quantiles**2)


def _theory(known: _Known, k: int) -> Float:
    """Where positives are few; the high end is as far away as the low end of the opposite difference."""
    own = known.areas[:, k, None]
    low, high = score_ends(own, int(known.carriers[k]), int(known.negatives[k]), _Z)
    down, up = (own - low)[:, None, :], (high - own)[None, :, :]
    shared = 2 * _least_correlation(known.added[:, :, k], int(known.carriers[k]))[..., None]
    plain = np.maximum(_bootstrap_variance(known.resampled[:, :, k]), _spread(known.added[:, :, k]))
    return np.asarray(np.maximum(down**2 - shared * down * up + up**2, plain[..., None] * _Z**2))


def _least_correlation(added: Float, carriers: int) -> Float:
    """Between the AUCs of every two rows: the low end of Fisher's 95 % interval, not below 0."""
    size = len(added)
    if carriers <= 3:
        return np.zeros((size, size))
    length = np.sqrt((added**2).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(added @ added.T / (length[:, None] * length[None, :]))
    least = np.tanh(np.arctanh(np.clip(correlation, -1 + 1e-9, 1 - 1e-9)) - Z95 / np.sqrt(carriers - 3))
    return np.asarray(np.maximum(least, 0))


def _mean(known: _Known, members: Sequence[int], theory: Mapping[int, Float]) -> Float:
    """For a mean over statements."""
    squared = _bootstrap_variance(known.resampled[:, :, members].mean(-1))[..., None] * _Z**2
    for k in theory.keys() & set(members):
        alone = _bootstrap_variance(known.resampled[:, :, k])[..., None] * _Z**2
        squared = squared + (theory[k] - alone) / len(members) ** 2
    return np.asarray(squared)


def _ends(value: Float, squared: Float) -> tuple[Float, Float, Float]:
    """Ends of the 95 % interval, kept within -1 and 1, and p: twice the tail beyond where the interval touches 0."""
    from scipy.special import ndtr

    reach = np.sqrt(squared)
    at = int(np.flatnonzero(_Z == Z95)[0])
    low, high = value - reach[..., at], value + reach[..., at].T
    toward = np.where((value > 0)[..., None], reach, reach.transpose(1, 0, 2))
    distance = np.abs(value)
    beyond = np.minimum((toward < distance[..., None]).sum(-1), len(_Z) - 1)
    before = np.maximum(beyond - 1, 0)
    near, far = (np.take_along_axis(toward, place[..., None], -1)[..., 0] for place in (before, beyond))
    share = np.clip((distance - near) / np.where(far > near, far - near, 1), 0, 1)
    p = 2 * ndtr(-(_Z[before] + share * (_Z[beyond] - _Z[before])))
    np.fill_diagonal(p, 1)
    for end in (low, high):
        np.fill_diagonal(end, 0)
    return np.maximum(low, -1), np.minimum(high, 1), p


def _bootstrap_variance(drawn: Float) -> Float:
    """(rows, resamples) -> variance of the difference of every two rows; resamples that lost a class are left out."""
    complete = drawn[:, np.isfinite(drawn).all(0)]
    count = complete.shape[1]
    if count < 2:
        return np.zeros((len(drawn), len(drawn)))
    return np.asarray(_spread(complete - complete.mean(1, keepdims=True)) / (count - 1))


def _spread(vectors: Float) -> Float:
    """(rows, n) -> squared distance between every two rows."""
    products = vectors @ vectors.T
    own = products.diagonal()
    return np.asarray(np.maximum(own[:, None] + own[None, :] - 2 * products, 0))
