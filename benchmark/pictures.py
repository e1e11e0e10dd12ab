"""What `mibench figure` does: generators with their weights, some records, a picture."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ..adapters import registry
from ..adapters.base import LEADS, Generator
from ..adapters.errors import MibenchError
from ..adapters.options import did_you_mean
from . import config
from .choices import GenerateChoices, Say, once, open_data
from .data.dataset import Dataset
from .frechet import frechet
from .generated import generated_of, partners, real_features
from .pipeline import classifier_for, generator_of
from .protocols import generative
from .protocols.request import Request
from .synthesis import synthesize
from .weights import Weights

__all__ = ["GenerateChoices", "generation_figure", "latent_figure"]

Layout = Literal["rows", "clinical"]


def generation_figure(
    methods: Sequence[str],
    choices: GenerateChoices,
    record: str | None,
    out: Path,
    say: Say,
    *,
    layout: Layout = "rows",
    seconds: float | None = None,
) -> str:
    """Draw one record, real against what the methods make of its lead I; where it was written.

    Args:
        record: its identifier; None is the first test record.

    Raises:
        MibenchError: no such record, a method that is no generator, or a file that cannot be written.
    """
    from .figures.ecg_paper import draw_generation

    say = once(say)
    data = open_data(choices.data, say)
    row = _row(data, record)
    length = data.store.samples / data.store.sampling_rate
    if seconds is not None and not 0 < seconds <= length:
        raise MibenchError(f"--seconds {seconds:g}: the records of {data.name} have {length:g} s")
    fold = data.rows([int(data.folds[row])], labelled=False)
    settings = _settings(choices, data)
    generated, seen = {}, set()
    for name in methods:
        request, weights = generator_of(registry.find(name), choices, data, say)
        seen.add(request.adapter.spec.sees)
        generator, device = request.adapter, request.batching.device
        assert isinstance(generator, Generator)
        weights.load(generator, device)
        given = row
        if generator.spec.sees == "another-record":
            given = int(partners(fold, data.patients)[int(np.flatnonzero(fold == row)[0])])
        torch.manual_seed(0)
        millivolt, rate = data.store.read([given], LEADS), data.store.sampling_rate
        made = synthesize(generator, millivolt, rate, device, pass_through=settings.pass_through)
        generated[_named(request, weights)] = made[0].cpu().numpy()
    draw_generation(
        data.store.read([row], LEADS)[0],
        generated,
        data.store.sampling_rate,
        out,
        title=f"Record {data.records[row]}: real and generated from lead I",
        footer=_footer(data, f"fold {data.folds[row]}, lead I {_passed(settings.pass_through, seen)}"),
        seconds=seconds,
        layout=layout,
    )
    return f"written: {out}"


def latent_figure(methods: Sequence[str], choices: GenerateChoices, out: Path, say: Say) -> str:
    """Draw the latent space of Figure 1: real test records and what each method makes of them; where it was written.

    Raises:
        MibenchError: as of `generated_of`, or a file that cannot be written.
    """
    from .figures.latent_space import draw_latent

    say = once(say)
    data = open_data(choices.data, say)
    settings = _settings(choices, data)
    classifier = classifier_for(settings, choices, data, say)
    real = real_features(classifier)[data.split()["test"]]
    generated, fid, seen = {}, {}, set()
    for name in methods:
        request, weights = generator_of(registry.find(name), choices, data, say)
        seen.add(request.adapter.spec.sees)
        made = generated_of(request, weights, classifier, "test", pass_through=settings.pass_through)
        title = _named(request, weights)
        generated[title] = made.features
        fid[title] = frechet(real, made.features).total
    about = f"encoder weights {classifier.weights.name}, lead I {_passed(settings.pass_through, seen)}"
    draw_latent(
        real,
        generated,
        fid,
        out,
        title=f"{len(real):,} test records in the latent space of {classifier.request.title}",
        footer=_footer(data, about),
    )
    return f"written: {out}"


def _settings(choices: GenerateChoices, data: Dataset) -> generative.Settings:
    sets = config.parse_sets(choices.sets)["protocol"]
    chosen = {} if choices.pass_through is None else {"pass_through": choices.pass_through}
    return config.protocol(generative.NAME, generative.Settings, chosen, sets, data=data.name)[0]


def _row(data: Dataset, record: str | None) -> int:
    if record is None:
        return int(data.split()["test"][0])
    found = np.flatnonzero(data.records == record)
    if not len(found):
        # Records of PTB-XL are numbers, and nobody types the zeros before them.
        found = np.flatnonzero(np.char.lstrip(data.records, "0") == record.lstrip("0"))
    if len(found) != 1:
        meant = did_you_mean(record, data.records.tolist(), listing=False)
        raise MibenchError(f"--record {record}: {data.name} has no such record{meant}")
    return int(found[0])


def _named(request: Request, weights: Weights) -> str:
    return request.title if weights.source == "none" else f"{request.title}, {weights.name}"


def _passed(pass_through: bool, seen: Collection[str]) -> str:
    if not pass_through:
        return "generated"
    return "passed through" + (" (not into another record's leads)" if "another-record" in seen else "")


def _footer(data: Dataset, text: str) -> str:
    parts = [data.notice, f"{data.name} {data.release}", text]
    return "; ".join(part for part in parts if part)
