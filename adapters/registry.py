"""From the name on the command line to an adapter; nothing of a method is imported until it is chosen.

A method is found as a built-in (`configs/methods/NAME.yaml`), an entry point of the group `mibench.methods`,
`package.module:Class`, or `path/to/file.py:Class`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from .base import Adapter, Encoder, Generator, MethodCard, MethodSpec, NoOptions, Part
from .errors import MibenchError
from .options import build, did_you_mean, merge

GROUP = "mibench.methods"
ROOT = __name__.rpartition(".adapters")[0]
FULL = "full"


def cards() -> tuple[dict[str, MethodCard], list[str]]:
    """Every method that has a name, and a sentence for each name that two sides claim."""
    found = {card.name: card for card in _built_in()}
    warnings = []
    for entry in importlib.metadata.entry_points(group=GROUP):
        origin = f"entry point of {entry.dist.name}" if entry.dist else "entry point"
        card = MethodCard(name=entry.name, target=entry.value, origin=origin)
        other = found.get(entry.name)
        if other is None:
            found[entry.name] = card
        elif other.target != card.target:
            warnings.append(
                f"the name `{entry.name}` is claimed by {card.origin} ({card.target}) and is already {other.origin} "
                f"({other.target}): the latter is used; `--method {card.target}` reaches the former"
            )
    return dict(sorted(found.items())), warnings


def find(name: str) -> MethodCard:
    """The card of a method.

    Raises:
        MibenchError: no such name; the nearest one is suggested.
    """
    if ":" in name:
        return MethodCard(
            name=name, target=name, origin="file" if name.rpartition(":")[0].endswith(".py") else "module"
        )
    known, _ = cards()
    if name in known:
        return known[name]
    raise MibenchError(
        f"there is no method `{name}`{did_you_mean(name, list(known), listing=False)} (`mibench methods` lists them; "
        f"a method of your own is given as path/to/file.py:Class or package.module:Class)"
    )


def resolve_options(
    card: MethodCard, preset: str | None = None, overrides: Mapping[str, Any] = MethodCard.EMPTY
) -> MethodCard:
    """The card with a preset and the user's own values merged into its options; the preset "full" changes none.

    Raises:
        MibenchError: the method has no preset of that name.
    """
    presets = {FULL: {}, **card.presets}
    if preset is not None and preset not in presets:
        raise MibenchError(f"{card.name} has no preset `{preset}`{did_you_mean(preset, list(presets))}")
    chosen = presets[preset] if preset is not None else {}
    named = "" if preset in (None, FULL) else str(preset)
    return replace(card, options=merge(card.options, chosen, overrides), preset=named)


def create(card: MethodCard) -> Adapter:
    """Import the adapter's class and make an instance with the card's options.

    Raises:
        MibenchError: it cannot be imported, is no adapter, or refuses its options.
    """
    cls = load_class(card)
    options = getattr(cls, "Options", NoOptions)
    values = build(options, card.options, f"method {card.name}")
    try:
        adapter = cls(values) if options is not NoOptions else cls()
    except MibenchError:
        raise
    except Exception as problem:
        raise MibenchError(f"method {card.name} ({card.target}) could not be made: {_tell(problem)}") from problem
    spec = getattr(adapter, "spec", None)
    wanted = {"encoder": Encoder, "generator": Generator, "part": Part}
    if not isinstance(spec, MethodSpec) or not isinstance(adapter, wanted[spec.kind]):
        lacks = "a `spec` of type MethodSpec" if not isinstance(spec, MethodSpec) else f"the methods of {spec.kind}s"
        raise MibenchError(f"{card.target} is no adapter: it lacks {lacks}; see adapters/base.py for the contract")
    _refuse_borrowed_name(card, spec)
    return adapter  # type: ignore[return-value]


def code_hash(card: MethodCard) -> str | None:
    """Digest of a plug-in's source file, part of its keys because nobody bumps a version while trying things out."""
    if card.origin == "built in":
        return None
    source = inspect.getsourcefile(load_class(card))
    return hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else None


def load_class(card: MethodCard) -> type[Any]:
    """The adapter's class, imported now.

    Raises:
        MibenchError: the module or the class is not there, or importing it fails.
    """
    place, _, class_name = card.target.rpartition(":")
    try:
        module = _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(card.root + place)
    except MibenchError:
        raise
    except Exception as problem:
        raise MibenchError(
            f"method {card.name} ({card.origin}, {card.target}) cannot be imported: {_tell(problem)}"
        ) from problem
    cls = getattr(module, class_name, None)
    if not isinstance(cls, type):
        classes = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__
        ]
        raise MibenchError(f"{place} has no class `{class_name}`{did_you_mean(class_name, classes)}")
    return cls


@functools.cache
def _built_in() -> tuple[MethodCard, ...]:
    found = []
    folder = resources.files(f"{ROOT}.configs") / "methods"
    for file in folder.iterdir():
        if file.name.endswith(".yaml"):
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
            name = file.name.removesuffix(".yaml")
            found.append(MethodCard(name=name, origin="built in", root=f"{ROOT}.", **values))
    return tuple(found)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise MibenchError(f"there is no file {path}: give the path of your adapter as path/to/file.py:Class")
    name = f"mibench_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise MibenchError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _refuse_borrowed_name(card: MethodCard, spec: MethodSpec) -> None:
    if card.origin == "built in":
        return
    if spec.name in {built.name for built in _built_in()}:
        raise MibenchError(
            f"{card.target} calls itself `{spec.name}`, the name of a built-in method: their results would mix; "
            f"give its spec another name"
        )


def _tell(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"
