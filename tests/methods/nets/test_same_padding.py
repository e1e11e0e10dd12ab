"""The padding of TensorFlow against its own figures, through convolutions of torch that pad nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mibench.methods.nets.same_padding import same_crop, same_pad

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "same_padding.json").read_text())
STRIDED, TRANSPOSED = GOLDEN["strided_same_conv"], GOLDEN["transposed_same_conv"]
CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED_CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}


def _ramp(shape: list[int]) -> Tensor:
    return torch.arange(1.0, math.prod(shape) + 1).view(1, 1, *shape)


def _convolution(rule: dict[str, Any], kinds: dict[int, type[nn.Module]]) -> nn.Module:
    kernel = tuple(rule["kernel"])
    convolution = kinds[len(kernel)](1, 1, kernel, tuple(rule["stride"]), bias=False)
    powers = 2.0 ** torch.arange(math.prod(kernel))
    convolution.load_state_dict({"weight": powers.view(1, 1, *kernel)})
    return convolution.requires_grad_(False)


def _name(rule: dict[str, Any]) -> str:
    return f"{rule['kernel']}-{rule['stride']}-{rule['input_shape']}"


@pytest.mark.parametrize("rule", STRIDED, ids=_name)
def test_strided_convolutions_are_those_of_tensorflow(rule: dict[str, Any]) -> None:
    signal = _ramp(rule["input_shape"])
    padded = same_pad(signal, rule["kernel"], rule["stride"])
    widths = [sum(pad) for pad in rule["pad"]]
    assert [after - before for before, after in zip(signal.shape[2:], padded.shape[2:], strict=True)] == widths
    output = _convolution(rule, CONVOLUTIONS)(padded)
    assert list(output.shape[2:]) == rule["output_shape"]
    assert output.flatten().tolist() == rule["output"]


@pytest.mark.parametrize("rule", TRANSPOSED, ids=_name)
def test_transposed_convolutions_are_those_of_tensorflow(rule: dict[str, Any]) -> None:
    signal = _ramp(rule["input_shape"])
    output = _convolution(rule, TRANSPOSED_CONVOLUTIONS)(signal)
    cropped = same_crop(output, signal.shape[2:], rule["kernel"], rule["stride"])
    assert list(cropped.shape[2:]) == rule["output_shape"]
    assert cropped.flatten().tolist() == rule["output"]


@given(length=st.integers(1, 40), kernel=st.integers(1, 13), stride=st.integers(1, 4))
def test_every_length_becomes_its_share_rounded_up(length: int, kernel: int, stride: int) -> None:
    signal = torch.ones(1, 1, length)
    output = nn.functional.conv1d(same_pad(signal, (kernel,), (stride,)), torch.ones(1, 1, kernel), stride=stride)
    assert output.shape[-1] == -(-length // stride)
    assert same_pad(signal, (1,), (1,)) is signal
