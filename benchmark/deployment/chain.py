"""The whole way from recorded lead I to features or twelve leads as one module of tensors alone.

Resampling and filters are programs, of FFTs and recursions, that no exchange format holds; but for a record of fixed
length each is a linear map, and so a matrix. What is no linear map, as a running median, cannot be put so.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...adapters.base import Encoder, Generator, InputSpec, Tokenizer
from ...adapters.errors import MibenchError
from ...adapters.signal import cut_windows, filtered, join, normalize, place, resample
from ..bench import networks

LEAD = "I"
LINEAR = 1e-3
"""Recursions at these rates round to 1e-6; a running median is off by half of all."""


class Chain(nn.Module):
    """(batch, 1, samples) of lead I in mV -> (batch, embedding_dim), or (batch, 12, samples) in mV.

    It is what `embed_signals` and `synthesize` do, lead I generated like the others, for one length of records.

    Args:
        method: loaded on the CPU.
        sampling_rate: of the record, Hz.
        samples: its length.

    Raises:
        MibenchError: the method cannot be put as tensors alone.
    """

    def __init__(self, method: Encoder | Generator, sampling_rate: float, samples: int) -> None:
        super().__init__()
        _refuse_programs(method)
        spec = method.spec
        self.spec, self.sampling_rate, self.samples = spec, sampling_rate, samples
        self.method = _Hidden(method)
        self.between = round(samples * spec.sampling_rate / sampling_rate)
        self.arrive: Tensor | None
        self.filter: Tensor | None
        self.leave: Tensor | None
        generates = isinstance(method, Generator) and not isinstance(method, Encoder)
        back = _resampling(self.between, spec.sampling_rate, sampling_rate) if generates else None
        self.register_buffer("arrive", _resampling(samples, sampling_rate, spec.sampling_rate))
        self.register_buffer("filter", _filtering(spec))
        self.register_buffer("leave", back)

    def forward(self, lead: Tensor) -> Tensor:
        """(batch, 1, samples) in mV; a flat lead is silence, as everywhere."""
        spec = self.spec
        signal = lead if self.arrive is None else lead @ self.arrive
        windows = cut_windows(signal, spec)
        if self.filter is not None:
            flat = windows.amax(dim=-1, keepdim=True) == windows.amin(dim=-1, keepdim=True)
            windows = torch.where(flat, 0.0, windows @ self.filter)
        windows = place(normalize(windows, spec.normalization), [spec.leads.index(LEAD)], len(spec.leads))
        count = windows.shape[1]
        out = self.method(windows.flatten(0, 1))
        found = out.view(-1, count, *out.shape[1:])
        if isinstance(self.method.of, Encoder):
            return found.mean(dim=1)
        whole = join(found, spec, self.between) if spec.windows == "tiled" else found[:, 0]
        given: Tensor = whole if self.leave is None else whole @ self.leave
        return given


class _Hidden:
    """A method whose networks are no submodules: names of some, such as `in`, are words of Python to an exporter."""

    def __init__(self, of: Encoder | Generator) -> None:
        self.of = of

    def __call__(self, ecg: Tensor) -> Tensor:
        return self.of.embed(ecg) if isinstance(self.of, Encoder) else self.of.synthesize(ecg)


def _refuse_programs(method: Encoder | Generator) -> None:
    spec = method.spec
    if isinstance(method, Tokenizer):
        raise MibenchError(
            f"{spec.name} cannot be exported: it reads tokens that a program cuts out of the signal, around beats that "
            f"it looks for, and only what consists of tensors fits into the file"
        )
    if not networks(method):
        raise MibenchError(f"{spec.name} cannot be exported: it has no network")
    if spec.sees != "observed" or LEAD not in spec.leads:
        raise MibenchError(f"{spec.name} cannot be exported: it needs more than lead {LEAD}, and a watch has no more")
    if spec.windows == "random-window":
        raise MibenchError(f"{spec.name} cannot be exported: its windows are drawn at random")


def _resampling(samples: int, rate: float, wanted: float) -> Tensor | None:
    """(samples, samples at the wanted rate), None where the rate is the wanted one."""
    if rate == wanted:
        return None
    return resample(torch.eye(samples, dtype=torch.float64), rate, wanted).float()


def _filtering(spec: InputSpec) -> Tensor | None:
    """(samples, samples) of one window; None without a filter."""
    if spec.filter == "none":
        return None
    one, two = torch.randn(2, spec.samples, generator=torch.Generator().manual_seed(0)).cumsum(dim=-1)
    together, alone = filtered(one + two, spec), filtered(one, spec) + filtered(two, spec)
    if (together - alone).abs().max() > LINEAR * alone.abs().max():
        raise MibenchError(
            f"the filter {spec.filter} is no linear map, as a running median is none, and only a linear one fits into "
            f"the file: choose another with --set or --preset"
        )
    return filtered(torch.eye(spec.samples), spec)
