"""Closed forms: what is fitted in a few passes over the training folds, with nothing to resume."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..adapters.base import LEADS, Fittable, Fitted, InputSpec
from ..adapters.errors import MibenchError
from ..adapters.signal import prepare
from .protocols.request import Request
from .seeds import derive

SETTINGS: Mapping[str, Any] = {"closed_form": True}
"""All that there is to set."""

BATCH = 64
"""Records in memory at a time."""


class Fitting:
    """One fit; it has the face of a `Training`, so that both end in the same record and the same files.

    Raises:
        MibenchError: no records to fit to.
    """

    def __init__(self, request: Request, method: Fittable, init: Mapping[str, Path], seed: int) -> None:
        self.request, self.method, self.init, self.seed = request, method, init, seed
        self.rows = request.data.training_rows()
        self.validation = request.data.held_out_rows()
        if not len(self.rows):
            raise MibenchError(
                f"{request.data.name} has no records in {request.data.training_part} to fit {request.method} to"
            )
        self.leads = LEADS
        self.settings = SETTINGS
        self.init_notes: list[str] = []
        self.seconds = 0.0
        self._passes = 0
        self._fitted: Fitted | None = None

    def run(self) -> None:
        """Fit, telling how far each pass over the records has come."""
        started = time.monotonic()
        device = self.request.batching.device
        torch.manual_seed(derive(self.seed, "fit", self.request.method))
        self._fitted = self.method.fit(
            lambda: self._batches(self.rows, "training"),
            lambda: self._batches(self.validation, "validation"),
            self.init,
            device,
        )
        self.seconds = time.monotonic() - started
        self.init_notes = list(self._fitted.notes)
        for note in self._fitted.notes:
            self.request.say(self.request.numbered(f"{self.request.method}: {note}"))

    def choose(self) -> int:
        """The epoch that the weights are of: none."""
        return 0

    def trained_state(self) -> dict[str, Tensor]:
        """The weights file to be."""
        assert self._fitted is not None
        return dict(self._fitted.state)

    def summary(self) -> dict[str, Any]:
        """What the record keeps of it."""
        assert self._fitted is not None
        return {
            "steps": self._passes,
            "epochs": 0,
            "seconds": round(self.seconds, 2),
            "validation_losses": [] if self._fitted.validation_loss is None else [self._fitted.validation_loss],
            "notes": list(self._fitted.notes),
        }

    def _batches(self, rows: npt.NDArray[np.int64], title: str) -> Iterator[Tensor]:
        store = self.request.data.store
        rate = self.method.spec.sampling_rate
        whole = InputSpec(
            leads=LEADS,
            sampling_rate=rate,
            samples=round(store.samples * rate / store.sampling_rate),
            normalization="none",
        )
        self._passes += 1
        bar = self.request.steps(f"fitting {self.request.method}, {title} records", len(rows))
        for start in range(0, len(rows), BATCH):
            chosen = rows[start : start + BATCH]
            millivolt = torch.from_numpy(store.read(chosen, LEADS)).to(self.request.batching.device)
            yield prepare(millivolt, store.sampling_rate, LEADS, whole)[:, 0]
            bar(start + len(chosen))
