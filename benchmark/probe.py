"""Linear heads on frozen features, many at once: every seed and ratio is one slice of a batched problem.

All heads share the features; each has its own records, order, schedule, early stopping and best epoch, so that every
one of them is the head that a plain loop would have trained alone (tests/benchmark/test_probe.py holds that loop).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.adam import adam

from .metrics import auc, macro
from .seeds import derive

VECTOR = 16
"""Single-precision numbers in a wide vector register."""


@dataclass(frozen=True)
class ProbeSettings:
    """The paper's Table 8; Adam with binary cross-entropy, cosine per step down to zero."""

    learning_rate: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    epochs: int = 20
    batch_size: int = 64
    patience: int = 5
    monitor: Literal["auc44", "auc9", "loss"] = "auc44"

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.patience) < 1:
            raise ValueError("epochs, batch_size and patience must be at least 1")


@dataclass(frozen=True)
class HeadTask:
    """One head to train.

    Attributes:
        rows: (n,) rows of the training features that it may see.
        seed: for its first weights and the order of its records.
    """

    rows: npt.NDArray[np.int64]
    seed: int


@dataclass(frozen=True)
class Head:
    """A trained head, as it was after its best validation epoch.

    Attributes:
        weight: (features, statements); bias: (statements,).
        best_epoch: 1-based; epochs: number trained before it stopped.
        validation: the monitored score after each epoch (for "loss": the negative loss).
    """

    weight: Tensor
    bias: Tensor
    best_epoch: int
    epochs: int
    validation: tuple[float, ...]

    def scores(self, features: Tensor) -> npt.NDArray[np.float32]:
        """(records, features) -> (records, statements) logits."""
        return (features @ self.weight + self.bias).cpu().numpy().astype(np.float32)


def first_weights(features: int, statements: int, seed: int) -> tuple[Tensor, Tensor]:
    """Weight (features, statements) and bias (statements,), uniform within 1/sqrt(features) like `nn.Linear`."""
    generator = torch.Generator().manual_seed(derive(seed, "first weights"))
    bound = 1 / math.sqrt(features)
    weight = torch.empty(features, statements).uniform_(-bound, bound, generator=generator)
    bias = torch.empty(statements).uniform_(-bound, bound, generator=generator)
    return weight, bias


def epoch_order(records: int, seed: int, epoch: int) -> Tensor:
    """The order in which a head sees its records in one epoch."""
    return torch.randperm(records, generator=torch.Generator().manual_seed(derive(seed, "order", epoch)))


def train_heads(
    tasks: Sequence[HeadTask],
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    settings: ProbeSettings,
    monitored: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Head]:
    """Train all heads together.

    Args:
        tasks: one per head.
        train: features (records, features) float32 and labels (records, statements), on the device to train on.
        validation: the same of the validation fold.
        settings: of the protocol.
        monitored: label columns that early stopping looks at; all when None.
        progress: called with the number of finished epochs.
    """
    # Longest first: the heads that are still in an epoch are then always a leading slice, never a copy.
    order = sorted(range(len(tasks)), key=lambda index: -len(tasks[index].rows))
    batch = _Batch([tasks[index] for index in order], train, settings)
    columns = list(monitored) if monitored is not None else list(range(train[1].shape[1]))
    labels = validation[1].cpu().numpy()
    for epoch in range(settings.epochs):
        batch.train_epoch(epoch)
        scores = batch.validate(validation[0])
        batch.keep_best(epoch, monitored_score(scores, labels, validation[1], columns, settings.monitor))
        if progress:
            progress(epoch + 1)
        if not batch.active:
            break
    trained = batch.heads()
    return [trained[order.index(index)] for index in range(len(tasks))]


def monitored_score(
    scores: Tensor, labels: npt.NDArray[np.generic], targets: Tensor, columns: Sequence[int], kind: str
) -> npt.NDArray[np.float64]:
    """(heads, records, statements) scores -> (heads,), higher is better: what early stopping looks at.

    Args:
        labels, targets: (records, statements), the same as an array and as a tensor beside the scores.
        columns: statements that count for the AUCs.
        kind: as `ProbeSettings.monitor`.
    """
    if kind == "loss":
        target = targets.float().expand_as(scores)
        loss = F.binary_cross_entropy_with_logits(scores, target, reduction="none")
        return -loss.mean(dim=(1, 2)).double().cpu().numpy()
    return macro(auc(scores[..., list(columns)].cpu().numpy(), labels[:, list(columns)]))


class _Batch:
    """The state of all heads that are still training: leading axis = head, longest epoch first.

    Weights are kept as (head, statement, feature) and errors as (head, statement, record): both matrix products of a
    step then run along contiguous features. The bias is one more feature that is always 1, padded with silent ones to
    the width of a vector register.
    """

    def __init__(self, tasks: Sequence[HeadTask], train: tuple[Tensor, Tensor], settings: ProbeSettings) -> None:
        features, labels = train
        self.width = features.shape[1]
        self.features = _with_ones(features)
        self.labels = labels.to(features.dtype)
        self.tasks = list(tasks)
        self.settings = settings
        self.rows = [torch.from_numpy(np.ascontiguousarray(task.rows)).to(features.device) for task in tasks]
        self.weight = self.features.new_zeros(len(tasks), labels.shape[1], self.features.shape[1])
        for place, task in enumerate(tasks):
            weight, bias = first_weights(self.width, labels.shape[1], task.seed)
            self.weight[place, :, : self.width] = weight.T
            self.weight[place, :, self.width] = bias
        self.first, self.second = torch.zeros_like(self.weight), torch.zeros_like(self.weight)
        self.scratch: dict[str, Tensor] = {}
        self.active = list(range(len(self.tasks)))
        self.best: list[tuple[float, int, Tensor] | None] = [None] * len(self.tasks)
        self.history: list[list[float]] = [[] for _ in self.tasks]

    def train_epoch(self, epoch: int) -> None:
        """One pass of every active head over its own records in its own order."""
        size = self.settings.batch_size
        lengths = [len(self.rows[head]) for head in self.active]
        steps = [math.ceil(length / size) for length in lengths]
        orders = torch.zeros(len(self.active), steps[0] * size, dtype=torch.long, device=self.features.device)
        for place, head in enumerate(self.active):
            order = epoch_order(lengths[place], self.tasks[head].seed, epoch).to(orders.device)
            orders[place, : lengths[place]] = self.rows[head][order]
        groups = [_Schedule(heads, count, epoch, self.settings, orders.device) for heads, count in _alike(steps)]
        for step in range(steps[0]):
            running = sum(count > step for count in steps)
            sizes = [min(size, length - step * size) for length in lengths[:running]]
            slope = self._slope(orders[:running, step * size : step * size + max(sizes)], sizes)
            for group in groups:
                if group.steps > step:
                    group.update(step, self.weight, slope, self.first, self.second)

    def _slope(self, index: Tensor, sizes: list[int]) -> Tensor:
        """The gradient of the mean binary cross-entropy with respect to the leading heads, without autograd."""
        heads, width = index.shape
        statements, features = self.weight.shape[1:]
        x = self._space("x", heads * width, features)
        y = self._space("y", heads * width, statements)
        torch.index_select(self.features, 0, index.reshape(-1), out=x)
        torch.index_select(self.labels, 0, index.reshape(-1), out=y)
        x, y = x.view(heads, width, -1), y.view(heads, width, -1).transpose(1, 2)
        error = self._space("error", heads, statements, width)
        torch.bmm(self.weight[:heads], x.transpose(1, 2), out=error)
        error.sigmoid_().sub_(y)
        if min(sizes) == width:
            error.mul_(1 / (width * statements))
        else:
            share = torch.tensor([[1 / (size * statements)] for size in sizes], dtype=torch.float64).to(error)
            inside = torch.arange(width, device=error.device) < torch.tensor(sizes, device=error.device)[:, None]
            error.mul_((share * inside).unsqueeze(1))
        slope = self._space("slope", heads, statements, features)
        torch.bmm(error, x, out=slope)
        return slope

    def _space(self, name: str, *shape: int) -> Tensor:
        """Memory that every step uses again: asking for megabytes thousands of times costs more than the sums."""
        size = math.prod(shape)
        if name not in self.scratch or self.scratch[name].numel() < size:
            self.scratch[name] = self.features.new_empty(size)
        return self.scratch[name][:size].view(shape)

    def validate(self, features: Tensor) -> Tensor:
        """(heads, records, statements) logits of the active heads."""
        stacked = self.weight.flatten(0, 1) @ _with_ones(features).T
        return stacked.view(len(self.active), -1, len(features)).transpose(1, 2)

    def keep_best(self, epoch: int, scores: npt.NDArray[np.float64]) -> None:
        """Remember improved heads and let go of those whose patience is at its end."""
        going_on = []
        for place, head in enumerate(self.active):
            score = float(scores[place])
            self.history[head].append(score)
            best = self.best[head]
            if best is None or score > best[0]:
                self.best[head] = (score, epoch + 1, self.weight[place].clone())
            elif epoch + 1 - best[1] >= self.settings.patience:
                continue
            going_on.append(place)
        if len(going_on) < len(self.active):
            self.active = [self.active[place] for place in going_on]
            self.weight, self.first, self.second = (value[going_on] for value in (self.weight, self.first, self.second))

    def heads(self) -> list[Head]:
        """All heads at their best, in the order of the tasks."""
        found = []
        for best, history in zip(self.best, self.history, strict=True):
            assert best is not None
            score_epoch, weight = best[1], best[2]
            bias = weight[:, self.width].clone()
            found.append(Head(weight[:, : self.width].T.clone(), bias, score_epoch, len(history), tuple(history)))
        return found


class _Schedule:
    """Heads with equally long epochs: they stand at the same step and share the rate and Adam's counter."""

    def __init__(self, heads: slice, steps: int, epoch: int, settings: ProbeSettings, device: torch.device) -> None:
        self.heads, self.steps, self.settings = heads, steps, settings
        self.done = torch.tensor(float(epoch * steps), device=device)
        self.before = epoch * steps
        self.total = settings.epochs * steps

    def update(self, step: int, weight: Tensor, slope: Tensor, first: Tensor, second: Tensor) -> None:
        """One step of Adam, in one pass over memory."""
        rate = self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (self.before + step) / self.total))
        adam(
            [weight[self.heads]],
            [slope[self.heads]],
            [first[self.heads]],
            [second[self.heads]],
            [],
            [self.done],
            fused=True,
            amsgrad=False,
            beta1=self.settings.betas[0],
            beta2=self.settings.betas[1],
            lr=rate,
            weight_decay=0.0,
            eps=self.settings.eps,
            maximize=False,
        )


def _alike(steps: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Runs of equal values in a descending list, as slices."""
    start = 0
    for count, group in itertools.groupby(steps):
        stop = start + len(list(group))
        yield slice(start, stop), count
        start = stop


def _with_ones(features: Tensor) -> Tensor:
    """(records, features) with a column of ones for the bias, and zeros up to a multiple of sixteen."""
    records, width = features.shape
    wider = features.new_zeros(records, width + VECTOR - width % VECTOR)
    wider[:, :width] = features
    wider[:, width] = 1
    return wider
