"""How near generated leads are to the recorded ones: a few hundred numbers for each record, after which it is dropped.

Everything is in millivolts, and of one record at a time: no number depends on the batch a record is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..adapters.signal import FLAT_MILLIVOLT
from .ecg import LEADS

PLANE_LEADS: tuple[str, ...] = ("III", "aVR", "aVL", "aVF")
"""Limb leads that follow from I and II."""

CHEST_LEADS: tuple[str, ...] = ("V1", "V2", "V3", "V4", "V5", "V6")

R_REACH = 0.05
"""Seconds to either side of a beat in which its R wave is looked for."""

_FRONTAL = np.array([[-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]])
"""(4, 2): `PLANE_LEADS` out of I and II (Einthoven, Goldberger)."""

_BLOCK = 8
"""Records worked on at once: in double precision they stay near the processor, whatever the batch."""

Float = NDArray[np.float64]


def record_statistics(
    real: NDArray[np.float32],
    generated: NDArray[np.float32],
    beats: Sequence[NDArray[np.int64]],
    sampling_rate: float,
) -> dict[str, NDArray[Any]]:
    """Compare generated records with the recorded ones, lead by lead.

    Args:
        real, generated: (batch, 12, samples) in mV, in the order of `LEADS`.
        beats: samples of the R peaks of each real record, as `heartbeats.real_beats` finds them in lead I.
        sampling_rate: Hz.

    Returns:
        By name, float32 but for `flat`, each with the batch as first axis:
        "mse" (12) mV^2, "mae" (12) mV, "pearson" (12): errors and correlation over time;
        "flat" (12) bool: the real or the generated lead does not vary, so that its correlation is put down as 0;
        "real_std", "generated_std" (12) mV: standard deviation over time; "real_rms" (12) mV: the mean included;
        "plane", "real_plane" (4) mV: rms of what `PLANE_LEADS` differ by from what leads I and II of the same
        record make of them: III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2;
        "real_r", "generated_r" (6) mV: R amplitude in V1 to V6, the largest value within 50 ms of a beat above the
        median of the lead, as the median over the beats; NaN without a beat;
        "confusion" (12, 12): correlation of generated lead i with real lead j, 0 where either is flat.

    Raises:
        ValueError: the shapes do not belong together, a beat lies outside its record, or a value is not finite.
    """
    _check(real, generated, beats)
    reach = round(R_REACH * sampling_rate)
    blocks = []
    for start in range(0, len(real), _BLOCK):
        chosen = slice(start, start + _BLOCK)
        blocks.append(_of_block(_double(real[chosen]), _double(generated[chosen]), beats[chosen], reach))
    found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return {name: array if array.dtype == np.bool_ else array.astype(np.float32) for name, array in found.items()}


def _check(real: NDArray[Any], generated: NDArray[Any], beats: Sequence[NDArray[np.int64]]) -> None:
    if real.ndim != 3 or real.shape[1] != len(LEADS) or real.shape != generated.shape or not real.size:
        raise ValueError(f"real {real.shape} and generated {generated.shape} are not both (batch, 12, samples)")
    if len(beats) != len(real):
        raise ValueError(f"{len(beats)} lists of beats were given for {len(real)} records")
    if any(len(found) and (found.min() < 0 or found.max() >= real.shape[-1]) for found in beats):
        raise ValueError(f"a beat lies outside its record of {real.shape[-1]} samples")
    for name, signal in (("real", real), ("generated", generated)):
        if not np.isfinite(signal).all():
            raise ValueError(f"the {name} records hold values that are not finite")


def _of_block(real: Float, generated: Float, beats: Sequence[NDArray[np.int64]], reach: int) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    error = generated - real
    found["mse"] = _power(error)
    found["mae"] = np.abs(error, out=error).mean(axis=-1)
    found["real_rms"] = np.sqrt(_power(real))
    found["plane"], found["real_plane"] = _plane_residual(generated), _plane_residual(real)
    first = LEADS.index(CHEST_LEADS[0])
    amplitudes = _r_amplitudes(np.concatenate([real[:, first:], generated[:, first:]], axis=1), beats, reach)
    found["real_r"], found["generated_r"] = np.split(amplitudes, 2, axis=1)
    for signal in (real, generated):
        signal -= signal.mean(axis=-1, keepdims=True)
    found["real_std"], found["generated_std"] = np.sqrt(_power(real)), np.sqrt(_power(generated))
    found["confusion"] = _correlations(real, generated, found["real_std"], found["generated_std"])
    found["pearson"] = found["confusion"].diagonal(axis1=1, axis2=2)
    found["flat"] = (found["real_std"] < FLAT_MILLIVOLT) | (found["generated_std"] < FLAT_MILLIVOLT)
    return found


def _power(signal: Float) -> Float:
    """(batch, leads, samples) -> (batch, leads): mean square over time."""
    power: Float = np.einsum("bls,bls->bl", signal, signal) / signal.shape[-1]
    return power


def _plane_residual(signal: Float) -> Float:
    first = LEADS.index(PLANE_LEADS[0])
    residual = signal[:, first : first + len(PLANE_LEADS)] - _FRONTAL @ signal[:, :2]
    rms: Float = np.sqrt(_power(residual))
    return rms


def _double(signal: NDArray[np.float32]) -> Float:
    """A copy, which may be centred in place."""
    return signal.astype(np.float64)


def _correlations(real: Float, generated: Float, real_std: Float, generated_std: Float) -> Float:
    """(batch, 12, 12) of centred signals: generated lead by real lead."""
    covariance = generated @ real.swapaxes(1, 2) / real.shape[-1]
    scale = generated_std[:, :, None] * real_std[:, None, :]
    varies = (generated_std >= FLAT_MILLIVOLT)[:, :, None] & (real_std >= FLAT_MILLIVOLT)[:, None, :]
    found: Float = np.divide(covariance, scale, out=np.zeros_like(covariance), where=varies)
    return found.clip(-1.0, 1.0)


def _r_amplitudes(signal: Float, beats: Sequence[NDArray[np.int64]], reach: int) -> Float:
    """(batch, leads, samples) -> (batch, leads): median over the beats of the largest value near each."""
    counts = np.array([len(found) for found in beats])
    record = np.repeat(np.arange(len(beats)), counts)
    place = np.arange(len(record)) - np.repeat(np.cumsum(counts) - counts, counts)
    centre = np.concatenate([*beats, np.empty(0, dtype=np.int64)]).astype(np.int64)
    # Beyond an end of the record the last sample is taken again, which changes no maximum.
    window = np.clip(centre[:, None] + np.arange(-reach, reach + 1), 0, signal.shape[-1] - 1)
    height = signal[record[:, None], :, window].max(axis=1) - np.median(signal, axis=-1)[record]
    padded = np.full((len(beats), max(int(counts.max()), 1), signal.shape[1]), np.nan)
    padded[record, place] = height
    # Sorting puts NaN last: the middle of the beats that are there, or NaN where there are none.
    ordered, each = np.sort(padded, axis=1), np.arange(len(beats))
    middle: Float = (ordered[each, np.maximum(counts - 1, 0) // 2] + ordered[each, counts // 2 % padded.shape[1]]) / 2
    return middle
