"""What `mibench pretrain` does, and how a run comes by weights that are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..adapters import registry
from ..adapters.base import Adapter, Fittable, MethodCard
from ..adapters.errors import MibenchError
from ..adapters.options import merge, plain
from . import config, results, weights
from .choices import MethodChoices, PretrainChoices, Say, choose_preset, once, open_data, request_for
from .data.catalog import default_pretraining_name
from .data.dataset import Dataset
from .protocols import pretrain
from .protocols.request import Request
from .weights import Weights

OPTION = "options."


def pretrain_and_show(method: str, choices: PretrainChoices, say: Say) -> str:
    """Pre-train a method; what came of it, as text."""
    say = once(say)
    card = registry.find(method)
    data = open_data(choices.data or default_pretraining_name(), say)
    folder = pretrain_on(card, choices, data, say)
    lines = [f"weights: {folder / pretrain.WEIGHTS}"]
    beside = {
        "losses": folder / pretrain.LOSSES,
        "curve": folder / pretrain.CURVE,
        "samples": folder / pretrain.SAMPLES,
    }
    return "\n".join(lines + [f"{name + ':':<8} {path}" for name, path in beside.items() if path.exists()])


def ready_weights(
    card: MethodCard, adapter: Adapter, source: str, choices: MethodChoices, data: Dataset, say: Say
) -> Weights:
    """The weights of a method: those that `source` names, or made now where that is quick.

    On the demo heart a method without weights is pre-trained first; a closed form is fitted wherever it is needed.

    Args:
        card: with its options resolved.
        source: as `--weights` has it.

    Raises:
        MibenchError: there are none; the sentence says how to get some.
    """
    plug_in, options = card.origin != "built in", plain(card.options)
    short = PretrainChoices(
        data=choices.data,
        preset=choices.preset,
        sets=tuple(text for text in choices.sets if text.startswith("method.")),
        device=choices.device,
        results=choices.results,
    )
    if isinstance(adapter, Fittable) and source in ("auto", "pretrained"):
        # To these records, with these options, from these weights: what was fitted to others was not asked for.
        folder = pretrain_on(registry.find(card.name), short, data, say)
        return _made(folder, adapter, data)
    found = weights.resolve(source, adapter.spec, demo=data.is_demo, plug_in=plug_in, options=options)
    if found is not None:
        return found
    if not (data.is_demo and (adapter.spec.pretrainable or adapter.spec.weights_of)):
        raise MibenchError(weights.how_to_get(card.name, adapter.spec, data.name))
    say(f"{card.name} has no weights yet: pre-training it on the demo heart first")
    return _made(pretrain_on(registry.find(adapter.spec.weights_of or card.name), short, data, say), adapter, data)


def _made(folder: Path, adapter: Adapter, data: Dataset) -> Weights:
    made = weights.resolve(str(folder / pretrain.WEIGHTS), adapter.spec, demo=data.is_demo)
    assert made is not None
    return made


@dataclass(frozen=True)
class Prepared:
    """A pre-training that was asked for: the method on its data, the settings, and the files that were given."""

    request: Request
    settings: pretrain.Settings
    version: int
    init: dict[str, Path]
    preset: str | None


def prepare_pretraining(card: MethodCard, choices: PretrainChoices, data: Dataset, say: Say) -> Prepared:
    """What `pretrain_on` would do, before it looks for what the method starts from."""
    sets = config.parse_sets(choices.sets)
    preset = choose_preset(card, choices.preset, data, "pretrained", say)
    card = _with_parts_of_the_demo(registry.resolve_options(card, preset, sets["method"]), data)
    chosen = {"epochs": choices.epochs, "batch_size": choices.batch_size, "micro_batch": choices.micro_batch}
    given = {name: value for name, value in chosen.items() if value is not None}
    shown = card.demo_pretraining if data.is_demo and preset == card.demo else {}
    adapter = registry.create(card)
    settings, version = config.protocol(
        pretrain.NAME, pretrain.Settings, shown, sets["protocol"], given, data=data.name, method=card.pretraining
    )
    return Prepared(request_for(card, adapter, data, choices, say), settings, version, _init(choices.init), preset)


def pretrain_on(card: MethodCard, choices: PretrainChoices, data: Dataset, say: Say) -> Path:
    """Pre-train or fit a method, what it starts from first; the folder of its weights."""
    prepared = prepare_pretraining(card, choices, data, say)
    request, settings, version, init = prepared.request, prepared.settings, prepared.version, prepared.init
    card, adapter = request.card, request.adapter
    for part, (other, own) in _parts(prepared, choices).items():
        init[part] = _part(other, own, data, say)
    if isinstance(adapter, Fittable):
        return pretrain.run(request, settings, version, init, choices.seed)
    usual, _ = config.protocol(pretrain.NAME, pretrain.Settings, method=card.pretraining)
    shorter = (settings.epochs, settings.batch_size) != (usual.epochs, usual.batch_size)
    say(
        f"pre-training {card.name} on {data.training_part} of {data.name}: {settings.epochs} epochs, "
        f"batch {settings.batch_size}"
        + (f" (the published recipe: {usual.epochs} epochs, batch {usual.batch_size})" if shorter else "")
    )
    saving = pretrain.Saving(choices.checkpoint_seconds, choices.checkpoint_steps)
    ways = pretrain.Ways(choices.teacher_cache, choices.compile, choices.resume, choices.tensorboard)
    return pretrain.run(request, settings, version, init, choices.seed, saving, ways)


def _with_parts_of_the_demo(card: MethodCard, data: Dataset) -> MethodCard:
    """On the demo heart, what a method starts from has the demo's size as well, where an option names it."""
    for other in card.starts_from.values():
        name = other.removeprefix(OPTION)
        preset = f"{name}_preset"
        if other != name and data.is_demo and not plain(card.options).get(preset, "given"):
            card = replace(card, options=merge(card.options, {preset: registry.find(str(card.options[name])).demo}))
    return card


def finished_folders(card: MethodCard, choices: PretrainChoices, data: Dataset) -> list[Path]:
    """Where `pretrain_on` would find its work done, then where what it starts from lies; none where any is missing."""
    prepared = prepare_pretraining(card, choices, data, lambda _text: None)
    init, folders = prepared.init, []
    for part, (other, own) in _parts(prepared, choices).items():
        registered = _registered_part(other, own, data)
        below = finished_folders(registry.find(other.name), own, data) if registered is None else []
        file = below[0] / pretrain.WEIGHTS if below else registered.path if registered else None
        if file is None:
            return []
        init[part] = file
        folders += below or [file.parent]
    request = prepared.request
    found = pretrain.what_determines(request, prepared.settings, prepared.version, init, choices.seed)
    folder = weights.pretrained_folder(request.method) / results.run_key(found)
    # Published files are registered wherever they are needed; what was trained here is not.
    ours = [place for place in folders if (place / pretrain.FINISHED).is_file()]
    return [folder, *ours] if (folder / pretrain.FINISHED).is_file() else []


def _parts(prepared: Prepared, choices: PretrainChoices) -> dict[str, tuple[MethodCard, PretrainChoices]]:
    """What a method starts from and was not given: each part's own method, set up as it is to be made."""
    options, found = plain(prepared.request.card.options), {}
    for part, other in prepared.request.card.starts_from.items():
        preset = prepared.preset
        if other.startswith(OPTION):
            name = other.removeprefix(OPTION)
            other, preset = str(options[name]), str(options.get(f"{name}_preset") or "") or None
        card = registry.find(other)
        if part not in prepared.init and registry.create(card).spec.needs_weights:
            preset = preset if preset in card.presets else None
            # Settings and starting files that were given are meant for the method that was asked for.
            own = replace(choices, preset=preset, init=(), sets=(), micro_batch=None, resume=None)
            found[part] = registry.resolve_options(card, preset), own
    return found


def _part(card: MethodCard, choices: PretrainChoices, data: Dataset, say: Say) -> Path:
    """Weights for what a pre-training starts from: registered, made before, or made now by the card's own recipe."""
    found = _registered_part(card, choices, data)
    if found is None:
        return pretrain_on(registry.find(card.name), choices, data, say) / pretrain.WEIGHTS
    say(f"{card.name}: {found.name}, {found.path}")
    assert found.path is not None
    return found.path


def _registered_part(card: MethodCard, choices: PretrainChoices, data: Dataset) -> Weights | None:
    """What is known by the name alone; a closed form is fitted to these very records, so it never is."""
    adapter = registry.create(card)
    if isinstance(adapter, Fittable):
        return None
    # Published files are of the true size.
    choice = "pretrained" if data.is_demo and choices.preset == card.demo else "auto"
    found = weights.resolve(choice, adapter.spec, demo=data.is_demo, options=plain(card.options))
    return found if found is not None and found.path is not None else None


def _init(pairs: Sequence[str]) -> dict[str, Path]:
    init = {}
    for pair in pairs:
        part, equals, file = pair.partition("=")
        if not equals or not part or not file:
            raise MibenchError(f"--init takes PART=FILE, such as twelve_lead=12_lead_ECGFounder.pth; got `{pair}`")
        init[part] = Path(file).expanduser()
    return init
