"""An encoder, its weights and a protocol, put together: where the records of that will lie, and how they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..adapters.base import Adapter, Encoder, Generator, MethodCard, Pretrainable, Taught
from ..adapters.errors import MibenchError
from . import config, results
from .choices import RunChoices, Say, choose_leads, request_for
from .data.dataset import Dataset
from .protocols import generative, linear_probe, retrieval, supervised
from .teacher_student import pair_of
from .weights import Weights

PROTOCOLS = (linear_probe.NAME, generative.NAME, retrieval.NAME, supervised.NAME)
"""What `mibench run --protocol` takes."""


@dataclass(frozen=True)
class Measurement:
    """Runs that are made together.

    Attributes:
        paths: of their records, whether these are there yet or not.
        run: makes those that are not; gives all paths.
    """

    paths: tuple[Path, ...]
    run: Callable[[], list[Path]]

    @property
    def done(self) -> bool:
        """True when all have finished well."""
        return all(path.is_file() and results.read(path)["status"] == "done" for path in self.paths)


def choose_protocol(card: MethodCard, adapter: Adapter, chosen: str | None) -> str:
    """The protocol of a method: the chosen one, or what its kind asks for.

    Raises:
        MibenchError: the method is of another kind.
    """
    kind = adapter.spec.kind
    if kind == "part":
        raise MibenchError(f"{card.name} is what another method's pre-training starts from: there is nothing to probe")
    usual = generative.NAME if kind == "generator" else linear_probe.NAME
    if chosen == generative.NAME and not isinstance(adapter, Generator):
        raise MibenchError(f"--protocol generative is for generators, and {card.name} is an encoder: leave it out")
    if chosen not in (None, generative.NAME) and not isinstance(adapter, Encoder):
        raise MibenchError(f"--protocol {chosen} is for encoders, and {card.name} is a generator: leave it out")
    return chosen or usual


def assert_taught(card: MethodCard, adapter: Adapter) -> None:
    """Refuse a method without a teacher before anything is looked for.

    Raises:
        MibenchError: there is nothing to retrieve.
    """
    refusal = MibenchError(
        f"{card.name} does not learn from a teacher of twelve leads: there is nothing to retrieve; "
        f"--protocol retrieval is for methods like selfmis"
    )
    if not isinstance(adapter, Pretrainable):
        raise refusal
    try:
        # Shapes without memory: two networks of full size would take seconds.
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            objective = adapter.objective({})
    except Exception:
        return  # it needs more than shapes: whoever builds it for good will say what it lacks
    if not isinstance(objective, Taught):
        raise refusal


def measurement(
    protocol: str,
    card: MethodCard,
    adapter: Adapter,
    weights: Weights,
    choices: RunChoices,
    ratios: Sequence[float],
    data: Dataset,
    say: Say,
) -> Measurement:
    """An encoder under a protocol.

    Args:
        protocol: of `PROTOCOLS`, that of generators left out.
        card: with its options resolved.
        weights: of the encoder.
        ratios: shares of the training records, 0 to 1.

    Raises:
        MibenchError: settings that do not fit, or weights without what the protocol needs.
    """
    sets = config.parse_sets(choices.sets)["protocol"]
    request = request_for(card, adapter, data, choices, say)

    def place(version: int, key: str) -> Path:
        return results.record_path(choices.results, data.name, f"{protocol}-v{version}", request.method, key)

    if protocol == retrieval.NAME:
        if choices.leads:
            raise MibenchError("--leads: retrieval has lead I look for twelve leads; leave it out")
        settings, version = config.protocol(protocol, retrieval.Settings, sets, data=data.name)
        pair = pair_of(card.name, weights)
        key = results.run_key(retrieval.determinants(request, pair, settings, version))
        return Measurement((place(version, key),), lambda: [retrieval.run(request, pair, settings, version)])
    leads: dict[str, Any] = {"observed_leads": list(choose_leads(choices.leads))} if choices.leads else {}
    seeds = range(choices.seeds)
    if protocol == supervised.NAME:
        tuned, version = config.protocol(protocol, supervised.Settings, leads, sets, data=data.name)
        runs = supervised.plan(request, weights, tuned, version, ratios, seeds)
        paths = tuple(place(version, run.key) for run in runs)
        return Measurement(paths, lambda: supervised.run(request, weights, tuned, version, ratios, seeds))
    probed, version = config.protocol(protocol, linear_probe.Settings, leads, sets, data=data.name)
    runs = linear_probe.plan(request, weights, probed, version, ratios, seeds)
    paths = tuple(place(version, run.key) for run in runs)
    return Measurement(paths, lambda: linear_probe.run(request, weights, probed, version, ratios, seeds))
