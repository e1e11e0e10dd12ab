"""What each SCP statement does to the demo heart.

An infarct is dead muscle: the forces of its territory are missing, so the dipole points away from it while that
territory should be firing (the Q wave), towards it while it is injured (ST), and away from it in recovery (T).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from .heart import QRS, Heart, Wave, moved, pushed, scaled, turned, widened

Stage = Literal["Stadium I", "Stadium II", "Stadium III"]
STAGES: tuple[Stage, ...] = ("Stadium I", "Stadium II", "Stadium III")
"""Acute, recent and old, in the words of PTB-XL's column `infarction_stadium1`."""


@dataclass(frozen=True)
class Territory:
    """A part of the left ventricle.

    Attributes:
        direction: where it lies, seen from the middle of the heart; x left, y down, z back; any length.
        fires: seconds after the R peak at which its forces are missed: the septum fires first, the base last.
    """

    direction: tuple[float, float, float]
    fires: float


TERRITORIES: dict[str, Territory] = {
    "ASMI": Territory((-0.15, 0.00, -1.00), -0.021),
    "AMI": Territory((0.40, 0.10, -0.90), -0.016),
    "ALMI": Territory((0.85, -0.15, -0.50), -0.014),
    "LMI": Territory((0.95, -0.25, 0.20), -0.010),
    "ILMI": Territory((0.60, 0.80, 0.10), -0.012),
    "IMI": Territory((0.25, 1.00, 0.10), -0.014),
    "IPMI": Territory((0.20, 0.75, 0.65), -0.004),
    "IPLMI": Territory((0.50, 0.65, 0.55), -0.004),
    "PMI": Territory((0.15, 0.10, 1.00), 0.006),
}

_Q = {"Stadium I": 0.60, "Stadium II": 0.95, "Stadium III": 0.90}
_ST = {"Stadium I": 0.24, "Stadium II": 0.06, "Stadium III": 0.00}
_T = {"Stadium I": 0.08, "Stadium II": -0.44, "Stadium III": -0.18}

DIRECTION_SPREAD = 12.0
"""Degrees by which infarcts of one territory differ from each other."""


def infarcted(heart: Heart, statement: str, stage: Stage, rng: np.random.Generator) -> dict[str, Wave]:
    """The heart after an infarct of one of the nine MI statements, of a size drawn from `rng`."""
    territory = TERRITORIES[statement]
    size = rng.lognormal(-0.05, 0.35)
    tilt = Rotation.from_euler("xyz", rng.normal(0.0, DIRECTION_SPREAD, 3), degrees=True).as_matrix()
    towards = tilt @ (np.array(territory.direction) / np.linalg.norm(territory.direction))
    width = rng.uniform(0.011, 0.015)
    missing = Wave(territory.fires + rng.normal(0.0, 0.003), width, width, -_Q[stage] * size * towards)
    changed = {**heart, f"missing {statement}": missing}
    changed = pushed(changed, "ST", _ST[stage] * size * rng.uniform(0.5, 1.5) * towards)
    return pushed(changed, "T", _T[stage] * size * rng.uniform(0.5, 1.5) * towards)


def _left_bundle_branch_block(heart: Heart, rng: np.random.Generator) -> dict[str, Wave]:
    slow = widened(scaled(heart, -0.3, "septum"), rng.uniform(1.7, 2.0), *QRS)
    late = replace(slow["R"], centre=0.045, vector=np.array([0.55, -0.05, 0.75]))
    return _discordant({**slow, "late left": late}, 0.30)


def _discordant(heart: Heart, size: float) -> dict[str, Wave]:
    """Repolarisation against the main QRS vector, as after a block, under strain or in ischaemia."""
    against = -heart["R"].vector / np.linalg.norm(heart["R"].vector)
    changed = pushed(scaled(heart, 0.5, "T"), "T", size * against)
    return pushed(changed, "ST", 0.35 * size * against)


def _right_bundle_branch_block(size: float) -> Callable[[Heart, np.random.Generator], dict[str, Wave]]:
    def effect(heart: Heart, rng: np.random.Generator) -> dict[str, Wave]:
        strength = size * rng.uniform(0.8, 1.2)
        late = Wave(0.052, 0.014, 0.020, strength * np.array([-0.55, -0.05, -0.55]))
        return pushed({**heart, "late right": late}, "T", strength * np.array([0.05, 0.0, 0.22]))

    return effect


def _left_hypertrophy(heart: Heart, rng: np.random.Generator) -> dict[str, Wave]:
    strong = scaled(heart, rng.uniform(1.5, 2.0), "R", "S")
    return _discordant(strong, rng.uniform(0.05, 0.30))


def _right_hypertrophy(heart: Heart, rng: np.random.Generator) -> dict[str, Wave]:
    right = pushed(scaled(heart, 0.75, "R"), "anterior", rng.uniform(0.7, 1.1) * np.array([-0.45, 0.20, -0.70]))
    return pushed(right, "T", np.array([0.05, -0.05, 0.20]))


def _ischaemic(*direction: float) -> Callable[[Heart, np.random.Generator], dict[str, Wave]]:
    """Subendocardial ischaemia: ST and T point away from `direction` while QRS stays what it was."""

    def effect(heart: Heart, rng: np.random.Generator) -> dict[str, Wave]:
        away = -np.array(direction) / np.linalg.norm(direction)
        return pushed(pushed(heart, "ST", rng.uniform(0.06, 0.14) * away), "T", rng.uniform(0.20, 0.45) * away)

    return effect


def _fascicular(low: float, high: float) -> Callable[[Heart, np.random.Generator], dict[str, Wave]]:
    def effect(heart: Heart, rng: np.random.Generator) -> dict[str, Wave]:
        return turned(widened(heart, 1.1, *QRS), (0.0, 0.0, rng.uniform(low, high)), "anterior", "R", "S")

    return effect


CONDITIONS: dict[str, Callable[[Heart, np.random.Generator], dict[str, Wave]]] = {
    "CLBBB": _left_bundle_branch_block,
    "CRBBB": _right_bundle_branch_block(1.0),
    "IRBBB": _right_bundle_branch_block(0.45),
    "IVCD": lambda heart, rng: widened(heart, rng.uniform(1.35, 1.6), *QRS),
    "LAFB": _fascicular(-85.0, -65.0),
    "LPFB": _fascicular(50.0, 75.0),
    "LVH": _left_hypertrophy,
    "RVH": _right_hypertrophy,
    "1AVB": lambda heart, rng: moved(heart, -rng.uniform(0.06, 0.11), "P"),
    "LAO/LAE": lambda heart, rng: pushed(heart, "P", np.array([0.08, 0.0, rng.uniform(0.06, 0.12)])),
    "LNGQT": lambda heart, rng: widened(heart, rng.uniform(1.2, 1.35), "T"),
    "NDT": lambda heart, rng: scaled(heart, rng.uniform(-0.1, 0.4), "T"),
    "NST_": lambda heart, rng: pushed(heart, "ST", rng.normal(0.0, 0.06, 3)),
    "ISC_": _ischaemic(0.75, 0.45, -0.45),
    "ISCAL": _ischaemic(0.85, -0.15, -0.50),
    "ISCIN": _ischaemic(0.05, 1.00, 0.10),
    "INJAS": _ischaemic(-0.15, 0.00, -1.00),
    "INJAL": _ischaemic(0.85, -0.15, -0.50),
}
"""The statements beside the nine, each as a change of the heart; NORM changes nothing."""
