"""Who takes part in the generative pipeline: the generator, and the twelve-lead encoder that it is judged with."""

from __future__ import annotations

from dataclasses import replace

from ..adapters import registry
from ..adapters.base import Generator, MethodCard
from ..adapters.errors import MibenchError
from ..adapters.options import plain
from . import config, weights
from .choices import GenerateChoices, Say, choose_preset, request_for
from .data.dataset import Dataset
from .generated import Classifier
from .pretraining import ready_weights
from .protocols import generative, latent_fid
from .protocols.request import Request
from .weights import Weights


def classifier_for(
    settings: generative.Settings | latent_fid.Settings, choices: GenerateChoices, data: Dataset, say: Say
) -> Classifier:
    """The classifier's encoder on some data.

    On the demo heart an encoder without weights is taken with random ones, as every anchor there; the board says so.

    Args:
        settings: which encoder, a method like any other, and how it scales the twelve leads.

    Raises:
        MibenchError: no such method, or its weights are not at hand.
    """
    name, scale = settings.classifier, settings.classifier_normalization
    overrides = {} if scale == "own" else {"normalization": scale}
    card = registry.resolve_options(registry.find(name), settings.classifier_preset, overrides)
    adapter = registry.create(card)
    found = weights.resolve(
        choices.classifier_weights,
        adapter.spec,
        demo=data.is_demo,
        plug_in=card.origin != "built in",
        options=plain(card.options),
    )
    if found is None and data.is_demo:
        say(f"{name}, the classifier of generated records, has no weights here: it is taken with random ones")
        found = weights.resolve("random", adapter.spec, demo=data.is_demo)
    if found is None:
        raise MibenchError(
            f"no weights of {name}, which classifies what is generated, are at hand. One of these helps:\n"
            f"  mibench weights add {name} FILE   # {adapter.spec.published_weights or 'published weights'}\n"
            f"  the same command with --classifier-weights FILE\n"
            f"  the same command with --classifier-weights random   # an anchor, no result"
        )
    return Classifier(request_for(card, adapter, data, choices, say), found)


def generator_of(card: MethodCard, choices: GenerateChoices, data: Dataset, say: Say) -> tuple[Request, Weights]:
    """A generator on some data, with its weights, made first where that is quick.

    Raises:
        MibenchError: the method is no generator, or its weights are not at hand.
    """
    choices = replace(choices, preset=choose_preset(card, choices.preset, data, choices.weights, say))
    card = registry.resolve_options(card, choices.preset, config.parse_sets(choices.sets)["method"])
    adapter = registry.create(card)
    if not isinstance(adapter, Generator):
        raise MibenchError(
            f"{card.name} is an {adapter.spec.kind}: it generates nothing; `mibench methods` lists the generators"
        )
    weights = ready_weights(card, adapter, choices.weights, choices, data, say)
    return request_for(card, adapter, data, choices, say), weights
