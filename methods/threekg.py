"""3KG (arXiv 2106.04452) as fairseq-signals pre-trains it: two turns of the heart's vector attract each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .augment import LEADS, VCGConfig, augment_vcg
from .contrastive import GroupedNTXentLoss, Positives, checked_positives, cosines, groups_of
from .nets.wav2vec import Wav2VecConfig, Wav2VecEncoder


class ThreeKG(nn.Module):
    """Both views are turned, stretched and masked; views of one record, or of one patient, are positives.

    Args:
        net: size of the encoder.
        vcg: the augmentation.
        positives: "record", or "patient" where records of one patient are positives too.
    """

    def __init__(
        self, net: Wav2VecConfig | None = None, vcg: VCGConfig | None = None, *, positives: Positives = "record"
    ) -> None:
        super().__init__()
        self.vcg = vcg or VCGConfig()
        self.positives = checked_positives(positives)
        self.encoder = Wav2VecEncoder(LEADS, net)
        self.loss = GroupedNTXentLoss()

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss, and the mean cosines of partners and of strangers.

        Args:
            batch: "record" (batch, 12, samples), and "patient" (batch,) where positives are by patient.
        """
        record = batch["record"]
        groups = groups_of(self.positives, len(record), batch.get("patient"), record.device)
        features = self.encoder(torch.cat([augment_vcg(record, self.vcg) for _ in range(2)]))
        return {"loss": self.loss(features, torch.cat([groups, groups])), **cosines(*features.chunk(2))}
