"""A row on its data, and where the weights of its steps come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...adapters.base import MethodCard
from ..data.dataset import Dataset
from .file import UNLABELLED, Row, Step
from .task import Task


@dataclass(frozen=True)
class RowPlan:
    """A row on its data.

    Attributes:
        card: its method.
        preset, sets: what the command line has for this method.
        data, signals: with labels, and for pre-training.
    """

    row: Row
    card: MethodCard
    preset: str | None
    sets: tuple[str, ...]
    data: Dataset
    signals: Dataset

    @property
    def learns_on(self) -> Dataset:
        """What its pre-training is on."""
        return self.data if self.row.learns_on_data else self.signals

    def data_of(self, step: Step) -> Dataset:
        """What a step is on."""
        return self.learns_on if step.protocol in UNLABELLED else self.data

    @property
    def chosen_preset(self) -> str | None:
        """The command line's, else the row's."""
        return self.preset or self.row.preset or None

    @property
    def method_sets(self) -> tuple[str, ...]:
        """The row's options, then the command line's."""
        return (*(f"method.{text}" for text in self.row.sets), *self.sets)


@dataclass
class Pretraining:
    """A pre-training that several steps and rows may hang on."""

    task: Task
    folder: Callable[[], Path | None]


@dataclass(frozen=True)
class Source:
    """Where a step's weights come from.

    Attributes:
        choice: as `--weights` has it; None for those of `pretraining`.
        lacks: why there are none, and how to get some.
    """

    choice: str | None = None
    pretraining: Pretraining | None = None
    lacks: str = ""
