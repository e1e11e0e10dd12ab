"""What a method costs, as a task of a suite: on the machine that runs it, while nothing else does."""

from __future__ import annotations

from pathlib import Path

from ...adapters.errors import MibenchError
from .. import results
from ..choices import RunChoices, Say, make
from ..profiler import ProfileChoices, asked_of
from ..protocols import profile
from ..protocols.request import Described


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
        asked = ProfileChoices(
            device=choices.device,
            preset=choices.preset,
            sets=choices.sets,
            results=choices.results,
            force=choices.force,
        )
        self._asked = asked_of(asked, say)
        card, adapter = make(method, self._asked.preset, self._asked.sets)
        if not card.facts.get("parameters") and card.origin == "built in":
            raise MibenchError(f"{card.name} has no network: there is nothing to profile")
        self._method = Described(adapter, card)

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
