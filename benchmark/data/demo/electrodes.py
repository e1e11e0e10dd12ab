"""Nine electrodes on a torso: what they see of the dipole, what disturbs them, and the twelve leads they make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from .heart import Array

LEAD_FIELD: Array = np.array(
    [
        [0.63, -0.23, 0.05],  # I
        [0.24, 1.05, -0.12],  # II
        [-0.50, 0.16, -0.92],  # V1
        [0.06, 0.16, -1.36],  # V2
        [0.86, 0.11, -1.24],  # V3
        [1.18, 0.13, -0.62],  # V4
        [1.10, 0.13, -0.10],  # V5
        [0.83, 0.08, 0.22],  # V6
    ]
)
"""(8, 3): what the eight independent leads see of a dipole, of the kind Dower measured (Dower et al. 1980)."""

_RA, _LA, _LL, _CHEST = 0, 1, 2, 3
ELECTRODES = 9


def _lead_algebra() -> Array:
    algebra = np.zeros((8, ELECTRODES))
    algebra[0, [_LA, _RA]] = 1.0, -1.0
    algebra[1, [_LL, _RA]] = 1.0, -1.0
    for chest in range(6):
        algebra[2 + chest, [_RA, _LA, _LL]] = -1.0 / 3.0  # Wilson's central terminal
        algebra[2 + chest, _CHEST + chest] = 1.0
    return algebra


LEAD_ALGEBRA = _lead_algebra()
"""(8, 9): the independent leads out of the potentials of RA, LA, LL, V1-V6 against the right leg."""


@dataclass(frozen=True)
class Disturbance:
    """What an electrode picks up beside the heart, standard deviations in mV.

    Attributes:
        wander: the slow drift of breathing and of the skin.
        mains: hum at `mains_hz`.
        muscle: noise of 15 to 120 Hz.
        breaths: breaths per second.
    """

    wander: float
    mains: float
    muscle: float
    breaths: float
    mains_hz: float = 50.0


def torso_field(rng: np.random.Generator, spread: float) -> Array:
    """The lead field (8, 3) of one torso: bodies differ, and electrodes are never placed quite alike."""
    return LEAD_FIELD * rng.normal(1.0, spread, LEAD_FIELD.shape) + rng.normal(0.0, spread / 4, LEAD_FIELD.shape)


def disturbances(disturbance: Disturbance, times: Array, sampling_rate: float, rng: np.random.Generator) -> Array:
    """What disturbs the nine electrodes at `times` (samples,) s: (9, samples) mV.

    It is drawn at the electrodes and not in the leads, so that Einthoven's law holds for the noise too.
    """
    return (
        _wander(disturbance, times, rng)
        + _mains(disturbance, times, rng)
        + _muscle(disturbance, times, sampling_rate, rng)
    )


def independent_leads(field: Array, dipole: Array, potentials: Array) -> Array:
    """Eight leads (8, samples) mV from the dipole (3, samples) and the electrodes' disturbances (9, samples)."""
    leads: Array = field @ dipole + LEAD_ALGEBRA @ potentials
    return leads


def twelve_leads(eight: Array) -> Array:
    """I, II, V1-V6 (8, samples) to the twelve standard leads, by Einthoven's and Goldberger's algebra, exactly."""
    one, two = eight[0], eight[1]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    return np.concatenate([limb, eight[2:]])


def frontal_axis(field: Array, qrs: Array) -> float:
    """The electrical axis of a QRS area (3,) in degrees, from I and aVF: 0 to the left arm, 90 to the feet."""
    leads = twelve_leads((field @ qrs)[:, None])[:, 0]
    return float(np.degrees(np.arctan2(leads[5] * 2 / np.sqrt(3), leads[0])))


def decimated(leads: Array, factor: int) -> Array:
    """Every `factor`-th sample behind an anti-alias filter: (leads, samples) to (leads, samples / factor)."""
    slow: Array = resample_poly(leads, 1, factor, axis=1, padtype="line")
    return slow


def _wander(disturbance: Disturbance, times: Array, rng: np.random.Generator) -> Array:
    rates = np.array([disturbance.breaths, rng.uniform(0.03, 0.12), rng.uniform(0.35, 0.55)])
    shares = np.array([1.0, 1.0, 0.3])
    in_phase, in_quadrature = rng.standard_normal((2, ELECTRODES, 3)) * shares * disturbance.wander / np.sqrt(2.09)
    angles = 2 * np.pi * rates[:, None] * times
    wander: Array = in_phase @ np.sin(angles) + in_quadrature @ np.cos(angles)
    return wander


def _mains(disturbance: Disturbance, times: Array, rng: np.random.Generator) -> Array:
    in_phase, in_quadrature = rng.standard_normal((2, ELECTRODES, 1)) * disturbance.mains
    angle = 2 * np.pi * disturbance.mains_hz * times
    mains: Array = in_phase * np.sin(angle) + in_quadrature * np.cos(angle)
    return mains


def _muscle(disturbance: Disturbance, times: Array, sampling_rate: float, rng: np.random.Generator) -> Array:
    band = butter(1, (15.0, 120.0), "bandpass", fs=sampling_rate, output="sos")
    noise = np.asarray(sosfilt(band, rng.standard_normal((ELECTRODES, times.size)), axis=1), dtype=np.float64)
    scaled: Array = noise * (disturbance.muscle / noise.std())
    return scaled
