"""How a pre-training goes: its settings, its learning rate, and which records are in which step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..seeds import derive


@dataclass(frozen=True)
class Settings:
    """AdamW with a schedule; the defaults are the paper's Table 7: cosine per step to zero, no warm-up, clipping.

    Attributes:
        epochs: passes over the training folds.
        batch_size: records per step.
        learning_rate: at its peak.
        rate_per_records: the batch size that `learning_rate` is meant for; the rate grows with the batch. None: any.
        schedule: after the warm-up, "cosine" down to `final_learning_rate`, "constant", or "exponential".
        final_learning_rate: where a cosine ends.
        decay, decay_after: an exponential schedule multiplies by `decay` after each epoch from that one on.
        warmup_epochs: a linear rise from zero, step by step.
        weight_decay: decoupled, on every parameter but single numbers.
        betas, eps: of AdamW.
        clip: largest norm of all gradients together, 0 for none.
        precision: "auto" is 16-mixed on a GPU and 32-true on a CPU.
        drop_last: leave out a short last batch.
        select: "last" keeps the weights of the last epoch, "best" those of the lowest loss on the validation fold.
        patience: stop after so many epochs without a lower validation loss; None: never.
        patience_in_total: count such epochs over the whole training, not in a row.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 1e-4
    rate_per_records: int | None = None
    schedule: Literal["cosine", "constant", "exponential"] = "cosine"
    final_learning_rate: float = 0.0
    decay: float = 0.95
    decay_after: int = 5
    warmup_epochs: float = 0.0
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip: float = 1.0
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    drop_last: bool = True
    select: Literal["last", "best"] = "last"
    patience: int | None = None
    patience_in_total: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError("epochs must be at least 1 and batch_size at least 2")
        if self.rate_per_records is not None and self.rate_per_records < 1:
            raise ValueError(f"rate_per_records must be at least 1 or null; got {self.rate_per_records}")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs:g}) must be fewer than epochs ({self.epochs}): give more epochs, "
                f"or --set protocol.warmup_epochs=0"
            )
        if self.clip < 0 or not 0 <= self.final_learning_rate <= self.peak:
            raise ValueError(
                f"clip must not be negative, nor final_learning_rate beyond the peak of {self.peak:g}; got "
                f"{self.clip:g} and {self.final_learning_rate:g}"
            )
        if not 0 < self.decay <= 1 or self.decay_after < 0:
            raise ValueError(
                f"decay must be over 0 and at most 1, decay_after not negative; got {self.decay:g} and "
                f"{self.decay_after}"
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1 or null; got {self.patience}")

    @property
    def peak(self) -> float:
        """The highest learning rate, for this batch size."""
        share = 1.0 if self.rate_per_records is None else self.batch_size / self.rate_per_records
        return self.learning_rate * share


def learning_rate(settings: Settings, step: int, total: int) -> float:
    """The rate of a step: a linear warm-up from zero, then the peak, or what the schedule makes of it."""
    warm = round(total * settings.warmup_epochs / settings.epochs)
    if step < warm:
        return settings.peak * step / warm
    if settings.schedule == "constant":
        return settings.peak
    if settings.schedule == "exponential":
        epoch = step * settings.epochs // total
        return settings.peak * settings.decay ** max(0, epoch - settings.decay_after + 1)
    share = 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
    return settings.final_learning_rate + (settings.peak - settings.final_learning_rate) * share


def should_stop(settings: Settings, losses: Sequence[float]) -> bool:
    """Whether the validation losses so far, one per epoch, have used up the patience."""
    if settings.patience is None:
        return False
    lowest, in_total, in_a_row = math.inf, 0, 0
    for loss in losses:
        better = loss < lowest
        lowest = min(lowest, loss)
        in_total += not better
        in_a_row = 0 if better else in_a_row + 1
    return (in_total if settings.patience_in_total else in_a_row) >= settings.patience


def step_rows(rows: npt.NDArray[np.int64], settings: Settings, seed: int, step: int) -> npt.NDArray[np.int64]:
    """The records of one step: a function of its number alone, so that a resumed run sees what it would have seen."""
    per_epoch = steps_per_epoch(len(rows), settings)
    epoch, within = divmod(step, per_epoch)
    order = np.random.default_rng(derive(seed, "order", epoch)).permutation(len(rows))
    # Sorted within the batch: the loss does not mind, and the disk is read in one direction.
    return np.sort(rows[order[within * settings.batch_size : (within + 1) * settings.batch_size]])


def steps_per_epoch(records: int, settings: Settings) -> int:
    """Number of optimiser steps in an epoch."""
    full, rest = divmod(records, settings.batch_size)
    return full if settings.drop_last or rest < 2 else full + 1
