"""Generators by linear regression on lead I: a gain, a filter, and a filter that keeps the algebra of the limb leads.

All are fitted in one pass over the training folds; how, and what becomes of offsets and of the ends of a record, is
told in `methods.lead_regression`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ..methods.lead_regression import LagSums, LeadFilters, mean_squared_errors, solve
from .base import LEADS, Batches, Fitted, LoadReport, MethodSpec, NoOptions
from .checkpoints import load_into, read_metadata, read_weights
from .errors import MibenchError
from .signal import FLAT_MILLIVOLT

RATE = 500.0
LONGEST_MS = 500
"""Half of the longest filter: sums and their eigenvectors grow with its square."""


@dataclass(frozen=True)
class FilterSize:
    """How long the filters are.

    Attributes:
        window_ms: how far a filter sees before and after the present sample, in milliseconds.
    """

    window_ms: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.window_ms <= LONGEST_MS:
            raise ValueError(f"window_ms must be 0 to {LONGEST_MS}; got {self.window_ms}")

    @property
    def half(self) -> int:
        """The same in samples at 500 Hz."""
        return round(self.window_ms * RATE / 1000)


@dataclass(frozen=True)
class RidgeOptions:
    """How the filters are fitted.

    Attributes:
        ridges: strengths of the ridge to choose from, as shares of the power of lead I; the one with the smallest error
            on the validation fold is taken.
        net: length of the filters; a weights file fits one length only.
    """

    ridges: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0)
    net: FilterSize = field(default_factory=FilterSize)

    def __post_init__(self) -> None:
        if not self.ridges or min(self.ridges) <= 0:
            raise ValueError(f"ridges must be some numbers above 0; got {list(self.ridges)}")


class _LinearAnchor:
    """Some leads filtered out of lead I, and twelve leads made of them."""

    name: ClassVar[str]
    title: ClassVar[str]
    filtered: ClassVar[tuple[str, ...]] = LEADS[1:]
    init_parts: tuple[str, ...] = ()

    def __init__(self, half: int, ridges: Sequence[float]) -> None:
        self.half, self.ridges = half, tuple(ridges)
        self.net: LeadFilters | None = None
        self.spec = MethodSpec(
            name=self.name,
            kind="generator",
            title=self.title,
            sampling_rate=RATE,
            normalization="none",
            pretrainable=True,
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """The filters that `mibench pretrain` fitted, or, for None, filters of noise.

        Raises:
            MibenchError: the file is no weights file, or one of another method or length.
        """
        net = LeadFilters(len(self.filtered), self.half)
        report = LoadReport() if weights is None else self._read(net, weights)
        self.net = net.to(device).eval()
        return report

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, 1, samples) mV -> (batch, 12, samples) mV float32; lead I is given back as it is."""
        if self.net is None:
            raise RuntimeError(f"{self.name}: load() comes before synthesize()")
        with torch.inference_mode():
            return self._twelve(lead.float(), self.net(lead))

    def fit(self, training: Batches, validation: Batches, init: Mapping[str, Path], device: torch.device) -> Fitted:
        """Fit the filters to the training records, and choose the ridge on the validation records.

        Raises:
            MibenchError: there are no records, they are not finite, their lead I is flat, or there is a part to start
                from, of which there is none.
        """
        if init:
            raise MibenchError(f"{self.name} has no part {', '.join(sorted(init))}: it is fitted from nothing")
        sums = self._sums(training, "training", device)
        if float(sums.gram[self.half, self.half]) <= FLAT_MILLIVOLT**2 * sums.samples:
            raise MibenchError(f"{self.name} cannot be fitted: lead I of every training record is flat; check the data")
        held_out = self._sums(validation, "validation", device)
        candidates = solve(sums, self.ridges)
        errors = mean_squared_errors(held_out, candidates).mean(dim=-1)
        best = int(errors.argmin())
        net = LeadFilters(len(self.filtered), self.half).to(device)
        net.taps.copy_(candidates[best])
        return Fitted(
            state=net.state_dict(),
            notes=_told(self.ridges, best),
            validation_loss=self._error(net, validation),
        )

    def _twelve(self, lead: Tensor, made: Tensor) -> Tensor:
        return torch.cat([lead, made], dim=1)

    def _sums(self, batches: Batches, fold: str, device: torch.device) -> LagSums:
        channels = [LEADS.index(lead) for lead in self.filtered]
        sums = LagSums(len(channels), self.half, device)
        for ecg in batches():
            if not bool(torch.isfinite(ecg).all()):
                raise MibenchError(
                    f"{self.name} cannot be fitted: a {fold} record holds NaN or infinite values; leave it out of the "
                    f"data"
                )
            sums.add(ecg[:, :1], ecg[:, channels])
        if not sums.samples:
            raise MibenchError(f"{self.name} cannot be fitted: there are no {fold} records; check the data's folds")
        return sums

    def _error(self, net: LeadFilters, batches: Batches) -> float:
        """Of the eleven missing leads as they are synthesized; those that follow from others have no sums."""
        total, count = 0.0, 0
        for ecg in batches():
            made = self._twelve(ecg[:, :1].float(), net(ecg[:, :1]))
            total += float((made[:, 1:] - ecg[:, 1:]).double().square().sum())
            count += ecg[:, 1:].numel()
        return total / count

    def _read(self, net: LeadFilters, path: Path) -> LoadReport:
        state, _ = read_weights(path)
        method = read_metadata(path).get("method", self.name)
        if method != self.name:
            raise MibenchError(
                f"{path} was fitted by mibench as {method}, and this is {self.name}: give what mibench pretrain "
                f"--method {self.name} wrote"
            )
        expected = f"what mibench pretrain --method {self.name} wrote for filters of {2 * self.half + 1} taps"
        return load_into(net, state, source=path, expected=expected)


class LinearLeadAdapter(_LinearAnchor):
    """Every lead is lead I times a gain, cov(l, I) / var(I) over the training records."""

    Options = NoOptions
    name, title = "linear-lead", "Linear"

    def __init__(self, options: NoOptions | None = None) -> None:
        self.options = options or NoOptions()
        super().__init__(half=0, ridges=(0.0,))


class FIRRidgeAdapter(_LinearAnchor):
    """Every lead is lead I through a filter of 100 ms to either side, fitted by ridge regression."""

    Options = RidgeOptions
    name, title = "fir-ridge", "FIR ridge"

    def __init__(self, options: RidgeOptions | None = None) -> None:
        self.options = options or RidgeOptions()
        super().__init__(self.options.net.half, self.options.ridges)


class FrontalPlaneAdapter(FIRRidgeAdapter):
    """Lead II and V1-V6 by ridge regression; the other limb leads follow from I and II exactly."""

    name, title = "frontal-plane", "Frontal plane"
    filtered = ("II", *LEADS[6:])

    def _twelve(self, lead: Tensor, made: Tensor) -> Tensor:
        first, second = lead, made[:, :1]
        limb = (first, second, second - first, -(first + second) / 2, first - second / 2, second - first / 2)
        return torch.cat([*limb, made[:, 1:]], dim=1)


def _told(ridges: Sequence[float], best: int) -> tuple[str, ...]:
    """Which ridge was chosen, and whether the grid should have gone on."""
    if len(ridges) == 1:
        return ()
    note = f"a ridge of {ridges[best]:g} of the power of lead I has the smallest error on the validation fold"
    if ridges[best] in (min(ridges), max(ridges)):
        note += ", and lies at the end of method.ridges: a wider grid may find a better one"
    return (note,)
