"""The sigmoid loss between pairs of embeddings (SigLIP, arXiv 2303.15343), with the readings that SelfMIS allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
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
    """

    similarity: Similarity = "cosine"
    scale_mode: ScaleMode = "divide"
    t: float = 0.07
    learn_scale: bool = False
    bias: float | Literal["learn"] = 0.0
    reduction: Reduction = "sum_over_b"

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

    A batch may be scored against the targets of a larger one: the mean of the losses of its parts, each against the
    targets of all, is the loss of the whole, and so is the mean of their gradients.
    """

    def __init__(self, config: SigLIPConfig | None = None) -> None:
        super().__init__()
        self.config = config or SigLIPConfig()
        scale, bias = self.config.scale, self.config.bias
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale))) if self.config.learn_scale else None
        self.bias = nn.Parameter(torch.tensor(LEARNED_BIAS)) if bias == "learn" else None
        self._scale_limit = max(LEARNED_SCALE_LIMIT, scale)

    def forward(self, student: Tensor, targets: Tensor, places: Tensor | None = None) -> Tensor:
        """The loss as configured.

        Args:
            student: (batch, features).
            targets: (all, features), the partner of each row among them.
            places: (batch,) int64, where each row's partner stands; row i's is row i when None.

        Raises:
            ValueError: shapes that do not belong together.
        """
        return self.reduce(self.logits(student, targets, places), places)

    def logits(self, student: Tensor, targets: Tensor, places: Tensor | None = None) -> Tensor:
        """(batch, all) logits of every row with every target."""
        if student.ndim != 2 or targets.ndim != 2 or student.shape[1] != targets.shape[1]:
            raise ValueError(
                f"student and targets must be (batch, features) and (all, features); got {tuple(student.shape)} and "
                f"{tuple(targets.shape)}"
            )
        if len(targets) != len(student) if places is None else places.shape != student.shape[:1]:
            raise ValueError(
                f"each of {len(student)} rows needs its place among {len(targets)} targets; got "
                f"{'none' if places is None else tuple(places.shape)}"
            )
        with torch.autocast(student.device.type, enabled=False):
            student, targets = _widen(student), _widen(targets)
            if self.config.similarity == "cosine":
                student, targets = F.normalize(student, dim=-1), F.normalize(targets, dim=-1)
            logits = self.scale() * (student @ targets.T) + self.offset()
            # Dot products have no bound: keep what is summed finite, so that one wild batch is a large number, not NaN.
            limit = torch.finfo(logits.dtype).max / (4 * logits.numel())
            return logits.clamp(-limit, limit)

    def reduce(self, logits: Tensor, places: Tensor | None = None, reduction: Reduction | None = None) -> Tensor:
        """The loss of `logits` as configured, or under another reduction for the log."""
        rows = torch.arange(logits.shape[0], device=logits.device)
        signs = -torch.ones_like(logits)
        signs[rows, rows if places is None else places] = 1.0
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


def info_nce(student: Tensor, targets: Tensor, places: Tensor | None = None, t: float = 0.07) -> Tensor:
    """Softmax loss of finding each student's target among all, by cosine divided by `t`.

    One direction, student to teacher, as retrieval is scored. For the log: Table 5's losses fit this one in batches
    of 128, not Eq. 3.

    Args:
        student, targets, places: as of `SigLIPLoss`.
    """
    with torch.autocast(student.device.type, enabled=False):
        cosine = F.normalize(_widen(student), dim=-1) @ F.normalize(_widen(targets), dim=-1).T
        wanted = torch.arange(len(cosine), device=cosine.device) if places is None else places
        return F.cross_entropy(cosine / t, wanted)


def _widen(embeddings: Tensor) -> Tensor:
    return embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings
