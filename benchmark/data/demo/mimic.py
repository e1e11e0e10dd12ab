"""The demo heart in the layout of MIMIC-IV-ECG: a list by subject, several studies of each, no labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from ... import seeds
from ...files import sha256_file, write_text
from ..mimic import COLUMNS, LIST
from ..records import write_recording
from .chunks import in_chunks, write_sums
from .cohort import CASES, Visit, draw_patient
from .electrodes import twelve_leads
from .simulate import SAMPLING_RATE, simulate

LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
"""In the order of MIMIC's files: aVF before aVL."""

GAIN = 200.0

_FROM_STANDARD = (0, 1, 2, 3, 5, 4, *range(6, 12))
_STUDIES = 5.0
"""Studies of a subject in the mean, as in MIMIC."""
_MOST_STUDIES = 60
_NORMAL = 0.3
_GAPS = 0.03
"""Share of records with a stretch of samples without a value."""
_DAY_ONE = datetime(2110, 1, 1)


@dataclass(frozen=True)
class Study:
    """One record: identifiers as MIMIC has them, and what was wrong with whom."""

    subject: int
    study: int
    time: datetime
    visit: Visit

    @property
    def path(self) -> str:
        """The record below the root, without suffix."""
        return f"files/p{self.subject // 10_000}/p{self.subject}/s{self.study}/{self.study}"


def write_mimic(root: Path, records: int, root_seed: int, workers: int, progress: Callable[[int], None]) -> None:
    """Write `record_list.csv`, the records and SHA256SUMS.txt into `root`."""
    seed = seeds.derive(root_seed, "demo", "mimic-iv-ecg", 1)
    studies = draw_studies(records, seed)
    sums = {}
    for files in in_chunks(partial(_write_study, root, seed), studies, workers, progress):
        sums.update(files)
    lines = [",".join(COLUMNS)]
    lines += [f"{s.subject},{s.study},{s.study},{s.time:%Y-%m-%d %H:%M:%S},{s.path}" for s in studies]
    write_text(root / LIST, "\n".join(lines) + "\n")
    write_sums(root, {**sums, LIST: sha256_file(root / LIST)})


def draw_studies(records: int, seed: int) -> list[Study]:
    """Studies in the order of the list: by subject, then by study, whose numbers tell nothing of their time."""
    rng = np.random.default_rng(seeds.derive(seed, "subjects"))
    numbers = 40_000_000 + rng.choice(10_000_000, size=records, replace=False)
    studies: list[Study] = []
    subject, person = 10_000_000, 0
    while len(studies) < records:
        subject, person = subject + int(rng.integers(1, 60)), person + 1
        count = min(int(rng.geometric(1 / _STUDIES)), _MOST_STUDIES, records - len(studies))
        case = ("NORM",) if rng.random() < _NORMAL else CASES[int(rng.integers(len(CASES)))]
        patient = draw_patient(person, 1, case, seed)
        days = np.sort(rng.uniform(0.0, 4000.0, count)) + rng.uniform(0.0, 30_000.0)
        order = rng.permutation(count)
        for rank, number in zip(order, sorted(numbers[len(studies) : len(studies) + count].tolist()), strict=True):
            time = _DAY_ONE + timedelta(minutes=round(float(days[rank]) * 1440))
            studies.append(Study(subject, number, time, Visit(len(studies) + 1, patient, int(rank))))
    return studies


def _write_study(root: Path, seed: int, study: Study) -> dict[str, str]:
    """Write one record; the sha256 of its files by name."""
    signals = twelve_leads(simulate(study.visit, seed).leads)[list(_FROM_STANDARD)]
    rng = np.random.default_rng(seeds.derive(seed, "gaps", study.study))
    if rng.random() < _GAPS:
        start = int(rng.integers(signals.shape[1] - 1))
        signals[int(rng.integers(len(LEADS))), start : start + int(rng.integers(1, 200))] = np.nan
    path = root / study.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_recording(path, signals, SAMPLING_RATE, gain=GAIN, leads=LEADS, capitals=False, started=study.time)
    names = [f"{study.path}{suffix}" for suffix in (".hea", ".dat")]
    return {name: sha256_file(root / name) for name in names}
