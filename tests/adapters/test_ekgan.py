"""EKGAN's published files through the adapter: from what Keras wrote to twelve leads."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from image_figures import GOLDEN, assert_golden, filled, golden_leads

from mibench.adapters.ekgan import EKGANAdapter, EKGANOptions
from mibench.adapters.errors import MibenchError
from mibench.methods.nets.ecg_image import ImageConfig, UNet, make_generator

CPU = torch.device("cpu")
KERAS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def write_as_keras(path: Path, net: UNet) -> Path:
    """As `save_weights` does: a group for each layer, numbered by kind in the order of the network."""
    numbers: dict[str, list[str]] = {"conv2d": [], "conv2d_transpose": [], "batch_normalization": []}
    kinds = {"conv": "conv2d", "tconv": "conv2d_transpose", "norm": "batch_normalization"}
    with h5py.File(path, "w") as file:
        for name, tensor in net.state_dict().items():
            layer, _, variable = name.rpartition(".")
            kind = kinds[layer.rpartition(".")[2]]
            if layer not in numbers[kind]:
                numbers[kind].append(layer)
            number = numbers[kind].index(layer)
            group = f"{kind}_{number}" if number else kind
            array = tensor.numpy()
            array, theirs = (array.transpose(2, 3, 1, 0), "kernel") if array.ndim == 4 else (array, KERAS[variable])
            file[f"{group}/{group}/{theirs}:0"] = np.ascontiguousarray(array)
    return path


def test_a_keras_file_gives_the_figures_of_the_published_program(tmp_path: Path) -> None:
    net = filled(lambda: make_generator(ImageConfig()), "ekgan_inference_generator")
    file = write_as_keras(tmp_path / "inference_generator10.h5", net)
    adapter = EKGANAdapter()
    report = adapter.load(file, CPU)
    assert (report.loaded, report.dropped) == (42, ())
    leads = golden_leads()[:, :1]
    assert adapter.net is not None
    image = torch.zeros(2, 1, 16, 512)
    image[:, 0, 2:14] = leads
    with torch.inference_mode():
        made = adapter.net(image)
    golden = GOLDEN["networks"]["ekgan_inference_generator"]["lead_image"]["image"]
    assert_golden(made, golden, "image")
    assert torch.equal(adapter.synthesize(leads), made[:, 0, 2:14])


def test_a_keras_file_of_another_width_says_what_to_set(tmp_path: Path) -> None:
    file = write_as_keras(tmp_path / "narrow.h5", make_generator(ImageConfig(width=2)))
    with pytest.raises(MibenchError, match=r"for width 2, and this network has 64: add --set method\.net\.width=2"):
        EKGANAdapter().load(file, CPU)
    adapter = EKGANAdapter(EKGANOptions(net=ImageConfig(width=2)))
    assert adapter.load(file, CPU).loaded == 42


def test_a_damaged_keras_file_is_one_sentence(tmp_path: Path) -> None:
    whole = write_as_keras(tmp_path / "whole.h5", make_generator(ImageConfig(width=2))).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MibenchError, match=r"cut\.h5"):
        EKGANAdapter(EKGANOptions(net=ImageConfig(width=2))).load(tmp_path / "cut.h5", CPU)
