"""Filters that methods may ask for, by the name in `InputSpec.filter`.

scipy is imported by those that use it: it takes most of a second, and the default is no filter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import MibenchError

Signal = npt.NDArray[np.float64]

BAND_HZ = (0.67, 40.0)
BAND_ORDER = 4
MAINS_HZ = 50.0
MAINS_QUALITY = 30.0
BASELINE_SECONDS = 0.4
STMEM_ORDER = 5
HEARTLANG_ORDER = 5


def unfiltered(ecg: Signal, rate: float) -> Signal:
    """The signal as it is."""
    return ecg


def bandpass(ecg: Signal, rate: float) -> Signal:
    """Butterworth band-pass of order 4, 0.67 to 40 Hz, forwards and backwards so that no wave is delayed.

    Args:
        ecg: (..., samples); NaN and infinite samples count as zero.
        rate: Hz, above 80.

    Raises:
        MibenchError: the rate is too low or the signal too short for the filter.
    """
    return _bandpass(ecg, rate, BAND_ORDER)


def ecgfounder(ecg: Signal, rate: float) -> Signal:
    """ECGFounder's own chain up to its z-score: notch at 50 Hz, `bandpass`, minus a running median of 0.4 s.

    The median takes with it whatever lasts over 0.2 s, such as an elevated ST that runs into its T wave.

    Args:
        ecg: (..., samples); NaN and infinite samples count as zero.
        rate: Hz, above 100.

    Raises:
        MibenchError: the rate is too low or the signal too short for the filters.
    """
    from scipy.signal import iirnotch, medfilt

    notch = iirnotch(MAINS_HZ, MAINS_QUALITY, fs=_checked(rate, MAINS_HZ))
    width = int(BASELINE_SECONDS * rate) // 2 * 2 + 1

    def chain(finite: Signal) -> Signal:
        clean = bandpass(_both_ways(*notch, finite), rate)
        baseline: Signal = np.apply_along_axis(medfilt, -1, clean, width)
        return clean - baseline

    return _flat_stays_flat(ecg, chain)


def stmem(ecg: Signal, rate: float) -> Signal:
    """ST-MEM's filters: Butterworth high-pass at 0.67 Hz, then low-pass at 40 Hz, order 5, each forwards and backwards.

    Args:
        ecg: (..., samples); NaN and infinite samples count as zero.
        rate: Hz, above 80.

    Raises:
        MibenchError: the rate is too low or the signal too short for the filters.
    """
    from scipy.signal import butter, sosfiltfilt

    rate = _checked(rate, BAND_HZ[1])
    _refuse_short(ecg, 3 * (STMEM_ORDER + 1))
    high = butter(STMEM_ORDER, BAND_HZ[0], btype="highpass", fs=rate, output="sos")
    low = butter(STMEM_ORDER, BAND_HZ[1], btype="lowpass", fs=rate, output="sos")
    return _flat_stays_flat(ecg, lambda finite: sosfiltfilt(low, sosfiltfilt(high, finite, axis=-1), axis=-1))


def heartlang(ecg: Signal, rate: float) -> Signal:
    """HeartLang's filter: `bandpass` of order 5.

    Args:
        ecg: (..., samples); NaN and infinite samples count as zero.
        rate: Hz, above 80.

    Raises:
        MibenchError: the rate is too low or the signal too short for the filter.
    """
    return _bandpass(ecg, rate, HEARTLANG_ORDER)


FILTERS: dict[str, Callable[[Signal, float], Signal]] = {
    "none": unfiltered,
    "bandpass": bandpass,
    "ecgfounder": ecgfounder,
    "stmem": stmem,
    "heartlang": heartlang,
}
"""(..., samples) at a rate in Hz -> the same shape."""


def _checked(rate: float, highest: float) -> float:
    if not rate > 2 * highest:
        raise MibenchError(
            f"the filter reaches {highest:g} Hz and needs a rate above {2 * highest:g} Hz, not {rate:g} Hz: choose the "
            f"filter none"
        )
    return rate


def _refuse_short(ecg: Signal, edge: int) -> None:
    if ecg.shape[-1] <= edge:
        raise MibenchError(f"the filter needs more than {edge} samples, not {ecg.shape[-1]}: choose the filter none")


def _bandpass(ecg: Signal, rate: float, order: int) -> Signal:
    from scipy.signal import butter

    numerator, denominator = butter(order, BAND_HZ, btype="bandpass", fs=_checked(rate, BAND_HZ[1]))
    return _flat_stays_flat(ecg, lambda finite: _both_ways(numerator, denominator, finite))


def _both_ways(numerator: Any, denominator: Any, ecg: Signal) -> Signal:
    from scipy.signal import filtfilt

    _refuse_short(ecg, 3 * max(len(numerator), len(denominator)))
    return np.asarray(filtfilt(numerator, denominator, ecg, axis=-1), dtype=np.float64)


def _flat_stays_flat(ecg: Signal, apply: Callable[[Signal], Signal]) -> Signal:
    """Rounding would leave noise of 1e-16 on a constant lead, which a z-score then blows up to full size."""
    finite = np.nan_to_num(np.asarray(ecg, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    flat = np.ptp(finite, axis=-1, keepdims=True) == 0
    return np.where(flat, 0.0, apply(finite))
