"""From what was recorded to what a method takes: leads, rate, windows, filter, scale, silence. Once, on the device.

The order is fixed: choose leads, resample, cut windows, filter, normalise, then place the leads among silent ones.
Normalising before the silent leads are added keeps lead I at its own scale; after it, a z-score over twelve leads of
which eleven are zero would inflate lead I by sqrt(12).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import InputSpec
from .errors import MibenchError
from .filters import FILTERS

FLAT_MILLIVOLT = 1e-5
"""A lead whose standard deviation is below this is flat: a hundredth of PTB-XL's resolution."""


def prepare(millivolt: Tensor, sampling_rate: float, observed: Sequence[str], spec: InputSpec) -> Tensor:
    """Turn recorded leads into the input of a network.

    Args:
        millivolt: (batch, len(observed), samples) in mV, at `sampling_rate`, on the device where the network lives.
        sampling_rate: Hz.
        observed: names of the recorded leads; leads the network takes beyond these are silent (paper section 3.2).
        spec: what the network takes.

    Returns:
        (batch, windows, len(spec.leads), spec.samples) float32; windows is 1 unless the spec cuts several. A random
        window is drawn from torch's CPU generator, so that the same seed cuts the same windows on every device.

    Raises:
        MibenchError: no lead of the network was observed, or the record is too short or too long for it.
    """
    shared = [lead for lead in spec.leads if lead in observed]
    if not shared:
        raise MibenchError(
            f"the method takes lead {', '.join(spec.leads)}, and only {', '.join(observed)} is given: choose --leads"
        )
    signal = millivolt[:, [list(observed).index(lead) for lead in shared]].float()
    signal = resample(signal, sampling_rate, spec.sampling_rate)
    windows = cut_windows(signal, spec)
    windows = normalize(filtered(windows, spec), spec.normalization)
    return place(windows, [spec.leads.index(lead) for lead in shared], len(spec.leads))


def resample(signal: Tensor, rate: float, wanted: float) -> Tensor:
    """Band-limited resampling along the last axis, as `scipy.signal.resample` does it, on the device.

    Args:
        signal: (..., samples) at `rate` Hz.

    Returns:
        (..., round(samples * wanted / rate)).
    """
    if rate == wanted:
        return signal
    before = signal.shape[-1]
    after = round(before * wanted / rate)
    spectrum = torch.fft.rfft(signal)
    shorter = min(before, after)
    kept = torch.zeros(*signal.shape[:-1], after // 2 + 1, dtype=spectrum.dtype, device=signal.device)
    kept[..., : shorter // 2 + 1] = spectrum[..., : shorter // 2 + 1]
    if shorter % 2 == 0 and before != after:
        # The Nyquist bin of an even length stands for two frequencies: folded when shrinking, shared when growing.
        kept[..., shorter // 2] *= 2.0 if after < before else 0.5
    resampled: Tensor = torch.fft.irfft(kept, n=after) * (after / before)
    return resampled


def cut_windows(signal: Tensor, spec: InputSpec) -> Tensor:
    """(batch, leads, samples) -> (batch, windows, leads, spec.samples): equally spaced, at random, or end to end.

    Raises:
        MibenchError: the length is not what the network takes; padding would be invented signal.
    """
    length = signal.shape[-1]
    if spec.windows == "whole":
        if length != spec.samples:
            raise MibenchError(
                f"the method takes records of {spec.seconds:g} s ({spec.samples} at {spec.sampling_rate:g} Hz); "
                f"these have {length / spec.sampling_rate:g} s: cut them to that length first"
            )
        return signal.unsqueeze(1)
    spare = length - spec.samples
    if spare < 0:
        raise MibenchError(
            f"the method takes windows of {spec.seconds:g} s; these records have only {length / spec.sampling_rate:g} s"
        )
    if spec.windows == "tiled":
        return _tile(signal, spec)
    if spec.windows == "random-window":
        first = torch.randint(spare + 1, (len(signal), 1, 1)).to(signal.device)
        places = first + torch.arange(spec.samples, device=signal.device)
        return signal.gather(-1, places.expand(-1, signal.shape[1], -1)).unsqueeze(1)
    starts = torch.linspace(0, spare, spec.window_count).round().long().tolist()
    return torch.stack([signal[..., start : start + spec.samples] for start in starts], dim=1)


def join(windows: Tensor, spec: InputSpec, length: int) -> Tensor:
    """Put what was made of the windows of "tiled" records together again; the inverse of `cut_windows`.

    Args:
        windows: (batch, windows, leads, samples).
        length: samples of the record that was cut.

    Returns:
        (batch, leads, length). Where windows overlap by `spec.overlap` they are cross-faded linearly; where the last
        one was moved back further, it gives only what no window before it has given. What was appended is cut off.
    """
    starts = tile_starts(length, spec)
    joined = windows.new_zeros(len(windows), windows.shape[2], starts[-1] + spec.samples)
    end = 0
    for number, start in enumerate(starts):
        window = windows[:, number]
        shared = max(end - start, 0)
        faded = min(shared, spec.overlap)
        if faded:
            # The ramp leaves out 0 and 1: both ends of it belong to one window alone.
            ramp = torch.arange(1, faded + 1, device=windows.device, dtype=windows.dtype) / (faded + 1)
            before = joined[..., end - faded : end]
            joined[..., end - faded : end] = before + ramp * (window[..., shared - faded : shared] - before)
        joined[..., end : start + spec.samples] = window[..., shared:]
        end = start + spec.samples
    return joined[..., :length]


def tile_starts(length: int, spec: InputSpec) -> list[int]:
    """Where the windows of a "tiled" record of at least one window begin."""
    step = spec.samples - spec.overlap
    count = max(1, -(-(length - spec.overlap) // step))
    starts = [step * number for number in range(count)]
    if spec.tail == "shift":
        starts[-1] = length - spec.samples
    return starts


def _tile(signal: Tensor, spec: InputSpec) -> Tensor:
    starts = tile_starts(signal.shape[-1], spec)
    missing = starts[-1] + spec.samples - signal.shape[-1]
    if missing:
        tail = signal[..., -missing:] if spec.tail == "repeat" else signal.new_zeros(*signal.shape[:-1], missing)
        signal = torch.cat([signal, tail], dim=-1)
    return torch.stack([signal[..., start : start + spec.samples] for start in starts], dim=1)


def normalize(signal: Tensor, scope: str) -> Tensor:
    """Scale (..., leads, samples) to mean 0 and standard deviation 1; what is flat becomes zero, never NaN.

    Args:
        scope: "zscore-lead" for each lead by itself, "zscore-record" for all given leads together, "none" for mV.
    """
    if scope == "none":
        return signal
    axes = (-1,) if scope == "zscore-lead" else (-2, -1)
    centred = signal - signal.mean(dim=axes, keepdim=True)
    deviation = centred.square().mean(dim=axes, keepdim=True).sqrt()
    return torch.where(deviation > FLAT_MILLIVOLT, centred / deviation.clamp_min(FLAT_MILLIVOLT), 0.0)


def place(signal: Tensor, positions: Sequence[int], leads: int) -> Tensor:
    """Place the given leads among silent ones, as the paper feeds twelve-lead encoders (section 3.2).

    Args:
        signal: (..., len(positions), samples), already normalised.
        positions: channel of each given lead.
        leads: number of channels of the network.

    Returns:
        (..., leads, samples), zero everywhere but at `positions`.
    """
    if list(positions) == list(range(leads)):
        return signal
    placed = signal.new_zeros(*signal.shape[:-2], leads, signal.shape[-1])
    placed[..., list(positions), :] = signal
    return placed


def filtered(windows: Tensor, spec: InputSpec) -> Tensor:
    """Windows (..., spec.samples) after the filter that `spec` names, float32.

    Raises:
        MibenchError: there is no such filter.
    """
    if spec.filter == "none":
        return windows
    if spec.filter not in FILTERS:
        raise MibenchError(f"there is no filter `{spec.filter}`; there is {', '.join(sorted(FILTERS))}")
    filtered = FILTERS[spec.filter](windows.double().cpu().numpy(), spec.sampling_rate)
    return torch.from_numpy(filtered.copy()).to(windows.device, torch.float32)
