"""Who is in the demo cohort: patients, what they have, and the fold they belong to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ... import seeds
from .conditions import STAGES, TERRITORIES, Stage

FOLDS = 10

_MI = ("ASMI", "IMI", "LMI", "PMI", "ALMI", "AMI", "ILMI", "IPMI", "IPLMI")
_ROUNDS = (
    ("NORM", *_MI, "LVH", "NORM", "ISC_", "CLBBB", "NDT", "NORM"),
    ("NORM", *_MI, "CRBBB", "NORM", "ASMI IMI", "LAFB", "NST_", "NORM"),
    ("NORM", "ASMI LAFB", "IMI LVH", *_MI[2:], "LVH ISC_", "NORM", "INJAL", "IRBBB", "ISCAL", "INJAS"),
    ("NORM", "ASMI", "IMI", *_MI[2:], "RVH", "NORM", "ASMI ISC_", "IVCD 1AVB", "LNGQT ISCIN", "LPFB LAO/LAE"),
)
CASES: tuple[tuple[str, ...], ...] = tuple(tuple(case.split()) for round_ in _ROUNDS for case in round_)
"""The diagnostic statements of the records of one fold, in the order in which a fold is filled.

Each round of sixteen holds all nine MI statements, so a fold of ten records has each at least once and one of
sixty-four at least four times.
"""

_SECOND_RECORD = 0.25


@dataclass(frozen=True)
class Patient:
    """One synthetic person.

    Attributes:
        number: the patient's number, from 1.
        fold: 1 to 10; all records of a patient share it.
        statements: diagnostic SCP statements.
        stage: of the infarct, None for a patient without one.
        age: whole years.
        sex: 0 male, 1 female, as PTB-XL counts.
    """

    number: int
    fold: int
    statements: tuple[str, ...]
    stage: Stage | None
    age: float
    sex: int


@dataclass(frozen=True)
class Visit:
    """One record: its `ecg_id`, from 1, and which of the patient's visits it is, from 0."""

    ecg_id: int
    patient: Patient
    number: int


def draw_cohort(records: int, root: int) -> list[Visit]:
    """The visits of the cohort in the order of `ecg_id`, drawn from the seed `root`.

    Every fold is dealt the same cases, so folds are stratified exactly whatever the number of records.
    """
    guests = [patient for fold in range(1, FOLDS + 1) for patient in _fold_guests(fold, records, root)]
    order = np.random.default_rng(seeds.derive(root, "order")).permutation(len(guests))
    seen: Counter[int] = Counter()
    visits = []
    for ecg_id, index in enumerate(order, 1):
        patient = guests[index]
        visits.append(Visit(ecg_id, patient, seen[patient.number]))
        seen[patient.number] += 1
    return visits


def _fold_guests(fold: int, records: int, root: int) -> list[Patient]:
    """The patient of every record of a fold; now and then one who was there before with the same statements."""
    rng = np.random.default_rng(seeds.derive(root, "fold", fold))
    guests: list[Patient] = []
    waiting: dict[tuple[str, ...], Patient] = {}
    for slot in range(records // FOLDS + (fold <= records % FOLDS)):
        statements = CASES[slot % len(CASES)]
        known = waiting.pop(statements, None)
        if known is not None and rng.random() < _SECOND_RECORD:
            guests.append(known)
            continue
        patient = draw_patient(slot * FOLDS + fold, fold, statements, root)
        waiting[statements] = patient
        guests.append(patient)
    return guests


def draw_patient(number: int, fold: int, statements: tuple[str, ...], root: int) -> Patient:
    """The person of a number, with what they have."""
    rng = np.random.default_rng(seeds.derive(root, "person", number))
    mean, spread = (47.0, 16.0) if statements == ("NORM",) else (64.0, 11.0)
    age = float(np.clip(round(rng.normal(mean, spread)), 18, 89))
    stage = STAGES[rng.choice(3, p=(0.2, 0.35, 0.45))]
    infarct = any(statement in TERRITORIES for statement in statements)
    return Patient(number, fold, statements, stage if infarct else None, age, int(rng.integers(2)))
