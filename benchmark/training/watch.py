"""Watching a training: how fast it is and what it waits for, on the bar, in the log, in a curve and in TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...adapters.errors import MibenchError
from ..progress import Bar

if TYPE_CHECKING:
    from .loop import Training

CURVE = "losses.png"
MIB = 2**20

DRAWN_EVERY = 60.0
"""Seconds between two drawings of the curve; the last epoch is always drawn."""


class Watch:
    """What is seen of one training, in this process."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._waited = 0.0
        self._started = time.monotonic()
        self._first_step = 0
        self._board: Any = None
        self._drawn = -DRAWN_EVERY

    def __enter__(self) -> Watch:
        training = self._training
        self._started, self._first_step = time.monotonic(), training.step
        if training.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(training.device)
        if training.ways.tensorboard is not None and training.engine.leads:
            self._board = _tensorboard(training.ways.tensorboard / training.folder.name, training.step)
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    def show(self, bar: Callable[[int], None], waited: float) -> None:
        """After losses were fetched: the newest on the bar and in TensorBoard."""
        training, self._waited = self._training, waited
        entry = training.journal.last
        if isinstance(bar, Bar):
            bar.tell(f"loss {entry['loss']:.4g}, lr {entry['learning_rate']:.2g}, {self.words()}")
        if self._board is not None:
            for name, value in entry.items():
                if name != "step":
                    self._board.add_scalar(f"train/{name}", value, int(entry["step"]))
            self._board.add_scalar("speed/records_per_second", self.rate, training.step)
            self._board.add_scalar("speed/data_wait", self.wait_share, training.step)

    def end_epoch(self, train: float, validation: float | None) -> None:
        """After an epoch: draw the curve anew, and tell TensorBoard."""
        training = self._training
        if self._board is not None:
            self._board.add_scalar("epoch/training_loss", train, training.step)
            if validation is not None:
                self._board.add_scalar("epoch/validation_loss", validation, training.step)
        # Short epochs would be drawn more often than anybody looks.
        if training.engine.leads and (training.finished or time.monotonic() - self._drawn > DRAWN_EVERY):
            _draw(training)
            self._drawn = time.monotonic()

    @property
    def rate(self) -> float:
        """Records per second of all processes, since this process began."""
        steps = self._training.step - self._first_step
        return steps * self._training.settings.batch_size / max(time.monotonic() - self._started, 1e-9)

    @property
    def wait_share(self) -> float:
        """Share of the time in which this process waited for records."""
        return self._waited / max(time.monotonic() - self._started, 1e-9)

    def words(self) -> str:
        """Speed, waiting and memory in a few words."""
        text = f"{self.rate:,.1f} records/s, {self.wait_share:.0%} waiting for data"
        memory = self._memory()
        return text if memory is None else f"{text}, {memory:,.0f} MiB on the GPU at most"

    def summary(self) -> dict[str, Any]:
        """What the record keeps; of the last start, where a training was interrupted."""
        memory = self._memory()
        return {
            "data_wait_share": round(self.wait_share, 4),
            "signals_on_gpu": self._training.batches.held,
            "peak_gpu_mib": None if memory is None else round(memory, 1),
            "compiled": self._training.ways.compile,
        }

    def _memory(self) -> float | None:
        device = self._training.device
        return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None


def _draw(training: Training) -> None:
    """The curve of the losses so far; one that cannot be drawn is told and ends nothing."""
    # matplotlib takes its time, and only the leading process draws.
    from ..figures.loss_curve import draw_losses

    request = training.request
    try:
        draw_losses(
            training.journal.file,
            training.folder / CURVE,
            per_epoch=training.per_epoch,
            title=f"{request.title}: pre-training on {request.data.name}",
            footer=request.numbered(f"{request.data.release}; batch {training.settings.batch_size}"),
        )
    except (MibenchError, OSError) as problem:
        request.say(f"the curve of the losses could not be drawn: {problem}")


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        raise MibenchError("TensorBoard is not installed: pip install 'mibench[tensorboard]'") from problem
    # What an interrupted run told beyond its last checkpoint is told again, and hidden.
    return SummaryWriter(str(folder), purge_step=step)
