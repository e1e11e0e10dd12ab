"""From a cohort to a registered data set: the store built, the held-out part chosen, the description written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from ...adapters.errors import MibenchError
from ..progress import Steps
from .build import build_store
from .cohort import Cohort
from .dataset import DESCRIPTION, STORE, Dataset, read_description, save_dataset
from .estimate import estimate
from .holdout import Holdout, describe, divide, in_words
from .integrity import Sums
from .records import Shape
from .shards import RecordSource
from .store import SignalStore

Say = Callable[[str], None]

BAD_SHARE = 0.01
"""Bad records that data for pre-training may lack without a question."""


@dataclass(frozen=True)
class Registration:
    """How a cohort becomes a data set.

    Attributes:
        name: to register it under.
        format: the reader that it came through.
        source: the folder that was read.
        shape: what every record must be like.
        notice: what every number from it must say, or None.
        workers: processes that read.
        skip_bad: share of bad records that are left out without a question.
        holdout: of a data set without folds.
        replace: another data set of that name may go.
    """

    name: str
    format: str
    source: Path
    shape: Shape
    notice: str | None
    workers: int
    skip_bad: float
    holdout: Holdout
    replace: bool = False


def register(folder: Path, cohort: Cohort, sums: Sums, registration: Registration, steps: Steps, say: Say) -> Dataset:
    """Build the store of a cohort in `folder` and describe it; done again with nothing changed, it opens what is there.

    Raises:
        MibenchError: another data set has that name, records are bad, or there is no room.
    """
    name, shape = registration.name, registration.shape
    if cohort.folds is None:
        divide(cohort.patients, registration.holdout, name)  # what cannot work is said before hours of reading
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        before = _registered(folder)
        origin = _origin(cohort, registration)
        if before is not None and not registration.replace:
            _refuse_another(before, origin, name)

        def announce(sources: Sequence[RecordSource], workers: int) -> None:
            outlook = estimate(sources, shape, sums, folder / STORE, workers)
            rest = "" if len(sources) == len(cohort.sources) else " (the rest is there already)"
            say(f"building the store of {name}: {outlook}{rest}")

        store = build_store(
            cohort.sources,
            folder / STORE,
            sampling_rate=shape.sampling_rate,
            samples=shape.samples,
            workers=registration.workers,
            checksums=sums,
            skip_bad=registration.skip_bad,
            progress=steps(f"building the store of {name}", len(cohort.sources)),
            announce=announce,
        )
        data = _describe(folder, store, cohort, registration, origin)
        if before is not None and before.get("manifest") == data.manifest:
            say(f"{name} was registered already, and nothing changed")
        elif before is not None and before.get("store_manifest") == store.manifest:
            say(f"{name}: the signals are as they were, the folds or labels are others now, and so are all keys")
    return data


def _describe(
    folder: Path, store: SignalStore, cohort: Cohort, registration: Registration, origin: dict[str, Any]
) -> Dataset:
    kept = _kept(store, cohort)
    left_out = len(cohort.sources) - len(store)
    remarks = list(cohort.remarks)
    if cohort.folds is None:
        division = divide(store.patients, registration.holdout, registration.name)
        folds = division.folds
        origin["holdout"] = describe(registration.holdout, division)
        remarks.insert(0, in_words(origin["holdout"]))
    else:
        folds = cohort.folds[kept]
    if left_out:
        remarks.append(f"{left_out:,} unreadable records left out: {store.path}.bad-records.txt")
    return save_dataset(
        folder,
        store,
        name=registration.name,
        release=cohort.release + (f"; {left_out} unreadable records left out" if left_out else ""),
        notice=registration.notice,
        complete=cohort.complete and not left_out,
        source=str(registration.source),
        folds=folds,
        statements=cohort.statements,
        labels=cohort.labels[kept],
        remarks=remarks,
        origin=origin,
    )


def _kept(store: SignalStore, cohort: Cohort) -> npt.NDArray[np.int64]:
    """The rows of the cohort that are in the store, in its order."""
    if len(store) == len(cohort.records):
        return np.arange(len(store))
    return np.flatnonzero(~np.isin(cohort.records, list(store.skipped)))


def _registered(folder: Path) -> dict[str, Any] | None:
    """The description of the data set that has this folder; one that cannot be read is no reason to stop."""
    if not (folder / DESCRIPTION).exists():
        return None
    try:
        return read_description(folder)
    except MibenchError:
        return None


def _origin(cohort: Cohort, registration: Registration) -> dict[str, Any]:
    shape = registration.shape
    return {
        "format": registration.format,
        "release": cohort.release,
        "sampling_rate": shape.sampling_rate,
        "seconds": shape.samples / shape.sampling_rate,
    }


def _refuse_another(before: dict[str, Any], origin: dict[str, Any], name: str) -> None:
    """A name keeps its data: results are found again by it."""
    known = before.get("origin") or {"format": "ptb-xl"}
    same = known["format"] == origin["format"] and str(before["release"]).startswith(origin["release"])
    if origin["format"] != "ptb-xl":
        same = same and all(known.get(key) == origin[key] for key in ("sampling_rate", "seconds"))
    if not same:
        raise MibenchError(
            f"{name} is registered already, with {_spelt(known, before['release'])} from {before['source']}; this is "
            f"{_spelt(origin, origin['release'])}. Choose another name with --name, or let it go with --replace"
        )


def _spelt(origin: dict[str, Any], release: str) -> str:
    rate = f" at {origin['sampling_rate']:g} Hz" if "sampling_rate" in origin else ""
    return f"{origin['format']} {release}{rate}"
