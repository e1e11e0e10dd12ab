"""The demo heart: a dipole that moves through P, QRS, ST and T, beat after beat.

Vectors are in the heart's usual frame: x points to the left arm, y to the feet, z to the back; millivolts at the body
surface once a lead field (`electrodes.py`) has looked at them. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Wave:
    """One Gaussian of the dipole.

    Attributes:
        centre: seconds after the R peak, at 60 beats per minute.
        rise, fall: standard deviation before and after the centre, seconds.
        vector: (3,) mV, the dipole at the centre.
        follows_rate: repolarisation comes earlier when the beat before was short; depolarisation does not.
    """

    centre: float
    rise: float
    fall: float
    vector: Array
    follows_rate: bool = False


Heart = Mapping[str, Wave]
"""One beat: its waves by name."""


@dataclass(frozen=True)
class Rhythm:
    """How beats follow one another.

    Attributes:
        rate: beats per minute.
        jitter: standard deviation of an interval, as a share of it.
        breathing: amplitude of the slow swing of the intervals with breathing, as a share.
        breaths: breaths per second.
    """

    rate: float
    jitter: float
    breathing: float
    breaths: float


def _wave(centre: float, rise: float, fall: float, vector: tuple[float, float, float], rate: bool = False) -> Wave:
    return Wave(centre, rise, fall, np.array(vector), rate)


def normal_heart() -> dict[str, Wave]:
    """A healthy beat: the septum first, then the anterior wall, the left ventricle, and its base last."""
    return {
        "P": _wave(-0.160, 0.022, 0.022, (0.120, 0.110, 0.000)),
        "septum": _wave(-0.028, 0.008, 0.008, (-0.160, -0.060, -0.280)),
        "anterior": _wave(-0.013, 0.009, 0.009, (0.300, 0.180, -0.330)),
        "R": _wave(0.000, 0.011, 0.011, (1.050, 0.720, 0.300)),
        "S": _wave(0.021, 0.010, 0.012, (-0.060, -0.080, 0.640)),
        "ST": _wave(0.110, 0.030, 0.070, (0.015, 0.010, -0.020), True),
        "T": _wave(0.275, 0.060, 0.036, (0.340, 0.200, -0.190), True),
    }


QRS = ("septum", "anterior", "R", "S")
_OUTSIDE_QRS = ("P", "ST", "T")


def scaled(heart: Heart, factor: float, *names: str) -> dict[str, Wave]:
    """The heart with the named waves made `factor` times as strong; names it has not are passed over."""
    return {n: replace(w, vector=w.vector * factor) if n in names else w for n, w in heart.items()}


def pushed(heart: Heart, name: str, vector: Array) -> dict[str, Wave]:
    """The heart with `vector` (3,) mV added to one wave."""
    return {**heart, name: replace(heart[name], vector=heart[name].vector + vector)}


def moved(heart: Heart, seconds: float, *names: str) -> dict[str, Wave]:
    """The heart with the named waves later by `seconds`."""
    return {n: replace(w, centre=w.centre + seconds) if n in names else w for n, w in heart.items()}


def widened(heart: Heart, factor: float, *names: str) -> dict[str, Wave]:
    """The heart with the named waves stretched `factor` times around the R peak."""
    return {
        n: replace(w, centre=w.centre * factor, rise=w.rise * factor, fall=w.fall * factor) if n in names else w
        for n, w in heart.items()
    }


def turned(heart: Heart, degrees: tuple[float, float, float], *names: str) -> dict[str, Wave]:
    """The heart with the named waves (all, without a name) rotated about x, then y, then z.

    About z a positive angle turns the frontal axis to the right, as the clinic counts it.
    """
    matrix = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return {n: replace(w, vector=matrix @ w.vector) if not names or n in names else w for n, w in heart.items()}


def qrs_area(heart: Heart) -> Array:
    """The area under the QRS complex (3,), mV s up to a constant: infarcts and blocks turn it."""
    area: Array = sum((w.vector * (w.rise + w.fall) for n, w in heart.items() if n not in _OUTSIDE_QRS), np.zeros(3))
    return area


def beat_times(rhythm: Rhythm, seconds: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """R peaks from before the start to after the end of a record, and the interval before each, both (beats,) s."""
    mean = 60.0 / rhythm.rate
    count = int(np.ceil(seconds / mean * 1.5)) + 4
    swing = np.sin(2 * np.pi * (rhythm.breaths * mean * np.arange(count) + rng.random()))
    shares = 1.0 + rhythm.breathing * swing + rhythm.jitter * rng.standard_normal(count)
    intervals = mean * np.clip(shares, 0.5, 1.6)
    peaks = np.cumsum(intervals) - intervals[0] - mean * (1.0 + rng.random())
    return peaks, intervals


def dipole(heart: Heart, peaks: Array, intervals: Array, times: Array) -> Array:
    """The dipole (3, samples) in mV at `times` (samples,) for beats whose R peaks are at `peaks` (beats,).

    Each sample sees the nearest beat of every wave: the others are many standard deviations away.
    """
    signal = np.zeros((3, times.size))
    rate_scale = np.cbrt(intervals)  # Fridericia: repolarisation goes with the cube root of the interval
    for wave in heart.values():
        centres = peaks + wave.centre * (rate_scale if wave.follows_rate else 1.0)
        nearest = centres[np.searchsorted((centres[1:] + centres[:-1]) / 2, times)]
        distance = times - nearest
        distance /= np.where(distance < 0, wave.rise, wave.fall)
        signal += wave.vector[:, None] * np.exp(-0.5 * distance**2)
    return signal
