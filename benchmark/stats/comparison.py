"""Differences between methods on the same test records, with 95 % intervals and p values.

All rows are drawn together: a resample that is kind to one method is kind to the others, and what they share cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ecg import FREQUENT_MI_STATEMENTS
from ..metrics import auc
from .bootstrap import resample_weights, resampled_means
from .delong import influence
from .intervals import ENOUGH_POSITIVES, hanley_mcneil_error

PAIRED_BOOTSTRAP = "paired patient bootstrap (t)"
PAIRED_DELONG = "larger of paired bootstrap and DeLong (t)"

Float = NDArray[np.float64]


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

    The variance of a difference is that of the paired patient bootstrap; under `ENOUGH_POSITIVES` positives the larger
    of this and DeLong's. The interval is Student's, with one degree of freedom less than there are patients with a
    positive; means over statements have Satterthwaite's.

    Args:
        rows: scores (runs, records, statements) of each row; runs are such as the seeds of a method.
        labels: (records, statements), 0 or 1.
        patients: (records,).
        statements: names of the columns.
        resamples: of the bootstrap, shared by all rows.
        seed: of the resamples, as `summarize` takes it.
        done: called with the number of rows that were worked on.
    """
    truth = np.asarray(labels) != 0
    positives = truth.sum(0)
    defined = np.flatnonzero((positives > 0) & (positives < len(truth)))
    weights = resample_weights(truth, patients, resamples, seed)
    known = _known(rows, truth[:, defined], patients, defined, weights, done)
    names = [statements[k] for k in defined.tolist()]
    size = len(rows)
    columns = (*statements, "Avg", "Avg6")
    value, low, high, p = (np.full((size, size, len(columns)), np.nan) for _ in range(4))
    method = [""] * len(columns)
    for place, column in enumerate(columns):
        members = _members(column, names)
        if members:
            picked = np.array(members)
            method[place] = PAIRED_DELONG if (known.positives[picked] < ENOUGH_POSITIVES).any() else PAIRED_BOOTSTRAP
            value[..., place], low[..., place], high[..., place], p[..., place] = _column(known, picked)
    return Differences(columns, value, low, high, p, tuple(method))


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


def _column(known: _Known, picked: NDArray[np.intp]) -> tuple[Float, Float, Float, Float]:
    """Value, low, high and p of all pairs, for the mean over the picked statements."""
    mean = known.areas[:, picked].mean(1)
    value = mean[:, None] - mean[None, :]
    parts = [_statement_variance(known, int(k)) for k in picked]
    drawn = known.resampled[:, :, picked]
    variance = _bootstrap_variance(drawn.mean(-1))
    variance += sum(taken - plain for taken, plain in parts) / len(picked) ** 2
    freedom = np.maximum(known.carriers[picked] - 1, 1).astype(float)
    own = np.stack([taken for taken, _ in parts])
    with np.errstate(invalid="ignore"):
        pooled = own.sum(0) ** 2 / (own**2 / freedom[:, None, None]).sum(0)
    return _student(value, variance, np.where(np.isfinite(pooled), pooled, freedom.min()))


def _statement_variance(known: _Known, k: int) -> tuple[Float, Float]:
    """Variances of a statement's differences: the one to be taken, and the bootstrap's."""
    plain = _bootstrap_variance(known.resampled[:, :, k])
    if known.carriers[k] < 2:
        # One patient tells nothing of the spread between patients: theory, as if the methods shared nothing.
        single = hanley_mcneil_error(known.areas[:, k], known.positives[k], known.negatives[k]) ** 2
        taken = single[:, None] + single[None, :]
    elif known.positives[k] < ENOUGH_POSITIVES:
        taken = np.maximum(plain, _spread(known.added[:, :, k]))
    else:
        taken = plain
    taken = np.maximum(taken, (0.5 / (known.positives[k] * known.negatives[k])) ** 2)
    np.fill_diagonal(taken, 0)
    return taken, plain


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


def _student(value: Float, variance: Float, freedom: Float) -> tuple[Float, Float, Float, Float]:
    """Value, ends of the 95 % interval, kept within -1 and 1, and the two-sided p value."""
    from scipy.special import stdtr, stdtrit

    error = np.sqrt(variance)
    reach = stdtrit(freedom, 0.975) * error
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = np.where(error > 0, np.abs(value) / error, 0.0)
    p = 2 * stdtr(freedom, -statistic)
    return value, np.maximum(value - reach, -1), np.minimum(value + reach, 1), p
