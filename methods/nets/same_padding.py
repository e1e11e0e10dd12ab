"""TensorFlow's "same" padding, which no padding of torch equals: with a stride it is larger on the right.

The figures that hold this are those of TensorFlow itself, for odd and even lengths, kernels and strides.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def same_pad(signal: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Pad for a convolution without padding of its own, so that it gives ceil(length / stride) along each axis.

    Args:
        signal: (batch, channels, *lengths).
        kernel, stride: of the convolution, one entry for each length.
    """
    pads: list[int] = []
    for length, size, step in zip(reversed(signal.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-length // step) - 1) * step + size - length, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(signal, pads) if any(pads) else signal


def same_crop(signal: Tensor, lengths: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Bring what a transposed convolution without padding gave to length * stride along each axis.

    Args:
        signal: (batch, channels, *longer lengths).
        lengths: of what went into the transposed convolution.
        kernel, stride: of the convolution, one entry for each length.
    """
    for axis, (length, size, step) in enumerate(zip(lengths, kernel, stride, strict=True), start=2):
        short = max(step - size, 0)  # what no kernel reaches behind the last sample is silent
        signal = functional.pad(signal, [0, 0] * (signal.ndim - 1 - axis) + [0, short]) if short else signal
        signal = signal.narrow(axis, max(size - step, 0) // 2, length * step)
    return signal
