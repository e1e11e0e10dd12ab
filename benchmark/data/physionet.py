"""What PhysioNet publishes that mibench can fetch: releases, files, sizes, licences, and the way by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean
from .integrity import SUMS_FILE, Sums
from .mimic import LIST
from .ptbxl import DATABASE, RATES
from .readers import MIMIC_IV_ECG, PTB_XL

BASE = "https://physionet.org/files"
MIRROR = "MIBENCH_MIRROR"

_CLUSTER = 4096
_DAT_BYTES = {500: 12 * 5000 * 2, 100: 12 * 1000 * 2}


@dataclass(frozen=True)
class Collection:
    """A data set of PhysioNet.

    Attributes:
        name: as it is called here and there.
        title: in sentences.
        releases: those that are known to be there, the newest first; others are tried.
        license: of all of it.
        consent: bigger than anybody expects: asked about first.
        proof: a file that every release lists.
    """

    name: str
    title: str
    releases: tuple[str, ...]
    license: str
    consent: bool
    proof: str

    def url(self, release: str, mirror: str | None = None) -> str:
        """The address of a release, with a slash at its end."""
        return f"{(mirror or BASE).rstrip('/')}/{self.name}/{release}/"

    def by_hand(self, release: str, folder: Path) -> str:
        """How the same is done without mibench."""
        path = f"{self.name}/{release}/"
        return (
            f"By hand:\n  aws s3 sync --no-sign-request s3://physionet-open/{path} {folder}\n"
            f"  or: wget -r -N -c -np -nH --cut-dirs=3 -P {folder} {BASE}/{path}\n"
            f"then: mibench data add {self.name} {folder}"
        )


COLLECTIONS = {
    PTB_XL: Collection(
        PTB_XL, "PTB-XL", ("1.0.3", "1.0.2", "1.0.1"), "Creative Commons Attribution 4.0 (CC BY 4.0)", False, DATABASE
    ),
    MIMIC_IV_ECG: Collection(
        MIMIC_IV_ECG, "MIMIC-IV-ECG", ("1.0",), "Open Data Commons Open Database License 1.0 (ODbL)", True, LIST
    ),
}


def collection(name: str) -> Collection:
    """A collection by name.

    Raises:
        MibenchError: mibench cannot fetch that.
    """
    if name not in COLLECTIONS:
        near = did_you_mean(name, list(COLLECTIONS), listing=False)
        raise MibenchError(
            f"mibench fetches {' and '.join(COLLECTIONS)}, not `{name}`{near}"
            f" (what is here already is read with: mibench data add {name} PATH)"
        )
    return COLLECTIONS[name]


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: where it goes, its path below the release, and its hash."""

    target: Path
    path: str
    sha256: str


@dataclass
class Extent:
    """How much there is: files, bytes as reckoned from names, and how much of both is not here yet."""

    files: int = 0
    bytes: int = 0
    missing: int = 0
    missing_bytes: int = 0


def wanted(sums: Sums, folder: Path, rates: tuple[int, ...]) -> Iterator[Wanted]:
    """The files that a release lists and that rates need, folder by folder.

    Args:
        sums: of `folder`.
        rates: Hz, of PTB-XL; empty takes every file.

    Raises:
        MibenchError: the list leads out of the folder.
    """
    unwanted = [(place,) for rate, (_, place) in RATES.items() if rates and rate not in rates]
    base = str(folder)
    for place, files in sums.folders():
        if os.path.normpath(place) != place:
            raise MibenchError(f"{folder / SUMS_FILE} names {place}, which is not below it: another list is needed")
        if Path(place).relative_to(base).parts[:1] in unwanted:
            continue
        for file, digest in files.items():
            below = Path(file).relative_to(base).as_posix()
            if Path(below).name in ("", os.pardir):
                raise MibenchError(f"{folder / SUMS_FILE} names {below}, which is no file: another list is needed")
            yield Wanted(Path(file), below, digest)


def extent(files: Iterator[Wanted]) -> Extent:
    """How much there is to fetch, without asking for any of it."""
    found = Extent()
    folder, here = None, set[str]()
    for file in files:
        if file.target.parent != folder:
            folder = file.target.parent
            here = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
        size = _reckon(file.path)
        found.files += 1
        found.bytes += size
        if file.target.name not in here:
            found.missing += 1
            found.missing_bytes += size
    return found


def in_bytes(number: int) -> str:
    """A size as people say it.

    >>> in_bytes(2_798_000_000), in_bytes(31_000_000)
    ('2.8 GB', '31 MB')
    """
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.0f} MB"


def _reckon(path: str) -> int:
    """Bytes on the disk that a file takes, by its name: PhysioNet publishes no sizes beside the hashes."""
    size = 0
    if path.endswith(".dat"):
        size = _DAT_BYTES[100 if path.startswith(f"{RATES[100][1]}/") else 500]
    elif path.endswith(".csv"):
        size = 6_000_000
    return max(-(-size // _CLUSTER), 1) * _CLUSTER
