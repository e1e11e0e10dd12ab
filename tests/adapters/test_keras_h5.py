"""EKGAN's weights as Keras writes them: which layer is which, which way round, and what is no such file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from mibench.adapters.errors import MibenchError
from mibench.adapters.keras_h5 import read_ekgan_h5

Array = npt.NDArray[np.float32]
WIDTHS = (2, 3, 4, 5, 6)
"""Channels of the five levels: small, and none like another, so that nothing fits where it does not belong."""
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def test_every_layer_finds_its_place_and_its_way_round(tmp_path: Path) -> None:
    state = _state()
    path = _write(tmp_path / "weights.h5", state)
    read = read_ekgan_h5(path)
    assert len(read) == 42
    assert read.keys() == state.keys()
    for name, array in state.items():
        assert read[name].numpy() == pytest.approx(array, abs=0), name


def test_the_order_of_numbers_counts_and_not_the_numbers(tmp_path: Path) -> None:
    """As after other models in one process: conv2d_7 to conv2d_11, where the alphabet has 10 before 7."""
    state = _state()
    read = read_ekgan_h5(_write(tmp_path / "weights.h5", state, first=7))
    assert all(read[name].numpy() == pytest.approx(array, abs=0) for name, array in state.items())


def test_layers_in_blocks_and_a_whole_model_are_read_too(tmp_path: Path) -> None:
    state = _state()
    nested = read_ekgan_h5(_write(tmp_path / "nested.h5", state, inside="sequential_3/"))
    assert all(nested[name].numpy() == pytest.approx(array, abs=0) for name, array in state.items())
    whole = _write(tmp_path / "whole.h5", state, root="model_weights")
    with h5py.File(whole, "a") as file:
        file["optimizer_weights/Adam/conv2d/kernel/m:0"] = np.ones(3, np.float32)
    assert read_ekgan_h5(whole).keys() == state.keys()


def test_half_and_double_precision_become_single(tmp_path: Path) -> None:
    state = {name: array.astype(np.float64) for name, array in _state().items()}
    read = read_ekgan_h5(_write(tmp_path / "weights.h5", state))
    assert {str(tensor.dtype) for tensor in read.values()} == {"torch.float32"}


def test_other_networks_are_told_by_what_they_hold(tmp_path: Path) -> None:
    state = {name: array for name, array in _state().items() if not name.startswith("dec5")}
    path = _write(tmp_path / "weights.h5", state)
    told = r"holds 8 batch_normalization, 5 conv2d, 4 conv2d_transpose, 41 tensors in all, .* 5 conv2d_transpose, 42"
    with pytest.raises(MibenchError, match=told):
        read_ekgan_h5(path)
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(MibenchError, match=r"empty\.h5 holds no layers, 0 tensors in all"):
        read_ekgan_h5(tmp_path / "empty.h5")


def test_a_layer_of_another_make_is_refused(tmp_path: Path) -> None:
    state = {name: array for name, array in _state().items() if name != "enc3.norm.running_var"}
    with pytest.raises(MibenchError, match=r"41 tensors in all"):
        read_ekgan_h5(_write(tmp_path / "missing.h5", state))
    flat = _state() | {"enc2.norm.bias": np.ones((2, 3), np.float32)}
    with pytest.raises(MibenchError, match=r"float32 2x3 for enc2\.norm\.bias, where 1 dimensions of real numbers"):
        read_ekgan_h5(_write(tmp_path / "flat.h5", flat))
    whole = _state() | {"enc2.norm.bias": np.ones(3, np.int64)}
    with pytest.raises(MibenchError, match=r"int64 3 for enc2\.norm\.bias"):
        read_ekgan_h5(_write(tmp_path / "whole.h5", whole))


def test_what_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match=r"there is no weights file .*absent\.h5"):
        read_ekgan_h5(tmp_path / "absent.h5")
    text = tmp_path / "text.h5"
    text.write_text("weights")
    with pytest.raises(MibenchError, match=r"text\.h5 is cut short or no HDF5 file"):
        read_ekgan_h5(text)
    path = _write(tmp_path / "weights.h5", _state())
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(MibenchError, match=r"weights\.h5 is cut short or no HDF5 file .*: copy or download it again"):
        read_ekgan_h5(path)


def test_an_array_that_claims_to_be_bigger_than_its_file_never_fills_the_memory(tmp_path: Path) -> None:
    path = _write(tmp_path / "weights.h5", _state())
    with h5py.File(path, "a") as file:
        del file["conv2d/conv2d/kernel:0"]
        file.create_dataset("conv2d/conv2d/kernel:0", (1 << 20, 1 << 20, 1, 1), "float32", chunks=(64, 64, 1, 1))
    with pytest.raises(MibenchError, match="its arrays are bigger than the file"):
        read_ekgan_h5(path)


def _state() -> dict[str, Array]:
    """Tensors as the network has them, each filled with numbers of its own."""
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {}
    for level, (before, after) in enumerate(zip((1, *WIDTHS), WIDTHS, strict=False), start=1):
        shapes[f"enc{level}.conv.weight"] = (after, before, 2, 4)
    for level, (before, after) in enumerate([(6, 5), (10, 4), (8, 3), (6, 2), (4, 1)], start=1):
        shapes[f"dec{level}.tconv.weight"] = (before, after, 2, 4)
    widths = {"enc2": 3, "enc3": 4, "enc4": 5, "enc5": 6, "dec1": 5, "dec2": 4, "dec3": 3, "dec4": 2}
    shapes |= {f"{block}.norm.{kind}": (width,) for block, width in widths.items() for kind in NORM}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def _keras(state: Mapping[str, Any], first: int) -> Iterator[tuple[str, str, Any]]:
    """Layer, variable and array in Keras' own layout, in the order in which Keras makes the layers."""
    counts: dict[str, int] = {}
    numbers: dict[str, str] = {}
    order = [f"enc{level}" for level in range(1, 6)] + [f"dec{level}" for level in range(1, 6)]
    for name in sorted(state, key=lambda name: order.index(name.split(".")[0])):
        layer, _, kind = name.rpartition(".")
        made = {"conv": "conv2d", "tconv": "conv2d_transpose", "norm": "batch_normalization"}[layer.split(".")[1]]
        if layer not in numbers:
            number = counts.setdefault(made, first)
            counts[made] += 1
            numbers[layer] = f"{made}_{number}" if number else made
        # (out, in, height, width) -> (height, width, in, out), and (in, out, ...) -> (height, width, out, in).
        array = state[name].transpose(2, 3, 1, 0) if state[name].ndim == 4 else state[name]
        yield numbers[layer], "kernel" if made != "batch_normalization" else NORM[kind], array


def _write(path: Path, state: Mapping[str, Any], *, first: int = 0, inside: str = "", root: str = "/") -> Path:
    with h5py.File(path, "w") as file:
        group = file.require_group(root)
        names: dict[str, list[str]] = {}
        for layer, variable, array in _keras(state, first):
            group[f"{inside or layer + '/'}{layer}/{variable}:0"] = array
            names.setdefault(layer, []).append(f"{layer}/{variable}:0")
        group.attrs["layer_names"] = [name.encode() for name in names]
        group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", b"2.8.0"
        for layer, variables in names.items():
            group.require_group(layer).attrs["weight_names"] = [name.encode() for name in variables]
    return path
