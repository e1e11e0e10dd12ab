"""The sigmoid loss between pairs of embeddings (SigLIP, arXiv 2303.15343), with the readings that SelfMIS allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

Similarity = Literal["cosine", "dot"]
ScaleMode = Literal["divide", "multiply"]
Reduction = Literal["sum_over_b", "mean"]

LEARNED_BIAS = -10.0
LEARNED_SCALE_LIMIT = 100.0


@dataclass(frozen=True)
class SigLIPConfig:
    """How embeddings become a loss. The defaults read Eq. 3 of SelfMIS as its authors' other code does.

    Attributes:
        similarity: "cosine" of the two embeddings, or their plain "dot" product, as Eq. 3 is printed.
        scale_mode: logits are the similarity divided by `t`, or multiplied by it, as Eq. 3 is printed.
        t: the temperature.
        learn_scale: train the scale, starting from `t`.
        bias: added to every logit; "learn" trains it, starting from -10 as SigLIP does.
        reduction: sum over all pairs divided by the batch (Eq. 3), or the mean over all pairs.
        gather: take negatives from the batches of all processes.
    """

    similarity: Similarity = "cosine"
    scale_mode: ScaleMode = "divide"
    t: float = 0.07
    learn_scale: bool = False
    bias: float | Literal["learn"] = 0.0
    reduction: Reduction = "sum_over_b"
    gather: bool = False

    def __post_init__(self) -> None:
        for name, kinds in (("similarity", Similarity), ("scale_mode", ScaleMode), ("reduction", Reduction)):
            value, allowed = getattr(self, name), get_args(kinds)
            if value not in allowed:
                raise ValueError(f"{name} must be {' or '.join(allowed)}; got {value!r}")
        if not (isinstance(self.t, (int, float)) and math.isfinite(self.t) and self.t > 0):
            raise ValueError(f"t must be a positive number; got {self.t!r}")
        if self.bias != "learn" and not (isinstance(self.bias, (int, float)) and math.isfinite(self.bias)):
            raise ValueError(f'bias must be a number or "learn"; got {self.bias!r}')

    @property
    def scale(self) -> float:
        """What a similarity is multiplied by, before any training."""
        return 1 / self.t if self.scale_mode == "divide" else self.t


class SigLIPLoss(nn.Module):
    """Pairwise sigmoid loss: each (student, teacher) pair is its own yes-or-no question (SelfMIS, Eq. 3).

    For row i and column j the logit is `scale * similarity + bias`, the target +1 where i = j and -1 elsewhere, and
    the loss the negative log-sigmoid of their product. It is computed in float32 or better whatever the autocast.

    With `gather`, each process scores its own rows against the columns of all; the mean of the processes' losses,
    and so the gradient that DDP averages, is that of one process with the whole batch.
    """

    def __init__(self, config: SigLIPConfig | None = None) -> None:
        super().__init__()
        self.config = config or SigLIPConfig()
        scale, bias = self.config.scale, self.config.bias
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale))) if self.config.learn_scale else None
        self.bias = nn.Parameter(torch.tensor(LEARNED_BIAS)) if bias == "learn" else None
        self._scale_limit = max(LEARNED_SCALE_LIMIT, scale)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss as configured.

        Args:
            student: (batch, features), rows of this process.
            teacher: (batch, features), the partner of each row; without gradient when `gather` is set.

        Raises:
            ValueError: shapes differ, or a teacher with gradient is to be gathered.
        """
        return self.reduce(*self.logits(student, teacher))

    def logits(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, int]:
        """(batch, batch of all gathered processes) logits, and the column at which this process's pairs begin."""
        if student.ndim != 2 or student.shape != teacher.shape:
            raise ValueError(
                f"student and teacher must both be (batch, features); got {tuple(student.shape)} and "
                f"{tuple(teacher.shape)}"
            )
        with torch.autocast(student.device.type, enabled=False):
            student, teacher = _widen(student), _widen(teacher)
            if self.config.similarity == "cosine":
                student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
            offset = 0
            if self.config.gather and dist.is_available() and dist.is_initialized():
                teacher, offset = gather_rows(teacher)
            logits = self.scale() * (student @ teacher.T) + self.offset()
            # Dot products have no bound: keep what is summed finite, so that one wild batch is a large number, not NaN.
            limit = torch.finfo(logits.dtype).max / (4 * logits.numel())
            return logits.clamp(-limit, limit), offset

    def reduce(self, logits: Tensor, offset: int = 0, reduction: Reduction | None = None) -> Tensor:
        """The loss of `logits` as configured, or under another reduction for the log."""
        rows = torch.arange(logits.shape[0], device=logits.device)
        signs = -torch.ones_like(logits)
        signs[rows, rows + offset] = 1.0
        loss = -F.logsigmoid(signs * logits).sum()
        reduction = reduction or self.config.reduction
        return loss / (logits.shape[0] if reduction == "sum_over_b" else logits.numel())

    def scale(self) -> Tensor | float:
        """What similarities are multiplied by now; a learned one stays at or below 100, as in CLIP."""
        if self.log_scale is None:
            return self.config.scale
        return self.log_scale.exp().clamp(max=self._scale_limit)

    def offset(self) -> Tensor | float:
        """What is added to every logit now."""
        if self.bias is not None:
            return self.bias
        return 0.0 if self.config.bias == "learn" else self.config.bias


def gather_rows(rows: Tensor) -> tuple[Tensor, int]:
    """Rows of all processes, in the order of their ranks and without gradient, and where this process's begin.

    Raises:
        ValueError: `rows` carries a gradient, which would be lost, or the processes hold different numbers of rows.
    """
    if rows.requires_grad:
        raise ValueError("gather takes negatives without gradient; the teacher must be frozen")
    world, rank = dist.get_world_size(), dist.get_rank()
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    sizes = [int(count) for count in counts]
    if len(set(sizes)) > 1:
        raise ValueError(f"every process must bring the same number of records; got {sizes}")
    parts = [torch.empty_like(rows) for _ in range(world)]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts), rank * len(rows)


def info_nce(student: Tensor, teacher: Tensor, t: float = 0.07) -> Tensor:
    """Softmax loss of finding each student's teacher among all of the batch, by cosine divided by `t`.

    One direction, student to teacher, as retrieval is scored. For the log: Table 5's losses fit this one in batches
    of 128, not Eq. 3.

    Args:
        student, teacher: (batch, features), partners in the same row.
    """
    with torch.autocast(student.device.type, enabled=False):
        cosine = F.normalize(_widen(student), dim=-1) @ F.normalize(_widen(teacher), dim=-1).T
        return F.cross_entropy(cosine / t, torch.arange(len(cosine), device=cosine.device))


def _widen(embeddings: Tensor) -> Tensor:
    return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings
