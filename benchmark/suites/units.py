"""What a task of a suite does: measurements that are made together, or a pre-training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...adapters import registry
from ...adapters.base import MethodCard
from .. import config
from ..choices import PretrainChoices, Say, request_for
from ..data.dataset import Dataset
from ..measure import Measurement, measurement
from ..pretraining import Prepared, finished_folders, prepare_pretraining, pretrain_on
from .file import Step
from .row import RowPlan, Source
from .setup import GENERATORS, Setup


class Unit:
    """Measurements that are made together; what they are is known when their weights are."""

    def __init__(
        self, setup: Setup, plan: RowPlan, step: Step, source: Source, ratios: list[float], seeds: range
    ) -> None:
        self._setup, self._plan, self._step, self._source = setup, plan, step, source
        self._ratios, self._seeds = ratios, seeds
        self._known: Measurement | None = None

    def found(self) -> list[Path] | None:
        """Its records when all are there."""
        return None if self._setup.choices.force else self.arrived()

    def arrived(self) -> list[Path] | None:
        """The same, though everything is to be made anew."""
        measured = self._measurement()
        return list(measured.paths) if measured.done else None

    def run(self) -> list[Path]:
        """Make those that are not there."""
        return self._measurement().run()

    def _measurement(self) -> Measurement:
        if self._known is None:
            self._known = self._make()
        return self._known

    def _make(self) -> Measurement:
        setup, plan, step = self._setup, self._plan, self._step
        data = plan.data_of(step)
        choices = setup.run_choices(plan, step, setup.preset_of(plan, step, self._source))
        sets = config.parse_sets(choices.sets)["method"]
        card = registry.resolve_options(plan.card, choices.preset, sets)
        adapter = registry.create(card)
        found = setup.weights_of(self._source, adapter.spec, card, data)
        if step.protocol in GENERATORS:
            request = request_for(card, adapter, data, choices, setup.say)
            return setup.judged(plan, step).of(request, found, self._ratios, self._seeds)
        return measurement(step.protocol, card, adapter, found, choices, self._ratios, data, setup.say, self._seeds)


class Training:
    """One pre-training; where it lies is looked for until it is there."""

    def __init__(self, card: MethodCard, choices: PretrainChoices, data: Dataset, say: Say) -> None:
        self._card, self._choices, self._data, self._say = card, choices, data, say
        self._folders: list[Path] = []

    def folder(self) -> Path | None:
        """Where it lies; None where it does not yet."""
        return next(iter(self.keeps()), None)

    def found(self) -> list[Path] | None:
        """Its records when all are there."""
        return None if self._choices.force else self.arrived()

    def arrived(self) -> list[Path] | None:
        """The same, though everything is to be made anew."""
        return None if self.folder() is None else []

    def keeps(self) -> list[Path]:
        """Its folder, then those of what it starts from; none before it is done."""
        if not self._folders:
            self._folders = finished_folders(self._card, self._choices, self._data)
        return self._folders

    def run(self) -> list[Path]:
        """Make those that are not there."""
        pretrain_on(self._card, self._choices, self._data, self._say)
        return []

    def prepared(self) -> Prepared:
        """What would be done, whatever it starts from."""
        return prepare_pretraining(self._card, replace(self._choices, init=()), self._data, lambda _text: None)

    def parts(self) -> list[str]:
        """The methods that are trained: its own, and what it starts from."""
        return [self._card.name, *self._card.starts_from.values()]
