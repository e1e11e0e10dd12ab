"""SelfMIS: a single-lead encoder learns to say what a frozen twelve-lead encoder says (arXiv 2509.19397)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .nets.net1d import Net1D, Net1DConfig
from .siglip import SigLIPConfig, SigLIPLoss, info_nce

TeacherMode = Literal["eval", "train"]
StudentSource = Literal["own", "from_12lead"]

LEADS = 12


class SelfMIS(nn.Module):
    """Student and teacher Net1D, aligned by the SigLIP loss (Eq. 3).

    Args:
        net: size and switches of both networks; the default is the paper's.
        loss: switches of the loss.
        m_mode: "eval" keeps the teacher in evaluation mode always. "train" lets it follow `train()`, so that its
            batch normalisation uses and updates batch statistics; its weights are frozen either way.
        s_norm: "own" takes the student's lead from the view "single_lead"; "from_12lead" takes channel 0 (lead I)
            of the view "twelve_lead", at the scale it has there.

    Attributes:
        single_lead: the student, all that is used downstream.
        twelve_lead: the teacher.
    """

    def __init__(
        self,
        net: Net1DConfig | None = None,
        loss: SigLIPConfig | None = None,
        *,
        m_mode: TeacherMode = "eval",
        s_norm: StudentSource = "own",
    ) -> None:
        super().__init__()
        if m_mode not in get_args(TeacherMode):
            raise ValueError(f"m_mode must be eval or train; got {m_mode!r}")
        if s_norm not in get_args(StudentSource):
            raise ValueError(f"s_norm must be own or from_12lead; got {s_norm!r}")
        self.m_mode = m_mode
        self.s_norm = s_norm
        self.single_lead = Net1D(1, net)
        self.twelve_lead = Net1D(LEADS, net).requires_grad_(False)
        self.loss = SigLIPLoss(loss)
        self.train()

    def train(self, mode: bool = True) -> SelfMIS:
        """Switch the student, and the teacher only where `m_mode` is "train"."""
        super().train(mode)
        self.twelve_lead.train(mode and self.m_mode == "train")
        return self

    def embed(self, views: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings of student and teacher, (batch, features) each; the teacher's carry no gradient.

        Args:
            views: "twelve_lead" (batch, 12, samples) and, unless `s_norm` is "from_12lead", "single_lead"
                (batch, 1, samples).
        """
        twelve = views["twelve_lead"]
        single = twelve[:, :1] if self.s_norm == "from_12lead" else views["single_lead"]
        with torch.no_grad():
            teacher = self.twelve_lead(twelve)
        return self.single_lead(single), teacher

    def forward(self, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss and what is worth logging, all scalars.

        Args:
            views: as `embed` takes them.

        Returns:
            "loss", the only one with a gradient; "siglip_sum" and "siglip_mean", the loss under both reductions;
            "infonce"; "positive_cosine" and "negative_cosine", mean cosine of partners and of strangers (0 where a
            batch of one has none); "scale" and "bias" where they are learned.
        """
        student, teacher = self.embed(views)
        logits, offset = self.loss.logits(student, teacher)
        values = {"loss": self.loss.reduce(logits, offset)}
        with torch.no_grad():
            values["siglip_sum"] = self.loss.reduce(logits, offset, "sum_over_b")
            values["siglip_mean"] = self.loss.reduce(logits, offset, "mean")
            values["infonce"] = info_nce(student, teacher, self.loss.config.t)
            values |= _cosines(student.float(), teacher.float())
            if self.loss.log_scale is not None:
                values["scale"] = torch.as_tensor(self.loss.scale())
            if self.loss.bias is not None:
                values["bias"] = self.loss.bias.clone()
        return values


def _cosines(student: Tensor, teacher: Tensor) -> dict[str, Tensor]:
    cosine = F.normalize(student, dim=-1) @ F.normalize(teacher, dim=-1).T
    partners = cosine.diagonal().sum()
    batch = len(cosine)
    return {
        "positive_cosine": partners / batch,
        "negative_cosine": (cosine.sum() - partners) / max(1, batch * (batch - 1)),
    }
