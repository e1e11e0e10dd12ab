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
            batch normalisation uses and updates batch statistics, and its dropout draws; its weights are frozen either
            way.
        s_norm: "own" takes the student's lead from the view "single_lead"; "from_12lead" takes channel 0 (lead I)
            of the view "twelve_lead", at the scale it has there.

    It is a teacher and a student as the contract of a `Taught` objective describes them: what the teacher says may be
    given in place of its view.

    Attributes:
        single_lead: the student, all that is used downstream.
        twelve_lead: the teacher.
        frozen: True when what the teacher says of a record never changes, False with batch statistics or dropout.
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
        self.teacher_view = "twelve_lead"
        self.student_views = ("twelve_lead",) if s_norm == "from_12lead" else ("single_lead",)
        config = self.twelve_lead.config
        self.frozen = m_mode == "eval" or not (config.use_bn or config.use_do)
        self.train()

    def train(self, mode: bool = True) -> SelfMIS:
        """Switch the student, and the teacher only where `m_mode` is "train"."""
        super().train(mode)
        self.twelve_lead.train(mode and self.m_mode == "train")
        return self

    @property
    def teacher(self) -> nn.Module:
        """The network that teaches."""
        return self.twelve_lead

    def teach(self, view: Tensor) -> Tensor:
        """(batch, 12, samples) of "twelve_lead" -> (batch, features) of the teacher, without gradient."""
        with torch.no_grad():
            targets: Tensor = self.twelve_lead(view)
        return targets

    def learn(self, views: Mapping[str, Tensor]) -> Tensor:
        """(batch, features) of the student: of "single_lead" (batch, 1, samples), or of lead I in "twelve_lead"."""
        (name,) = self.student_views
        student: Tensor = self.single_lead(views[name][:, :1])
        return student

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss and what is worth logging, as of `losses`.

        Args:
            batch: the view of the student, and either the view of the teacher or its "targets", (all, features), with
                "places", (batch,), where they are more than the rows of the batch.
        """
        given = batch.get("targets")
        targets = self.teach(batch[self.teacher_view]) if given is None else given
        return self.losses(self.learn(batch), targets, batch.get("places"))

    def losses(self, student: Tensor, targets: Tensor, places: Tensor | None = None) -> dict[str, Tensor]:
        """The loss of (batch, features) among (all, features), row i belonging to target `places[i]`, or i.

        Returns:
            "loss", the only one with a gradient; "siglip_sum" and "siglip_mean", the loss under both reductions;
            "infonce"; "positive_cosine" and "negative_cosine", mean cosine of partners and of strangers (0 where there
            are none); "scale" and "bias" where they are learned.
        """
        logits = self.loss.logits(student, targets, places)
        values = {"loss": self.loss.reduce(logits, places)}
        with torch.no_grad():
            values["siglip_sum"] = self.loss.reduce(logits, places, "sum_over_b")
            values["siglip_mean"] = self.loss.reduce(logits, places, "mean")
            values["infonce"] = info_nce(student, targets, places, self.loss.config.t)
            values |= _cosines(student.float(), targets.float(), places)
            if self.loss.log_scale is not None:
                values["scale"] = torch.as_tensor(self.loss.scale())
            if self.loss.bias is not None:
                values["bias"] = self.loss.bias.clone()
        return values


def _cosines(student: Tensor, targets: Tensor, places: Tensor | None) -> dict[str, Tensor]:
    cosine = F.normalize(student, dim=-1) @ F.normalize(targets, dim=-1).T
    partners = (cosine.diagonal() if places is None else cosine.gather(1, places[:, None])).sum()
    batch = len(cosine)
    return {
        "positive_cosine": partners / batch,
        "negative_cosine": (cosine.sum() - partners) / max(1, cosine.numel() - batch),
    }
