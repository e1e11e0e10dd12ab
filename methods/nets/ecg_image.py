"""Twelve leads as an image of 16 rows, and the U-Net that turns such images into each other (EKGAN, Pix2Pix, CycleGAN).

The leads are rows 2 to 13, the rows around them silent; lead I alone is an image with lead I in all twelve. Whatever
pads or normalises does so as Keras does, since this is where the published weights come from.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .same_padding import same_crop, same_pad

LEADS = 12
MARGIN = 2
ROWS = LEADS + 2 * MARGIN
SLOPE = 0.3
EPS = 1e-3
MOMENTUM = 0.01
SPREAD = 0.02
GROWTH = (1, 2, 4, 8, 16)
"""Widths of the five levels, in units of the first."""
MULTIPLE = 256
"""What a strip must be a multiple of, so that the levels of every network here fit together again."""

Norm = Literal["batch", "instance"]
Size = tuple[int, int]
"""(height, width)."""


@dataclass(frozen=True)
class ImageConfig:
    """Size of the networks.

    Attributes:
        samples: length of a strip, a multiple of 256.
        width: channels of the generators' first level; the others, and those of the discriminators, follow from it.
    """

    samples: int = 512
    width: int = 64

    def __post_init__(self) -> None:
        if self.samples < 1 or self.samples % MULTIPLE:
            raise ValueError(f"samples must be a multiple of {MULTIPLE}; got {self.samples}")
        if self.width < 2:
            raise ValueError(f"width must be at least 2; got {self.width}")


def to_image(leads: Tensor) -> Tensor:
    """One lead in all twelve rows, or twelve leads in theirs: (batch, 1 or 12, time) -> (batch, 1, 16, time)."""
    return functional.pad(leads.expand(-1, LEADS, -1), (0, 0, MARGIN, MARGIN)).unsqueeze(1)


def to_leads(image: Tensor) -> Tensor:
    """(batch, 1, 16, time) -> (batch, 12, time): the rows of the leads."""
    return image[:, 0, MARGIN:-MARGIN]


class BatchNorm(nn.Module):
    """Batch normalisation with Keras' constants, and no count of batches, which Keras does not keep either.

    Weights that come from Keras therefore fill it exactly; torch's own would miss `num_batches_tracked` in them.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, image: Tensor) -> Tensor:
        """(batch, channels, height, width), the same shape out."""
        return functional.batch_norm(
            image, self.running_mean, self.running_var, self.weight, self.bias, self.training, MOMENTUM, EPS
        )


def make_norm(kind: Norm, channels: int) -> nn.Module:
    """The normalisation of a level."""
    return BatchNorm(channels) if kind == "batch" else nn.InstanceNorm2d(channels, eps=EPS, affine=True)


def initialize(network: nn.Module) -> None:
    """Convolutions drawn from N(0, 0.02^2), biases zero, as in the originals."""
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(part.weight, std=SPREAD)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class Down(nn.Module):
    """A strided convolution, a normalisation and a leaky ReLU.

    Args:
        before, after: channels.
        norm: None at the first level.
    """

    def __init__(self, before: int, after: int, kernel: Size, stride: Size, norm: Norm | None) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(before, after, kernel, stride, bias=False)
        self.norm = make_norm(norm, after) if norm else None

    def forward(self, image: Tensor) -> Tensor:
        """(batch, before, height, width) -> (batch, after, height / stride, width / stride), rounded up."""
        image = self.conv(same_pad(image, self.kernel, self.stride))
        return functional.leaky_relu(image if self.norm is None else self.norm(image), SLOPE)


class Up(nn.Module):
    """A strided transposed convolution, a normalisation and a ReLU; the last level, without norm, is linear.

    Args:
        before, after: channels.
        norm: None at the last level.
    """

    def __init__(self, before: int, after: int, kernel: Size, stride: Size, norm: Norm | None) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.tconv = nn.ConvTranspose2d(before, after, kernel, stride, bias=False)
        self.norm = make_norm(norm, after) if norm else None

    def forward(self, image: Tensor) -> Tensor:
        """(batch, before, height, width) -> (batch, after, height * stride, width * stride)."""
        image = same_crop(self.tconv(image), image.shape[2:], self.kernel, self.stride)
        return image if self.norm is None else functional.relu(self.norm(image))


class UNet(nn.Module):
    """Five levels down, five levels up with the same kernels and strides: `enc1` to `enc5`, `dec1` to `dec5`.

    Args:
        channels: of what goes in; what comes out has one.
        widths: channels of each level on the way down.
        kernels, strides: of each level on the way down.
        norm: at every level but the first and the last.
        skips: hand each level's image to the level of its size on the way up, as further channels.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        kernels: Sequence[Size],
        strides: Sequence[Size],
        *,
        norm: Norm = "batch",
        skips: bool = True,
    ) -> None:
        super().__init__()
        self.depth, self.skips = len(widths), skips
        steps = list(zip(kernels, strides, strict=True))
        for level, ((before, after), step) in enumerate(
            zip(itertools.pairwise((channels, *widths)), steps, strict=True), start=1
        ):
            self.add_module(f"enc{level}", Down(before, after, *step, norm if level > 1 else None))
        upward = (*reversed(widths), 1)
        for level, ((before, after), step) in enumerate(
            zip(itertools.pairwise(upward), reversed(steps), strict=True), start=1
        ):
            joined = 2 * before if skips and level > 1 else before
            self.add_module(f"dec{level}", Up(joined, after, *step, norm if level < self.depth else None))
        initialize(self)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, channels, 16, time) -> (batch, 1, 16, time)."""
        return self.with_latent(image)[0]

    def with_latent(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and what the lowest level made of it; of a generator (batch, 16 widths, 1, time / 32)."""
        found: list[Tensor] = []
        for level in range(1, self.depth + 1):
            image = self.get_submodule(f"enc{level}")(image)
            found.append(image)
        latent = found.pop()
        for level in range(1, self.depth + 1):
            if self.skips and level > 1:
                image = torch.cat([image, found.pop()], dim=1)
            image = self.get_submodule(f"dec{level}")(image)
        return image, latent


def make_generator(config: ImageConfig, *, norm: Norm = "batch", skips: bool = True) -> UNet:
    """The generator of all three methods; EKGAN's label generator has no skips, CycleGAN's two have instance norm.

    A strip of 512 samples at full width costs 439,353,344 multiply-accumulates, 337,641,472 without skips: a transposed
    convolution is counted as its kernel at each position of what goes in, not of what comes out.
    """
    widths = [config.width * factor for factor in GROWTH]
    return UNet(1, widths, [(2, 4)] * 5, [(2, 2)] * 4 + [(1, 2)], norm=norm, skips=skips)
