"""ST-MEM: masked patches of twelve leads (arXiv 2402.09450), probed on lead I alone or on lead I among silent leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..methods.stmem import STMEM, VIEW, STMEMConfig, STMEMEncoder
from .base import LEADS, InputSpec, LoadReport, MethodSpec, Normalization, PaperCount
from .checkpoints import load_into, read_metadata, read_weights
from .counting import Calling
from .errors import MibenchError

NAME = "stmem"
ENCODER = "encoder."
HEAD = "head."
DECODER = (
    "to_patch_embedding.",  # the encoder's, a second time
    "mask_embedding",
    "decoder_pos_embed",
    "to_decoder_embedding.",
    "decoder_blocks.",
    "decoder_norm.",
    "decoder_head.",
)
OTHER_LEADS = frozenset(f"lead_embeddings.{index}" for index in range(1, len(LEADS)))
FILES = "st_mem_vit_base_encoder.pth or st_mem_vit_base_full.pth"
SHA256 = "6f63d370fd1a2ccf2fbddd681571adf985eeae3f652973f0071342a39b7793d6"


@dataclass(frozen=True)
class STMEMOptions:
    """How the encoder is used, and what it is fed.

    Attributes:
        leads: "native" for the encoder on lead I alone, with the embedding of lead I; "twelve" for the encoder of
            twelve leads, of which those that were not recorded are silent.
        filter: "stmem", the high-pass and low-pass of its authors, or another of `adapters.filters`.
        normalization: over the recorded leads together, as its authors do.
        windows: how many windows of 9 s are averaged over a record of 10 s.
        net: size and switches of the network; the published files fit the default sizes only.
    """

    leads: Literal["native", "twelve"] = "native"
    filter: Literal["stmem", "bandpass", "none"] = "stmem"
    normalization: Normalization = "zscore-record"
    windows: int = 3
    net: STMEMConfig = field(default_factory=STMEMConfig)


class STMEMAdapter:
    """The encoder behind its contract; what is pre-trained takes twelve leads in either case, as published."""

    Options = STMEMOptions
    init_parts: tuple[str, ...] = ()

    def __init__(self, options: STMEMOptions | None = None) -> None:
        self.options = options or STMEMOptions()
        self.net: STMEMEncoder | None = None
        native = self.options.leads == "native"
        window = InputSpec(
            leads=LEADS,
            sampling_rate=250.0,
            samples=self.options.net.samples,
            normalization=self.options.normalization,
            windows="random-window",
            filter=self.options.filter,
        )
        self.views: Mapping[str, InputSpec] = {VIEW: window}
        self.spec = MethodSpec(
            name=NAME if native else f"{NAME}-12lead",
            title="ST-MEM" if native else "ST-MEM (12-lead)",
            leads=LEADS[:1] if native else LEADS,
            sampling_rate=window.sampling_rate,
            samples=window.samples,
            normalization=window.normalization,
            windows="mean-of-windows",
            window_count=self.options.windows,
            filter=window.filter,
            embedding_dim=self.options.net.width,
            pretraining_data=("Chapman", "Ningbo", "CODE-15"),
            pretrainable=native,
            weights_of="" if native else NAME,
            paper="https://arxiv.org/abs/2402.09450",
            license="CC BY-NC 4.0 (non-commercial)",
            published_weights=f"the authors' Google Drive: {FILES}; sha256 of the encoder, noted by others: {SHA256}",
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Build the encoder on `device`: from a published file or one of `mibench pretrain`, or at random for None.

        Raises:
            MibenchError: the file is no weights file, or one of another network or method.
        """
        net = STMEMEncoder(len(self.spec.leads), self.options.net)
        report = LoadReport() if weights is None else load_encoder(net, weights)
        self.net = net.to(device).eval()
        return report

    def network(self) -> STMEMEncoder:
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

    def objective(self, init: Mapping[str, Path]) -> STMEM:
        """Encoder and decoder at random, with their loss.

        Raises:
            MibenchError: a part to start from, of which there is none; or this is the variant that is not pre-trained.
        """
        if init:
            raise MibenchError(f"{NAME} has no part {', '.join(sorted(init))}: it is pre-trained from scratch")
        if not self.spec.pretrainable:
            raise MibenchError(
                f"{self.spec.name} uses the weights of {NAME}: pre-train that, with mibench pretrain --method {NAME}"
            )
        return STMEM(self.options.net)

    def paper_count(self) -> PaperCount:
        """Encoder and decoder on one record of twelve leads with nothing hidden, attention spelled out."""
        config = replace(self.options.net, attention="plain")
        inputs = {
            "ecg": torch.zeros(1, len(LEADS), config.samples),
            "visible": torch.arange(config.patches).expand(1, len(LEADS), -1),
        }
        return PaperCount(Calling(STMEM(config), "reconstruct"), lambda: inputs)

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        """The encoder of twelve leads, named as in the published encoder file."""
        if not isinstance(objective, STMEM):
            raise TypeError(f"the objective of {NAME} is an STMEM; got {type(objective).__name__}")
        return dict(objective.encoder.state_dict())


def load_encoder(net: STMEMEncoder, path: Path) -> LoadReport:
    """Fill an encoder from a file of the encoder or of the whole network.

    An encoder of one lead takes the embedding of lead I and leaves out those of the other eleven. Whatever else a file
    has too much or too little is an error.

    Raises:
        MibenchError: the file is no weights file, or one of another network or method.
    """
    state, container = read_weights(path)
    method = read_metadata(path).get("method", NAME)
    if method != NAME:
        raise MibenchError(
            f"{path} was pre-trained by mibench as {method}, and this is {NAME}: give what mibench pretrain "
            f"--method {NAME} wrote, or {FILES}"
        )
    whole = any(name.startswith(ENCODER) for name in state)
    prefix, module = ("", net) if not whole else (ENCODER, _under(ENCODER, net))
    extra = {f"{prefix}{name}" for name in OTHER_LEADS} if net.leads == 1 else set()
    others = tuple(name for name in state if name in extra)
    report = load_into(
        module,
        {name: tensor for name, tensor in state.items() if name not in extra},
        source=path,
        ignore_extra=(prefix + HEAD, *(DECODER if whole else ())),
        expected=f"{FILES}, which fit the default net, or what mibench pretrain --method {NAME} wrote for this one",
    )
    return replace(report, dropped=container.dropped + report.dropped + others)


def _under(prefix: str, net: nn.Module) -> nn.Module:
    """The network as part of a bigger one, under the name that it has in a file of the whole."""
    whole = nn.Module()
    whole.add_module(prefix.rstrip("."), net)
    return whole
