"""MCMA (Chen et al., npj Cardiovascular Health 1:34, 2024): any one lead in, twelve leads out, by squared error alone.

The published trainer means to draw the input lead anew for each segment and step, and does not: the draw is made once,
when the program is traced, and the batches keep their members, so that each segment has one input lead for good. That
is `lead_sampling="frozen"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .nets.mcma_net import LEADS, Amplitude, MCMAConfig, MCMANet

VIEW = "twelve"
MIXER = 0x7FB5D329728EA185  # an odd number, whose multiples wrap around and leave no pattern

LeadSampling = Literal["per_step", "frozen", "lead_I_only"]
Masking = Literal["zeros", "copy"]


def as_input(lead: Tensor, position: Tensor, masking: Masking) -> Tensor:
    """Twelve channels out of one lead, as the network takes it.

    Args:
        lead: (batch, 1, time) in mV.
        position: (batch,) int64, which lead it is in the standard order.
        masking: "zeros" silences the other eleven, "copy" puts the lead in their place.

    Returns:
        (batch, 12, time).
    """
    if masking == "copy":
        return lead.expand(-1, LEADS, -1)
    return lead * functional.one_hot(position, LEADS).unsqueeze(-1).to(lead.dtype)


def frozen_draw(segments: Tensor) -> Tensor:
    """A number from 0 to 11 for each segment, drawn from nothing but its own samples.

    Args:
        segments: (batch, 12, time) in mV.

    Returns:
        (batch,) int64. Equal samples give equal numbers, in any batch and any order; others give any number as likely.
    """
    bits = segments.detach().float().contiguous().view(torch.int32).flatten(1).long()
    # Whole numbers: their sum is the same in whatever order a device adds them up.
    mixed = (bits * (2 * torch.arange(bits.shape[1], device=bits.device) + 1)).sum(dim=1)
    for _ in range(3):
        mixed = (mixed ^ (mixed >> 31)) * MIXER
    return (mixed >> 33).remainder(LEADS)


class MCMA(nn.Module):
    """The network with its objective: the mean squared error of all twelve leads, the one that was given among them.

    The published loss is the sum over leads and segments in place of their mean; to Adam a factor makes no difference.

    Args:
        net: size of the network.
        amplitude: "constant" as published, "own" for leads of free size.
        lead_sampling: which lead of a training segment is given: one drawn at each step, one that stays the segment's
            own, or lead I.
        masking: what stands in place of the others.
    """

    criterion = "mean squared error of the eleven missing leads from lead I, mV^2"

    def __init__(
        self,
        net: MCMAConfig | None = None,
        *,
        amplitude: Amplitude = "constant",
        lead_sampling: LeadSampling = "frozen",
        masking: Masking = "zeros",
    ) -> None:
        super().__init__()
        self.net = MCMANet(net, amplitude)
        self.lead_sampling: LeadSampling = lead_sampling
        self.masking: Masking = masking

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss; in evaluation mode the criterion, which sees lead I and nothing else.

        Args:
            batch: "twelve" (records, windows, 12, time) in mV.
        """
        segments = batch[VIEW].flatten(0, 1)
        if not self.training:
            made = self.synthesize(segments[:, :1])
            return {"loss": functional.mse_loss(made[:, 1:].float(), segments[:, 1:].float())}
        position = self._positions(segments)
        lead = segments[torch.arange(len(segments), device=segments.device), position].unsqueeze(1)
        made = self.net(as_input(lead, position, self.masking))
        return {"loss": functional.mse_loss(made.float(), segments.float())}

    def synthesize(self, lead: Tensor) -> Tensor:
        """Lead I, (batch, 1, time) in mV -> (batch, 12, time) in mV."""
        first = torch.zeros(len(lead), dtype=torch.int64, device=lead.device)
        made: Tensor = self.net(as_input(lead, first, self.masking))
        return made

    def _positions(self, segments: Tensor) -> Tensor:
        if self.lead_sampling == "frozen":
            return frozen_draw(segments)
        if self.lead_sampling == "lead_I_only":
            return torch.zeros(len(segments), dtype=torch.int64, device=segments.device)
        # From the CPU's generator, so that the same seed gives the same leads on every device.
        return torch.randint(LEADS, (len(segments),)).to(segments.device)
