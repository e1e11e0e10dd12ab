"""What an objective is given: views of the records, or tokens, and what a frozen teacher says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...adapters.base import LEADS, InputSpec, Pretrainable, Taught, Tokenizing
from ...adapters.signal import prepare
from ..data.dataset import Dataset
from ..progress import Steps
from ..tokens import TokenStore, cached_tokens
from .engine import Engine
from .sampler import Rows
from .signals import Digital, Signals


@dataclass(frozen=True)
class Fetched:
    """A batch as threads read it ahead of time.

    Attributes:
        rows: of the batch.
        signals: what `Signals.fetch` gave; None for tokens.
        tokens: by name; None for signals.
        targets: (all, features) of the teacher; None where it is not in a cache.
        places: (batch,) where among them those of `rows` stand; None where they are all.
    """

    rows: Rows
    signals: Digital | Tensor | None
    tokens: Mapping[str, Tensor] | None
    targets: Tensor | None
    places: Tensor | None


class Batches:
    """Batches of a data set for one objective, on one device.

    Args:
        method, objective: whose views, and whose teacher.
        data: the records.
        engine: the device.
        targets: (records, features) of the teacher, when they were computed before; its view is then never read.
        steps: makes a progress function.

    Attributes:
        leads: that are read.
        held: True when all signals were copied to the GPU.
    """

    def __init__(
        self,
        method: Pretrainable,
        objective: Any,
        data: Dataset,
        engine: Engine,
        targets: npt.NDArray[Any] | None,
        steps: Steps,
    ) -> None:
        self.data, self.engine, self.targets = data, engine, targets
        # Numbers in place of names: all an objective may want to know is who is the same.
        self._patients = np.unique(data.patients, return_inverse=True)[1].astype(np.int64)
        self.views: dict[str, InputSpec] = dict(method.views)
        if targets is not None and isinstance(objective, Taught):
            self.views = {name: method.views[name] for name in objective.student_views}
        self.leads = leads_of(self.views)
        self.tokens: TokenStore | None = None
        if isinstance(method, Tokenizing):
            (view,) = method.views.values()
            if engine.leads:
                self.tokens = cached_tokens(method, view, data.store, self.leads, steps)
            engine.wait()
            self.tokens = self.tokens or cached_tokens(method, view, data.store, self.leads, steps)
        self._signals = Signals(data.store, self.leads, engine.device)
        self.held = False

    def hold(self, rows: Rows, steps: Steps) -> None:
        """Keep the signals of these rows on the GPU, where one lead is all that is read and there is room."""
        if self.tokens is None and len(self.leads) == 1:
            self.held = self._signals.hold(rows, steps)

    def fetch(self, rows: Rows, among: Rows | None = None) -> Fetched:
        """Read a batch; safe in threads.

        Args:
            rows: of the batch.
            among: rows whose targets are negatives as well; those of the batch must be among them.
        """
        targets = places = None
        if self.targets is not None:
            everyone = rows if among is None else among
            targets = torch.from_numpy(np.asarray(self.targets[everyone]))
            if among is not None:
                order = np.argsort(among, kind="stable")
                places = torch.from_numpy(order[np.searchsorted(among, rows, sorter=order)])
        if self.tokens is not None:
            return Fetched(rows, None, self.tokens.read(rows), targets, places)
        return Fetched(rows, self._signals.fetch(rows), None, targets, places)

    def ready(self, fetched: Fetched) -> dict[str, Tensor]:
        """The batch on the device: every view prepared there, patients, and targets where they were computed before.

        Randomness of the views comes from torch's global generator: to be called in the order of steps.
        """
        device = self.engine.device
        batch = {"patient": torch.from_numpy(self._patients[fetched.rows]).to(device, non_blocking=True)}
        for name, value in (("targets", fetched.targets), ("places", fetched.places)):
            if value is not None:
                batch[name] = value.to(device, non_blocking=True)
        if fetched.tokens is not None:
            return {**batch, **{name: value.to(device) for name, value in fetched.tokens.items()}}
        assert fetched.signals is not None
        millivolt = self._signals.millivolt(fetched.signals)
        return batch | prepared_views(millivolt, self.data.store.sampling_rate, self.leads, self.views)

    def read(self, rows: Rows) -> dict[str, Tensor]:
        """A batch at once."""
        return self.ready(self.fetch(rows))


def prepared_views(
    millivolt: Tensor, sampling_rate: float, leads: Sequence[str], views: Mapping[str, InputSpec]
) -> dict[str, Tensor]:
    """Every view of recorded leads, as the contract of a `Pretrainable` has it.

    Args:
        millivolt: (batch, len(leads), samples) in mV, on the device.
        sampling_rate: Hz.

    Returns:
        (batch, leads, samples) by name, or (batch, windows, leads, samples) where a view cuts several windows.
    """
    batch = {}
    for name, view in views.items():
        windows = prepare(millivolt, sampling_rate, leads, view)
        batch[name] = windows[:, 0] if view.window_count == 1 and view.windows != "tiled" else windows
    return batch


def leads_of(views: Mapping[str, InputSpec]) -> Sequence[str]:
    """The leads that some view takes, in the standard order; others are never read."""
    return tuple(lead for lead in LEADS if any(lead in view.leads for view in views.values()))
