"""EKGAN's published weights: HDF5 as Keras writes it with `save_weights`, read without TensorFlow.

Keras numbers the layers of a kind in the order of their creation, which in this network is their order from input to
output: `conv2d`, `conv2d_1`, ... A process that had built other networks before goes on counting, so the order of the
numbers says which layer it is, and the numbers themselves say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from .errors import MibenchError

WHAT = "a weights file of EKGAN's inference generator, such as inference_generator10.h5"
LAYERS: Mapping[str, tuple[str, ...]] = {
    "conv2d": tuple(f"enc{level}.conv" for level in range(1, 6)),
    "conv2d_transpose": tuple(f"dec{level}.tconv" for level in range(1, 6)),
    "batch_normalization": (
        *(f"enc{level}.norm" for level in range(2, 6)),
        *(f"dec{level}.norm" for level in range(1, 5)),
    ),
}
"""The layers of each of Keras' kinds, in the order of their numbers."""
VARIABLES: Mapping[str, Mapping[str, str]] = {
    "conv2d": {"kernel": "weight"},
    "conv2d_transpose": {"kernel": "weight"},
    "batch_normalization": {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    },
}
TENSORS = sum(len(LAYERS[kind]) * len(VARIABLES[kind]) for kind in LAYERS)


def read_ekgan_h5(path: Path) -> dict[str, Tensor]:
    """The 42 tensors of an inference generator, named and laid out as the network of `mibench.methods` has them.

    Args:
        path: what Keras 2 wrote with `save_weights(".h5")`, or with `save`, whose optimiser is left out.

    Returns:
        float32 tensors such as `enc1.conv.weight` (out, in, height, width), `dec1.tconv.weight` (in, out, height,
        width), `enc2.norm.running_mean` (channels).

    Raises:
        MibenchError: the file is absent, no HDF5, cut short, or holds other layers.
    """
    if not path.is_file():
        raise MibenchError(f"there is no weights file {path}")
    try:
        with h5py.File(path, "r") as file:
            variables = _read_variables(file.get("model_weights", file), path)
    except (OSError, KeyError, RuntimeError) as problem:
        raise MibenchError(f"{path} is cut short or no HDF5 file ({problem}): copy or download it again") from problem
    layers = _in_order(variables)
    _refuse_other_networks(layers, path)
    state = {}
    for kind, names in LAYERS.items():
        for name, layer in zip(names, layers[kind], strict=True):
            for theirs, ours in VARIABLES[kind].items():
                state[f"{name}.{ours}"] = _to_torch(layer[theirs], f"{name}.{ours}", path)
    return state


def _read_variables(group: Any, path: Path) -> dict[tuple[str, str], Any]:
    """Arrays by layer and variable, such as ("conv2d_1", "kernel"), at whatever depth the model holds the layer."""
    found: dict[tuple[str, str], Any] = {}

    def visit(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and "/" in name:
            layer, variable = name.split("/")[-2:]
            found[layer, variable.partition(":")[0]] = entry

    group.visititems(visit)
    # Keras does not compress: what claims to be bigger than its file was not written, and would fill the memory.
    if sum(entry.nbytes for entry in found.values()) > path.stat().st_size:
        raise MibenchError(f"{path} is damaged: its arrays are bigger than the file; copy or download it again")
    return {key: entry[()] for key, entry in found.items()}


def _in_order(variables: Mapping[tuple[str, str], Any]) -> dict[str, list[dict[str, Any]]]:
    """The layers of each kind by their numbers, each with its arrays by variable."""
    layers: dict[str, dict[int, dict[str, Any]]] = {}
    for (layer, variable), array in variables.items():
        matched = re.fullmatch(r"(.+?)(?:_(\d+))?", layer)
        if matched:
            kind, number = matched[1], int(matched[2] or 0)
            layers.setdefault(kind, {}).setdefault(number, {})[variable] = array
    return {kind: [numbered[number] for number in sorted(numbered)] for kind, numbered in layers.items()}


def _refuse_other_networks(layers: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    tensors = sum(len(layer) for kind in layers.values() for layer in kind)
    whole = layers.keys() == LAYERS.keys() and all(
        len(layers[kind]) == len(LAYERS[kind]) and all(layer.keys() == VARIABLES[kind].keys() for layer in layers[kind])
        for kind in LAYERS
    )
    if not whole:
        found = ", ".join(f"{len(layers[kind])} {kind}" for kind in sorted(layers)) or "no layers"
        wanted = ", ".join(f"{len(LAYERS[kind])} {kind}" for kind in sorted(LAYERS))
        raise MibenchError(
            f"{path} holds {found}, {tensors} tensors in all, and EKGAN's inference generator has {wanted}, {TENSORS} "
            f"tensors: give {WHAT}"
        )


def _to_torch(array: Any, name: str, path: Path) -> Tensor:
    """(height, width, in, out) -> (out, in, height, width); a transposed one has out before in, on both sides."""
    dimensions = 4 if name.endswith("conv.weight") else 1
    if array.dtype.kind != "f" or array.ndim != dimensions:
        shape = "x".join(map(str, array.shape)) or "a single number"
        raise MibenchError(
            f"{path} holds {array.dtype} {shape} for {name}, where {dimensions} dimensions of real numbers belong: "
            f"give {WHAT}"
        )
    ready = array.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(ready.transpose(3, 2, 0, 1) if dimensions == 4 else ready))
