"""What `torch.save` wrote, read without running any code of it."""

from __future__ import annotations

import argparse
import contextlib
import functools
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from .errors import MibenchError

PART_OF_ANY_WEIGHTS = re.compile(r"torch\.(\w+|_utils\.\w+|storage\.\w+)|collections\.\w+|_codecs\.encode")
SHOWN = 3


class NamesCodeError(MibenchError):
    """A file that would run code, or build what is neither a tensor nor a plain value."""


def read_torch(path: Path) -> Any:
    """The content of a file of `torch.save`, with nothing but tensors, numbers, texts and containers in it.

    Raises:
        NamesCodeError: the file names code that would have to run.
        MibenchError: the file is cut short, or no torch file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _load(path)
    except MemoryError:
        raise
    # Everything else: foreign bytes make the restricted unpickler fail in every way there is.
    except Exception as problem:
        raise _why_unreadable(path) from problem


def _load(path: Path) -> Any:
    mapped = _is_mappable(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        with torch.serialization.safe_globals(list(_harmless().values())):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _is_mappable(path: Path) -> bool:
    """Whether tensors can stay on disk until used: two thirds of a training checkpoint are its optimiser's."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        # Of a compressed entry, the map would show the compressed bytes as numbers.
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def _harmless() -> dict[str, Callable[..., Any]]:
    """What published training scripts leave beside the weights, by its name in the file.

    Numbers and arrays of numpy, whose core has moved so that files of both ages name it differently, and an argparse
    namespace.
    """
    kinds = ("Float64", "Float32", "Int64", "Int32", "Bool")
    known: list[Any] = [argparse.Namespace, np.dtype, np.ndarray]
    known += [getattr(np.dtypes, f"{kind}DType") for kind in kinds]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        known += [_numpy_scalar(module), _numpy_array(module)]
    return {f"{entry.__module__}.{entry.__qualname__}": entry for entry in known}


def _numpy_scalar(module: str) -> Callable[..., Any]:
    original: Any = np.float64(0).__reduce__()[0]

    @functools.wraps(original)
    def scalar(*args: Any) -> Any:
        return original(*args)

    scalar.__module__, scalar.__qualname__ = module, "scalar"
    return scalar


def _numpy_array(module: str) -> Callable[..., Any]:
    """What begins an array in a pickle: always an empty one, which its own bytes then fill."""

    def _reconstruct(kind: Any, shape: Any, _code: Any) -> Any:
        if kind is not np.ndarray or shape != (0,):
            raise pickle.UnpicklingError(f"an array of numpy begins with shape (0,); got {shape!r}")
        return np.empty(0)

    _reconstruct.__module__, _reconstruct.__qualname__ = module, "_reconstruct"
    return _reconstruct


def _why_unreadable(path: Path) -> MibenchError:
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    if zipped and not zipfile.is_zipfile(path):
        return MibenchError(
            f"{path} is cut short: it begins like a torch file and its end is missing; copy or download it again"
        )
    harmless = _harmless()
    refused = [name for name in _named_globals(path) if name not in harmless]
    refused = [name for name in refused if not PART_OF_ANY_WEIGHTS.fullmatch(name)]
    if refused:
        return NamesCodeError(
            f"{path} is not plain weights: reading it would run {', '.join(refused[:SHOWN])}, so it was refused and "
            f"nothing of it was run; `mibench weights convert METHOD {path} OUT.safetensors` takes the tensors out "
            f"without running anything, or ask for a file that holds the state_dict() alone, best as .safetensors"
        )
    return MibenchError(
        f"{path} is damaged or no weights file: a .safetensors file, or what torch.save writes of a state_dict(), "
        f"is expected"
    )


def _named_globals(path: Path) -> list[str]:
    """Names that the pickles of a file would import, found by reading their opcodes and running none."""
    names: list[str] = []
    # Foreign bytes end the walk where they are met.
    with contextlib.suppress(Exception):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in (name for name in archive.namelist() if name.endswith("data.pkl")):
                    with archive.open(entry) as member:
                        _collect_globals(member, names)
        else:
            with path.open("rb") as file:
                # The older torch format is several pickles in a row.
                while True:
                    _collect_globals(file, names)
    return list(dict.fromkeys(names))


def _collect_globals(file: IO[bytes], names: list[str]) -> None:
    recent = ("", "")
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            names.append(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            names.append(".".join(recent))
        elif isinstance(argument, str):
            recent = (recent[1], argument)
