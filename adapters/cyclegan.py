"""CycleGAN (Zhu et al., ICCV 2017) for ECG images, as in EKGAN's comparison, behind the contract."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..methods.adversarial import Variant
from ..methods.cyclegan import CycleGAN
from ..methods.nets.ecg_image import ImageConfig
from .base import Tail
from .ecg_image import ImageAdapter


@dataclass(frozen=True)
class CycleGANOptions:
    """How the networks are built, trained and fed.

    Attributes:
        variant: "faithful" is the published ECG program: its discriminators end in a sigmoid that the loss takes for a
            logit, it has no pool of earlier images, and lead I and the twelve leads of a batch are of the same records,
            which a method for unpaired images has no use for. These are faults of that program and not of CycleGAN,
            whence the default "fixed": least squares, a pool of fifty images, and images of different records.
        tail: what fills the last strip of a record; "shift" invents no signal.
        overlap: samples that neighbouring strips share.
        net: size of the networks.
    """

    variant: Variant = "fixed"
    tail: Tail = "shift"
    overlap: int = 0
    net: ImageConfig = field(default_factory=ImageConfig)


class CycleGANAdapter(ImageAdapter):
    """The variants differ in training only: weights of one are read by the other."""

    Options = CycleGANOptions
    name, title = "cyclegan", "CycleGAN"
    norm = "instance"
    paper = "https://arxiv.org/abs/1703.10593"

    def __init__(self, options: CycleGANOptions | None = None) -> None:
        self.options = options or CycleGANOptions()
        note = "" if self.options.variant == "fixed" else self.options.variant
        super().__init__(self.options.net, tail=self.options.tail, overlap=self.options.overlap, note=note)

    def _objective(self) -> CycleGAN:
        return CycleGAN(self.options.net, variant=self.options.variant)
