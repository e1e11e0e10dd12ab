"""3KG (arXiv 2106.04452) as fairseq-signals pre-trains it: two turns of the heart's vector attract each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .augment import LEADS, VCGConfig, augment_vcg
from .contrastive import (
    GroupedNTXentLoss,
    Positives,
    checked_positives,
    cosines,
    groups_of,
    shared_groups,
    shared_pair,
)
from .gather import Negatives
from .nets.wav2vec import Wav2VecConfig, Wav2VecEncoder


class ThreeKG(nn.Module):
    """Both views are turned, stretched and masked; views of one record, or of one patient, are positives.

    As published, the negatives of a process are its own records, unless the published program's switch `all_gather` is
    set, as "global" is here.

    Args:
        net: size of the encoder.
        vcg: the augmentation.
        positives: "record", or "patient" where records of one patient are positives too.

    Attributes:
        negatives: "local", or "global" for those of all processes while training, as `Contrastive` objectives are told.
    """

    def __init__(
        self, net: Wav2VecConfig | None = None, vcg: VCGConfig | None = None, *, positives: Positives = "record"
    ) -> None:
        super().__init__()
        self.vcg = vcg or VCGConfig()
        self.positives = checked_positives(positives)
        self.negatives: Negatives = "local"
        self.encoder = Wav2VecEncoder(LEADS, net)
        self.loss = GroupedNTXentLoss()

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss, and the mean cosines of partners and of strangers.

        Args:
            batch: "record" (batch, 12, samples), and "patient" (batch,) where positives are by patient.
        """
        record = batch["record"]
        groups = groups_of(self.positives, len(record), batch.get("patient"), record.device)
        first, second = self.encoder(torch.cat([augment_vcg(record, self.vcg) for _ in range(2)])).chunk(2)
        return self.losses(first, second, groups)

    def losses(self, first: Tensor, second: Tensor, groups: Tensor) -> dict[str, Tensor]:
        """The same of both views' features, (batch, width) each, and the groups of the records, (batch,).

        The cosines are of this process alone.
        """
        negatives = self.negatives if self.training else "local"
        everyone = torch.cat(shared_pair(negatives, first, second))
        shared = shared_groups(negatives, self.positives, groups)
        return {"loss": self.loss(everyone, torch.cat([shared, shared])), **cosines(first, second)}
