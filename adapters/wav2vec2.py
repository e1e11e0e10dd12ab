"""Wav2Vec 2.0 on ECG (arXiv 2006.11477), as fairseq-signals pre-trains it: hidden tokens told from others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..methods.augment import Augmentation, NoiseConfig
from ..methods.wav2vec2 import Wav2Vec2, Wav2Vec2Config
from .base import LEADS, PaperCount
from .counting import Calling
from .errors import MibenchError
from .wav2vec import HEADS, UNCOUNTED
from .wav2vec_training import RECORD_SAMPLES, Wav2VecOptions, Wav2VecPretraining

Leads = Literal["twelve", "native"]

MASKS = 4
"""Over which a count is averaged: a hidden token costs 0.43 MMac, and 118 to 183 tokens of a record are hidden."""


@dataclass(frozen=True)
class Wav2Vec2Options(Wav2VecOptions):
    """What is predicted, and on what.

    Attributes:
        leads: "twelve" leads at once, of which unobserved ones are silent in the probe, or "native": lead I alone.
        objective: masking, codebook, and weights of the loss.
        augmentation: of the signal before it is masked: "none", "rlm" (silent leads), or "noises" as well.
        noise: of "noises".
    """

    leads: Leads = "twelve"
    objective: Wav2Vec2Config = field(default_factory=Wav2Vec2Config)
    augmentation: Augmentation = "none"
    noise: NoiseConfig = field(default_factory=NoiseConfig)


class Wav2Vec2Adapter(Wav2VecPretraining):
    """The encoder without what predicts hidden tokens."""

    Options = Wav2Vec2Options
    name = "wav2vec2"
    title = "Wav2Vec 2.0"
    criteria = ("wav2vec2",)
    heads = HEADS
    objective_type = Wav2Vec2

    def __init__(self, options: Wav2Vec2Options | None = None) -> None:
        self.options = options or Wav2Vec2Options()
        if self.options.leads == "native":
            refuse_silence(self.name, f"augmentation={self.options.augmentation}", self.options.augmentation != "none")
        about = of_leads(self.name, self.title, self.options.leads)
        super().__init__(self.options, paper="https://arxiv.org/abs/2006.11477", **about)

    def build(self) -> Wav2Vec2:
        """Encoder, codebook and loss."""
        options = self.options
        return Wav2Vec2(
            self.config,
            options.objective,
            leads=len(self.spec.leads),
            augmentation=options.augmentation,
            noise=options.noise,
        )

    def paper_count(self) -> PaperCount:
        """The masked pass up to predictions and targets, over several masks."""
        return count_predictions(self.build(), len(self.spec.leads))

    def published(self, objective: Wav2Vec2) -> dict[str, Tensor]:
        """All tensors of the pre-training, as published; `load` takes the encoder's."""
        return objective.published_state()


def of_leads(name: str, title: str, leads: Leads) -> dict[str, Any]:
    """What tells a network for lead I alone from that for twelve: another name, so that the two never mix."""
    if leads == "twelve":
        return {"seen": LEADS, "trained_on": LEADS}
    return {"name": f"{name}-1lead", "title": f"{title} (1-lead)", "seen": ("I",), "trained_on": ("I",)}


def count_predictions(objective: nn.Module, leads: int) -> PaperCount:
    """The masked pass of an objective with `predict`, as the paper's Table 4 has it."""
    ecg = torch.zeros(1, leads, RECORD_SAMPLES)
    return PaperCount(Calling(objective, "predict"), lambda: {"ecg": ecg}, UNCOUNTED, MASKS)


def refuse_silence(name: str, setting: str, chosen: bool) -> None:
    """Stop where leads are to be silenced at random and there is only one.

    Raises:
        MibenchError: `chosen` is true.
    """
    if chosen:
        raise MibenchError(
            f"{name}: {setting} silences leads at random, and leads=native has only one: turn it off, or choose "
            f"leads=twelve"
        )
