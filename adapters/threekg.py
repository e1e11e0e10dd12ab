"""3KG (arXiv 2106.04452), as fairseq-signals pre-trains it: turns of the heart's vector."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..methods.augment import VCGConfig
from ..methods.contrastive import Positives
from ..methods.threekg import ThreeKG
from .wav2vec_training import Wav2VecOptions, Wav2VecPretraining


@dataclass(frozen=True)
class ThreeKGOptions(Wav2VecOptions):
    """What a view is, and which views attract each other.

    Attributes:
        vcg: the augmentation.
        positives: views of one "record", or of all records of one "patient" in the batch.
    """

    vcg: VCGConfig = field(default_factory=VCGConfig)
    positives: Positives = "record"


class ThreeKGAdapter(Wav2VecPretraining):
    """Pre-trained on twelve leads; probed with the leads that are observed among silent ones."""

    Options = ThreeKGOptions
    name = "3kg"
    title = "3KG"
    criteria = ("3kg",)
    objective_type = ThreeKG

    def __init__(self, options: ThreeKGOptions | None = None) -> None:
        self.options = options or ThreeKGOptions()
        super().__init__(self.options, paper="https://arxiv.org/abs/2106.04452")

    def build(self) -> ThreeKG:
        """Encoder and loss."""
        return ThreeKG(self.config, self.options.vcg, positives=self.options.positives)
