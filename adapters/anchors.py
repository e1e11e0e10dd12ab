"""Generators without anything to learn: what any real generator has to be compared with.

Two of them are given more than lead I. The real twelve leads are the ceiling; those of another patient look perfectly
real and say nothing of this one, so that a small latent distance is told from a diagnosis.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from .base import LEADS, LoadReport, MethodSpec, NoOptions, Sees
from .errors import MibenchError
from .signal import place


class _Anchor:
    """A generator without weights; records of 10 s at 500 Hz, in mV."""

    Options = NoOptions
    name: ClassVar[str]
    title: ClassVar[str]
    sees: ClassVar[Sees] = "observed"

    def __init__(self, options: NoOptions | None = None) -> None:
        self.options = options or NoOptions()
        self.spec = MethodSpec(
            name=self.name,
            kind="generator",
            title=self.title,
            leads=LEADS[:1] if self.sees == "observed" else LEADS,
            normalization="none",
            needs_weights=False,
            sees=self.sees,
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Nothing to build.

        Raises:
            MibenchError: a weights file is given.
        """
        if weights is not None:
            raise MibenchError(f"{self.name} has no weights, and {weights} is given: leave --weights out")
        return LoadReport()


class ZeroMaskAdapter(_Anchor):
    """Lead I and eleven silent leads: what the paper gives to encoders of twelve leads (section 3.2)."""

    name, title = "zero-mask", "Zero mask"

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, 1, samples) mV -> (batch, 12, samples) mV float32."""
        return place(lead.float(), [0], len(LEADS))


class CopyLeadAdapter(_Anchor):
    """Lead I in the place of every lead: what EKGAN's networks start from."""

    name, title = "copy-lead", "Copy of lead I"

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, 1, samples) mV -> (batch, 12, samples) mV float32."""
        return lead.float().repeat(1, len(LEADS), 1)


class RealLeadsAdapter(_Anchor):
    """The real twelve leads: the ceiling of all generators."""

    name, title, sees = "real-leads", "Real leads", "record"

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, 12, samples) mV of the record itself -> the same in float32."""
        return lead.float().clone()


class ShuffledRecordAdapter(_Anchor):
    """The real twelve leads of another patient: as lifelike as can be, and of no use for a diagnosis."""

    name, title, sees = "shuffled-record", "Another record", "another-record"

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, 12, samples) mV of another patient's record -> the same in float32."""
        return lead.float().clone()
