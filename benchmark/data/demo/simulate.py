"""From a visit to its signal: one body, one heart, one day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ... import seeds
from .cohort import Patient, Visit
from .conditions import CONDITIONS, TERRITORIES, infarcted
from .electrodes import Disturbance, disturbances, frontal_axis, independent_leads, torso_field
from .heart import QRS, Array, Heart, Rhythm, Wave, beat_times, dipole, normal_heart, qrs_area, scaled, turned

SAMPLING_RATE = 500
SECONDS = 10


@dataclass(frozen=True)
class Body:
    """What stays the same between a patient's visits: the heart, and what each lead sees of it (8, 3)."""

    heart: Heart
    field: Array


@dataclass(frozen=True)
class Simulated:
    """What was recorded at a visit.

    Attributes:
        leads: (8, 5000) mV, the leads I, II, V1-V6 at 500 Hz.
        rhythm: how the heart beat.
        disturbance: what the electrodes picked up beside it.
        axis: electrical axis in the frontal plane, degrees.
    """

    leads: Array
    rhythm: Rhythm
    disturbance: Disturbance
    axis: float


def simulate(visit: Visit, root: int) -> Simulated:
    """What one visit records, drawn from the seed `root`; the same whatever was simulated before."""
    body = draw_body(visit.patient, root)
    rng = np.random.default_rng(seeds.derive(root, "record", visit.patient.number, visit.number))
    rhythm = _draw_rhythm(rng)
    disturbance = _draw_disturbance(rhythm, rng)
    times = np.arange(SAMPLING_RATE * SECONDS) / SAMPLING_RATE
    peaks, intervals = beat_times(rhythm, SECONDS, rng)
    moment = dipole(turned(body.heart, tuple(rng.normal(0.0, 3.0, 3))), peaks, intervals, times)
    moment *= 1.0 + 0.04 * np.sin(2 * np.pi * (rhythm.breaths * times + rng.random()))
    potentials = disturbances(disturbance, times, SAMPLING_RATE, rng)
    leads = independent_leads(body.field, moment, potentials)
    return Simulated(leads, rhythm, disturbance, frontal_axis(body.field, qrs_area(body.heart)))


def draw_body(patient: Patient, root: int) -> Body:
    """The patient's heart with all that is wrong with it, and the torso around it."""
    rng = np.random.default_rng(seeds.derive(root, "body", patient.number))
    heart = _healthy(patient, rng)
    for statement, effect in CONDITIONS.items():
        if statement in patient.statements:
            heart = effect(heart, rng)
    for statement in patient.statements:
        if statement in TERRITORIES and patient.stage is not None:
            heart = infarcted(heart, statement, patient.stage, rng)
    heart = turned(heart, tuple(rng.normal(0.0, 8.0, 3)))
    return Body(heart, torso_field(rng, spread=0.10))


def _healthy(patient: Patient, rng: np.random.Generator) -> dict[str, Wave]:
    """A normal heart as people have it: no two waves alike, axes turning left and voltages falling with age."""
    heart = normal_heart()
    for name in heart:
        heart = scaled(heart, rng.lognormal(0.0, 0.45 if name == "ST" else 0.20), name)
    heart = turned(heart, (rng.normal(0.0, 8.0), rng.normal(0.0, 12.0), _frontal_turn(patient, rng)), *QRS)
    heart = turned(heart, tuple(rng.normal(0.0, 12.0, 3)), "T", "ST")
    voltage = rng.lognormal(-0.12, 0.18) * (0.92 if patient.sex else 1.0) * (1.0 - 0.002 * (patient.age - 50.0))
    return scaled(heart, voltage, *QRS, "T")


def _frontal_turn(patient: Patient, rng: np.random.Generator) -> float:
    return float(rng.normal(-2.0 - 0.35 * (patient.age - 50.0), 14.0))


def _draw_rhythm(rng: np.random.Generator) -> Rhythm:
    rate = float(np.clip(rng.normal(72.0, 13.0), 46.0, 118.0))
    return Rhythm(rate, rng.uniform(0.004, 0.02), rng.lognormal(np.log(0.025), 0.7), rng.uniform(0.18, 0.32))


def _draw_disturbance(rhythm: Rhythm, rng: np.random.Generator) -> Disturbance:
    return Disturbance(
        wander=rng.lognormal(np.log(0.05), 0.5),
        mains=rng.lognormal(np.log(0.004), 0.8),
        muscle=rng.lognormal(np.log(0.014), 0.5),
        breaths=rhythm.breaths,
    )
