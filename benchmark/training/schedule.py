"""How a pre-training goes: its settings and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...adapters.base import Negatives
from ...adapters.errors import MibenchError


@dataclass(frozen=True)
class Settings:
    """AdamW with a schedule; the defaults are the paper's Table 7: cosine per step to zero, no warm-up, clipping.

    Attributes:
        epochs: passes over the training folds.
        batch_size: records per step, over all processes.
        micro_batch: records per forward pass; None: all that a process has in a step. What a process has beyond it
            comes in further passes before the step is taken.
        negatives: of contrastive methods: "global", all records of a step, or "local", those of the same forward pass.
        shuffle: "records" permutes all records in every epoch; "blocks" keeps neighbours near each other, for disks
            that are slow at random places; "auto" takes blocks for twelve leads of more than 100,000 records.
        block_records, pool_records: of "blocks": neighbours that are read together, and records that are shuffled
            among each other.
        targets: precision in which a teacher's words are kept: "auto" is float16 under mixed precision, which has
            computed them so, and float32 otherwise.
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
    micro_batch: int | None = None
    negatives: Negatives = "global"
    shuffle: Literal["auto", "records", "blocks"] = "auto"
    block_records: int = 64
    pool_records: int = 16_384
    targets: Literal["auto", "float16", "float32"] = "auto"
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
        if self.micro_batch is not None and (self.micro_batch < 2 or self.batch_size % self.micro_batch):
            raise ValueError(
                f"micro_batch must be at least 2 and divide batch_size ({self.batch_size}); got {self.micro_batch}"
            )
        if not 1 <= self.block_records <= self.pool_records:
            raise ValueError(
                f"block_records must be at least 1 and at most pool_records; got {self.block_records} and "
                f"{self.pool_records}"
            )
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


@dataclass(frozen=True)
class Share:
    """How the records of a step are shared out: `world` processes with `passes` forward passes of `size` records each.

    Attributes:
        world: number of processes.
        passes: forward passes of each process before it takes the step.
        size: records in each.
    """

    world: int
    passes: int
    size: int

    @property
    def parts(self) -> int:
        """Forward passes of all processes."""
        return self.world * self.passes


def shared_out(settings: Settings, world: int) -> Share:
    """How a batch is shared among processes.

    Raises:
        MibenchError: it cannot be shared equally.
    """
    batch, micro = settings.batch_size, settings.micro_batch
    size = micro or batch // world
    if size < 2 or batch % (size * world):
        passes = f" in passes of {micro}" if micro else ""
        fitting = world * (micro or 1)
        near = max(fitting, round(batch / fitting) * fitting, 2 * world)
        raise MibenchError(
            f"a batch of {batch} records cannot be shared equally among {world} processes{passes}: give "
            f"--batch-size {near}, or another number of processes"
        )
    share = Share(world, batch // (size * world), size)
    if share.parts > 1 and not settings.drop_last:
        raise MibenchError(
            f"the last batch of an epoch may be short, and cannot then be shared among {share.parts} forward passes: "
            f"leave it out with --set protocol.drop_last=true"
        )
    return share


def determining(settings: Settings, share: Share, *, by_batch: bool) -> Settings:
    """The settings as they stand in a key: how many processes there were does not matter where it changes nothing.

    Args:
        by_batch: the network itself looks at all records of a pass, as batch normalisation does.
    """
    together = share.size if settings.negatives == "local" or by_batch else settings.batch_size
    return replace(settings, micro_batch=together, negatives="local" if together < settings.batch_size else "global")
