"""EKGAN (Joo et al., MICCAI 2023) behind the contract, and its published Keras weights without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ..methods.ekgan import EKGAN
from ..methods.nets.ecg_image import ImageConfig
from .base import LoadReport, Tail
from .ecg_image import ImageAdapter

HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class EKGANOptions:
    """How the networks are built and fed; there is one variant, since neither network nor loss is defective.

    Attributes:
        tail: what fills the last strip of a record; "shift" invents no signal.
        overlap: samples that neighbouring strips share.
        net: size of the networks; the published files fit the default only.
    """

    tail: Tail = "shift"
    overlap: int = 0
    net: ImageConfig = field(default_factory=ImageConfig)


class EKGANAdapter(ImageAdapter):
    """The inference generator; what rate its 512 samples had is published nowhere, and here it is 500 Hz."""

    Options = EKGANOptions
    name, title = "ekgan", "EKGAN"
    paper = "Joo et al., MICCAI 2023"
    license = "none given"
    published_weights = "inference_generator10.h5 of the authors' repository, commit 9162d48, ekgan/save_h5"
    pretraining_data = ("private hospital data",)

    def __init__(self, options: EKGANOptions | None = None) -> None:
        self.options = options or EKGANOptions()
        super().__init__(self.options.net, tail=self.options.tail, overlap=self.options.overlap)

    def _objective(self) -> EKGAN:
        return EKGAN(self.options.net)

    def _read(self, path: Path) -> tuple[dict[str, Tensor], LoadReport]:
        if not _is_hdf5(path):
            return super()._read(path)
        # Nothing else needs the library for such files.
        from .keras_h5 import read_ekgan_h5

        return read_ekgan_h5(path), LoadReport()


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5)) == HDF5
    except OSError:
        # The reader of the other formats says why.
        return False
