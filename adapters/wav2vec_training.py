"""What the five pre-trainings of one `Wav2VecEncoder` share as adapters: options, the probe's input, and the view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..methods.nets.wav2vec import Wav2VecConfig
from .base import LEADS, InputSpec, MethodSpec, PaperCount
from .errors import MibenchError
from .wav2vec import UNCOUNTED, Wav2VecAdapter, Wav2VecPreprocessing

LICENSE = "MIT"
RECORD_SAMPLES = 5000


@dataclass(frozen=True)
class Wav2VecOptions:
    """What all five can be told.

    Attributes:
        net: size and switches of the encoder; published files fit the defaults only.
        preprocessing: what the network is fed, in pre-training and in the probe.
        probe_windows: the probe reads the record of 10 s at once ("whole"), or averages what the network says of its
            two halves ("halves").
    """

    net: Wav2VecConfig = field(default_factory=Wav2VecConfig)
    preprocessing: Wav2VecPreprocessing = field(default_factory=Wav2VecPreprocessing)
    probe_windows: Literal["whole", "halves"] = "whole"


class Wav2VecPretraining(Wav2VecAdapter):
    """An encoder that is probed with what its own pre-training made of it; subclasses make the objective.

    Attributes:
        views: "record", the whole record of 10 s; what an objective needs of it, it cuts itself.
        objective_type: class of the objective.
    """

    init_parts: ClassVar[tuple[str, ...]] = ()
    objective_type: ClassVar[type[nn.Module]]

    def __init__(
        self,
        options: Wav2VecOptions,
        *,
        seen: Sequence[str] = LEADS,
        trained_on: Sequence[str] = LEADS,
        **about: Any,
    ) -> None:
        """Describe the method.

        Args:
            options: the method's.
            seen: leads that the network takes at once.
            trained_on: leads of the view.
            about: more fields of the `MethodSpec`.
        """
        halved = options.probe_windows == "halves"
        scale, chosen = options.preprocessing.normalization, options.preprocessing.filter
        spec = MethodSpec(
            **{"name": self.name, "title": self.title} | about,
            leads=tuple(seen),
            samples=RECORD_SAMPLES // 2 if halved else RECORD_SAMPLES,
            windows="mean-of-windows" if halved else "whole",
            window_count=2 if halved else 1,
            normalization=scale,
            filter=chosen,
            embedding_dim=options.net.width,
            pretrainable=True,
            license=LICENSE,
        )
        super().__init__(spec, options.net)
        self.views: Mapping[str, InputSpec] = {
            "record": InputSpec(leads=tuple(trained_on), samples=RECORD_SAMPLES, normalization=scale, filter=chosen)
        }

    def build(self) -> nn.Module:
        """The objective, from torch's current random state."""
        raise NotImplementedError

    def objective(self, init: Mapping[str, Path]) -> nn.Module:
        """The pre-training, which always starts at random.

        Raises:
            MibenchError: `init` names a part to start from.
        """
        if init:
            raise MibenchError(
                f"{self.spec.name} has no part {', '.join(sorted(init))}: it starts at random, without --init"
            )
        return self.build()

    def paper_count(self) -> PaperCount:
        """The encoder on one whole record of all leads; no objective of two views adds anything to it."""
        ecg = torch.zeros(1, len(self.spec.leads), RECORD_SAMPLES)
        return PaperCount(self.encoder(), lambda: {"ecg": ecg}, UNCOUNTED)

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        """The encoder's tensors under their published names."""
        if not isinstance(objective, self.objective_type):
            wanted = self.objective_type.__name__
            raise TypeError(f"the objective of {self.spec.name} is a {wanted}; got {type(objective).__name__}")
        return self.published(objective)

    def published(self, objective: Any) -> dict[str, Tensor]:
        """The tensors of an objective of this method as its published files hold them."""
        return dict(objective.encoder.state_dict())
