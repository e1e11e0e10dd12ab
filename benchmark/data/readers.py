"""The formats that mibench reads, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...adapters.errors import MibenchError
from . import mimic, ptbxl
from .cohort import Cohort
from .integrity import Sums, compare_sha256, read_sha256sums
from .records import Shape
from .wfdb_tree import read_wfdb_tree

PTB_XL = "ptb-xl"
MIMIC_IV_ECG = "mimic-iv-ecg"
WFDB = "wfdb"
FORMATS = (PTB_XL, MIMIC_IV_ECG, WFDB)


@dataclass(frozen=True)
class Reading:
    """What is wanted of the records: Hz, seconds, and of a plain tree who is who."""

    sampling_rate: float = 500
    seconds: float = 10
    patients: Path | None = None


def read(kind: str, root: Path, reading: Reading) -> tuple[Cohort, Sums, Shape]:
    """Who is in a folder, the hashes that were published with it, and what every record must be like.

    Raises:
        MibenchError: the folder is not of that kind, or an option does not go with it.
    """
    rate, seconds = reading.sampling_rate, reading.seconds
    if not rate > 0 or not seconds > 0 or round(rate * seconds) < 1:
        raise MibenchError(f"--rate {rate:g} and --seconds {seconds:g} make no record: both must be above zero")
    if kind != WFDB and seconds != mimic.SECONDS:
        raise MibenchError(f"records of {kind} are {mimic.SECONDS} s long; --seconds goes with --format {WFDB}")
    if kind != WFDB and reading.patients is not None:
        raise MibenchError(f"{kind} says itself who is who; --patients goes with --format {WFDB}")
    if kind == MIMIC_IV_ECG and rate != mimic.SAMPLING_RATE:
        raise MibenchError(f"MIMIC-IV-ECG is published at {mimic.SAMPLING_RATE} Hz; {rate:g} Hz is not there")
    if kind == PTB_XL and rate not in ptbxl.RATES:
        raise MibenchError(f"PTB-XL is published at 500 and 100 Hz; {rate:g} Hz is neither")
    sums = read_sha256sums(root)
    tables = {PTB_XL: (ptbxl.DATABASE, ptbxl.STATEMENTS), MIMIC_IV_ECG: (mimic.LIST,)}.get(kind, ())
    for table in tables:
        compare_sha256(root / table, sums)
    if kind == PTB_XL:
        cohort = ptbxl.read_ptbxl(root, int(rate))
    elif kind == MIMIC_IV_ECG:
        cohort = mimic.read_mimic(root)
    else:
        cohort = read_wfdb_tree(root, reading.patients)
    return cohort, sums, Shape(float(rate), round(rate * seconds))
