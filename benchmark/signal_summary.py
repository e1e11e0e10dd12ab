"""What the signals of a fold say about a generator: the figures of `signal_metrics`, over records and with intervals.

Nothing is dropped in silence: a flat lead counts with a correlation of 0, a heart rate that was not found is not near
the real one, and numbers that rest on fewer records say on how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ecg import LEADS
from .signal_metrics import CHEST_LEADS, PLANE_LEADS
from .stats import resample_weights

NEAR_BPM = 5.0
"""Heart rates this near each other agree."""

_MEASURES = ("mse", "mae", "pearson")
_NO_VARIANCE = 1e-12
"""mV^2: R amplitudes that vary by less than a microvolt do not vary."""

_BLOCK = 256
"""Resamples worked on at once."""

LIKE_ANOTHER, BETTER_BY = 0.5, 0.3
"""Correlations from which on a generated lead passes for another one; see `suspected_order`."""

Float = NDArray[np.float64]
Statistics = Mapping[str, NDArray[Any]]


def summarize_signals(
    statistics: Statistics,
    patients: NDArray[Any],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The signal metrics of a fold.

    Args:
        statistics: as `signal_metrics.record_statistics` gives them; with heart rates also "heart_rate"
            (records, leads) of generated leads and "real_heart_rate" (records,), in beats per minute, NaN where none
            was found.
        patients: (records,), whatever identifies the patient of each record.
        resamples: of the patient bootstrap, at least 2.
        seed: of the resamples. Give every method on the same data the same seed: their intervals then rest on the
            same resamples.

    Returns:
        What JSON can hold, with None for what is not defined:
        "records"; "leads": names, in the order of all lists of twelve;
        "missing", "twelve": means over the eleven leads beside I, and over all, of mse (mV^2), mae (mV) and pearson,
        and `<name>_interval`: [low, high], 95 % by a bootstrap of the patients; None for a single patient;
        "per_lead": mse, mae, pearson, "variance_ratio" (mean generated over mean real variance), and "flat" (number of
        records whose correlation is put down as 0);
        "frontal_plane", "frontal_plane_real": by lead, the residual of the identity that makes it of I and II, as
        root mean square over the fold and as a share of that of the *real* lead: defined for silent leads as well;
        "r_amplitude": by chest lead, the straight line through generated against real R amplitude ("slope", "r2"), and
        through its error against the real one ("error_slope", "error_r2"): a slope below 1, and an error that the real
        amplitude explains, are regression to the mean (Commun. Med. 2025, s43856-025-00814-w); "records" with beats;
        "heart_rate": lists in the order of the leads that rates were given of; see `_heart_rate`; None without rates;
        "order": see `suspected_order`.

    Raises:
        ValueError: the arrays do not belong together, or there are fewer than two resamples.
    """
    count = len(patients)
    _check(statistics, count)
    return {
        "records": count,
        "leads": list(LEADS),
        **_means(statistics, patients, resamples, seed),
        "per_lead": _per_lead(statistics),
        "frontal_plane": _frontal_plane(statistics, "plane"),
        "frontal_plane_real": _frontal_plane(statistics, "real_plane"),
        "r_amplitude": _r_amplitude(statistics),
        "heart_rate": _heart_rate(statistics),
        "order": suspected_order(statistics["confusion"].mean(axis=0, dtype=np.float64)),
    }


def suspected_order(confusion_mean: NDArray[Any]) -> dict[str, str] | None:
    """Leads that seem to come out in each other's place, as generated lead -> real lead; None if there are none.

    The best assignment of generated to real leads falls into cycles of leads that take each other's places. A cycle
    is suspected when every lead in it has a correlation of at least `LIKE_ANOTHER` with the lead it passes for, and
    they exceed those with the leads they should be by `BETTER_BY` on average. The latter count by their size: a lead
    upside down is wrong, and in its place. A generator that gives lead I at any scale is therefore never suspected.
    Leads that look alike (I and V6, V4 and V5) cannot be told apart, and are not named when they change places.

    Args:
        confusion_mean: (12, 12), the mean of `record_statistics`' "confusion" over the records.
    """
    from scipy.optimize import linear_sum_assignment

    confusion = np.asarray(confusion_mean, dtype=np.float64)
    own = np.abs(confusion.diagonal())
    # Where another assignment is no better than the leads' own places, none of them moves.
    scores = confusion.copy()
    np.fill_diagonal(scores, own)
    _, takes = linear_sum_assignment(scores, maximize=True)
    suspected: dict[str, str] = {}
    for cycle in _cycles(takes):
        passes = confusion[cycle, takes[cycle]]
        if passes.min() >= LIKE_ANOTHER and (passes - own[cycle]).mean() >= BETTER_BY:
            suspected |= {LEADS[lead]: LEADS[takes[lead]] for lead in cycle}
    return {lead: suspected[lead] for lead in LEADS if lead in suspected} or None


def _check(statistics: Statistics, count: int) -> None:
    lengths = {name: len(array) for name, array in statistics.items()}
    if not count or set(lengths.values()) != {count}:
        raise ValueError(f"statistics of {lengths} records do not belong to {count} patients")


def _means(statistics: Statistics, patients: NDArray[Any], resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    lead_sets = {"missing": slice(1, None), "twelve": slice(None)}
    cells = [(group, name) for group in lead_sets for name in _MEASURES]
    values = np.stack(
        [statistics[name][:, lead_sets[group]].mean(axis=1, dtype=np.float64) for group, name in cells], axis=1
    )
    found: dict[str, dict[str, Any]] = {group: {} for group in lead_sets}
    intervals = mean_intervals(values, patients, resamples, seed)
    for (group, name), mean, interval in zip(cells, values.mean(axis=0).tolist(), intervals, strict=True):
        found[group] |= {name: mean, f"{name}_interval": interval}
    return found


def mean_intervals(values: Float, patients: NDArray[Any], resamples: int, seed: int) -> list[list[float] | None]:
    """95 % intervals of means over records, whole patients drawn; None when all records are of one patient.

    Args:
        values: (records, columns).
        patients: (records,).
        resamples: at least 2.
        seed: of the draws.

    Returns:
        [low, high] for each column.
    """
    # Without statements all patients are one stratum. The weights depend on nothing else: the same for every method.
    weights = resample_weights(np.zeros((len(values), 1)), patients, resamples, seed)
    if len(np.unique(patients)) < 2:
        return [None] * values.shape[1]
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, _BLOCK):
        block = weights[start : start + _BLOCK].astype(np.float64)
        means[start : start + _BLOCK] = block @ values / block.sum(axis=1, keepdims=True)
    ends: list[list[float] | None] = np.quantile(means, [0.025, 0.975], axis=0).T.tolist()
    return ends


def _per_lead(statistics: Statistics) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: statistics[name].mean(axis=0, dtype=np.float64).tolist() for name in _MEASURES}
    generated, real = _mean_square(statistics["generated_std"]), _mean_square(statistics["real_std"])
    found["variance_ratio"] = [_quotient(above, below) for above, below in zip(generated, real, strict=True)]
    found["flat"] = np.count_nonzero(statistics["flat"], axis=0).tolist()
    return found


def _frontal_plane(statistics: Statistics, name: str) -> dict[str, float | None]:
    first = LEADS.index(PLANE_LEADS[0])
    residual = _mean_square(statistics[name])
    real = _mean_square(statistics["real_rms"][:, first : first + len(PLANE_LEADS)])
    return {
        lead: _quotient(np.sqrt(above), np.sqrt(below))
        for lead, above, below in zip(PLANE_LEADS, residual, real, strict=True)
    }


def _r_amplitude(statistics: Statistics) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for column, lead in enumerate(CHEST_LEADS):
        real, generated = (statistics[name][:, column].astype(np.float64) for name in ("real_r", "generated_r"))
        known = np.isfinite(real) & np.isfinite(generated)
        real, generated = real[known], generated[known]
        slope, r2 = _line(real, generated)
        error_slope, error_r2 = _line(real, generated - real)
        found[lead] = {
            "slope": slope,
            "r2": r2,
            "error_slope": error_slope,
            "error_r2": error_r2,
            "records": int(known.sum()),
        }
    return found


def _line(x: Float, y: Float) -> tuple[float | None, float | None]:
    """Slope and R^2 of the least-squares line of y on x; None where x, or for R^2 y, does not vary, or of two points.

    Two points lie on a line whatever they are.
    """
    if len(x) < 3 or x.var() < _NO_VARIANCE:
        return None, None
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    explained = None if y.var() < _NO_VARIANCE else float(min(covariance**2 / (x.var() * y.var()), 1.0))
    return float(covariance / x.var()), explained


def _heart_rate(statistics: Statistics) -> dict[str, Any] | None:
    """Agreement of the heart rate in generated leads with that of the real record.

    Returns:
        "records": those with a real rate, on which everything rests; in the order of the leads given, "undetected":
        share of them without a generated rate, "mae": mean absolute difference in bpm where there is one,
        "within_5_bpm": share of *all* of them that agree; "within_record_sd": standard deviation over the leads of a
        record in bpm, averaged over the "within_record_sd_records" in which every lead has a rate.
    """
    if "heart_rate" not in statistics:
        return None
    rates, real = (statistics[name].astype(np.float64) for name in ("heart_rate", "real_heart_rate"))
    known = np.isfinite(real)
    rates, real = rates[known], real[known]
    off = np.abs(rates - real[:, None])
    detected = np.isfinite(rates)
    complete = rates[detected.all(axis=1)]
    return {
        "records": len(real),
        "undetected": [_quotient((~column).sum(), len(real)) for column in detected.T],
        "mae": [_quotient(np.nansum(column), np.isfinite(column).sum()) for column in off.T],
        "within_5_bpm": [_quotient((column <= NEAR_BPM).sum(), len(real)) for column in off.T],
        "within_record_sd": _quotient(complete.std(axis=1).sum(), len(complete)),
        "within_record_sd_records": len(complete),
    }


def _mean_square(array: NDArray[Any]) -> Float:
    squares: Float = np.square(array, dtype=np.float64).mean(axis=0)
    return squares


def _quotient(above: Any, below: Any) -> float | None:
    return float(above / below) if below > 0 else None


def _cycles(takes: NDArray[np.intp]) -> list[list[int]]:
    """The cycles of a permutation, without what stays in its place."""
    cycles, seen = [], set(np.flatnonzero(takes == np.arange(len(takes))).tolist())
    for start in range(len(takes)):
        cycle, lead = [], start
        while lead not in seen:
            seen.add(lead)
            cycle.append(lead)
            lead = int(takes[lead])
        if cycle:
            cycles.append(cycle)
    return cycles
