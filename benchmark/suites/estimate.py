"""How long tasks will take: as long as like runs in the results folder did, else by their multiply-accumulates."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...adapters import registry
from ...adapters.base import Encoder, Fittable, Generator, MethodCard
from ..costs import true_macs
from ..data.dataset import Dataset
from ..pretraining import Prepared
from ..protocols import linear_probe, pretrain, retrieval, supervised
from .file import Step

SHARE = 0.25
"""What a network reaches of the multiply-accumulates of one large matrix product: a guess, and called one."""

TRAINING = 3
"""Passes that a training step is worth: one forward, and a backward of two."""


@dataclass(frozen=True)
class Work:
    """How much a task is.

    Attributes:
        protocol: that it is of.
        method, preset: as records have them.
        records: that go through the network, times epochs where it is trained.
        macs: multiply-accumulates of all of it, counted when they are asked for; None where that cannot be done.
    """

    protocol: str
    method: str
    preset: str
    records: float
    macs: Callable[[], float | None]


@dataclass(frozen=True)
class Guess:
    """Seconds, and where they are from."""

    seconds: float
    measured: bool


class Estimates:
    """What is known of the speed of this place.

    Args:
        records: of the results folder.
        device: the kind that tasks are run on, "cpu" or "cuda": others are no like runs.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]], device: str) -> None:
        self.device = device
        self._rate: float | None = None
        self._like: dict[tuple[str, str, str], float] = {}
        for record in records:
            seconds, passed = record["provenance"].get("seconds"), _passed(record)
            if record["status"] == "done" and str(record["provenance"]["device"]).startswith(device) and passed:
                key = (record["protocol"]["name"], record["method"]["name"], _preset(record))
                # Of runs that were made together the last has the time of all, and later ones found embeddings there.
                self._like[key] = max(self._like.get(key, 0.0), float(seconds or 0) / passed)

    def of(self, work: Work | None) -> Guess | None:
        """How long it will take; None when nobody can tell."""
        if work is None:
            return None
        like = self._like.get((work.protocol, work.method, work.preset))
        if like:
            return Guess(like * work.records, measured=True)
        macs = work.macs()
        return None if macs is None else Guess(macs / self.rate, measured=False)

    @property
    def rate(self) -> float:
        """Multiply-accumulates per second that networks are taken to reach here."""
        if self._rate is None:
            self._rate = SHARE * _matrix_product(self.device)
        return self._rate


def work_of(card: MethodCard, preset: str | None, step: Step, data: Dataset, seeds: int) -> Work:
    """A measurement of a method on some data."""
    split = data.split() if step.protocol != retrieval.NAME else {}
    records = float(sum(len(rows) for rows in split.values())) or float(len(data.held_out_rows()))
    times = 1.0
    if step.protocol == supervised.NAME:
        epochs = next((float(text.partition("=")[2]) for text in step.sets if text.startswith("epochs=")), 20.0)
        records, times = epochs * len(split["train"]) * max(step.ratios) / 100, TRAINING
    elif step.protocol != linear_probe.NAME and split:
        records = float(len(split["test"]))
    size = preset if preset != registry.FULL else None
    return Work(step.protocol, _name(card), size or "", records, lambda: _times(_macs(card, size), records * times))


def pretraining_work(prepared: Prepared, data: Dataset) -> Work:
    """A pre-training, what it starts from left out."""
    request = prepared.request
    card, facts = request.card, request.card.facts
    epochs = 1 if isinstance(request.adapter, Fittable) else prepared.settings.epochs
    records = float(len(data.training_rows()) * epochs)
    bulk = float(facts.get("pretraining_parameters", 1)) / float(facts.get("parameters", 1))
    return Work(
        pretrain.NAME,
        request.method,
        card.preset,
        records,
        lambda: _times(_macs(card, card.preset or None), records * TRAINING * bulk),
    )


def in_words(seconds: float) -> str:
    """Two seconds, twelve minutes, three hours."""
    if seconds < 99:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def _passed(record: Mapping[str, Any]) -> float:
    """The records that went through the network for a run, counted as `Work.records` counts them."""
    counts, settings = record["data"]["records"], record["protocol"]["settings"]
    name = record["protocol"]["name"]
    if name == "profile":
        return 1.0
    if name == pretrain.NAME:
        return float(counts["train"] * settings.get("epochs", 1))
    if name == supervised.NAME:
        return float(record["training"]["records"] * settings["epochs"]) if record["training"] else 0.0
    if name == retrieval.NAME:
        return float(counts["validation"])
    return float(sum(counts.values()) if name == linear_probe.NAME else counts.get("test", 0))


def _preset(record: Mapping[str, Any]) -> str:
    title = str(record["method"]["title"])
    return title.rpartition(" (")[2].removesuffix(")") if title.endswith("(tiny)") else ""


def _name(card: MethodCard) -> str:
    return registry.create(card).spec.name


def _times(macs: float | None, records: float) -> float | None:
    return None if macs is None else macs * records


def _macs(card: MethodCard, preset: str | None) -> float | None:
    """Multiply-accumulates of one record: the card's, or counted on a small network."""
    if preset is None and "macs" in card.facts:
        return float(card.facts["macs"])
    return _counted(card.name, preset)


@functools.cache
def _counted(method: str, preset: str | None) -> float | None:
    try:
        card = registry.resolve_options(registry.find(method), preset)
        adapter = registry.create(card)
        if not isinstance(adapter, (Encoder, Generator)):
            return None
        with torch.random.fork_rng(devices=[]):
            adapter.load(None, torch.device("cpu"))
        spec = adapter.spec
        signal = torch.randn(spec.window_count, len(spec.leads), spec.samples)
        pass_ = adapter.embed if isinstance(adapter, Encoder) else adapter.synthesize
        return float(true_macs(lambda: pass_(signal)))
    except Exception:  # whatever a network does to the counter, a plan is printed without its figure
        return None


def _matrix_product(kind: str, size: int = 1024) -> float:
    """Multiply-accumulates per second of a matrix product: the best of a few, because others may be at work here."""
    left = torch.rand(size, size, device=torch.device(kind))
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < 0.3:
        started = time.perf_counter()
        (left @ left).sum().item()
        best = max(best, size**3 / (time.perf_counter() - started))
    return best
