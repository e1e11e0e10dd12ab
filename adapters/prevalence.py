"""The anchor below all others: an encoder that says the same of every record."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .base import LoadReport, MethodSpec, NoOptions
from .errors import MibenchError


class PrevalenceAdapter:
    """One constant feature, so that a probe can learn nothing but how frequent each statement is."""

    Options = NoOptions

    def __init__(self, options: NoOptions | None = None) -> None:
        self.options = options or NoOptions()
        self.spec = MethodSpec(
            name="prevalence",
            title="Prevalence",
            normalization="none",
            embedding_dim=1,
            needs_weights=False,
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Nothing to build.

        Raises:
            MibenchError: a weights file is given.
        """
        if weights is not None:
            raise MibenchError(f"prevalence has no weights, and {weights} is given: leave --weights out")
        return LoadReport()

    def embed(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) -> (batch, 1), all ones."""
        return torch.ones(ecg.shape[0], 1, device=ecg.device)
