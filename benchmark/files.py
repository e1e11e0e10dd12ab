"""Files that are either whole or not there, and the hashes that identify them."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.atomic import atomic_path

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = [
    "atomic_path",
    "read_arrays",
    "safe_name",
    "sha256_file",
    "sha256_json",
    "write_array",
    "write_arrays",
    "write_json",
    "write_text",
]


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN is refused because no other program reads it."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name to one `.npz`, atomically."""
    import numpy as np

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def write_array(path: Path, shape: tuple[int, ...], kind: DTypeLike, pieces: Iterable[NDArray[Any]]) -> None:
    """Write one array to a `.npy`, atomically, piece by piece along its first axis: memory holds one piece.

    Bytes are written plainly, not through a map: a disk that is full then raises OSError and says so.
    """
    import numpy as np

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece).data)


def read_arrays(path: Path, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]] | None:
    """What `write_arrays` wrote, or the arrays of some names; None when that is absent or damaged.

    For caches: what is not there is simply made again.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in (kept.files if names is None else names)}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def safe_name(name: str) -> str:
    """A name that every file system takes, different for different names: a plug-in may be called anything."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")[:60]
    return safe if safe and safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Hex digest of a JSON-able value, the same for the same content whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
