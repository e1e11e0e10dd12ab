"""ECGFounder: a Net1D trained on 150 statements of ten million records (arXiv 2410.04133), as a frozen encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..methods.nets.net1d import Net1D, Net1DConfig
from .base import LEADS, LoadReport, MethodSpec, Normalization, PaperCount
from .checkpoints import load_into, read_weights
from .counting import Calling
from .errors import MibenchError

Filter = Literal["none", "bandpass", "ecgfounder"]

HEAD = "dense."
NORM = re.compile(r"\b(first_bn|bn[123])\.(?P<kind>weight|bias|running_mean|running_var)$")
STATEMENTS = 150
STEM = "first_conv.conv.weight"
PUBLISHED = "huggingface.co/PKUDigitalHealth/ECGFounder"
FILES = {1: "1_lead_ECGFounder.pth", 12: "12_lead_ECGFounder.pth"}


@dataclass(frozen=True)
class ECGFounderOptions:
    """Which of the two networks, and what it is fed.

    Attributes:
        leads: "native" for the one-lead network, "twelve" for the twelve-lead network, whose leads that were not
            recorded stay silent.
        filter: "none" as the paper's probe, or the "ecgfounder" chain that its authors ask for.
        normalization: over the recorded leads together, as its authors do.
        net: size and switches of the network; the published files fit the defaults only.
    """

    leads: Literal["native", "twelve"] = "native"
    filter: Filter = "none"
    normalization: Normalization = "zscore-record"
    net: Net1DConfig = field(default_factory=Net1DConfig)


class Net1DEncoder:
    """What adapters around one Net1D share: loading it, and embedding with it."""

    spec: MethodSpec
    net_config: Net1DConfig

    def __init__(self) -> None:
        self.net: Net1D | None = None

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Build the network on `device`: from a file in the layout of ECGFounder, or at random for None.

        Raises:
            MibenchError: the file is no weights file, or one of another network.
        """
        net = Net1D(len(self.spec.leads), self.net_config)
        report = LoadReport() if weights is None else load_net1d(net, weights)
        self.net = net.to(device).eval()
        return report

    def network(self) -> Net1D:
        """The network itself: (batch, leads, samples) -> (batch, embedding_dim), with gradient."""
        if self.net is None:
            raise RuntimeError(f"{self.spec.name}: load() comes first")
        return self.net

    def embed(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) as `spec` describes -> (batch, embedding_dim) float32, without gradient."""
        net = self.network()
        with torch.inference_mode(), torch.autocast(ecg.device.type, enabled=False):
            embedding: Tensor = net.eval()(ecg.float())
        return embedding


class ECGFounderAdapter(Net1DEncoder):
    """The published networks behind the 1024 features that their heads read."""

    Options = ECGFounderOptions

    def __init__(self, options: ECGFounderOptions | None = None) -> None:
        super().__init__()
        self.options = options or ECGFounderOptions()
        self.net_config = self.options.net
        native = self.options.leads == "native"
        leads = ("I",) if native else LEADS
        self.spec = MethodSpec(
            name="ecgfounder" if native else "ecgfounder-12lead",
            title="ECGFounder" if native else "ECGFounder (12-lead)",
            leads=leads,
            normalization=self.options.normalization,
            filter=self.options.filter,
            embedding_dim=self.net_config.features,
            pretraining_data=("HEEDB",),
            paper="https://arxiv.org/abs/2410.04133",
            license="MIT",
            published_weights=f"{PUBLISHED}: {FILES[len(leads)]}",
        )

    def paper_count(self) -> PaperCount:
        """The network with its head of 150 statements on one record."""
        ecg = torch.zeros(1, len(self.spec.leads), self.spec.samples)
        net = Net1D(len(self.spec.leads), self.net_config, STATEMENTS).requires_grad_(True)
        return PaperCount(Calling(net, "logits"), lambda: {"x": ecg})


def load_net1d(net: Net1D, path: Path) -> LoadReport:
    """Fill a headless Net1D from a file in the layout of ECGFounder; the notes say what its batch normalisation holds.

    Raises:
        MibenchError: the file is no weights file, or one of another network.
    """
    state, container = read_weights(path)
    _refuse_other_leads(net, state, path)
    file = FILES.get(net.in_channels, "")
    report = load_into(net, state, source=path, ignore_extra=(HEAD,), expected=f"the layout of ECGFounder's {file}")
    notes = (norm_note(state, use_bn=net.config.use_bn),)
    return replace(report, dropped=container.dropped + report.dropped, notes=notes)


def norm_is_fresh(state: Mapping[str, Tensor]) -> bool:
    """Whether every batch normalisation of a Net1D is as it was made: weight 1, bias 0, mean 0, variance 1."""
    initial = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    found = ((NORM.search(name), tensor) for name, tensor in state.items())
    return all(bool((tensor == initial[match["kind"]]).all()) for match, tensor in found if match)


def norm_note(state: Mapping[str, Tensor], *, use_bn: bool) -> str:
    """A sentence on the batch normalisation in a file and what the network makes of it."""
    if norm_is_fresh(state):
        effect = "runs and changes nothing in evaluation" if use_bn else "is not run"
        return f"batch normalisation in the file is untrained, as published; it {effect}"
    if use_bn:
        return "batch normalisation in the file is trained; it is run"
    return "warning: batch normalisation in the file is trained, and net.use_bn=false leaves it out"


def _refuse_other_leads(net: Net1D, state: Mapping[str, Tensor], path: Path) -> None:
    """One sentence for the likeliest mistake: the files for one and for twelve leads differ in the stem alone."""
    wanted = {name: tensor.shape for name, tensor in net.state_dict().items()}
    given = {name: tensor.shape for name, tensor in state.items() if not name.startswith(HEAD)}
    different = {name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name)}
    if different != {STEM} or STEM not in given:
        return
    shape, leads = given[STEM], net.in_channels
    if len(shape) == 3 and (shape[0], shape[2]) == (wanted[STEM][0], wanted[STEM][2]):
        names = {1: "one lead", 12: "twelve leads"}
        raise MibenchError(
            f"{path} is made for {names.get(shape[1], f'{shape[1]} leads')}, and this network takes "
            f"{names.get(leads, f'{leads} leads')}: give the other file ({FILES.get(leads, STEM)})"
        )
