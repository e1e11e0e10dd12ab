"""SimCLR (arXiv 2002.05709) on ECG, as fairseq-signals pre-trains it: no projection head."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .augment import LEADS, Augmentation, NoiseConfig, augment
from .contrastive import NTXentLoss, cosines, shared_pair
from .gather import Negatives
from .nets.wav2vec import Wav2VecConfig, Wav2VecEncoder


class SimCLR(nn.Module):
    """Two augmented views of a record attract each other, and repel those of all other records of the batch.

    As published, the negatives of a process are its own records: the published program gathers none for SimCLR.

    Args:
        net: size of the encoder.
        augmentation: "rlm" silences leads at random, "noises" adds noise before that.
        noise: of "noises".

    Attributes:
        negatives: "local", or "global" for those of all processes while training, as `Contrastive` objectives are told.

    Raises:
        ValueError: an augmentation that leaves both views alike.
    """

    def __init__(
        self,
        net: Wav2VecConfig | None = None,
        *,
        augmentation: Augmentation = "rlm",
        noise: NoiseConfig | None = None,
    ) -> None:
        super().__init__()
        if augmentation not in ("rlm", "noises"):
            raise ValueError(f"augmentation must be rlm or noises; got {augmentation!r}")
        self.augmentation: Augmentation = augmentation
        self.noise = noise or NoiseConfig()
        self.negatives: Negatives = "local"
        self.encoder = Wav2VecEncoder(LEADS, net)
        self.loss = NTXentLoss()

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss, and the mean cosines of partners and of strangers.

        Args:
            batch: "record" (batch, 12, samples).
        """
        record = batch["record"]
        views = [augment(record, self.augmentation, self.noise) for _ in range(2)]
        return self.losses(*self.encoder(torch.cat(views)).chunk(2))

    def losses(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """The same of both views' features, (batch, width) each; the cosines are of this process alone."""
        negatives = self.negatives if self.training else "local"
        return {"loss": self.loss(*shared_pair(negatives, first, second)), **cosines(first, second)}
