"""Checkpoints of a training: whole or not there, the last two kept, and never taken up by another training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ...adapters.errors import MibenchError
from ..files import atomic_path

KEPT = 2
FOLDER = "checkpoints"
_NAME = re.compile(r"step-(\d+)\.pt")
_SHOWN = 4


class OtherTrainingError(MibenchError):
    """A checkpoint that is whole, and of another training: no older one will do in its place."""


class Checkpoints:
    """The checkpoints in the folder of a training.

    Args:
        folder: of the training.
        determinants: what determines its weights; a checkpoint of anything else is refused.
        say: tells what could not be used or written.
    """

    def __init__(self, folder: Path, determinants: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self.folder = folder / FOLDER
        self.determinants, self.say = dict(determinants), say

    def save(self, step: int, state: Mapping[str, Any]) -> bool:
        """Write a checkpoint, and remove all but the newest two.

        Returns:
            False when it could not be written: what was there stays, and training may go on.
        """
        try:
            with atomic_path(self.folder / f"step-{step:09d}.pt") as temporary, temporary.open("wb") as file:
                torch.save({**state, "step": step, "determinants": self.determinants}, file)
        except (OSError, RuntimeError) as problem:
            # A full disk reaches us as either, depending on who was writing.
            reason = getattr(problem, "strerror", None) or str(problem).splitlines()[0]
            kept = self.files()
            left = f"the last one, {kept[0].name}, stays" if kept else "there is none yet"
            self.say(f"the checkpoint of step {step} could not be written to {self.folder} ({reason}); {left}")
            return False
        for old in self.files()[KEPT:]:
            old.unlink(missing_ok=True)
        return True

    def newest(self, device: torch.device) -> dict[str, Any] | None:
        """The newest checkpoint that can be read; None when there is none.

        Raises:
            MibenchError: it is of another training, or none of those that are there can be read.
        """
        files = self.files()
        for state in self._readable(files, device):
            return state
        if files:
            raise MibenchError(
                f"no checkpoint in {self.folder} can be read ({', '.join(file.name for file in files)}): remove that "
                f"folder to start this pre-training again"
            )
        return None

    def read(self, file: Path, device: torch.device) -> dict[str, Any]:
        """One checkpoint.

        Raises:
            OtherTrainingError: it is of another training; the differing settings are named.
            MibenchError: it is damaged, or no checkpoint.
        """
        try:
            state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
            theirs = state["determinants"]
        except Exception as problem:
            reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
            raise MibenchError(f"{file} is damaged or no checkpoint of mibench ({reason})") from problem
        different = differences(theirs, self.determinants)
        if different:
            more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
            raise OtherTrainingError(
                f"{file} is of another pre-training: {'; '.join(different[:_SHOWN])}{more}. Give its own settings, or "
                f"another checkpoint"
            )
        return state

    def files(self) -> list[Path]:
        """Checkpoints by name, the newest first."""
        found = self.folder.glob("step-*.pt") if self.folder.is_dir() else iter(())
        return sorted((file for file in found if _NAME.fullmatch(file.name)), reverse=True)

    def clear(self) -> None:
        """Remove all of them, temporary files included."""
        if self.folder.is_dir():
            for file in [*self.folder.glob("step-*.pt"), *self.folder.glob(".step-*.tmp")]:
                file.unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _readable(self, files: list[Path], device: torch.device) -> Iterator[dict[str, Any]]:
        for leftover in self.folder.glob(".step-*.tmp") if self.folder.is_dir() else ():
            # A kill in the middle of writing; nobody else writes here.
            leftover.unlink(missing_ok=True)
        for file in files:
            try:
                state = self.read(file, device)
            except OtherTrainingError:
                raise
            except MibenchError as problem:
                self.say(f"{problem}: an older one is taken")
                continue
            yield state


def differences(theirs: Any, ours: Any, where: str = "") -> list[str]:
    """What differs between two nested settings, as sentences: "protocol.settings.epochs is 20 there and 5 here"."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        found = []
        for name in dict.fromkeys([*theirs, *ours]):
            path = f"{where}.{name}" if where else str(name)
            found += differences(theirs.get(name, "not set"), ours.get(name, "not set"), path)
        return found
    return [] if _plain(theirs) == _plain(ours) else [f"{where} is {_short(theirs)} there and {_short(ours)} here"]


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."
