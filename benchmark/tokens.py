"""Tokens: what a tokenising method cuts out of the signals, cut once per data set and kept.

A folder with `tokens.json`, `offsets.npy` and one array per name that holds the tokens of all records one after
another, without the padding: a sentence mostly fills a small part of its positions.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..adapters.base import InputSpec, Tokenizing
from ..adapters.errors import MibenchError
from ..adapters.signal import prepare
from .data.store import SignalStore
from .files import read_arrays, sha256_json, write_array, write_arrays, write_json
from .home import home
from .progress import Steps

PART_RECORDS = 512
"""Records between two saves: what a kill can cost."""

BATCH_RECORDS = 64
WORTH_PROCESSES = 4
"""Parts from which on several processes cut them."""

DESCRIPTION = "tokens.json"
OFFSETS = "offsets.npy"

Arrays = dict[str, npt.NDArray[Any]]


class TokenStore:
    """The tokens of a whole data set, open for reading.

    Attributes:
        path: the folder.
        records: number of records.
        positions: length of every sentence, padding included.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        about = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        self.records: int = about["records"]
        self.positions: int = about["positions"]
        self._names: list[str] = about["names"]

    def checked(self, records: int) -> TokenStore:
        """Itself, if it is whole.

        Raises:
            OSError, ValueError: an array is absent, cut short, or of another length.
        """
        lengths = {len(array) for array in self._arrays.values()}
        if self.records != records or len(self._offsets) != records + 1 or lengths != {int(self._offsets[-1])}:
            raise ValueError(f"{self.path} does not hold the tokens of {records} records")
        return self

    @property
    def empty(self) -> int:
        """Number of records out of which nothing was cut."""
        return int((np.diff(self._offsets) == 0).sum())

    def read(self, rows: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """Tokens of some records by name, each (len(rows), positions, ...), padded with zeros."""
        starts, ends = self._offsets[rows], self._offsets[np.asarray(rows) + 1]
        found = {}
        for name, array in self._arrays.items():
            padded = np.zeros((len(rows), self.positions, *array.shape[1:]), dtype=array.dtype)
            for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
                padded[place, : end - start] = array[start:end]
            found[name] = torch.from_numpy(padded)
        return found

    @cached_property
    def _offsets(self) -> npt.NDArray[np.int64]:
        offsets: npt.NDArray[np.int64] = np.load(self.path / OFFSETS, allow_pickle=False)
        return offsets

    @cached_property
    def _arrays(self) -> Arrays:
        return {name: np.load(self.path / f"{name}.npy", allow_pickle=False, mmap_mode="r") for name in self._names}


def cached_tokens(
    method: Tokenizing, spec: InputSpec, store: SignalStore, leads: Sequence[str], steps: Steps
) -> TokenStore:
    """The tokens of a whole store, from the cache or cut part by part; a kill loses at most the part in work.

    Args:
        method: cuts them.
        spec: how signals are prepared for it.
        leads: that were observed.
        steps: makes a progress function.

    Raises:
        MibenchError: what the method gave is not tokens as the contract describes them.
    """
    folder = home() / "tokens" / tokens_key(method.tokenizer, spec, store, leads)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError):
            return TokenStore(folder).checked(len(store))
        # Absent or damaged: cut, or cut again.
        _build(method, spec, store, leads, steps, folder)
        return TokenStore(folder)


def tokens_key(tokenizer: Mapping[str, Any], spec: InputSpec, store: SignalStore, leads: Sequence[str]) -> str:
    """What determines tokens: how they are cut, how the signal was prepared, the signals, and the observed leads."""
    prepared = asdict(spec)
    about = {entry.name: prepared[entry.name] for entry in fields(InputSpec)}
    what = {"tokenizer": dict(tokenizer), "input": about, "signals": store.manifest, "leads": list(leads)}
    return sha256_json(what)[:16]


def check_tokens(tokens: Mapping[str, Tensor], records: int) -> int:
    """The number of positions of a batch of tokens.

    Raises:
        MibenchError: no arrays, or of different shapes, or not finite.
    """
    shapes = {name: tuple(value.shape) for name, value in tokens.items()}
    places = {shape[:2] for shape in shapes.values()}
    if len(places) != 1 or any(len(place) != 2 or place[0] != records for place in places):
        raise MibenchError(
            f"tokenize() must give arrays of (batch, positions, ...) for {records} records; got {shapes}"
        )
    for name, value in tokens.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise MibenchError(
                f"tokenize() gave NaN or infinite values in `{name}`: mend it, a flat lead is the usual cause"
            )
    return int(next(iter(places))[1])


def _build(
    method: Tokenizing, spec: InputSpec, store: SignalStore, leads: Sequence[str], steps: Steps, folder: Path
) -> None:
    bar = steps("cutting tokens", len(store))
    parts = _Parts(method, spec, store, leads, folder)
    # Parts are independent, and cutting is slow Python: a few of them are worth the start of several processes. They
    # are forked, since whatever somebody's method holds may not be picklable, and no network runs in them.
    workers = min(len(parts), os.cpu_count() or 1) if len(parts) >= WORTH_PROCESSES and hasattr(os, "fork") else 0
    done = 0
    context = "fork" if workers else None
    for count, fault in DataLoader(parts, batch_size=None, num_workers=workers, multiprocessing_context=context):
        if fault:
            raise MibenchError(fault)
        done += int(count)
        bar(done)
    files = [parts.file(number) for number in range(len(parts))]
    _join(folder, files, len(store))
    for file in files:
        file.unlink()


@dataclass(frozen=True)
class _Parts(Dataset[tuple[int, str]]):
    """Part files by number; looking one up makes it, unless it is whole already.

    It gives the number of records, and what a user can put right: raised in another process, an error would come back
    wrapped in a traceback.
    """

    method: Tokenizing
    spec: InputSpec
    store: SignalStore
    leads: Sequence[str]
    folder: Path

    def __len__(self) -> int:
        return -(-len(self.store) // PART_RECORDS)

    def __getitem__(self, number: int) -> tuple[int, str]:
        start = number * PART_RECORDS
        rows = np.arange(start, min(start + PART_RECORDS, len(self.store)), dtype=np.int64)
        if not _is_whole(self.file(number), len(rows)):
            try:
                write_arrays(self.file(number), _cut(self.method, self.spec, self.store, self.leads, rows))
            except MibenchError as problem:
                return 0, str(problem)
        return len(rows), ""

    def file(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.npz"


def _cut(
    method: Tokenizing, spec: InputSpec, store: SignalStore, leads: Sequence[str], rows: npt.NDArray[np.int64]
) -> Arrays:
    """Tokens of some records without padding, with `lengths` (records,) and `positions` ()."""
    pieces: dict[str, list[npt.NDArray[Any]]] = {}
    lengths, positions = [], 0
    for start in range(0, len(rows), BATCH_RECORDS):
        chosen = rows[start : start + BATCH_RECORDS]
        windows = prepare(torch.from_numpy(store.read(chosen, leads)), store.sampling_rate, leads, spec)
        if windows.shape[1] != 1:
            raise MibenchError(f"tokens are cut out of one window per record, not out of {windows.shape[1]}")
        tokens = {name: value.cpu() for name, value in method.tokenize(windows[:, 0]).items()}
        positions = check_tokens(tokens, len(chosen))
        count = _lengths(tokens)
        lengths.append(count)
        real = torch.arange(positions)[None] < torch.from_numpy(count)[:, None]
        for name, value in tokens.items():
            pieces.setdefault(name, []).append(value[real].numpy())
    arrays = {name: np.concatenate(values) for name, values in pieces.items()}
    return {**arrays, "lengths": np.concatenate(lengths), "positions": np.array(positions)}


def _lengths(tokens: Mapping[str, Tensor]) -> npt.NDArray[np.int64]:
    """Position behind the last one that is not zero in some array, by record."""
    used = torch.stack(
        [value.ne(0).flatten(2).any(dim=2) if value.ndim > 2 else value.ne(0) for value in tokens.values()]
    )
    places = torch.arange(1, used.shape[2] + 1)
    return (used.any(dim=0) * places).amax(dim=1).numpy().astype(np.int64)


def _is_whole(file: Path, records: int) -> bool:
    part = read_arrays(file, ["lengths"])
    return part is not None and len(part["lengths"]) == records


def _join(folder: Path, parts: Sequence[Path], records: int) -> None:
    """One array per name out of all parts, written without holding them all; the description comes last."""
    lengths, names, positions = [], [], 0
    for file in parts:
        with np.load(file, allow_pickle=False) as part:
            lengths.append(part["lengths"])
            positions = int(part["positions"])
            names = [name for name in part.files if name not in ("lengths", "positions")]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    for name in names:
        with np.load(parts[0], allow_pickle=False) as part:
            kind, tail = part[name].dtype, part[name].shape[1:]
        write_array(folder / f"{name}.npy", (int(offsets[-1]), *tail), kind, _pieces(name, parts))
    write_array(folder / OFFSETS, offsets.shape, offsets.dtype, [offsets])
    write_json(folder / DESCRIPTION, {"records": records, "positions": positions, "names": names})


def _pieces(name: str, parts: Sequence[Path]) -> Iterator[npt.NDArray[Any]]:
    for file in parts:
        with np.load(file, allow_pickle=False) as part:
            yield part[name]
