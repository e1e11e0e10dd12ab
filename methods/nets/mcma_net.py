"""The network of MCMA (Chen et al., npj Cardiovascular Health 1:34, 2024): a U-Net in time with additive skips.

Every block ends in an instance normalisation, the last one too: whatever goes in, what comes out has in each window and
lead the standard deviation |gamma| and the mean beta of that lead. `amplitude="own"` is the same network without that:
it sees the window at unit scale, ends in a 1x1 convolution, and gives the scale back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .same_padding import same_crop, same_pad

LEADS = 12
STRIDE = 2
FLAT_MILLIVOLT = 1e-5
"""A window whose standard deviation is below this is flat: a hundredth of a digitised step of 1 uV."""

Amplitude = Literal["constant", "own"]


@dataclass(frozen=True)
class MCMAConfig:
    """The published size; a file of another size needs these values changed to its own.

    Attributes:
        samples: length of a window at 500 Hz, a multiple of 2 for every level but the first.
        kernel: of all convolutions; 13 in the published file, 5 in the published training programs.
        filters: channels of the levels, each at half the rate of the one before.
    """

    samples: int = 1024
    kernel: int = 13
    filters: tuple[int, ...] = (16, 32, 64, 128, 256, 512)

    def __post_init__(self) -> None:
        if self.kernel < STRIDE or len(self.filters) < 2 or min(self.filters) < 1:
            raise ValueError(f"kernel must be at least {STRIDE}, and filters two or more numbers from 1")
        if self.samples < 1 or self.samples % self.multiple:
            raise ValueError(
                f"samples must be a multiple of {self.multiple} with {len(self.filters)} levels; got {self.samples}"
            )

    @property
    def multiple(self) -> int:
        """What a length must be a multiple of, so that the levels fit together again."""
        return int(STRIDE ** (len(self.filters) - 1))


class InstanceNorm(nn.Module):
    """Every channel of every signal to mean 0 and variance 1 over time, then to the channel's own gamma and beta.

    In single precision whatever surrounds it, because eps is as small as a half-precision number can just about be. Of
    a single sample nothing is left but beta, as in Keras; torch's own refuses one.

    Args:
        channels: of the signal.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-9) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, signal: Tensor) -> Tensor:
        """(batch, channels, time) -> the same in float32."""
        single = signal.float()
        variance, mean = torch.var_mean(single, dim=-1, correction=0, keepdim=True)
        scale = self.weight.unsqueeze(-1) * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias.unsqueeze(-1), single - mean, scale)


class Block(nn.Module):
    """Two branches added: one convolution, and two with a layer normalisation between them; then normalised over time.

    The two flavours of GELU are the original's: the exact one after convolutions, the tanh one after the normalisation.

    Args:
        before, after: channels.
        kernel: of the convolutions.
        stride: 1, or 2 to halve or double the rate.
        up: double it, by transposed convolutions.
        normalized: end in the instance normalisation; without, in a 1x1 convolution.
    """

    def __init__(
        self, before: int, after: int, kernel: int, *, stride: int = 1, up: bool = False, normalized: bool = True
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.up = (kernel,), (stride,), up
        convolution = nn.ConvTranspose1d if up else nn.Conv1d
        self.a = convolution(before, after, kernel, stride)
        self.b = convolution(before, after, kernel, stride)
        self.ln = nn.LayerNorm(after, eps=1e-3)
        self.c = nn.Conv1d(after, after, kernel)
        self.end = "in" if normalized else "out"
        # `in` is the published name, and a keyword of the language.
        self.add_module(self.end, InstanceNorm(after) if normalized else nn.Conv1d(after, after, 1))

    def forward(self, signal: Tensor) -> Tensor:
        """(batch, before, time) -> (batch, after, time), time halved or doubled where there is a stride."""
        if self.up:
            lengths = signal.shape[2:]
            first, second = (
                same_crop(branch(signal), lengths, self.kernel, self.stride) for branch in (self.a, self.b)
            )
        else:
            padded = same_pad(signal, self.kernel, self.stride)
            first, second = self.a(padded), self.b(padded)
        second = self.ln(second.transpose(1, 2)).transpose(1, 2)
        second = functional.gelu(second, approximate="tanh")
        second = functional.gelu(self.c(same_pad(second, self.kernel, (1,))))
        ended: Tensor = self.get_submodule(self.end)(functional.gelu(first) + second)
        return ended


class MCMANet(nn.Module):
    """Twelve leads in, of which all but one are silent or copies of it; twelve leads out.

    Args:
        config: its size.
        amplitude: "constant" as published, "own" for leads of free size.
    """

    def __init__(self, config: MCMAConfig | None = None, amplitude: Amplitude = "constant") -> None:
        super().__init__()
        self.config = config = config or MCMAConfig()
        self.amplitude = amplitude
        widths, kernel = config.filters, config.kernel
        self.e1 = Block(LEADS, widths[0], kernel)
        for level in range(2, len(widths) + 1):
            self.add_module(f"e{level}", Block(widths[level - 2], widths[level - 1], kernel, stride=STRIDE))
        for level in range(len(widths) - 1, 0, -1):
            width = widths[level - 1]
            self.add_module(f"up{level}", Block(widths[level], width, kernel, stride=STRIDE, up=True))
            self.add_module(f"skip{level}", Block(width, width, kernel))
        self.head = Block(widths[0], LEADS, kernel, normalized=amplitude == "constant")

    def forward(self, leads: Tensor) -> Tensor:
        """(batch, 12, time) in mV -> (batch, 12, time) in mV.

        With `amplitude="own"` what comes out grows with what goes in, and a flat window stays flat.

        Raises:
            ValueError: the time is no multiple of 2 for every level but the first.
        """
        if leads.shape[-1] % self.config.multiple:
            raise ValueError(f"the length must be a multiple of {self.config.multiple}; got {leads.shape[-1]}")
        if self.amplitude == "constant":
            return self._translate(leads)
        # All leads that are given are one and the same: the biggest scale is that of the one among the silent ones.
        scale = leads.float().std(dim=-1, correction=0, keepdim=True).amax(dim=1, keepdim=True)
        unit = leads / scale.clamp_min(FLAT_MILLIVOLT)
        return torch.where(scale > FLAT_MILLIVOLT, self._translate(unit) * scale, 0.0)

    def _translate(self, signal: Tensor) -> Tensor:
        levels = len(self.config.filters)
        found: list[Tensor] = []
        for level in range(1, levels + 1):
            signal = self.get_submodule(f"e{level}")(signal)
            found.append(signal)
        for level in range(levels - 1, 0, -1):
            skipped = self.get_submodule(f"skip{level}")(found[level - 1])
            signal = self.get_submodule(f"up{level}")(signal) + skipped
        translated: Tensor = self.head(signal)
        return translated
