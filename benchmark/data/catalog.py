"""The data sets this machine knows by name: registering, listing, opening; the demo heart is made on first use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean
from ..ecg import DEMO_NOTICE
from ..files import sha256_json
from ..home import home
from ..progress import Steps
from . import mimic, ptbxl
from .cohort import notice_of
from .dataset import DESCRIPTION, Dataset, load_dataset, read_description
from .holdout import Holdout
from .readers import FORMATS, MIMIC_IV_ECG, PTB_XL, Reading, read
from .register import BAD_SHARE, Registration, Say, register

if TYPE_CHECKING:
    from .demo import DemoOptions

DEMO = "demo"
KINDS = (PTB_XL, MIMIC_IV_ECG)
"""Formats that a data set can be added by, without a name of its own."""


def silent(_what: str, _total: int) -> Callable[[int], None]:
    """Progress that nobody watches."""
    return lambda _done: None


def hushed(_text: str) -> None:
    """Words that nobody hears."""


@dataclass(frozen=True)
class AddOptions:
    """How a data set is read.

    Attributes:
        name: the name to register it under.
        sampling_rate: Hz: 500 or 100 for PTB-XL, which is published at both; 500 for MIMIC-IV-ECG; any for the rest.
        seconds: length of every record.
        workers: processes that read.
        skip_bad: leave unreadable records out and list them, instead of stopping; None leaves out up to 1 % of data
            for pre-training, and none of PTB-XL.
        patients: csv file that says whose each record is, of a plain WFDB tree.
        holdout: how records are held out of data without folds.
        replace: another data set that has this name may go.
    """

    name: str
    sampling_rate: float = 500
    seconds: float = 10
    workers: int = 1
    skip_bad: bool | None = None
    patients: Path | None = None
    holdout: Holdout = field(default_factory=Holdout)
    replace: bool = False


def data_folder() -> Path:
    """Where registered data sets live."""
    return home() / "data"


def registered() -> list[str]:
    """The names of the data sets that are ready, the demo's included once it was made."""
    folder = data_folder()
    return sorted(entry.parent.name for entry in folder.glob(f"*/{DESCRIPTION}")) if folder.is_dir() else []


def default_name() -> str:
    """What a run takes: PTB-XL when registered, else the only registered set with labels, else the demo heart.

    Raises:
        MibenchError: several sets are registered and none is called ptb-xl.
    """
    names = [name for name in registered() if name != DEMO and _labelled(name)]
    if PTB_XL in names:
        return PTB_XL
    if len(names) > 1:
        raise MibenchError(f"several data sets are registered: choose one with --data {' | '.join(names)}")
    return names[0] if names else DEMO


def default_pretraining_name() -> str:
    """What a pre-training takes: MIMIC-IV-ECG when registered, else what a run takes.

    Raises:
        MibenchError: as `default_name`.
    """
    return MIMIC_IV_ECG if MIMIC_IV_ECG in registered() else default_name()


def _labelled(name: str) -> bool:
    """Whether a data set has labels; one that cannot be told is opened, and says what is wrong with it."""
    try:
        return bool(read_description(data_folder() / name)["statements"])
    except (MibenchError, KeyError):
        return True


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
        kind = MIMIC_IV_ECG if (path / mimic.LIST).exists() and not (path / ptbxl.DATABASE).exists() else PTB_XL
        return add(kind, path, AddOptions(name=f"{stem}-{sha256_json(str(path.resolve()))[:8]}"), steps)
    known = sorted({*registered(), DEMO})
    raise MibenchError(
        f"no data set is called `{name}` and no folder has that path{did_you_mean(name, known)}. Register PTB-XL "
        f"with: mibench data add ptb-xl /path/to/ptb-xl"
    )


def add(kind: str, root: Path, options: AddOptions, steps: Steps = silent, say: Say = hushed) -> Dataset:
    """Read a data set, check it, build its store and register it.

    Done again with nothing changed, it opens what is there; killed in the middle, it resumes.

    Args:
        kind: one of `FORMATS`.
        root: its folder.
        options: name and reading.
        steps: progress.
        say: told what is going to be done, and how long it will take.

    Raises:
        MibenchError: anything that is wrong with the data; what was already built stays.
    """
    if kind not in FORMATS:
        raise MibenchError(
            f"there is no reader for `{kind}`{did_you_mean(kind, list(FORMATS))}. A data set with a name of your own "
            f"needs its format: mibench data add {kind} PATH --format {' | '.join(FORMATS)}"
        )
    if options.name == DEMO or not options.name or Path(options.name).name != options.name or options.name[0] == ".":
        raise MibenchError(f"`{options.name}` cannot name a data set: choose a plain word other than `{DEMO}`")
    root = root.expanduser().resolve()
    return _add(kind, root, options, steps, say, notice=notice_of(root))


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
    demo = AddOptions(name=DEMO, workers=workers, replace=True)
    return _add(PTB_XL, root, demo, steps, hushed, notice=DEMO_NOTICE, release=root.name)


def _add(
    kind: str,
    root: Path,
    options: AddOptions,
    steps: Steps,
    say: Say,
    *,
    notice: str | None,
    release: str | None = None,
) -> Dataset:
    cohort, sums, shape = read(kind, root, Reading(options.sampling_rate, options.seconds, options.patients))
    if release is not None:
        cohort = replace(cohort, release=release, complete=True)
    usual = 0.0 if kind == PTB_XL else BAD_SHARE
    registration = Registration(
        name=options.name,
        format=kind,
        source=root,
        shape=shape,
        notice=notice,
        workers=options.workers,
        skip_bad=usual if options.skip_bad is None else float(options.skip_bad),
        holdout=options.holdout,
        replace=options.replace,
    )
    return register(data_folder() / options.name, cohort, sums, registration, steps, say)
