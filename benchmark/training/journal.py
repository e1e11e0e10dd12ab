"""What a training says of itself step by step: a line in `losses.csv` each, and the means of its epochs.

Losses stay on the device for a few steps, because fetching each would make the device wait. The file is only appended
to, and cut back to the checkpoint that a training goes on from: its memory does not grow with its length.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .engine import Engine

FILE = "losses.csv"
VALIDATION = "validation_loss"
FETCHED_EVERY = 10
"""Steps of a GPU between two looks at its losses: what a loss that is no number can cost."""


class Journal:
    """The losses of a training.

    Args:
        folder: of the training.
        engine: the mean over its processes is what counts; only the leading one writes.
        validated: whether lines have a column for the validation loss.

    Attributes:
        epoch_losses: mean training loss of each finished epoch.
        validation_losses: of each finished epoch; empty without held-out records.
        first, last: entries of the first and of the newest step.
    """

    def __init__(self, folder: Path, engine: Engine, *, validated: bool) -> None:
        self.file = folder / FILE
        self.engine, self.validated = engine, validated
        self.every = FETCHED_EVERY if engine.device.type == "cuda" else 1
        self.epoch_losses: list[float] = []
        self.validation_losses: list[float] = []
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self._names: list[str] = []
        self._pending: list[tuple[int, float, Tensor]] = []
        self._lines: list[dict[str, Any]] = []
        self._sum, self._count = 0.0, 0

    def add(self, step: int, rate: float, parts: Mapping[str, Tensor]) -> None:
        """Take the losses of a step, scalars on the device, without waiting for them."""
        self._names = list(parts)
        values = [torch.as_tensor(parts[name]).detach().to(self.engine.device, torch.float64) for name in self._names]
        self._pending.append((step, rate, torch.stack(values)))

    def due(self, steps_done: int) -> bool:
        """Whether it is time to fetch; the same in all processes."""
        return steps_done % self.every == 0

    def fetch(self, wishes: Sequence[float]) -> tuple[list[dict[str, float]], list[float]]:
        """Losses since the last call, means over the processes; and the sums of what the processes wish.

        Args:
            wishes: numbers of this process, such as 1 for "stop".
        """
        steps = [step for step, _, _ in self._pending]
        rates = [rate for _, rate, _ in self._pending]
        losses = [values for _, _, values in self._pending]
        wanted = torch.tensor(list(wishes), dtype=torch.float64, device=self.engine.device)
        told = self.engine.total(torch.cat([*losses, wanted])).cpu()
        self._pending = []
        count = len(self._names)
        table = (told[: count * len(steps)] / self.engine.world).view(len(steps), -1).tolist() if steps else []
        entries = [
            {"step": step, "learning_rate": rate, **dict(zip(self._names, values, strict=True))}
            for step, rate, values in zip(steps, rates, table, strict=True)
        ]
        return entries, told[count * len(steps) :].tolist()

    def keep(self, entries: Sequence[dict[str, float]]) -> None:
        """Take fetched entries for good."""
        for entry in entries:
            self.first = self.first or dict(entry)
            self.last = dict(entry)
            self._sum, self._count = self._sum + entry["loss"], self._count + 1
            self._lines.append(dict(entry))

    def end_epoch(self, validation: float | None) -> float:
        """Close an epoch, whose last line carries the validation loss; returns its mean training loss."""
        mean = self._sum / self._count if self._count else math.nan
        self._sum, self._count = 0.0, 0
        self.epoch_losses.append(mean)
        if validation is not None:
            self.validation_losses.append(validation)
            self._lines[-1][VALIDATION] = validation
        self.write()
        return mean

    def write(self) -> int:
        """Append what is new to the file, down to the disk; its length in bytes."""
        if not self.engine.leads:
            self._lines = []
            return 0
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, restval="", lineterminator="\n")
        start = self.file.stat().st_size if self.file.is_file() else 0
        if not start and self._lines:
            writer.writeheader()
        writer.writerows(self._lines)
        if self._lines:
            try:
                with self.file.open("ab") as file:
                    file.write(text.getvalue().encode())
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                # Half a line must not stay: the next try would go on behind it.
                os.truncate(self.file, start)
                raise
            self._lines = []
        return self.file.stat().st_size if self.file.is_file() else 0

    @property
    def _columns(self) -> list[str]:
        names = [name for name in self._names if name != "loss"]
        return ["step", "loss", *names, "learning_rate", *([VALIDATION] if self.validated else [])]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; everything new is written first."""
        return {
            "bytes": self.write(),
            "epoch_losses": list(self.epoch_losses),
            "validation_losses": list(self.validation_losses),
            "first": dict(self.first),
            "last": dict(self.last),
            "sum": self._sum,
            "count": self._count,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a checkpoint, and cut the file back to it."""
        self.epoch_losses, self.validation_losses = list(state["epoch_losses"]), list(state["validation_losses"])
        self.first, self.last = dict(state["first"]), dict(state["last"])
        self._sum, self._count = state["sum"], state["count"]
        if self.engine.leads and self.file.is_file() and self.file.stat().st_size > state["bytes"]:
            os.truncate(self.file, state["bytes"])

    def start(self) -> None:
        """Begin anew: lines of an earlier try go."""
        if self.engine.leads:
            self.file.unlink(missing_ok=True)
