"""What `mibench run` and `mibench fid` do: from names to adapters, weights, protocols, and a board to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..adapters import registry
from ..adapters.base import Adapter, Fittable, MethodCard
from ..adapters.errors import MibenchError
from . import config, results, retrieval_table
from .choices import GenerateChoices, RunChoices, Say, choose_leads, choose_preset, once, open_data, request_for
from .data.dataset import Dataset
from .measure import assert_taught, choose_protocol, judged, measurement, settings_of
from .pipeline import generator_of
from .pretraining import ready_weights
from .protocols import generative, latent_fid, linear_probe, retrieval, supervised
from .tables import leaderboards, load_paper, render_all
from .teacher_student import weights_beside


def run_and_show(methods: Sequence[str], choices: RunChoices, say: Say) -> str:
    """Run the methods, and the anchors to rank them by; the board of what ran, as text.

    Raises:
        MibenchError: anything a user can put right.
    """
    say = once(say)
    ratios = _ratios(choices.ratios)
    cards = [registry.find(name) for name in methods]
    data = open_data(choices.data, say)
    paths: list[Path] = []
    presets = {card.name: choose_preset(card, choices.preset, data, choices.weights, say) for card in cards}
    for card in cards:
        paths += _run_one(card, choices.weights, replace(choices, preset=presets[card.name]), ratios, data, say)
    usual = choices.protocol in (None, linear_probe.NAME, generative.NAME)
    wanted = data.is_demo and usual if choices.companions is None else choices.companions
    if wanted:
        anchors = replace(
            choices, preset=None, sets=tuple(text for text in choices.sets if text.startswith("protocol."))
        )
        for name, source in _companions(cards, choices, data):
            # An anchor of the same method is of the same size; other methods have options of their own.
            own = replace(choices, preset=presets[name]) if name in presets else anchors
            paths += _run_one(registry.find(name), source, own, ratios, data, say)
    return show([results.read(path) for path in dict.fromkeys(paths)])


def show(records: Sequence[Mapping[str, Any]]) -> str:
    """What came of some runs: their boards, and the table of what was retrieved."""
    found = [record for record in records if record["protocol"]["name"] == retrieval.NAME]
    rows = [record for record in records if record["protocol"]["name"] != retrieval.NAME]
    texts = [render_all(leaderboards(rows, load_paper()), "text").rstrip()] if rows else []
    return "\n\n".join([*texts, *([retrieval_table.text(found).rstrip()] if found else [])])


def fid_and_show(methods: Sequence[str], choices: GenerateChoices, say: Say, *, form: str = "text") -> str:
    """Compare what generators make with the real test records in latent space; the table, as text.

    Raises:
        MibenchError: anything a user can put right.
    """
    say = once(say)
    data = open_data(choices.data, say)
    cards = [registry.find(name) for name in methods]
    way = judged(latent_fid.NAME, choices, data, say)
    paths = []
    for card in cards:
        request, found = generator_of(card, choices, data, say)
        paths += way.of(request, found, (), ()).run()
    return latent_fid.table([results.read(path) for path in dict.fromkeys(paths)], form).rstrip()


def _run_one(
    card: MethodCard, source: str, choices: RunChoices, ratios: Sequence[float], data: Dataset, say: Say
) -> list[Path]:
    card = registry.resolve_options(card, choices.preset, config.parse_sets(choices.sets)["method"])
    adapter = registry.create(card)
    protocol = choose_protocol(card, adapter, choices.protocol)
    if protocol == generative.NAME:
        return _run_generator(card, adapter, source, choices, ratios, data, say)
    if protocol == retrieval.NAME:
        assert_taught(card, adapter)
        source = weights_beside(source)
    elif not data.labelled:
        raise MibenchError(f"{data.name} has no labels: it is for mibench pretrain and --protocol retrieval")
    settings_of(protocol, choices, data)
    found = ready_weights(card, adapter, source, choices, data, say)
    return measurement(protocol, card, adapter, found, choices, ratios, data, say).run()


def _run_generator(
    card: MethodCard,
    adapter: Adapter,
    source: str,
    choices: RunChoices,
    ratios: Sequence[float],
    data: Dataset,
    say: Say,
) -> list[Path]:
    if choices.leads and choose_leads(choices.leads) != ("I",):
        raise MibenchError(f"{card.name} is a generator, and generators are given lead I: leave --leads out")
    paths: list[Path] = []
    for trained_on in choices.train_on:
        way = judged(generative.NAME, choices, data, say, trained_on=trained_on)
        request = request_for(card, adapter, data, choices, say)
        found = ready_weights(card, adapter, source, choices, data, say)
        paths += way.of(request, found, ratios, range(choices.seeds)).run()
    return paths


def _companions(cards: Sequence[MethodCard], choices: RunChoices, data: Dataset) -> list[tuple[str, str]]:
    """The anchors that rank a first run: every method with random weights, then those the data's settings name."""
    adapters = {card.name: registry.create(card) for card in cards}
    # A closed form has nothing to be trained, so its random weights are no anchor of anything.
    wanted = [(name, "random") for name, adapter in adapters.items() if not isinstance(adapter, Fittable)]
    named = config.load("data", data.name).get("companions", {})
    if choices.protocol in (retrieval.NAME, supervised.NAME):
        named = {}  # anchors that have neither a teacher nor a network to train
    for kind in dict.fromkeys(adapter.spec.kind for adapter in adapters.values()):
        wanted += [(entry["method"], entry["weights"]) for entry in named.get(kind, [])]
    return [pair for pair in dict.fromkeys(wanted) if pair not in {(name, choices.weights) for name in adapters}]


def _ratios(percent: Sequence[float]) -> list[float]:
    wrong = [value for value in percent if not 0 < value <= 100]
    if wrong:
        raise MibenchError(f"--ratio is a share of the training records in percent, up to 100; got {wrong[0]:g}")
    return [value / 100 for value in dict.fromkeys(percent)]
