"""What is done to an ECG while pre-training: silenced leads, additive noise, and 3KG's turn of the heart's vector.

Everything acts on a whole batch where it lives, without gradient and in float32, and draws from torch's generator
there. Twelve leads are I, II, III, aVR, aVL, aVF, V1 to V6. Parameters are those of fairseq-signals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Augmentation = Literal["none", "rlm", "noises"]
Shift = Literal["as_published", "scaled"]

LEADS = 12
INDEPENDENT = (0, 1, 6, 7, 8, 9, 10, 11)
"""I, II and V1 to V6; the other four are sums and differences of I and II."""

MAINS = (50.0, 60.0)
SHIFT_LENGTH = (0.2, 0.04)
"""Mean and standard deviation of the length of a baseline shift, as a part of the record."""
WANDER_HERTZ = (0.01, 0.2)
WANDER_GAIN = (1.0, 0.5)

INVERSE_DOWER = (
    (0.156, -0.009, -0.172, -0.073, 0.122, 0.231, 0.239, 0.193),
    (-0.227, 0.886, 0.057, -0.019, -0.106, -0.022, 0.040, 0.048),
    (0.021, 0.102, -0.228, -0.310, -0.245, -0.063, 0.054, 0.108),
)
"""X, Y and Z of the heart's vector out of I, II and V1 to V6 (Edenbrandt and Pahlm, J Electrocardiol 1988)."""


@dataclass(frozen=True)
class NoiseConfig:
    """The four noises of fairseq-signals' SimCLR; amplitudes are in the unit of the signal.

    Attributes:
        max_amplitude: largest amplitude of mains hum, of each cosine of the wander, and largest deviation of EMG.
        shift: "as_published" moves the baseline by +-1 minus a number below `max_amplitude`, as the program does; with
            "scaled" the two are multiplied, as was surely meant.
        cosines: of which baseline wander is the sum.
        sampling_rate: Hz.
    """

    max_amplitude: float = 0.1
    shift: Shift = "as_published"
    cosines: int = 3
    sampling_rate: float = 500.0

    def __post_init__(self) -> None:
        if not self.max_amplitude >= 0:
            raise ValueError(f"max_amplitude must not be negative; got {self.max_amplitude}")
        if self.shift not in get_args(Shift):
            raise ValueError(f"shift must be as_published or scaled; got {self.shift!r}")
        if self.cosines < 1 or not self.sampling_rate > 0:
            raise ValueError(f"cosines and sampling_rate must be positive; got {self.cosines} and {self.sampling_rate}")


@dataclass(frozen=True)
class VCGConfig:
    """3KG's augmentation (arXiv 2106.04452).

    Attributes:
        max_angle: degrees; each of the three angles lies between minus and plus this.
        max_scale: each axis is stretched by 1 to this.
        masked: part of each lead that is silenced.
    """

    max_angle: float = 45.0
    max_scale: float = 1.5
    masked: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.max_angle <= 180:
            raise ValueError(f"max_angle must lie between 0 and 180 degrees; got {self.max_angle}")
        if not self.max_scale >= 1:
            raise ValueError(f"max_scale must be at least 1; got {self.max_scale}")
        if not 0 <= self.masked < 1:
            raise ValueError(f"masked must be at least 0 and below 1; got {self.masked}")


@torch.no_grad()
def augment(ecg: Tensor, kind: Augmentation, noise: NoiseConfig) -> Tensor:
    """One view of each record: as it is, with silent leads ("rlm"), or with all four noises and silent leads.

    Args:
        ecg: (batch, leads, samples); twelve leads where noise is added.

    Raises:
        ValueError: an unknown kind, or noise for other than twelve leads.
    """
    if kind not in get_args(Augmentation):
        raise ValueError(f"the augmentation must be none, rlm or noises; got {kind!r}")
    if kind == "none":
        return ecg
    if kind == "noises":
        for draw in (powerline, muscle, baseline_shift, baseline_wander):
            ecg = with_limb_leads(ecg + draw(ecg, noise))
    return mask_leads(ecg)


@torch.no_grad()
def mask_leads(ecg: Tensor, probability: float = 0.5) -> Tensor:
    """Random lead masking: each lead of each record silenced with `probability`, possibly all of them.

    Args:
        ecg: (batch, leads, samples).
    """
    keep = torch.rand(*ecg.shape[:2], 1, device=ecg.device) >= probability
    return ecg * keep


def powerline(ecg: Tensor, config: NoiseConfig) -> Tensor:
    """Mains hum at 50 or 60 Hz with random amplitude and phase, the same in all leads: (batch, 1, samples)."""
    amplitude = _uniform(ecg, (len(ecg), 1, 1), 0.0, config.max_amplitude)
    second = torch.rand(len(ecg), 1, 1, device=ecg.device) < 0.5
    hertz = torch.where(second, MAINS[1], MAINS[0])
    phase = _uniform(ecg, (len(ecg), 1, 1), 0.0, 2 * math.pi)
    return amplitude * torch.cos(2 * math.pi * hertz * _seconds(ecg, config) + phase)


def muscle(ecg: Tensor, config: NoiseConfig) -> Tensor:
    """Electromyographic noise: white and Gaussian, its deviation drawn for each lead: (batch, leads, samples)."""
    deviation = _uniform(ecg, (*ecg.shape[:2], 1), 0.0, config.max_amplitude)
    return deviation * torch.randn(ecg.shape, device=ecg.device)


def baseline_shift(ecg: Tensor, config: NoiseConfig) -> Tensor:
    """A step of the baseline over a fifth of the record, its size drawn for each lead: (batch, leads, samples)."""
    samples = ecg.shape[-1]
    mean, deviation = SHIFT_LENGTH
    length = (mean + deviation * torch.randn(len(ecg), 1, 1, device=ecg.device)).clamp(0, 1) * samples
    start = torch.rand(len(ecg), 1, 1, device=ecg.device) * (samples - length)
    place = torch.arange(samples, device=ecg.device)
    inside = (place >= start) & (place < start + length)
    sign = torch.where(torch.rand(*ecg.shape[:2], 1, device=ecg.device) < 0.5, -1.0, 1.0)
    size = _uniform(ecg, (*ecg.shape[:2], 1), 0.0, config.max_amplitude)
    return inside * (sign - size if config.shift == "as_published" else sign * size)


def baseline_wander(ecg: Tensor, config: NoiseConfig) -> Tensor:
    """A sum of cosines below 0.2 Hz, with a gain for each lead: (batch, leads, samples)."""
    shape = (len(ecg), config.cosines, 1)
    hertz = _uniform(ecg, shape, *WANDER_HERTZ)
    amplitude = _uniform(ecg, shape, 0.0, config.max_amplitude)
    phase = _uniform(ecg, shape, 0.0, 2 * math.pi)
    wander = (amplitude * torch.cos(2 * math.pi * hertz * _seconds(ecg, config) + phase)).sum(1, keepdim=True)
    mean, deviation = WANDER_GAIN
    return wander * (mean + deviation * torch.randn(*ecg.shape[:2], 1, device=ecg.device))


def with_limb_leads(ecg: Tensor) -> Tensor:
    """(batch, 12, samples) with III, aVR, aVL and aVF computed from I and II; the others as they are.

    Raises:
        ValueError: another number of leads.
    """
    if ecg.ndim != 3 or ecg.shape[1] != LEADS:
        raise ValueError(f"limb leads are computed in (batch, 12, samples); got {tuple(ecg.shape)}")
    one, two = ecg[:, :1], ecg[:, 1:2]
    return torch.cat([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2, ecg[:, 6:]], dim=1)


@torch.no_grad()
def augment_vcg(ecg: Tensor, config: VCGConfig) -> Tensor:
    """3KG's view: the heart's vector turned and stretched at random, then half of each lead silenced.

    Args:
        ecg: (batch, 12, samples).

    Raises:
        ValueError: another number of leads.
    """
    if ecg.ndim != 3 or ecg.shape[1] != LEADS:
        raise ValueError(f"the heart's vector takes (batch, 12, samples); got {tuple(ecg.shape)}")
    with torch.autocast(ecg.device.type, enabled=False):
        limit = math.radians(config.max_angle)
        angles = _uniform(ecg, (len(ecg), 3), -limit, limit)
        scales = _uniform(ecg, (len(ecg), 3), 1.0, config.max_scale)
        independent = vcg_map(angles, scales) @ ecg[:, INDEPENDENT].float()
        limb, chest = independent[:, :2], independent[:, 2:]
        turned = with_limb_leads(torch.cat([limb, limb.new_zeros(len(ecg), 4, ecg.shape[-1]), chest], dim=1))
    starts = torch.randint(ecg.shape[-1], ecg.shape[:2], device=ecg.device)
    return mask_time(turned, starts, round(config.masked * ecg.shape[-1]))


def vcg_map(angles: Tensor, scales: Tensor) -> Tensor:
    """(batch, 8, 8) from independent leads to independent leads, through three dimensions: no turn is no identity.

    Args:
        angles: (batch, 3) radians about the fixed axes z, y and x, in this order.
        scales: (batch, 3) factors of x, y and z after turning.
    """
    inverse = torch.tensor(INVERSE_DOWER, dtype=torch.float64)
    forward = torch.linalg.pinv(inverse).to(angles)
    return torch.matmul(forward @ (scales.unsqueeze(-1) * _rotation(angles)), inverse.to(angles))


def mask_time(ecg: Tensor, starts: Tensor, length: int) -> Tensor:
    """Silence `length` samples of every lead from its start on, going on at the beginning when the end is reached.

    Args:
        ecg: (batch, leads, samples).
        starts: (batch, leads) integers.
    """
    samples = ecg.shape[-1]
    place = torch.arange(samples, device=ecg.device)
    return ecg.masked_fill((place - starts.unsqueeze(-1)) % samples < length, 0.0)


def _rotation(angles: Tensor) -> Tensor:
    """(batch, 3) angles about z, y and x -> (batch, 3, 3)."""
    cos, sin = angles.cos().unbind(-1), angles.sin().unbind(-1)
    turned = torch.eye(3, dtype=angles.dtype, device=angles.device).repeat(len(angles), 1, 1)
    for c, s, axis in zip(cos, sin, (2, 1, 0), strict=True):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3, dtype=angles.dtype, device=angles.device).repeat(len(angles), 1, 1)
        turn[:, one, one], turn[:, other, other] = c, c
        turn[:, one, other], turn[:, other, one] = -s, s
        turned = turn @ turned
    return turned


def _uniform(ecg: Tensor, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, device=ecg.device)


def _seconds(ecg: Tensor, config: NoiseConfig) -> Tensor:
    return torch.arange(ecg.shape[-1], device=ecg.device) / config.sampling_rate
