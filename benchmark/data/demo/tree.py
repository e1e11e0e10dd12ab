"""A folder of demo data in the layout of a published data set, to rehearse with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ....adapters.errors import MibenchError
from ..cohort import mark_as_demo
from .mimic import write_mimic
from .write import DemoOptions, write_demo

Layout = Literal["mimic-iv-ecg", "ptb-xl"]
LAYOUTS: tuple[Layout, ...] = ("mimic-iv-ecg", "ptb-xl")

_RECORD_BYTES = {"mimic-iv-ecg": 130_000, "ptb-xl": 160_000}


@dataclass(frozen=True)
class TreeOptions:
    """Which demo data.

    Attributes:
        layout: as which published data set.
        records: how many.
        seed: another seed, another cohort.
    """

    layout: Layout = "mimic-iv-ecg"
    records: int = 2000
    seed: int = 0


def write_tree(
    target: Path, options: TreeOptions, workers: int = 1, progress: Callable[[int], None] = lambda _done: None
) -> None:
    """Write demo data into a new folder, whole or not at all; the same options give the same bytes.

    Whatever is read from it later says that it is no result.

    Args:
        target: a folder that is not there yet, or is empty.
        options: layout and size.
        workers: processes.
        progress: called with the number of records written so far.

    Raises:
        MibenchError: something is in the way, there is no room, or no such data.
    """
    if options.records < 1:
        raise MibenchError(f"--records {options.records}: at least one record is needed")
    target = target.expanduser().absolute()
    making = target.with_name(f".{target.name}.making")
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise MibenchError(f"{target} is in the way: choose a folder that is not there yet, or remove it")
        shutil.rmtree(making, ignore_errors=True)  # of a try that was killed
        making.mkdir(parents=True)
        needed, free = options.records * _RECORD_BYTES[options.layout], shutil.disk_usage(making).free
        if needed > free:
            raise MibenchError(
                f"{target.parent} has {free / 1e9:.1f} GB free and {options.records:,} demo records need "
                f"{needed / 1e9:.1f} GB: make room, or ask for fewer with --records"
            )
        _fill(making, options, workers, progress)
        mark_as_demo(making)
        if target.exists():
            target.rmdir()
        os.replace(making, target)
    except OSError as problem:
        raise MibenchError(
            f"{target} cannot be written ({problem.strerror or problem}): make room, or choose another place"
        ) from problem
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _fill(root: Path, options: TreeOptions, workers: int, progress: Callable[[int], None]) -> None:
    if options.layout == "mimic-iv-ecg":
        write_mimic(root, options.records, options.seed, workers, progress)
    else:
        write_demo(root, DemoOptions(options.records, options.seed), progress, workers)
