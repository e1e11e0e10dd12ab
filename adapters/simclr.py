"""SimCLR on twelve leads (arXiv 2002.05709), as fairseq-signals pre-trains it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..methods.augment import NoiseConfig
from ..methods.simclr import SimCLR
from .wav2vec_training import Wav2VecOptions, Wav2VecPretraining


@dataclass(frozen=True)
class SimCLROptions(Wav2VecOptions):
    """What a view is.

    Attributes:
        augmentation: "rlm" silences each lead with probability 1/2; "noises" adds four noises before that.
        noise: of "noises".
    """

    augmentation: Literal["rlm", "noises"] = "rlm"
    noise: NoiseConfig = field(default_factory=NoiseConfig)


class SimCLRAdapter(Wav2VecPretraining):
    """Pre-trained on twelve leads; probed with the leads that are observed among silent ones."""

    Options = SimCLROptions
    name = "simclr"
    title = "SimCLR"
    criteria = ("simclr",)
    objective_type = SimCLR

    def __init__(self, options: SimCLROptions | None = None) -> None:
        self.options = options or SimCLROptions()
        super().__init__(self.options, paper="https://arxiv.org/abs/2002.05709")

    def build(self) -> SimCLR:
        """Encoder and loss."""
        return SimCLR(self.config, augmentation=self.options.augmentation, noise=self.options.noise)
