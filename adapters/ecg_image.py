"""What the adapters of Pix2Pix, CycleGAN and EKGAN share: one network that turns lead I into twelve, strip by strip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..methods.adversarial import VIEW, ImageTranslation, synthesize
from ..methods.nets.ecg_image import ImageConfig, Norm, UNet, make_generator
from .base import LEADS, InputSpec, LoadReport, MethodSpec, Tail
from .checkpoints import load_into, read_metadata, read_weights
from .errors import MibenchError

FIRST = "enc1.conv.weight"


class ImageAdapter:
    """Lead I in millivolts at 500 Hz, neither filtered nor scaled, in strips of 512 samples.

    Attributes:
        name, title: of the method.
        norm: of its generator.
        paper, license, published_weights, pretraining_data: as of `MethodSpec`.
    """

    init_parts: tuple[str, ...] = ()
    name: ClassVar[str]
    title: ClassVar[str]
    norm: ClassVar[Norm] = "batch"
    paper: ClassVar[str]
    license: ClassVar[str] = ""
    published_weights: ClassVar[str] = ""
    pretraining_data: ClassVar[tuple[str, ...]] = ()

    def __init__(self, net: ImageConfig, *, tail: Tail, overlap: int, note: str = "") -> None:
        self.size = net
        self.net: UNet | None = None
        self.spec = MethodSpec(
            name=self.name,
            kind="generator",
            title=f"{self.title} ({note})" if note else self.title,
            sampling_rate=500.0,
            samples=net.samples,
            normalization="none",
            windows="tiled",
            tail=tail,
            overlap=overlap,
            pretraining_data=self.pretraining_data,
            pretrainable=True,
            paper=self.paper,
            license=self.license,
            published_weights=self.published_weights,
        )
        strips = InputSpec(
            leads=LEADS,
            sampling_rate=self.spec.sampling_rate,
            samples=net.samples,
            normalization="none",
            windows="tiled",
            tail=tail,
        )
        self.views: Mapping[str, InputSpec] = {VIEW: strips}

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Build the generator on `device`: from a weights file, or at random for None.

        Raises:
            MibenchError: the file is no weights file, or one of another width or method.
        """
        net = make_generator(self.size, norm=self.norm)
        report = LoadReport() if weights is None else self._fill(net, weights)
        self.net = net.to(device).eval()
        return report

    def synthesize(self, lead: Tensor) -> Tensor:
        """(batch, 1, samples) in mV -> (batch, 12, samples) in mV, without gradient."""
        if self.net is None:
            raise RuntimeError(f"{self.name}: load() comes before synthesize()")
        with torch.inference_mode(), torch.autocast(lead.device.type, enabled=False):
            return synthesize(self.net.eval(), lead.float())

    def objective(self, init: Mapping[str, Path]) -> ImageTranslation:
        """All networks at random, with their losses.

        Raises:
            MibenchError: a part to start from, of which there is none.
        """
        if init:
            raise MibenchError(f"{self.name} has no part {', '.join(sorted(init))}: it is trained from scratch")
        return self._objective()

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        """The generator of twelve leads, without its players beside it."""
        if not isinstance(objective, ImageTranslation):
            raise TypeError(f"the objective of {self.name} is an ImageTranslation; got {type(objective).__name__}")
        return dict(objective.generator.state_dict())

    def _objective(self) -> ImageTranslation:
        raise NotImplementedError

    def _read(self, path: Path) -> tuple[dict[str, Tensor], LoadReport]:
        """The tensors of a weights file, and what else it held."""
        state, container = read_weights(path)
        method = read_metadata(path).get("method", self.name)
        if method != self.name:
            raise MibenchError(
                f"{path} was pre-trained by mibench as {method}, and this is {self.name}: give {self._files()}"
            )
        return state, container

    def _fill(self, net: UNet, path: Path) -> LoadReport:
        state, container = self._read(path)
        first, width = state.get(FIRST), self.size.width
        if first is not None and first.ndim == 4 and len(first) != width:
            raise MibenchError(
                f"{path} is made for width {len(first)}, and this network has {width}: add --set "
                f"method.net.width={len(first)}"
            )
        report = load_into(net, state, source=path, expected=self._files())
        return replace(report, dropped=container.dropped + report.dropped)

    def _files(self) -> str:
        own = f"what mibench pretrain --method {self.name} wrote"
        return f"{own}, or {self.published_weights}" if self.published_weights else own
