"""What `mibench run` and `mibench pretrain` do: from names to adapters, weights, protocols, and a board to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..adapters import registry
from ..adapters.base import LEADS, Adapter, MethodCard
from ..adapters.errors import MibenchError
from ..adapters.options import plain
from . import config, results, weights
from .data.catalog import open_dataset
from .data.dataset import Dataset
from .embed import Batching
from .progress import steps
from .protocols import linear_probe, pretrain
from .protocols.request import Request
from .tables import leaderboards, load_paper, render_all

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunChoices:
    """The options of `mibench run`; ratios in percent, seeds a number of them."""

    data: str | None = None
    weights: str = "auto"
    ratios: tuple[float, ...] = (100.0,)
    seeds: int = 1
    leads: tuple[str, ...] = ()
    preset: str | None = None
    sets: tuple[str, ...] = ()
    device: str = "auto"
    batch_size: int = 64
    companions: bool | None = None
    results: Path = Path("results")
    force: bool = False


@dataclass(frozen=True)
class PretrainChoices:
    """The options of `mibench pretrain`."""

    data: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    init: tuple[str, ...] = ()
    seed: int = 0
    checkpoint_seconds: float = 300.0
    checkpoint_steps: int | None = None
    preset: str | None = None
    sets: tuple[str, ...] = ()
    device: str = "auto"
    results: Path = Path("results")
    force: bool = False


def run_and_show(methods: Sequence[str], choices: RunChoices, say: Say) -> str:
    """Run the methods, and the anchors to rank them by; the board of what ran, as text.

    Raises:
        MibenchError: anything a user can put right.
    """
    say = _once(say)
    ratios = _ratios(choices.ratios)
    cards = [registry.find(name) for name in methods]
    data = _open(choices.data, say)
    paths: list[Path] = []
    presets = {card.name: choose_preset(card, choices.preset, data, choices.weights, say) for card in cards}
    for card in cards:
        paths += _run_one(card, choices.weights, replace(choices, preset=presets[card.name]), ratios, data, say)
    wanted = data.is_demo if choices.companions is None else choices.companions
    if wanted:
        anchors = replace(
            choices, preset=None, sets=tuple(text for text in choices.sets if text.startswith("protocol."))
        )
        for name, source in _companions(methods, choices, data):
            # An anchor of the same method is of the same size; other methods have options of their own.
            own = replace(choices, preset=presets[name]) if name in presets else anchors
            paths += _run_one(registry.find(name), source, own, ratios, data, say)
    records = [results.read(path) for path in dict.fromkeys(paths)]
    return render_all(leaderboards(records, load_paper()), "text").rstrip()


def pretrain_and_show(method: str, choices: PretrainChoices, say: Say) -> str:
    """Pre-train a method; what came of it, as text."""
    say = _once(say)
    card = registry.find(method)
    data = _open(choices.data, say)
    folder = _pretrain(card, choices, data, say)
    return f"weights: {folder / pretrain.WEIGHTS}\nlosses:  {folder / pretrain.LOSSES}"


def make(
    name: str, preset: str | None = None, sets: Mapping[str, Any] = MethodCard.EMPTY
) -> tuple[MethodCard, Adapter]:
    """A method's card with its options resolved, and its adapter."""
    card = registry.resolve_options(registry.find(name), preset, sets)
    return card, registry.create(card)


def choose_preset(card: MethodCard, chosen: str | None, data: Dataset, source: str, say: Say) -> str | None:
    """The preset of a method: the chosen one, or on the demo heart the one that shows the way in minutes.

    Args:
        source: what `--weights` says; published weights fit the true size alone.
    """
    if chosen is not None or not (data.is_demo and card.demo):
        return chosen
    found = weights.resolve(source, registry.create(card).spec, data.name)
    if found is not None and found.source == "published":
        return registry.FULL
    say(f"{card.name}: preset `{card.demo}` on the demo heart; --preset {registry.FULL} for its true size")
    return card.demo


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU when there is one.

    Raises:
        MibenchError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as problem:
        raise MibenchError(f"--device {name}: not available here; try cpu, or see `mibench doctor`") from problem
    return device


def choose_leads(leads: Sequence[str]) -> tuple[str, ...]:
    """Leads by name in any case, or `all`; commas count as spaces.

    Raises:
        MibenchError: an unknown lead.
    """
    names = [name for text in leads for name in text.replace(",", " ").split()]
    if [name.lower() for name in names] == ["all"]:
        return LEADS
    known = {lead.lower(): lead for lead in LEADS}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise MibenchError(f"--leads: there is no lead {', '.join(unknown)}; there is {', '.join(LEADS)}, or all")
    return tuple(sorted({known[name.lower()] for name in names}, key=LEADS.index))


def _open(choice: str | None, say: Say) -> Dataset:
    data = open_dataset(choice, steps)
    if data.is_demo:
        say(
            f"{data.notice}. This is the demo heart: {len(data.records)} synthetic records.\n"
            f"For real data: mibench data add ptb-xl /path/to/ptb-xl"
        )
    else:
        say(f"{data.name}: {data.release}" + (f", {len(data.records):,} records" if data.complete else ""))
    return data


def _run_one(
    card: MethodCard, source: str, choices: RunChoices, ratios: Sequence[float], data: Dataset, say: Say
) -> list[Path]:
    sets = config.parse_sets(choices.sets)
    card = registry.resolve_options(card, choices.preset, sets["method"])
    adapter = registry.create(card)
    if adapter.spec.kind == "part":
        raise MibenchError(f"{card.name} is what another method's pre-training starts from: there is nothing to probe")
    if adapter.spec.kind != "encoder":
        raise MibenchError(f"{card.name} is a generator, and this version of mibench has only the linear probe")
    leads = {"observed_leads": list(choose_leads(choices.leads))} if choices.leads else {}
    settings, version = config.protocol(
        linear_probe.NAME, linear_probe.Settings, leads, sets["protocol"], data=data.name
    )
    request = _request(card, adapter, data, choices.results, choices.device, choices.force, say)
    request = replace(request, batching=replace(request.batching, batch_size=choices.batch_size))
    plug_in, options = card.origin != "built in", plain(card.options)
    found = weights.resolve(source, adapter.spec, data.name, plug_in=plug_in, options=options)
    if found is None:
        if not (data.is_demo and (adapter.spec.pretrainable or adapter.spec.weights_of)):
            raise MibenchError(weights.how_to_get(card.name, adapter.spec, data.name))
        say(f"{card.name} has no weights yet: pre-training it on the demo heart first")
        short = PretrainChoices(
            preset=choices.preset,
            sets=tuple(text for text in choices.sets if text.startswith("method.")),
            device=choices.device,
            results=choices.results,
        )
        _pretrain(registry.find(adapter.spec.weights_of or card.name), short, data, say)
        found = weights.resolve(source, adapter.spec, data.name, options=options)
        assert found is not None
    return linear_probe.run(request, found, settings, version, ratios, range(choices.seeds))


def _pretrain(card: MethodCard, choices: PretrainChoices, data: Dataset, say: Say) -> Path:
    sets = config.parse_sets(choices.sets)
    preset = choose_preset(card, choices.preset, data, "pretrained", say)
    card = registry.resolve_options(card, preset, sets["method"])
    chosen = {"epochs": choices.epochs, "batch_size": choices.batch_size}
    given = {name: value for name, value in chosen.items() if value is not None}
    shown = card.demo_pretraining if data.is_demo and preset == card.demo else {}
    settings, version = config.protocol(
        pretrain.NAME, pretrain.Settings, shown, sets["protocol"], given, data=data.name, method=card.pretraining
    )
    request = _request(card, registry.create(card), data, choices.results, choices.device, choices.force, say)
    init = _init(choices.init)
    for part, other in card.starts_from.items():
        if part not in init:
            init[part] = _part(registry.find(other), replace(choices, preset=preset), data, say)
    usual, _ = config.protocol(pretrain.NAME, pretrain.Settings, method=card.pretraining)
    shorter = (settings.epochs, settings.batch_size) != (usual.epochs, usual.batch_size)
    say(
        f"pre-training {card.name} on folds 1-8 of {data.name}: {settings.epochs} epochs, batch {settings.batch_size}"
        + (f" (the published recipe: {usual.epochs} epochs, batch {usual.batch_size})" if shorter else "")
    )
    saving = pretrain.Saving(choices.checkpoint_seconds, choices.checkpoint_steps)
    return pretrain.run(request, settings, version, init, choices.seed, saving)


def _part(card: MethodCard, choices: PretrainChoices, data: Dataset, say: Say) -> Path:
    """Weights for what a pre-training starts from: registered, made before, or made now by the card's own recipe."""
    preset = choices.preset if choices.preset in card.presets else None
    card = registry.resolve_options(card, preset)
    spec = registry.create(card).spec
    # Published files are of the true size.
    choice = "pretrained" if data.is_demo and preset == card.demo else "auto"
    found = weights.resolve(choice, spec, data.name, options=plain(card.options))
    if found is None or found.path is None:
        # Settings and starting files that were given are meant for the method that was asked for.
        first = replace(choices, preset=preset, init=(), sets=())
        return _pretrain(registry.find(card.name), first, data, say) / pretrain.WEIGHTS
    say(f"{card.name}: {found.name}, {found.path}")
    return found.path


def _request(
    card: MethodCard,
    adapter: Adapter,
    data: Dataset,
    folder: Path,
    device: str,
    force: bool,
    say: Say,
) -> Request:
    return Request(
        adapter=adapter,
        card=card,
        data=data,
        results=folder,
        batching=Batching(choose_device(device)),
        force=force,
        say=say,
        steps=steps,
    )


def _companions(methods: Sequence[str], choices: RunChoices, data: Dataset) -> list[tuple[str, str]]:
    """The anchors that rank a first run: every method with random weights, then those the data's settings name."""
    wanted = [(name, "random") for name in methods]
    wanted += [(entry["method"], entry["weights"]) for entry in config.load("data", data.name).get("companions", [])]
    return [pair for pair in dict.fromkeys(wanted) if pair not in {(name, choices.weights) for name in methods}]


def _ratios(percent: Sequence[float]) -> list[float]:
    wrong = [value for value in percent if not 0 < value <= 100]
    if wrong:
        raise MibenchError(f"--ratio is a share of the training records in percent, up to 100; got {wrong[0]:g}")
    return [value / 100 for value in dict.fromkeys(percent)]


def _once(say: Say) -> Say:
    """Tell each line once: several rows of one method have the same to say of it."""
    told: set[str] = set()

    def tell(line: str) -> None:
        if line not in told:
            told.add(line)
            say(line)

    return tell


def _init(pairs: Sequence[str]) -> dict[str, Path]:
    init = {}
    for pair in pairs:
        part, equals, file = pair.partition("=")
        if not equals or not part or not file:
            raise MibenchError(f"--init takes PART=FILE, such as twelve_lead=12_lead_ECGFounder.pth; got `{pair}`")
        init[part] = Path(file).expanduser()
    return init
