"""What a method costs, as a task of a suite: on the machine that runs it, while nothing else does."""

from __future__ import annotations

from pathlib import Path

from ...adapters.errors import MibenchError
from .. import config, results
from ..choices import RunChoices, Say, choose_device, make
from ..protocols import profile
from ..protocols.request import Described

BATCHES = (128,)
"""Of a pre-training step, beside each method's own: the paper's."""


class Costing:
    """One method's profile.

    Args:
        method: its name.
        choices: those of a single run.
        say: told what happens.

    Raises:
        MibenchError: options or settings that there are not.
    """

    def __init__(self, method: str, choices: RunChoices, say: Say) -> None:
        sets = config.parse_sets(choices.sets)
        settings, version = config.protocol(profile.NAME, profile.Settings, sets["protocol"])
        card, adapter = make(method, choices.preset, sets["method"])
        if not card.facts.get("parameters") and card.origin == "built in":
            raise MibenchError(f"{card.name} has no network: there is nothing to profile")
        self._method = Described(adapter, card)
        self._asked = profile.Profiling(
            recipes=tuple(profile.RECIPES),
            batches=BATCHES,
            device=choose_device(choices.device),
            settings=settings,
            version=version,
            results=choices.results,
            force=choices.force,
            preset=choices.preset,
            sets=sets["method"],
            say=say,
        )

    def found(self) -> list[Path] | None:
        """The profile of this machine."""
        if self._asked.force:
            return None
        path = self._folder() / f"{results.run_key(profile.determinants(self._method, self._asked))}.json"
        return [path] if results.finished(path) else None

    def arrived(self) -> list[Path] | None:
        """Profiles of any machine: that of the node that made one is not this one."""
        return [path for path in sorted(self._folder().glob("*.json")) if results.finished(path)] or None

    def run(self) -> list[Path]:
        """Make it."""
        return [profile.run(self._method, self._asked)]

    def _folder(self) -> Path:
        place = f"{profile.NAME}-v{self._asked.version}"
        return results.record_path(self._asked.results, profile.DATA["name"], place, self._method.method, "").parent
