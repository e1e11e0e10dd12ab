"""The data sets this machine knows by name: registering, listing, opening; the demo heart is made on first use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean
from ..ecg import DEMO_NOTICE
from ..files import sha256_json
from ..home import home
from .build import build_store
from .dataset import DESCRIPTION, STORE, Dataset, load_dataset, save_dataset
from .integrity import compare_sha256, read_sha256sums
from .ptbxl import DATABASE, SECONDS, STATEMENTS, read_ptbxl

if TYPE_CHECKING:
    from .demo import DemoOptions

DEMO = "demo"
PTB_XL = "ptb-xl"
KINDS = (PTB_XL,)

Steps = Callable[[str, int], Callable[[int], None]]
"""Given what is being done and how many records there are, a function to call with the number finished."""


def silent(_what: str, _total: int) -> Callable[[int], None]:
    """Progress that nobody watches."""
    return lambda _done: None


@dataclass(frozen=True)
class AddOptions:
    """How a data set is read.

    Attributes:
        name: the name to register it under.
        sampling_rate: 500 or 100 Hz, for PTB-XL, which is published at both.
        workers: processes that read.
        skip_bad: leave unreadable records out and list them, instead of stopping.
    """

    name: str
    sampling_rate: int = 500
    workers: int = 1
    skip_bad: bool = False


def data_folder() -> Path:
    """Where registered data sets live."""
    return home() / "data"


def registered() -> list[str]:
    """The names of the data sets that are ready, the demo's included once it was made."""
    folder = data_folder()
    return sorted(entry.parent.name for entry in folder.glob(f"*/{DESCRIPTION}")) if folder.is_dir() else []


def default_name() -> str:
    """PTB-XL when registered, else the only registered set, else the demo heart.

    Raises:
        MibenchError: several sets are registered and none is called ptb-xl.
    """
    names = [name for name in registered() if name != DEMO]
    if PTB_XL in names:
        return PTB_XL
    if len(names) > 1:
        raise MibenchError(f"several data sets are registered: choose one with --data {' | '.join(names)}")
    return names[0] if names else DEMO


def open_dataset(choice: str | None, steps: Steps = silent) -> Dataset:
    """A data set by name or by path; None takes the default.

    Raises:
        MibenchError: nothing of that name or at that path.
    """
    name = choice or default_name()
    if name in registered():
        return load_dataset(data_folder() / name)
    if name == DEMO:
        return make_demo(steps=steps)
    path = Path(name).expanduser()
    if path.is_dir():
        stem = path.resolve().name
        return add(PTB_XL, path, AddOptions(name=f"{stem}-{sha256_json(str(path.resolve()))[:8]}"), steps)
    known = [*registered(), DEMO]
    raise MibenchError(
        f"no data set is called `{name}` and no folder has that path{did_you_mean(name, known)}. Register PTB-XL "
        f"with: mibench data add ptb-xl /path/to/ptb-xl"
    )


def add(kind: str, root: Path, options: AddOptions, steps: Steps = silent) -> Dataset:
    """Read a data set, check it, build its store and register it.

    Done again with nothing changed, it opens what is there; killed in the middle, it resumes.

    Raises:
        MibenchError: anything that is wrong with the data; what was already built stays.
    """
    if kind not in KINDS:
        raise MibenchError(f"there is no reader for `{kind}`{did_you_mean(kind, list(KINDS))}")
    if options.name == DEMO or not options.name or Path(options.name).name != options.name or options.name[0] == ".":
        raise MibenchError(f"`{options.name}` cannot name a data set: choose a plain word other than `{DEMO}`")
    return _add_ptbxl(root.expanduser().resolve(), options, steps, notice=None)


def make_demo(options: DemoOptions | None = None, steps: Steps = silent) -> Dataset:
    """Make the demo heart, in PTB-XL's own layout, and read it through the same reader as PTB-XL."""
    from .demo import DemoOptions, write_demo

    options = options or DemoOptions()
    root = home() / "demo" / f"v{options.version}-{options.records}-records-seed-{options.seed}"
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root.with_name(root.name + ".lock")):
        if not root.is_dir():
            # A whole tree takes its name only when finished: a kill leaves a folder that the next try sweeps away.
            making = root.with_name(root.name + ".making")
            shutil.rmtree(making, ignore_errors=True)
            write_demo(making, options, steps("making the demo heart", options.records))
            os.replace(making, root)
    workers = min(2, os.cpu_count() or 1)
    return _add_ptbxl(root, AddOptions(name=DEMO, workers=workers), steps, notice=DEMO_NOTICE, release=root.name)


def _add_ptbxl(
    root: Path, options: AddOptions, steps: Steps, *, notice: str | None, release: str | None = None
) -> Dataset:
    checksums = read_sha256sums(root)
    for table in (root / DATABASE, root / STATEMENTS):
        compare_sha256(table, checksums)
    cohort = read_ptbxl(root, options.sampling_rate)
    if release is not None:
        cohort = replace(cohort, release=release, complete=True)
    folder = data_folder() / options.name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        store = build_store(
            cohort.sources,
            folder / STORE,
            sampling_rate=options.sampling_rate,
            samples=options.sampling_rate * SECONDS,
            workers=options.workers,
            checksums=checksums,
            skip_bad=options.skip_bad,
            progress=steps(f"building the store of {options.name}", len(cohort.sources)),
        )
        position = {record: row for row, record in enumerate(cohort.records.tolist())}
        kept = np.array([position[record] for record in store.records.tolist()], dtype=np.int64)
        left_out = len(position) - len(kept)
        return save_dataset(
            folder,
            store,
            name=options.name,
            release=cohort.release + (f"; {left_out} unreadable records left out" if left_out else ""),
            notice=notice,
            complete=cohort.complete and not left_out,
            source=str(root),
            folds=cohort.folds[kept],
            statements=cohort.statements,
            labels=cohort.labels[kept],
        )
