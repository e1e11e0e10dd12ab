"""Pix2Pix (Isola et al., CVPR 2017) for ECG images, as in EKGAN's comparison, behind the contract."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..methods.adversarial import Variant
from ..methods.nets.ecg_image import ImageConfig
from ..methods.pix2pix import Pix2Pix
from .base import Tail
from .ecg_image import ImageAdapter


@dataclass(frozen=True)
class Pix2PixOptions:
    """How the networks are built, trained and fed.

    Attributes:
        variant: "faithful" is the published ECG program, whose discriminator ends in a sigmoid that its loss takes for
            a logit: that loss never falls under 1.0064, and the generator gains next to nothing by deceiving it. The
            fault is of that program and not of Pix2Pix, whence the default "fixed": cross-entropy with the logits.
        l1_weight: of the absolute error beside the adversary; the published program names none, 100 is Pix2Pix's own.
        tail: what fills the last strip of a record; "shift" invents no signal.
        overlap: samples that neighbouring strips share.
        net: size of the networks.
    """

    variant: Variant = "fixed"
    l1_weight: float = 100.0
    tail: Tail = "shift"
    overlap: int = 0
    net: ImageConfig = field(default_factory=ImageConfig)

    def __post_init__(self) -> None:
        if self.l1_weight < 0:
            raise ValueError(f"l1_weight must not be negative; got {self.l1_weight:g}")


class Pix2PixAdapter(ImageAdapter):
    """The variants differ in training only: weights of one are read by the other."""

    Options = Pix2PixOptions
    name, title = "pix2pix", "Pix2Pix"
    paper = "https://arxiv.org/abs/1611.07004"

    def __init__(self, options: Pix2PixOptions | None = None) -> None:
        self.options = options or Pix2PixOptions()
        note = "" if self.options.variant == "fixed" else self.options.variant
        super().__init__(self.options.net, tail=self.options.tail, overlap=self.options.overlap, note=note)

    def _objective(self) -> Pix2Pix:
        return Pix2Pix(self.options.net, variant=self.options.variant, l1_weight=self.options.l1_weight)
