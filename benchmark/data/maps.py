"""The shards of a store, mapped into memory: a bounded number of them at a time."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...adapters.errors import MibenchError
from .shards import HEADER_BYTES, npy_header

MOST = 4096

_RANDOM = getattr(mmap, "MADV_RANDOM", None)
_WILLNEED = getattr(mmap, "MADV_WILLNEED", None)


@dataclass(frozen=True)
class Mapped:
    """One shard.

    Attributes:
        samples: (records, leads, samples) int16, read-only.
        file: the mapping under it.
    """

    samples: npt.NDArray[np.int16]
    file: mmap.mmap

    def will_need(self, row: int, first: int, last: int) -> None:
        """Have the leads from `first` to `last` of a row fetched while others are still being read."""
        if _WILLNEED is not None:
            _, leads, samples = self.samples.shape
            start = HEADER_BYTES + 2 * samples * (row * leads + first)
            end = HEADER_BYTES + 2 * samples * (row * leads + last + 1)
            start -= start % mmap.PAGESIZE
            self.file.madvise(_WILLNEED, start, end - start)


class Maps:
    """Mapped shards by file; the one that was not used for longest goes when there are too many.

    A mapping holds a file open, and a process may have few of those: a store of 800,035 records has 1,563 shards.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most or _affordable()
        self._open: OrderedDict[tuple[Path, bool], Mapped] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, file: Path, shape: tuple[int, int, int], *, scattered: bool) -> Mapped:
        """A shard of known shape.

        Args:
            scattered: only some leads are read, so that the system shall not fetch their neighbours with them.

        Raises:
            OSError: it cannot be opened.
            MibenchError: it is not the file that was written.
        """
        key = (file, scattered)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = _map(file, shape, scattered=scattered)
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(key)
        return found


def _map(file: Path, shape: tuple[int, int, int], *, scattered: bool) -> Mapped:
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    if mapped[:HEADER_BYTES] != npy_header(shape) or len(mapped) != HEADER_BYTES + 2 * int(np.prod(shape)):
        raise MibenchError(f"{file} is damaged")
    if scattered and _RANDOM is not None:
        mapped.madvise(_RANDOM)
    samples = np.frombuffer(mapped, dtype="<i2", offset=HEADER_BYTES).reshape(shape)
    return Mapped(samples, mapped)


def _affordable() -> int:
    """A quarter of the files that this process may have open: it may read other stores beside this one."""
    try:
        import resource
    except ImportError:
        return MOST // 16
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if limit == resource.RLIM_INFINITY else max(16, min(MOST, limit // 4))
