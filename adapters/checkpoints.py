"""Weights files: read, compared name by name with a network, and written whole or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .atomic import atomic_path
from .base import LoadReport
from .errors import MibenchError
from .torchfile import read_torch

CONTAINERS = ("state_dict", "model", "model_state_dict")
WRAPPERS = ("module.", "_orig_mod.")
METADATA = "mibench"
SHOWN = 3


def read_weights(path: Path) -> tuple[dict[str, Tensor], LoadReport]:
    """The tensors of a weights file by name, on the CPU, and the names of what else the file held.

    Raises:
        MibenchError: as `read_container`.
    """
    tensors, report, _ = read_container(path)
    return tensors, report


def read_container(path: Path) -> tuple[dict[str, Tensor], LoadReport, dict[str, Any]]:
    """The tensors of a weights file by name, on the CPU, the names of what else it held, and that itself.

    Takes `.safetensors`, and what `torch.save` writes: a bare state dict, or one under `state_dict`, `model` or
    `model_state_dict` beside other things, such as the configuration of the training: these come as the third value,
    plain numbers, texts, tensors and containers of them. The prefixes of DDP and `torch.compile` go.

    Raises:
        MibenchError: the file is absent, empty, cut short, no weights file, without tensors, or wants to run code.
    """
    _refuse_unreadable(path)
    content = _read_safetensors(path) if _is_safetensors(path) else read_torch(path)
    state, beside = _unwrap(content)
    tensors = {str(name): value.detach() for name, value in state.items() if isinstance(value, Tensor)}
    dropped = [*beside, *(str(name) for name, value in state.items() if not isinstance(value, Tensor))]
    if not tensors:
        raise MibenchError(f"{path} holds no tensors: it is not a weights file")
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors, LoadReport(loaded=len(tensors), dropped=tuple(dropped)), beside


def load_into(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: Path,
    ignore_extra: Sequence[str] = (),
    allow_missing: Sequence[str] = (),
    expected: str = "",
) -> LoadReport:
    """Copy tensors into a network, and accept nothing that was not said to be acceptable.

    Args:
        module: the network; untouched when an error is raised.
        state: tensors by name, as `read_weights` gives them.
        source: where they come from, for the error.
        ignore_extra: prefixes of names to leave out, such as "dense.".
        allow_missing: prefixes of names in the network that the file need not hold.
        expected: what file is wanted, for the error: "the one-lead ECGFounder file".

    Raises:
        MibenchError: names or shapes differ, or a weight is NaN or infinite.
    """
    wanted = module.state_dict()
    dropped = [name for name in state if name.startswith(tuple(ignore_extra))]
    given = {name: tensor for name, tensor in state.items() if name not in dropped}
    missing = [name for name in wanted if name not in given and not name.startswith(tuple(allow_missing))]
    foreign = [name for name in given if name not in wanted]
    shapes = [
        f"{name} as {_shape(given[name])} in place of {_shape(tensor)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    lists = (("lacks", missing), ("has the unknown", foreign), ("has", shapes))
    faults = [f"{verb} {_some(names)}" for verb, names in lists if names]
    if faults:
        remedy = f"; expected is {expected}" if expected else ""
        raise MibenchError(f"{source} does not fit the network: it {', '.join(faults)}{remedy}")
    for name, tensor in given.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise MibenchError(f"{source} is damaged: {name} holds NaN or infinite values; get the file again")
    module.load_state_dict({**wanted, **given})
    return LoadReport(loaded=len(given), dropped=tuple(dropped))


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors to a `.safetensors` file that is either whole or absent.

    Args:
        path: the file; what was there is replaced.
        state: tensors by name.
        metadata: JSON-able; `read_metadata` gives it back.

    Raises:
        MibenchError: the disk is full or the folder cannot be written.
    """
    # Copies, because safetensors refuses tensors that share memory; one metadata entry, because it writes several in
    # random order and the same weights must give the same bytes.
    ready = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state.items()}
    text = {METADATA: json.dumps(metadata, sort_keys=True, allow_nan=False)}
    try:
        with atomic_path(path) as temporary:
            safetensors.torch.save_file(ready, temporary, metadata=text)
    except (OSError, safetensors.SafetensorError) as problem:
        raise MibenchError(f"{path} cannot be written: {_first_line(problem)}") from problem


def read_metadata(path: Path) -> dict[str, Any]:
    """What `save_weights` was given beside the tensors; empty for a file that it did not write.

    Raises:
        MibenchError: the file is absent, empty or cut short.
    """
    _refuse_unreadable(path)
    if not _is_safetensors(path):
        return {}
    with _naming_faults(path), safetensors.safe_open(path, framework="pt") as file:
        return dict(json.loads((file.metadata() or {}).get(METADATA, "{}")))


def _refuse_unreadable(path: Path) -> None:
    if not path.is_file():
        raise MibenchError(f"there is no weights file {path}")
    try:
        with path.open("rb") as file:
            start = file.read(1)
    except OSError as problem:
        raise MibenchError(f"{path} cannot be read: {problem.strerror}") from problem
    if not start:
        raise MibenchError(f"{path} is empty: copy or download the weights again")


def _is_safetensors(path: Path) -> bool:
    """By name, or by what the format begins with: the length of a JSON header, then the header."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with _naming_faults(path):
        return safetensors.torch.load_file(path, device="cpu")


@contextlib.contextmanager
def _naming_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (safetensors.SafetensorError, OSError, ValueError) as problem:
        raise MibenchError(
            f"{path} is cut short or no safetensors file ({_first_line(problem)}): copy or download it again"
        ) from problem


def _unwrap(content: Any) -> tuple[Mapping[Any, Any], dict[str, Any]]:
    """The state dict inside a container, and everything else in it."""
    if not isinstance(content, Mapping):
        return {}, {}
    for key in CONTAINERS:
        inner = content.get(key)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor) for value in inner.values()):
            return inner, {str(name): value for name, value in content.items() if name != key}
    return content, {}


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _first_line(problem: BaseException) -> str:
    return str(problem).partition("\n")[0]
