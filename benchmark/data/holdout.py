"""Which records are held out of pre-training where a data set is published without folds.

Source: SelfMIS watches the last 5,000 records of MIMIC-IV-ECG (section 4.1), whose list goes by subject, so that one
subject at most stands on both sides of the edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...adapters.errors import MibenchError
from .. import seeds
from ..ecg import VALIDATION_FOLD

TRAINED_ON, NEITHER = 1, 0

USUAL = 5000
SHARE = 4
"""A set of fewer than four times the usual number has a quarter of its records held out."""


@dataclass(frozen=True)
class Holdout:
    """How records are held out.

    Attributes:
        records: how many; None is 5,000, or a quarter of a small set.
        split: "tail" takes the last of the list, "patient-random" whole patients, drawn by `seed`, until there are
            enough.
        straddling: of a patient on both sides of the tail's edge, who loses his records: "validation" or "training";
            "keep" leaves him on both.
        seed: of the draw.
    """

    records: int | None = None
    split: Literal["tail", "patient-random"] = "tail"
    straddling: Literal["validation", "training", "keep"] = "validation"
    seed: int = 0


@dataclass(frozen=True)
class Division:
    """What came of it.

    Attributes:
        folds: (N,) 1 is trained on, 9 is held out, 0 is neither.
        wanted: records that were to be held out.
        straddling: patients who stood on both sides of the edge.
    """

    folds: npt.NDArray[np.int8]
    wanted: int
    straddling: int


def divide(patients: npt.NDArray[np.str_], holdout: Holdout, name: str) -> Division:
    """Divide a list of records; the same list and options always give the same division.

    Args:
        patients: (N,) whose each record is, in the order of the list.
        name: of the data set, for sentences about it.

    Raises:
        MibenchError: nothing would be left to train on, or to hold out.
    """
    total = len(patients)
    wanted = min(USUAL, total // SHARE) if holdout.records is None else holdout.records
    if not 0 < wanted < total:
        raise MibenchError(
            f"{name} has {total:,} records: with {wanted:,} of them held out there is "
            f"{'nothing to watch training by' if wanted < 1 else 'no record left to train on'}; choose another number "
            "with --validation"
        )
    _, whose = np.unique(patients, return_inverse=True)
    held = _last(total, wanted) if holdout.split == "tail" else _drawn(whose, wanted, holdout.seed)
    folds = np.where(held, VALIDATION_FOLD, TRAINED_ON).astype(np.int8)
    both = np.intersect1d(whose[held], whose[~held])
    if holdout.straddling != "keep":
        loses = held if holdout.straddling == "validation" else ~held
        folds[loses & np.isin(whose, both)] = NEITHER
    for fold, part in ((TRAINED_ON, "to train on"), (VALIDATION_FOLD, "to hold out")):
        if not (folds == fold).any():
            raise MibenchError(
                f"{name}: no record is left {part}, for all of them are of patients on both sides of the edge; choose "
                "--split patient-random, or another number with --validation"
            )
    return Division(folds, wanted, len(both))


def _last(total: int, wanted: int) -> npt.NDArray[np.bool_]:
    return np.arange(total) >= total - wanted


def _drawn(whose: npt.NDArray[np.intp], wanted: int, seed: int) -> npt.NDArray[np.bool_]:
    """Whole patients in a drawn order, as many as it takes."""
    counts = np.bincount(whose)
    order = np.random.default_rng(seeds.derive(seed, "held-out patients")).permutation(len(counts))
    enough = int(np.searchsorted(np.cumsum(counts[order]), wanted)) + 1
    return np.isin(whose, order[:enough])


def describe(holdout: Holdout, division: Division) -> dict[str, Any]:
    """What the data set's description keeps of the division."""
    return {**asdict(holdout), "wanted": division.wanted, "straddling_patients": division.straddling}


def in_words(kept: Mapping[str, Any]) -> str:
    """A sentence or two on how the held-out part was chosen, from what `describe` kept."""
    if kept["split"] == "patient-random":
        return f"held out: whole patients, drawn with seed {kept['seed']}, until {kept['wanted']:,} records"
    text = f"held out: the last {kept['wanted']:,} records of the list"
    if kept["records"] is None and kept["wanted"] < USUAL:
        text += f" (a quarter: the set has fewer than {SHARE} times {USUAL:,})"
    both = int(kept["straddling_patients"])
    if not both:
        return f"{text}; no patient is on both sides"
    who = f"{both:,} {'patient stands' if both == 1 else 'patients stand'} on both sides of its edge"
    rule = kept["straddling"]
    if rule == "keep":
        return f"{text}; {who} and stay{'s' if both == 1 else ''} there: what is held out is not disjoint in patients"
    return f"{text}; {who}: those records are left out of the {'held-out' if rule == 'validation' else 'training'} part"
