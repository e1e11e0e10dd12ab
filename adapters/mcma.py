"""MCMA (npj Cardiovascular Health 1:34, 2024) behind the contract, and its published SavedModel without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..methods.mcma import MCMA, VIEW, LeadSampling, Masking
from ..methods.nets.mcma_net import MCMAConfig
from .base import LEADS, InputSpec, LoadReport, MethodSpec, Tail
from .checkpoints import load_into, read_metadata, read_weights
from .errors import MibenchError
from .tensor_bundle import DATA, INDEX, read_bundle

NAME = "mcma"
PUBLISHED = f"Generator/variables/{DATA}"
VARIABLE = re.compile(r"layer_with_weights-(\d{1,4})/(kernel|bias|gamma|beta)/\.ATTRIBUTES/VARIABLE_VALUE")
LAST_LAYERS = {"faithful": "head.in.weight", "fixed": "head.out.weight"}
NAMES = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}


@dataclass(frozen=True)
class MCMAOptions:
    """How the network is built, trained and fed.

    Attributes:
        variant: "faithful" is the published program with its two defects. Its last layer normalises every window and
            lead, so that the size of each lead is a constant of the network, whatever the input, a flat one included;
            and its draw of the input lead is frozen. "fixed" divides a window by the standard deviation of the lead
            that is given, ends in a 1x1 convolution in place of that layer, and multiplies by it again; and it draws
            the lead at every step. The published file fits "faithful" only.
        lead_sampling: the lead that a training segment is given by: drawn anew "per_step"; "frozen", one for each
            segment, drawn from its samples; "lead_I_only". "auto" is the variant's own.
        masking: "zeros" silences the other eleven leads, "copy" puts the lead in their place.
        tail: what fills the last window of a record. The normalisations run over the whole window, so that it matters:
            "shift" invents no signal; the authors' demonstration does "repeat", another of their programs "zeros".
        overlap: samples that neighbouring windows share.
        net: size of the network.
    """

    variant: Literal["faithful", "fixed"] = "faithful"
    lead_sampling: Literal["auto", "per_step", "frozen", "lead_I_only"] = "auto"
    masking: Masking = "zeros"
    tail: Tail = "shift"
    overlap: int = 0
    net: MCMAConfig = field(default_factory=MCMAConfig)

    @property
    def sampling(self) -> LeadSampling:
        """The lead sampling, "auto" resolved."""
        if self.lead_sampling == "auto":
            return "frozen" if self.variant == "faithful" else "per_step"
        return self.lead_sampling


class MCMAAdapter:
    """Lead I in millivolts at 500 Hz, unfiltered, in windows of 1024 samples."""

    Options = MCMAOptions
    init_parts: tuple[str, ...] = ()

    def __init__(self, options: MCMAOptions | None = None) -> None:
        self.options = options or MCMAOptions()
        self.model: MCMA | None = None
        self.spec = MethodSpec(
            name=NAME,
            kind="generator",
            title="MCMA" if self.options.variant == "faithful" else "MCMA (fixed)",
            leads=LEADS[:1],
            sampling_rate=500.0,
            samples=self.options.net.samples,
            normalization="none",
            windows="tiled",
            tail=self.options.tail,
            overlap=self.options.overlap,
            pretraining_data=("PTB-XL",),
            pretrainable=True,
            paper="https://arxiv.org/abs/2407.11481",
            license="none given",
            published_weights=f"the folder Generator of the authors' repository: {PUBLISHED}",
        )
        twelve = InputSpec(
            leads=LEADS,
            sampling_rate=self.spec.sampling_rate,
            samples=self.spec.samples,
            normalization="none",
            windows="tiled",
            tail=self.options.tail,
            overlap=self.options.overlap,
        )
        self.views: Mapping[str, InputSpec] = {VIEW: twelve}

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Build the network on `device`: from a published or a pre-trained file, or at random for None.

        Args:
            weights: what `mibench pretrain` wrote, or a file in `variables` of the SavedModel, beside the other one:
                `variables.data-00000-of-00001`, whose sha256 then stands for the weights, or `variables.index`.

        Raises:
            MibenchError: the file is no weights file, or one of another network, size, variant or method.
        """
        model = self._build()
        report = LoadReport() if weights is None else self._fill(model.net, weights)
        self.model = model.to(device).eval()
        return report

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, 1, samples) in mV -> (batch, 12, samples) in mV, without gradient."""
        if self.model is None:
            raise RuntimeError(f"{NAME}: load() comes before synthesize()")
        with torch.inference_mode(), torch.autocast(lead.device.type, enabled=False):
            return self.model.synthesize(lead.float())

    def objective(self, init: Mapping[str, Path]) -> MCMA:
        """The network at random, with its loss.

        Raises:
            MibenchError: a part to start from, of which there is none.
        """
        if init:
            raise MibenchError(f"{NAME} has no part {', '.join(sorted(init))}: it is trained from scratch")
        return self._build()

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        """The network without its objective."""
        if not isinstance(objective, MCMA):
            raise TypeError(f"the objective of {NAME} is an MCMA; got {type(objective).__name__}")
        return dict(objective.net.state_dict())

    def _build(self) -> MCMA:
        return MCMA(
            self.options.net,
            amplitude="constant" if self.options.variant == "faithful" else "own",
            lead_sampling=self.options.sampling,
            masking=self.options.masking,
        )

    def _fill(self, net: nn.Module, path: Path) -> LoadReport:
        if path.suffix in (".pb", ".index") or path.name.startswith("variables."):
            state, others = published_state(path, len(self.options.net.filters))
        else:
            state, container = read_weights(path)
            others = container.dropped
            method = read_metadata(path).get("method", NAME)
            if method != NAME:
                raise MibenchError(
                    f"{path} was pre-trained by mibench as {method}, and this is {NAME}: give what mibench pretrain "
                    f"--method {NAME} wrote, or {PUBLISHED}"
                )
        self._refuse_another_net(state, path)
        report = load_into(
            net, state, source=path, expected=f"{PUBLISHED}, or what mibench pretrain --method {NAME} wrote"
        )
        return LoadReport(loaded=report.loaded, dropped=tuple(others))

    def _refuse_another_net(self, state: Mapping[str, Tensor], path: Path) -> None:
        """Say of another kernel or variant what to set; whatever else does not fit is told by its names."""
        kernel, first = self.options.net.kernel, state.get("e1.a.weight")
        if first is not None and first.ndim == 3 and first.shape[-1] != kernel:
            raise MibenchError(
                f"{path} is made for kernel {first.shape[-1]}, and this network has {kernel}: add --set "
                f"method.net.kernel={first.shape[-1]}"
            )
        variant = self.options.variant
        other = next((name for name, last in LAST_LAYERS.items() if last in state), variant)
        if other != variant:
            raise MibenchError(
                f"{path} is made for variant {other}, whose last layer variant {variant} does not have: add --set "
                f"method.variant={other}, or train this one with mibench pretrain --method {NAME} --set "
                f"method.variant={variant}"
            )


def published_layers(levels: int) -> Iterator[str]:
    """The layers with weights as Keras numbers them: by their distance from the output, and then as they were made.

    A block's branch of two convolutions is the longer one, so that it begins before the other; the two blocks of a
    level of the decoder run side by side, the skip first. Shapes tell where the transposed
    convolutions are, and with them which block comes first; what shapes cannot tell apart, such as the normalisations
    of a level, this order decides.
    """
    blocks = [[f"e{level}"] for level in range(1, levels + 1)]
    blocks += [[f"skip{level}", f"up{level}"] for level in range(levels - 1, 0, -1)]
    for side_by_side in (*blocks, ["head"]):
        for depth in (("b",), ("ln",), ("a", "c"), ("in",)):
            for block in side_by_side:
                yield from (f"{block}.{part}" for part in depth)


def published_state(path: Path, levels: int) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of the published SavedModel, named and laid out as in the network, and what else it held.

    Args:
        path: one of the two files in its folder `variables`.
        levels: of the network.

    Raises:
        MibenchError: the folder is damaged or of another network; every layer is used, and used once.
    """
    if path.name not in (INDEX, DATA):
        raise MibenchError(f"{path} holds no weights of a SavedModel: give the file {DATA} in its folder `variables`")
    variables = read_bundle(path.parent)
    found = {name: matched for name in variables if (matched := VARIABLE.fullmatch(name))}
    layers = list(published_layers(levels))
    wanted = [
        (number, variable)
        for number, layer in enumerate(layers)
        for variable in (("beta", "gamma") if layer.endswith(("ln", "in")) else ("bias", "kernel"))
    ]
    held = sorted((int(matched[1]), matched[2]) for matched in found.values())
    if held != wanted:
        raise MibenchError(
            f"{path} is of another network: it holds {len(held)} tensors of layers, and MCMA with {levels} levels has "
            f"{len(wanted)} in {len(layers)} layers, in their own order; give {PUBLISHED}"
        )
    state = {}
    for name, matched in found.items():
        tensor = variables[name].float()
        # (time, in, out) -> (out, in, time); a transposed one has out before in, on both sides.
        ready = tensor.permute(2, 1, 0).contiguous() if tensor.ndim == 3 else tensor
        state[f"{layers[int(matched[1])]}.{NAMES[matched[2]]}"] = ready
    return state, tuple(name for name in variables if name not in found)
