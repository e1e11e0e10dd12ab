"""CLOCS (arXiv 2005.13249): segments and leads of one patient attract each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from .augment import LEADS, mask_leads
from .contrastive import (
    LeadLoss,
    Positives,
    SegmentLoss,
    checked_positives,
    cosines,
    groups_of,
    shared_groups,
    shared_pair,
)
from .gather import Negatives
from .nets.wav2vec import Wav2VecConfig, Wav2VecEncoder

Mode = Literal["cmsc", "cmlc", "cmsmlc"]


class CLOCS(nn.Module):
    """An encoder without a head, whose pooled outputs are contrasted over time, over leads, or over both.

    "cmsc" contrasts the two halves of a twelve-lead record. "cmlc" and "cmsmlc" take every lead as a sequence of its
    own: the first contrasts leads over the whole record, the second a lead in one half with another in the other.

    As published, the negatives of a process are its own records.

    Args:
        net: size of the encoder.
        mode: what is contrasted.
        rlm: silence each lead of each half with probability 1/2; for "cmsc" only.
        positives: "record", or "patient" where records of one patient are positives too.

    Attributes:
        negatives: "local", or "global" for those of all processes while training, as `Contrastive` objectives are told.

    Raises:
        ValueError: an unknown mode or kind of positives, or `rlm` where every lead is a sequence.
    """

    def __init__(
        self,
        net: Wav2VecConfig | None = None,
        *,
        mode: Mode = "cmsc",
        rlm: bool = False,
        positives: Positives = "record",
    ) -> None:
        super().__init__()
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be cmsc, cmlc or cmsmlc; got {mode!r}")
        if rlm and mode != "cmsc":
            raise ValueError(f"rlm silences leads, and in mode {mode} every lead is a sequence: leave it off")
        self.mode: Mode = mode
        self.rlm = rlm
        self.positives = checked_positives(positives)
        self.negatives: Negatives = "local"
        self.encoder = Wav2VecEncoder(LEADS if mode == "cmsc" else 1, net)
        self.loss = SegmentLoss() if mode == "cmsc" else LeadLoss()

    def embed(self, record: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 12, samples) -> both sides of the contrast: (batch, width) for "cmsc", else (batch, 12, width)."""
        if record.ndim != 3 or record.shape[1] != LEADS:
            raise ValueError(f"CLOCS is trained on (batch, 12, samples); got {tuple(record.shape)}")
        if self.mode == "cmlc":
            leads = self._each_lead(record)
            return leads, leads
        segments = torch.cat(halves(record))
        if self.mode == "cmsmlc":
            first, second = self._each_lead(segments).chunk(2)
        else:
            first, second = self.encoder(mask_leads(segments) if self.rlm else segments).chunk(2)
        return first, second

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss, and the mean cosines of partners and of strangers in this process.

        Args:
            batch: "record" (batch, 12, samples), and "patient" (batch,) where positives are by patient.
        """
        record = batch["record"]
        groups = groups_of(self.positives, len(record), batch.get("patient"), record.device)
        first, second = self.embed(record)
        negatives = self.negatives if self.training else "local"
        pair, shared = shared_pair(negatives, first, second), shared_groups(negatives, self.positives, groups)
        values: dict[str, Tensor] = {"loss": self.loss(*pair, shared)}
        if self.mode != "cmsc":
            # For the log one pair of leads stands for all: I and II.
            first, second = first[:, 0], second[:, 1]
        return values | cosines(first, second)

    def _each_lead(self, signal: Tensor) -> Tensor:
        """(batch, leads, samples) -> (batch, leads, width), each lead encoded by itself."""
        encoded: Tensor = self.encoder(signal.flatten(0, 1).unsqueeze(1))
        return encoded.view(*signal.shape[:2], -1)


def halves(record: Tensor) -> tuple[Tensor, Tensor]:
    """(batch, leads, samples) -> its two adjacent halves, (batch, leads, samples // 2) each."""
    half = record.shape[-1] // 2
    return record[..., :half], record[..., half : 2 * half]
