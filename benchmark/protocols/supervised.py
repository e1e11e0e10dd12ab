"""End-to-end training on labels (paper, Table 5, "w/o Alignment"): the network learns with its head, then is tested.

From random weights it is what alignment has to beat; from any other it is fine-tuning. Which records train, which fold
chooses the epoch and how the test fold is scored is the linear probe's. Every random draw is a function of the seed and
the step, so that a run made again on one CPU ends with the same scores, bit for bit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...adapters.base import Tunable
from ...adapters.errors import MibenchError
from ...adapters.options import plain
from ...adapters.signal import prepare
from .. import results
from ..frozen import RefusedWeightsError
from ..probe import Head, epoch_order, first_weights, monitored_score
from ..seeds import derive
from ..weights import Weights
from . import linear_probe, probing
from .request import Request

NAME = "supervised"


@dataclass(frozen=True)
class Settings(linear_probe.Settings):
    """Settings of the protocol: those of the linear probe, of network and head together."""


def run(
    request: Request, weights: Weights, settings: Settings, version: int, ratios: Sequence[float], seeds: Sequence[int]
) -> list[Path]:
    """Train and test a method at every ratio with every seed; what is done already stays.

    Returns:
        The run records, one per ratio and seed.

    Raises:
        MibenchError: the method's network cannot be trained, the data have no folds, or a loss is not finite; the
            failure is recorded.
    """
    if not isinstance(request.adapter, Tunable):
        raise MibenchError(
            f"{request.method} cannot be trained end to end: its adapter has no network(); probe it with "
            f"--protocol linear_probe"
        )
    split = request.data.split()
    runs = plan(request, weights, settings, version, ratios, seeds)
    place = (request.results, request.data.name, f"{NAME}-v{version}", request.method)
    missing = probing.missing(request, weights, runs, place)
    if missing:
        linear_probe.assert_fitting(request, settings)
        probing.assert_selectable(request, settings, split)
    for planned in missing:
        started = time.monotonic()
        data = request.data_record(settings.observed_leads, {part: len(rows) for part, rows in split.items()})
        notes: tuple[str, ...] = ()
        try:
            with _own_randomness(request.batching.device):
                training = _Training(request, weights, settings, split, planned)
                notes = training.notes
                head = training.run()
                features = training.features(split["test"])
            scored = probing.score(request, settings, split, planned.ratio, planned.seed, head, features.cpu().numpy())
        except RefusedWeightsError:
            raise
        except Exception as problem:
            envelope = probing.envelope(request, weights, planned, data, notes, started)
            results.write_failure(request.results, envelope, str(problem) or type(problem).__name__)
            raise
        envelope = probing.envelope(request, weights, planned, data, notes, started)
        results.write(request.results, {**envelope, **scored.blocks}, scored.predictions)
    return [results.record_path(*place, planned.key) for planned in runs]


def plan(
    request: Request, weights: Weights, settings: Settings, version: int, ratios: Sequence[float], seeds: Sequence[int]
) -> list[probing.Run]:
    """The runs that `run` would make."""
    protocol = {"name": NAME, "version": version, "settings": plain(settings)}
    return probing.plan(protocol, request, weights, ratios, seeds)


class _Training:
    """One network with its head: where it stands, and how it was at its best."""

    def __init__(
        self,
        request: Request,
        weights: Weights,
        settings: Settings,
        split: Mapping[str, probing.Rows],
        planned: probing.Run,
    ) -> None:
        self.request, self.settings, self.seed = request, settings, planned.seed
        self.rows = probing.training_subset(split["train"], planned.ratio, planned.seed, nested=settings.nested)
        self.validation = split["validation"]
        self.columns = probing.trained_columns(request, settings)
        self.device = request.batching.device
        self.network, self.notes = _start(request, weights, planned.seed)
        width = request.adapter.spec.embedding_dim
        assert width is not None
        self.weight, self.bias = (
            nn.Parameter(value.to(self.device)) for value in first_weights(width, len(self.columns), planned.seed)
        )
        learning = [*(value for value in self.network.parameters() if value.requires_grad), self.weight, self.bias]
        self.optimizer = torch.optim.Adam(
            learning, lr=settings.learning_rate, betas=settings.betas, eps=settings.eps, foreach=False
        )
        self.step = 0
        self.per_epoch = math.ceil(len(self.rows) / settings.batch_size)
        self.total = settings.epochs * self.per_epoch

    def run(self) -> Head:
        """Train until the epochs or the patience are over; the head of the best epoch, and its network in place."""
        bar = self.request.steps(f"training {self.request.method} end to end", self.total)
        history: list[float] = []
        best_epoch, best = 0, copy.deepcopy(self._state())
        for epoch in range(self.settings.epochs):
            loss = self._train_epoch(epoch, bar)
            history.append(self._validate())
            self.request.say(
                self.request.numbered(
                    f"epoch {epoch + 1} of {self.settings.epochs}: training loss {loss:.4f}, "
                    f"validation {self.settings.monitor} {history[-1]:.4f}"
                )
            )
            if epoch == 0 or history[-1] > history[best_epoch - 1]:
                best_epoch, best = epoch + 1, copy.deepcopy(self._state())
            elif epoch + 1 - best_epoch >= self.settings.patience:
                break
        bar(self.total)
        network, weight, bias = best
        self.network.load_state_dict(network)
        return Head(weight, bias, best_epoch, len(history), tuple(history))

    def features(self, rows: probing.Rows) -> Tensor:
        """(rows, embedding_dim) in evaluation mode, without gradient."""
        self.network.eval()
        size = self.request.batching.batch_size
        with torch.no_grad():
            return torch.cat([self._forward(rows[start : start + size]) for start in range(0, len(rows), size)])

    def _train_epoch(self, epoch: int, bar: Any) -> float:
        """One pass over the training records; the mean loss."""
        self.network.train()
        losses = []
        for rows in self._batches(epoch):
            torch.manual_seed(derive(self.seed, "step", self.step))
            targets = torch.from_numpy(self.request.data.labels[rows][:, self.columns]).to(self.device).float()
            loss = F.binary_cross_entropy_with_logits(self._forward(rows) @ self.weight + self.bias, targets)
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise self._diverged(losses[-1], rows)
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * self.step / self.total))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's has no types
            self.optimizer.step()
            self.step += 1
            bar(self.step)
        return float(np.mean(losses))

    def _batches(self, epoch: int) -> Iterator[probing.Rows]:
        """The epoch's records, as a linear probe of the same seed sees them."""
        order = self.rows[epoch_order(len(self.rows), self.seed, epoch).numpy()]
        for start in range(0, len(order), self.settings.batch_size):
            # Sorted within the batch: the loss does not mind, and the disk is read in one direction.
            yield np.sort(order[start : start + self.settings.batch_size])

    def _forward(self, rows: probing.Rows) -> Tensor:
        """(rows, embedding_dim): the network's view of the records, its windows averaged."""
        store, spec = self.request.data.store, self.request.adapter.spec
        millivolt = torch.from_numpy(store.read(rows, self.settings.observed_leads)).to(self.device, non_blocking=True)
        windows = prepare(millivolt, store.sampling_rate, self.settings.observed_leads, spec)
        features: Tensor = self.network(windows.flatten(0, 1)).float()
        wanted = (windows.shape[0] * windows.shape[1], spec.embedding_dim)
        if tuple(features.shape) != wanted:
            raise MibenchError(
                f"method {spec.name}: network() must return (batch, embedding_dim) = {wanted} and returned "
                f"{tuple(features.shape)}: mend it or spec.embedding_dim"
            )
        return features.view(len(rows), windows.shape[1], -1).mean(dim=1)

    def _validate(self) -> float:
        """The monitored score on the validation fold, higher is better."""
        with torch.no_grad():
            scores = self.features(self.validation) @ self.weight + self.bias
        labels = self.request.data.labels[self.validation][:, self.columns]
        monitored = probing.monitored_columns(self.request, self.settings)
        targets = torch.from_numpy(labels).to(scores.device)
        return float(monitored_score(scores[None], labels, targets, monitored, self.settings.monitor)[0])

    def _state(self) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        return self.network.state_dict(), self.weight.detach(), self.bias.detach()

    def _diverged(self, loss: float, rows: probing.Rows) -> MibenchError:
        records = ", ".join(self.request.data.records[rows].tolist())
        return MibenchError(
            f"training {self.request.method} end to end: the loss is {loss} at step {self.step}; the batch holds "
            f"records {records}. Lower the rate with --set protocol.learning_rate"
        )


def _start(request: Request, weights: Weights, seed: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with its first weights, and what loading them found; random ones are other ones for every seed."""
    if weights.source == "random":
        weights = replace(weights, seed=derive(weights.seed or 0, "start", seed))
    try:
        notes = weights.load(request.adapter, request.batching.device).notes
    except MibenchError as problem:
        raise RefusedWeightsError(str(problem)) from problem
    for note in notes if weights.source == "published" else ():
        request.say(f"{weights.name}: {note}")
    assert isinstance(request.adapter, Tunable)
    return request.adapter.network(), notes


def _own_randomness(device: torch.device) -> Any:
    """What a step draws comes from its own seed, and nobody else's draws change for it."""
    devices = [device.index or 0] if device.type == "cuda" else []
    return torch.random.fork_rng(devices=devices)
