"""W2V-CMSC (arXiv 2203.06889), which ECG-FM publishes weights of: hidden tokens, and halves of a record."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from ..methods.contrastive import Positives
from ..methods.wav2vec2 import W2VCMSC, Wav2Vec2Config
from .base import PaperCount
from .wav2vec import HEADS
from .wav2vec2 import Leads, count_predictions, of_leads, refuse_silence
from .wav2vec_training import Wav2VecOptions, Wav2VecPretraining

PUBLISHED = "huggingface.co/wanglab/ecg-fm: mimic_iv_ecg_physionet_pretrained.pt"


@dataclass(frozen=True)
class W2VCMSCOptions(Wav2VecOptions):
    """What is predicted and contrasted.

    Attributes:
        leads: "twelve" leads at once, of which unobserved ones are silent in the probe, or "native": lead I alone.
        objective: masking, codebook, and weights of the loss per hidden token.
        rlm: silence each lead of each half with probability 1/2, as ECG-FM was trained.
        positives: halves of one "record", or of all records of one "patient" in the batch.
        cmsc_weight: of the contrast between halves.
    """

    leads: Leads = "twelve"
    objective: Wav2Vec2Config = field(default_factory=Wav2Vec2Config)
    rlm: bool = True
    positives: Positives = "record"
    cmsc_weight: float = 1.0


class W2VCMSCAdapter(Wav2VecPretraining):
    """The encoder without what predicts hidden tokens; also reads ECG-FM's files."""

    Options = W2VCMSCOptions
    name = "w2v-cmsc"
    title = "W2V-CMSC"
    criteria = ("wav2vec2_with_cmsc",)
    heads = HEADS
    objective_type = W2VCMSC

    def __init__(self, options: W2VCMSCOptions | None = None) -> None:
        self.options = options or W2VCMSCOptions()
        if self.options.leads == "native":
            refuse_silence(self.name, "rlm=true", self.options.rlm)
        about = of_leads(self.name, self.title, self.options.leads)
        if self.options.leads == "twelve":
            # PhysioNet 2021 holds PTB-XL: ECG-FM has seen its signals.
            about |= {
                "published_weights": PUBLISHED,
                "pretraining_data": ("MIMIC-IV-ECG", "PhysioNet 2021", "PTB-XL"),
            }
        super().__init__(self.options, paper="https://arxiv.org/abs/2203.06889", **about)

    def build(self) -> W2VCMSC:
        """Encoder, codebook and both losses."""
        options = self.options
        return W2VCMSC(
            self.config,
            options.objective,
            leads=len(self.spec.leads),
            rlm=options.rlm,
            positives=options.positives,
            cmsc_weight=options.cmsc_weight,
        )

    def paper_count(self) -> PaperCount:
        """The masked pass up to predictions and targets, over several masks."""
        return count_predictions(self.build(), len(self.spec.leads))

    def published(self, objective: W2VCMSC) -> dict[str, Tensor]:
        """All tensors of the pre-training, as published; `load` takes the encoder's."""
        return objective.published_state()
