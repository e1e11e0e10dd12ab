"""SelfMIS: lead I aligned with twelve leads (arXiv 2509.19397); pre-trained here, used by its single-lead encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..methods.nets.net1d import Net1DConfig
from ..methods.selfmis import SelfMIS, StudentSource, TeacherMode
from ..methods.siglip import SigLIPConfig
from .base import LEADS, InputSpec, LoadReport, MethodSpec, Normalization, PaperCount
from .ecgfounder import Filter, Net1DEncoder, load_net1d, norm_is_fresh
from .errors import MibenchError


@dataclass(frozen=True)
class NetOptions(Net1DConfig):
    """Both networks, and the teacher's mode: "eval", or "train" for batch statistics in its batch normalisation."""

    m_mode: TeacherMode = "eval"


@dataclass(frozen=True)
class PreprocessingOptions:
    """What both views are made of.

    Attributes:
        filter: applied to both views; the paper names none for pre-training.
        norm: z-score of the twelve leads together ("record"), of each by itself ("lead"), or millivolts ("none").
        s_norm: the student's lead I z-scored by itself ("own"), or as it stands in the twelve ("from_12lead").
    """

    filter: Filter = "none"
    norm: Literal["record", "lead", "none"] = "record"
    s_norm: StudentSource = "own"


@dataclass(frozen=True)
class SelfMISOptions:
    """Every choice that the paper leaves open; the defaults are `paper_default`."""

    net: NetOptions = field(default_factory=NetOptions)
    loss: SigLIPConfig = field(default_factory=SigLIPConfig)
    preprocessing: PreprocessingOptions = field(default_factory=PreprocessingOptions)


class SelfMISAdapter(Net1DEncoder):
    """The student as an encoder, and student and teacher as what is pre-trained.

    Attributes:
        init_reports: what the last `objective` found in the files of `init`, by part.
    """

    Options = SelfMISOptions
    init_parts = ("single_lead", "twelve_lead")

    def __init__(self, options: SelfMISOptions | None = None) -> None:
        super().__init__()
        self.options = options or SelfMISOptions()
        self.net_config = _size(self.options.net)
        self.init_reports: dict[str, LoadReport] = {}
        preprocessing = self.options.preprocessing
        alone: Normalization = "none" if preprocessing.norm == "none" else "zscore-lead"
        together: dict[str, Normalization] = {"record": "zscore-record", "lead": "zscore-lead", "none": "none"}
        single = InputSpec(leads=("I",), normalization=alone, filter=preprocessing.filter)
        twelve = replace(single, leads=LEADS, normalization=together[preprocessing.norm])
        self.views: Mapping[str, InputSpec] = {"single_lead": single, "twelve_lead": twelve}
        if preprocessing.s_norm == "from_12lead":
            self.views = {"twelve_lead": twelve}
        self.spec = MethodSpec(
            name="selfmis",
            title="SelfMIS",
            leads=single.leads,
            normalization=alone,
            filter=preprocessing.filter,
            embedding_dim=self.net_config.features,
            pretrainable=True,
            paper="https://arxiv.org/abs/2509.19397",
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Build the student on `device`: from a file of `trained_state` or of ECGFounder, or at random for None.

        Raises:
            MibenchError: the file is no weights file, one of another network, or one whose student learned with the
                batch normalisation that `net.use_bn` leaves out.
        """
        report = super().load(weights, device)
        learned = weights is not None and self.net is not None and not norm_is_fresh(self.net.state_dict())
        if learned and not self.net_config.use_bn:
            self.net = None
            raise MibenchError(
                f"{weights} was trained with batch normalisation, and net.use_bn=false would leave it out: "
                f"add --set method.net.use_bn=true"
            )
        return report

    def objective(self, init: Mapping[str, Path]) -> SelfMIS:
        """Student and teacher with their loss, from published files where `init` names them, else at random.

        Raises:
            MibenchError: an unknown part, or a file that does not fit it.
        """
        unknown = sorted(set(init) - set(self.init_parts))
        if unknown:
            raise MibenchError(f"selfmis has no part {', '.join(unknown)}; it has {' and '.join(self.init_parts)}")
        module = SelfMIS(
            self.net_config,
            self.options.loss,
            m_mode=self.options.net.m_mode,
            s_norm=self.options.preprocessing.s_norm,
        )
        nets = {"single_lead": module.single_lead, "twelve_lead": module.twelve_lead}
        self.init_reports = {part: load_net1d(nets[part], path) for part, path in init.items()}
        return module

    def paper_count(self) -> PaperCount:
        """Both networks on one record of twelve leads, batch normalisation on, the teacher counted as what learns."""
        module = SelfMIS(replace(self.net_config, use_bn=True), self.options.loss).requires_grad_(True)
        ecg = torch.zeros(1, len(LEADS), self.spec.samples)
        return PaperCount(_BothNets(module), lambda: {"ecg": ecg})

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        """The student's tensors, named as in ECGFounder's files and without a head."""
        if not isinstance(objective, SelfMIS):
            raise TypeError(f"the objective of selfmis is a SelfMIS; got {type(objective).__name__}")
        return dict(objective.single_lead.state_dict())


class _BothNets(nn.Module):
    """Student and teacher, one after the other."""

    def __init__(self, objective: SelfMIS) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, ecg: Tensor) -> tuple[Tensor, Tensor]:
        student = self.objective.single_lead(ecg[:, :1])
        return student, self.objective.teach(ecg)


def _size(options: NetOptions) -> Net1DConfig:
    return Net1DConfig(**{entry.name: getattr(options, entry.name) for entry in fields(Net1DConfig)})
