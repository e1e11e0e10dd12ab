"""What `mibench profile` does: one method after the other, each failing alone, and a table to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..adapters import registry
from ..adapters.base import MethodCard
from ..adapters.errors import MibenchError
from ..adapters.options import did_you_mean
from . import config, results
from .choices import Say, choose_device, make
from .profile_overview import overview
from .protocols import profile
from .protocols.request import Described


@dataclass(frozen=True)
class ProfileChoices:
    """The options of `mibench profile`.

    Attributes:
        methods: names; empty for all that have a network.
        recipes: empty for all.
        batches: records of a pre-training step, beside each method's own.
        preset, sets: of the methods' options.
        export: put the method into an ONNX file and measure that as well.
    """

    methods: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    batches: tuple[int, ...] = (128,)
    device: str = "auto"
    preset: str | None = None
    sets: tuple[str, ...] = ()
    export: bool = False
    results: Path = Path("results")
    force: bool = False


def asked_of(choices: ProfileChoices, say: Say) -> profile.Profiling:
    """What is asked of every method.

    Raises:
        MibenchError: settings or recipes that there are not.
    """
    sets = config.parse_sets(choices.sets)
    settings, version = config.protocol(profile.NAME, profile.Settings, sets["protocol"])
    return profile.Profiling(
        recipes=_recipes(choices.recipes),
        batches=choices.batches,
        device=choose_device(choices.device),
        settings=settings,
        version=version,
        results=choices.results,
        force=choices.force,
        preset=choices.preset,
        sets=sets["method"],
        say=say,
    )


def profile_and_show(choices: ProfileChoices, say: Say) -> tuple[str, list[str]]:
    """Profile the methods; the table, and a sentence for each method that failed.

    Raises:
        MibenchError: what was asked for is not there; or nothing could be profiled.
    """
    asked = asked_of(choices, say)
    if choices.export:
        from .deployment.onnx_file import require_packages

        require_packages()
    cards = [registry.find(name) for name in dict.fromkeys(choices.methods)] or with_networks()
    # A wrong option is said before anything is measured.
    made = [make(card.name, asked.preset, asked.sets) for card in cards]
    ready = [Described(adapter, card) for card, adapter in made]
    paths, failures = [], []
    for method in ready:
        try:
            paths.append(profile.run(method, asked, _export(method, asked, choices.export)))
        except Exception as problem:
            failures.append(f"{method.method}: {' '.join(str(problem).split()) or type(problem).__name__}")
            say(f"failed: {failures[-1]}")
    if not paths:
        raise MibenchError("nothing was profiled: " + "; ".join(failures))
    return overview([results.read(path) for path in paths]), failures


def with_networks() -> list[MethodCard]:
    """Methods that have something to profile: ours whose size is known, and all of others."""
    return [
        card
        for card in registry.cards()[0].values()
        if card.origin != "built in" or any(card.facts.get(name) for name in ("parameters", "pretraining_parameters"))
    ]


def _recipes(chosen: Sequence[str]) -> tuple[str, ...]:
    for name in chosen:
        if name not in profile.RECIPES:
            raise MibenchError(f"--recipe: there is no recipe `{name}`{did_you_mean(name, list(profile.RECIPES))}")
    return tuple(name for name in profile.RECIPES if name in chosen or not chosen)


def _export(method: Described, asked: profile.Profiling, wanted: bool) -> Callable[[], dict[str, Any]] | None:
    """What makes the record's `export`; a method that cannot be exported has its sentence there."""
    if not wanted:
        return None
    from .deployment.measure import exported

    return lambda: exported(method, asked.settings.timing)
