"""CLOCS (arXiv 2005.13249): contrast over segments as fairseq-signals pre-trains it, or over leads as in the paper."""

from __future__ import annotations

from dataclasses import dataclass

from ..methods.clocs import CLOCS, Mode
from ..methods.contrastive import Positives
from .base import LEADS
from .errors import MibenchError
from .wav2vec_training import Wav2VecOptions, Wav2VecPretraining


@dataclass(frozen=True)
class CLOCSOptions(Wav2VecOptions):
    """What is contrasted.

    Attributes:
        mode: "cmsc", the halves of a record; "cmlc", its leads, each a sequence of its own; "cmsmlc", a lead in one
            half with another lead in the other half. The last two make a single-lead network.
        rlm: silence each lead of each half with probability 1/2; for "cmsc" only.
        positives: of one "record", or of all records of one "patient" in the batch.
    """

    mode: Mode = "cmsc"
    rlm: bool = False
    positives: Positives = "record"


class CLOCSAdapter(Wav2VecPretraining):
    """Pre-trained on twelve leads; probed with the observed leads among silent ones, or with lead I by itself."""

    Options = CLOCSOptions
    name = "clocs"
    title = "CLOCS"
    criteria = ("cmsc", "clocs")
    objective_type = CLOCS

    def __init__(self, options: CLOCSOptions | None = None) -> None:
        self.options = options or CLOCSOptions()
        mode, paper = self.options.mode, "https://arxiv.org/abs/2005.13249"
        if mode == "cmsc":
            super().__init__(self.options, paper=paper)
            return
        if self.options.rlm:
            raise MibenchError(
                f"clocs: rlm silences leads, and in mode {mode} every lead is a sequence of its own: leave rlm=false, "
                f"or choose mode=cmsc"
            )
        # Another network, so another name: results and weights of the two must not mix.
        about = {"name": f"{self.name}-{mode}", "title": f"{self.title} ({mode.upper()})"}
        super().__init__(self.options, seen=("I",), trained_on=LEADS, paper=paper, **about)

    def build(self) -> CLOCS:
        """Encoder and loss."""
        options = self.options
        return CLOCS(self.config, mode=options.mode, rlm=options.rlm, positives=options.positives)
