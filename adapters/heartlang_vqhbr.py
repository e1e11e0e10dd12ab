"""VQ-HBR, the vocabulary that HeartLang is pre-trained with (arXiv 2502.10707): loaded, or trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..methods.vqhbr import VQHBR, VQHBRConfig
from .base import LEADS, InputSpec, LoadReport, MethodSpec, Normalization
from .checkpoints import load_into, read_metadata, read_weights
from .errors import MibenchError
from .qrs import RATE, BeatTokenizer

Filter = Literal["none", "heartlang"]

NAME = "heartlang-vqhbr"
LANGUAGE_MODEL = "heartlang"
SECONDS = 10
PAPER = "https://arxiv.org/abs/2502.10707"
HUB = "huggingface.co/PKUDigitalHealth/HeartLang"
FILE = "checkpoints/vqhbr/MIMIC-IV/checkpoint-100.pth"
SHA256 = "c510f170c34cc134dcea61c92d11cd9d117dbe6d80c6662e72d3276011397490"
STARTED = "quantize.embedding.initted"


@dataclass(frozen=True)
class VQHBROptions:
    """What the vocabulary is made of.

    Attributes:
        filter: of the signal, before it is cut into words.
        normalization: of the signal, before it is cut; its authors keep millivolts.
        net: size and switches; the published file fits the defaults only.
    """

    filter: Filter = "heartlang"
    normalization: Normalization = "none"
    net: VQHBRConfig = field(default_factory=VQHBRConfig)


class VQHBRAdapter(BeatTokenizer):
    """The vocabulary as a part: nothing is probed, HeartLang's pre-training starts from it."""

    Options = VQHBROptions
    init_parts: tuple[str, ...] = ()

    def __init__(self, options: VQHBROptions | None = None) -> None:
        self.options = options or VQHBROptions()
        super().__init__(self.options.net.words, self.options.net.samples_per_word)
        self.net: VQHBR | None = None
        view = heartbeat_view(self.options.filter, self.options.normalization)
        self.views: Mapping[str, InputSpec] = {"twelve_lead": view}
        self.spec = MethodSpec(
            name=NAME,
            kind="part",
            title="HeartLang's VQ-HBR",
            leads=view.leads,
            sampling_rate=view.sampling_rate,
            samples=view.samples,
            normalization=view.normalization,
            filter=view.filter,
            pretraining_data=("MIMIC-IV-ECG",),
            pretrainable=True,
            paper=PAPER,
            license="MIT",
            published_weights=f"{HUB}: {FILE}; sha256, as others noted it: {SHA256}",
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Build the network on `device`: from a published file or one of `mibench pretrain`, or at random for None.

        Raises:
            MibenchError: the file is no weights file, or one of another network or method.
        """
        net = VQHBR(self.options.net)
        report = LoadReport() if weights is None else load_vqhbr(net, weights)
        self.net = net.to(device).eval()
        return report

    def objective(self, init: Mapping[str, Path]) -> VQHBR:
        """The network at random, which is its own objective; its codebook starts from the first batch.

        Raises:
            MibenchError: a part to start from, of which there is none.
        """
        if init:
            raise MibenchError(f"{NAME} has no part {', '.join(sorted(init))}: it is pre-trained from scratch")
        return VQHBR(self.options.net)

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        """All tensors, named as in the published file."""
        if not isinstance(objective, VQHBR):
            raise TypeError(f"the objective of {NAME} is a VQHBR; got {type(objective).__name__}")
        return dict(objective.state_dict())


def heartbeat_view(filter: Filter, normalization: Normalization, leads: tuple[str, ...] = LEADS) -> InputSpec:
    """Ten seconds at 100 Hz, to be cut into heartbeats."""
    return InputSpec(
        leads=leads, sampling_rate=RATE, samples=int(SECONDS * RATE), normalization=normalization, filter=filter
    )


def load_vqhbr(net: VQHBR, path: Path) -> LoadReport:
    """Fill the vocabulary from a published file or one of our own; every tensor must fit.

    Raises:
        MibenchError: the file is no weights file, one of another network or method, or its codebook was never set.
    """
    state, container = read_weights(path)
    refuse_other_methods(path, NAME)
    if any(name.removeprefix("backbone.").startswith("transformer.") for name in state):
        raise MibenchError(
            f"{path} is HeartLang's language model, and its vocabulary is wanted here: give {HUB}/{FILE}, or what "
            f"mibench pretrain --method {NAME} wrote"
        )
    started = state.get(STARTED)
    if started is not None and started.numel() == 1:
        # A single flag, with or without an axis, whichever release of the quantiser wrote it.
        state[STARTED] = started.reshape(1).float()
    report = load_into(net, state, source=path, expected=f"the layout of HeartLang's {FILE}, for the size of this net")
    if not bool(net.quantize.embedding.initted):
        raise MibenchError(
            f"{path} holds a codebook that was never set: pre-train it, with mibench pretrain --method {NAME}, or give "
            f"{HUB}/{FILE}"
        )
    return replace(report, dropped=container.dropped + report.dropped)


def refuse_other_methods(path: Path, name: str) -> None:
    """Name the method, where a file of our own is one of another method.

    Raises:
        MibenchError: it is.
    """
    method = read_metadata(path).get("method", name)
    if method != name:
        raise MibenchError(
            f"{path} was pre-trained by mibench as {method}, and this is {name}: give what mibench pretrain --method "
            f"{name} wrote, or a file of {HUB}"
        )
