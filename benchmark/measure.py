"""A method, its weights and a protocol, put together: where the records of that will lie, and how they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..adapters.base import Adapter, Encoder, Generator, MethodCard, Pretrainable, Taught
from ..adapters.errors import MibenchError
from . import config, results
from .choices import GenerateChoices, RunChoices, Say, choose_leads, request_for
from .data.dataset import Dataset
from .generated import Classifier
from .pipeline import classifier_for
from .protocols import generative, latent_fid, linear_probe, retrieval, supervised
from .protocols.request import Request
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
        return all(results.finished(path) for path in self.paths)


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
    seeds: Sequence[int] | None = None,
) -> Measurement:
    """An encoder under a protocol.

    Args:
        protocol: of `PROTOCOLS`, that of generators left out.
        card: with its options resolved.
        weights: of the encoder.
        ratios: shares of the training records, 0 to 1.
        seeds: those of the choices when None.

    Raises:
        MibenchError: settings that do not fit, or weights without what the protocol needs.
    """
    request = request_for(card, adapter, data, choices, say)
    settings, version = settings_of(protocol, choices, data)

    def place(key: str) -> Path:
        return results.record_path(choices.results, data.name, f"{protocol}-v{version}", request.method, key)

    if isinstance(settings, retrieval.Settings):
        pair = pair_of(card.name, weights)
        key = results.run_key(retrieval.determinants(request, pair, settings, version))
        return Measurement((place(key),), lambda: [retrieval.run(request, pair, settings, version)])
    seeds = range(choices.seeds) if seeds is None else seeds
    if isinstance(settings, supervised.Settings):
        runs = supervised.plan(request, weights, settings, version, ratios, seeds)
        paths = tuple(place(run.key) for run in runs)
        return Measurement(paths, lambda: supervised.run(request, weights, settings, version, ratios, seeds))
    runs = linear_probe.plan(request, weights, settings, version, ratios, seeds)
    paths = tuple(place(run.key) for run in runs)
    return Measurement(paths, lambda: linear_probe.run(request, weights, settings, version, ratios, seeds))


def settings_of(
    protocol: str, choices: RunChoices, data: Dataset
) -> tuple[retrieval.Settings | supervised.Settings | linear_probe.Settings, int]:
    """The settings of a protocol of encoders and its version: what is wrong with them is said before anything is made.

    Raises:
        MibenchError: an unknown setting or lead, or a value that cannot be.
    """
    sets = config.parse_sets(choices.sets)["protocol"]
    if protocol == retrieval.NAME:
        if choices.leads:
            raise MibenchError("--leads: retrieval has lead I look for twelve leads; leave it out")
        return config.protocol(protocol, retrieval.Settings, sets, data=data.name)
    leads: dict[str, Any] = {"observed_leads": list(choose_leads(choices.leads))} if choices.leads else {}
    kind = supervised.Settings if protocol == supervised.NAME else linear_probe.Settings
    return config.protocol(protocol, kind, leads, sets, data=data.name)


@dataclass(frozen=True)
class Judged:
    """How generators are looked at: a protocol with its settings, and the encoder that sees what they make."""

    settings: generative.Settings | latent_fid.Settings
    version: int
    classifier: Classifier

    def of(self, request: Request, weights: Weights, ratios: Sequence[float], seeds: Sequence[int]) -> Measurement:
        """A generator under it; latent FID has neither ratios nor seeds."""
        settings, version, classifier = self.settings, self.version, self.classifier
        name = generative.NAME if isinstance(settings, generative.Settings) else latent_fid.NAME

        def place(key: str) -> Path:
            data = request.data.name
            return results.record_path(request.results, data, f"{name}-v{version}", request.method, key)

        if isinstance(settings, latent_fid.Settings):
            fid, found = settings, latent_fid.determinants(request, weights, classifier, settings, version)
            path = place(results.run_key(found))
            return Measurement((path,), lambda: [latent_fid.run(request, weights, classifier, fid, version)])
        pipeline = settings
        runs = generative.plan(request, weights, classifier, pipeline, version, ratios, seeds)
        paths = tuple(place(run.key) for run in runs)
        return Measurement(
            paths, lambda: generative.run(request, weights, classifier, pipeline, version, ratios, seeds)
        )


def judged(protocol: str, choices: GenerateChoices, data: Dataset, say: Say, **chosen: Any) -> Judged:
    """A protocol of generators with its classifier, before any generator is looked for.

    Args:
        protocol: "generative" or "latent_fid".
        chosen: settings on top of the protocol's own.

    Raises:
        MibenchError: settings that do not fit, or no weights of the classifier.
    """
    kind: type[generative.Settings | latent_fid.Settings]
    kind = generative.Settings if protocol == generative.NAME else latent_fid.Settings
    if choices.pass_through is not None:
        chosen["pass_through"] = choices.pass_through
    sets = config.parse_sets(choices.sets)["protocol"]
    settings, version = config.protocol(protocol, kind, chosen, sets, data=data.name)
    return Judged(settings, version, classifier_for(settings, choices, data, say))
