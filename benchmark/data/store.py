"""The signal store: every record of a data set as memory-mapped int16, lead by lead, read back as millivolts.

A folder with `manifest.json`, `index.parquet` and shards `shard-00000.npy` of shape (records, 12, samples).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from ...adapters.errors import MibenchError
from ..ecg import LEADS
from ..files import sha256_file, sha256_json
from .maps import Mapped, Maps
from .records import Shape
from .shards import HEADER_BYTES, shard_name

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
KIND = "mibench signal store"
MANIFEST = "manifest.json"
INDEX = "index.parquet"

INDEX_SCHEMA = pyarrow.schema(
    {
        "record": pyarrow.string(),
        "patient": pyarrow.string(),
        "shard": pyarrow.int32(),
        "row": pyarrow.int32(),
        "gain": pyarrow.list_(pyarrow.float64()),
        "baseline": pyarrow.list_(pyarrow.int32()),
        "invalid": pyarrow.int64(),
        "flat": pyarrow.list_(pyarrow.string()),
    }
)

REBUILD = "build the store again with `mibench data add`"


class SignalStore:
    """The signals of a data set, open for reading; cheap to open, to pickle and to share between processes.

    Attributes:
        path: the folder.
        sampling_rate: Hz.
        samples: length of every record.
        manifest: sha256 over all records, their names, patients, gains and samples: the same for the same records in
            the same order, wherever, whenever and by however many processes the store was built.
        records: (N,) names.
        skipped: records that were left out, and why.
        checked: number of records whose files were compared with SHA256SUMS.txt.
        details: the whole of `manifest.json`.
    """

    def __init__(self, path: Path, details: Mapping[str, Any], table: pyarrow.Table) -> None:
        self.path = path
        self.details = details
        self.sampling_rate = float(details["sampling_rate"])
        self.samples = int(details["samples"])
        self.manifest = str(details["manifest"])
        self.skipped: dict[str, str] = dict(details["skipped"])
        self.checked = int(details["checked"])
        self._table = table
        self.records = _text(table["record"])
        self._shard = table["shard"].to_numpy()
        self._row = table["row"].to_numpy()
        self._gain = _twelve(table, "gain").astype(np.float32)
        self._baseline = _twelve(table, "baseline").astype(np.float32)
        self._offset = bool(self._baseline.any())
        self._sizes = {int(shard["number"]): int(shard["records"]) for shard in details["shards"]}
        self._maps = Maps()

    @property
    def patients(self) -> npt.NDArray[np.str_]:
        """(N,) whose each record is."""
        return _text(self._table["patient"])

    @property
    def invalid(self) -> int:
        """Number of samples without a value, over all records."""
        return int(pyarrow.compute.sum(self._table["invalid"]).as_py() or 0)

    @property
    def flat(self) -> int:
        """Number of records with a lead without variation."""
        return int(np.count_nonzero(pyarrow.compute.list_value_length(self._table["flat"]).to_numpy()))

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row per record, in store order: record, patient, shard, row, gain, baseline, invalid, flat.

        gain and baseline hold twelve numbers each; invalid is the number of samples without a value, stored as 0 mV;
        flat holds the names of leads without variation.
        """
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    @classmethod
    def open(cls, path: Path) -> SignalStore:
        """Open a finished store; sizes are checked, contents are not (see `verify`).

        Raises:
            MibenchError: there is none, it is incomplete, or another version of mibench made it.
        """
        details = read_manifest(path)
        if details.get("schema") != SCHEMA:
            raise MibenchError(f"{path} was written by another version of mibench: {REBUILD}")
        try:
            table = pyarrow.parquet.ParquetFile(path / INDEX).read(use_threads=False)
            store = cls(path, details, table)
            shards = [(path / shard["file"], shard["records"]) for shard in details["shards"]]
            sizes = [file.stat().st_size for file, _ in shards]
        # pyarrow's own exceptions are OSError, ValueError and KeyError underneath.
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise MibenchError(f"{path} is not a whole signal store ({problem}): {REBUILD}") from problem
        for (file, records), size in zip(shards, sizes, strict=True):
            if size != HEADER_BYTES + records * len(LEADS) * store.samples * 2:
                raise MibenchError(f"{file} is not as long as it should be: {REBUILD}")
        if len(store) != sum(records for _, records in shards):
            raise MibenchError(f"{path / INDEX} does not list the records of the store: {REBUILD}")
        return store

    def __len__(self) -> int:
        return len(self.records)

    def __reduce__(self) -> tuple[Any, ...]:
        return (SignalStore.open, (self.path,))

    def read(self, rows: npt.ArrayLike, leads: Sequence[str] = LEADS) -> npt.NDArray[np.float32]:
        """Signals in millivolts.

        Args:
            rows: positions in the store, in any order, repeated if you like; or a mask over all records.
            leads: names, in the order wanted.

        Returns:
            (rows, leads, samples) float32.

        Raises:
            IndexError: a row that the store does not have.
            MibenchError: a lead that is not one of the twelve; a shard that was damaged.
        """
        chosen, columns = self._rows(rows), _columns(leads)
        picked = _as_slice(columns)
        out = np.empty((len(chosen), len(columns), self.samples), dtype=np.float32)
        for place, row, digital in self._each(chosen, columns, picked):
            above = digital - self._baseline[row, picked, None] if self._offset else digital
            np.divide(above, self._gain[row, picked, None], out=out[place])
        return out

    def read_digital(
        self, rows: npt.ArrayLike, leads: Sequence[str] = LEADS, out: npt.NDArray[np.int16] | None = None
    ) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Signals as they were stored, for whoever divides elsewhere: `(digital - baseline) / gain` is in millivolts.

        Args:
            rows, leads: as in `read`.
            out: (rows, leads, samples) int16 to read into, such as pinned memory.

        Returns:
            The samples (rows, leads, samples) int16, gain and baseline (rows, leads) float32.

        Raises:
            IndexError, MibenchError: as `read`.
            ValueError: an `out` of another shape or type.
        """
        chosen, columns = self._rows(rows), _columns(leads)
        shape = (len(chosen), len(columns), self.samples)
        if out is None:
            out = np.empty(shape, dtype=np.int16)
        if out.shape != shape or out.dtype != np.int16:
            raise ValueError(f"`out` must be int16 of shape {shape}, not {out.dtype} of shape {out.shape}")
        for place, _, digital in self._each(chosen, columns, _as_slice(columns)):
            out[place] = digital
        return out, self._gain[chosen[:, None], columns], self._baseline[chosen[:, None], columns]

    def _each(
        self, chosen: npt.NDArray[np.int64], columns: list[int], picked: slice | list[int]
    ) -> Iterator[tuple[int, int, npt.NDArray[np.int16]]]:
        """Position in `chosen`, row of the store, and its samples (leads, samples): shard by shard."""
        scattered = len(set(columns)) < len(LEADS)
        shards = self._shard[chosen]
        for number in np.unique(shards).tolist():
            places = np.flatnonzero(shards == number)
            # In the order of the file, which is kinder to a store that is not in memory.
            places = places[np.argsort(self._row[chosen[places]], kind="stable")]
            mapped = self._mapped(number, scattered=scattered)
            rows = self._row[chosen[places]].tolist()
            if scattered and columns:
                for first, last in _runs(columns):
                    for row in rows:
                        mapped.will_need(row, first, last)
            samples = mapped.samples
            for place, row, inside in zip(places.tolist(), chosen[places].tolist(), rows, strict=True):
                yield place, row, samples[inside, picked]

    def verify(self, progress: Callable[[int], None] = lambda _done: None) -> None:
        """Read everything and compare it with the hashes made when the store was built.

        Args:
            progress: called with the number of records compared so far.

        Raises:
            MibenchError: a shard, the index or the manifest was damaged since.
        """
        done = 0
        for shard in self.details["shards"]:
            file = self.path / shard["file"]
            try:
                intact = sha256_file(file) == shard["sha256"]
            except OSError as problem:
                raise MibenchError(f"{file} cannot be read ({problem}): {REBUILD}") from problem
            if not intact:
                raise MibenchError(f"{file} was damaged since the store was built: {REBUILD}")
            done += int(shard["records"])
            progress(done)
        shape = Shape(self.sampling_rate, self.samples)
        if content_hash(self._table, self.details["shards"], shape) != self.manifest:
            raise MibenchError(f"{self.path / INDEX} was damaged since the store was built: {REBUILD}")

    def _rows(self, rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
        chosen = np.asarray(rows)
        if chosen.dtype == np.bool_:
            if chosen.shape != (len(self),):
                raise IndexError(f"a mask over {len(self)} records cannot have shape {chosen.shape}")
            return np.flatnonzero(chosen)
        chosen = np.atleast_1d(chosen.astype(np.int64, casting="same_kind" if chosen.size else "unsafe"))
        if chosen.ndim != 1 or (chosen.size and (chosen.min() < 0 or chosen.max() >= len(self))):
            raise IndexError(f"rows of this store are 0 to {len(self) - 1}")
        return chosen

    def _mapped(self, number: int, *, scattered: bool) -> Mapped:
        """One shard, mapped on first use."""
        file = self.path / shard_name(number)
        try:
            return self._maps.get(file, (self._sizes[number], len(LEADS), self.samples), scattered=scattered)
        except (OSError, ValueError) as problem:
            raise MibenchError(f"{file} cannot be read ({problem}): {REBUILD}") from problem
        except MibenchError as problem:
            raise MibenchError(f"{problem}: {REBUILD}") from None


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the store in `path`.

    Raises:
        MibenchError: there is no finished store.
    """
    try:
        details = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MibenchError(f"{path} holds no finished signal store: {REBUILD}") from None
    except (OSError, ValueError) as problem:
        raise MibenchError(f"{path} is not a whole signal store ({problem}): {REBUILD}") from problem
    if not isinstance(details, dict) or details.get("kind") != KIND:
        raise MibenchError(f"{path} holds no signal store: {REBUILD}")
    return details


def content_hash(index: pyarrow.Table, shards: Sequence[Mapping[str, Any]], shape: Shape) -> str:
    """sha256 over what the records are, and nothing of where, when, from which files or by how many they were read."""
    return sha256_json(
        {
            "kind": KIND,
            "sampling_rate": float(shape.sampling_rate),
            "samples": shape.samples,
            "leads": list(LEADS),
            "records": index["record"].to_pylist(),
            "patients": index["patient"].to_pylist(),
            "gain": _digest(index, "gain", "<f8"),
            "baseline": _digest(index, "baseline", "<i4"),
            "shards": [[shard["records"], shard["sha256"]] for shard in shards],
        }
    )


def _digest(index: pyarrow.Table, column: str, dtype: str) -> str:
    return hashlib.sha256(_twelve(index, column).astype(dtype).tobytes()).hexdigest()


def _twelve(table: pyarrow.Table, column: str) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(table), len(LEADS))


def _text(column: pyarrow.ChunkedArray) -> npt.NDArray[np.str_]:
    return np.array(column.to_pylist(), dtype=np.str_)


def _columns(leads: Sequence[str]) -> list[int]:
    unknown = [lead for lead in leads if lead not in LEADS]
    if unknown:
        raise MibenchError(f"unknown lead {', '.join(unknown)}: choose out of {', '.join(LEADS)}")
    return [LEADS.index(lead) for lead in leads]


def _runs(columns: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbouring leads."""
    ordered = sorted(set(columns))
    ends = [a for a, b in pairwise(ordered) if b != a + 1] + ordered[-1:]
    starts = ordered[:1] + [b for a, b in pairwise(ordered) if b != a + 1]
    yield from zip(starts, ends, strict=True)


def _as_slice(columns: list[int]) -> slice | list[int]:
    """Neighbouring leads as a slice, which is read without a copy."""
    if columns and columns == list(range(columns[0], columns[0] + len(columns))):
        return slice(columns[0], columns[0] + len(columns))
    return columns
