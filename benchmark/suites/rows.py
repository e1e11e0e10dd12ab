"""The steps of one row as tasks: pre-trainings, measurements, and which weights they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ...adapters import registry
from ...adapters.base import Adapter, Fittable, MethodCard, MethodSpec
from ...adapters.errors import MibenchError
from .. import config, weights
from ..choices import PretrainChoices, RunChoices, Say, choose_preset, request_for
from ..data.dataset import Dataset
from ..measure import Judged, Measurement, assert_taught, choose_protocol, judged, measurement, settings_of
from ..pretraining import Prepared, finished_folders, prepare_pretraining, pretrain_on
from ..protocols import generative, latent_fid, pretrain, profile, retrieval, supervised
from ..weights import Weights
from .choices import Problems, Start, SuiteChoices, sets_for
from .costing import Costing
from .estimate import Work, pretraining_work, work_of
from .file import AUTO, PRETRAIN, PRETRAINED, PUBLISHED, RANDOM, UNLABELLED, Row, Step
from .task import Task

GENERATORS = (generative.NAME, latent_fid.NAME)
"""Protocols with a classifier of twelve leads behind them."""


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


class Shared:
    """The tasks so far, and what their rows have in common.

    Args:
        choices: of the command line.
        starts: files by part.
        seeds: the suite's.
        say: told what happens.
    """

    def __init__(self, choices: SuiteChoices, starts: dict[str, Start], seeds: int, say: Say) -> None:
        self.choices, self.starts, self.say = choices, starts, say
        self.seeds = choices.seeds or seeds
        self.tasks: list[Task] = []
        self._names: set[str] = set()
        self._pretrainings: dict[tuple[object, ...], Pretraining] = {}
        self._resolved: dict[tuple[str, str], Weights] = {}
        self._judged: dict[tuple[object, ...], Judged] = {}

    def add(self, plan: RowPlan, problems: Problems) -> None:
        """The tasks of a row, behind those that are there."""
        for step in plan.row.steps:
            with problems.collected():
                if step.protocol == PRETRAIN:
                    self._pretraining(plan, plan.card)
                elif step.protocol == profile.NAME:
                    self._costs(plan, step)
                else:
                    self._assert_fits(plan, step)
                    self._measured(plan, step)

    def _append(self, task: Task) -> None:
        if task.name in self._names:
            raise MibenchError(f"{task.name} is there twice: give its rows different names, or leave one out")
        self._names.add(task.name)
        self.tasks.append(task)

    def _assert_fits(self, plan: RowPlan, step: Step) -> None:
        adapter = self._adapter(plan, plan.chosen_preset)
        choose_protocol(plan.card, adapter, None if step.protocol == latent_fid.NAME else step.protocol)
        if step.protocol == latent_fid.NAME and adapter.spec.kind != "generator":
            raise MibenchError(f"row {plan.row.name}: latent FID is of generators, and {plan.card.name} is none")
        if step.protocol == retrieval.NAME:
            assert_taught(plan.card, adapter)
        if step.protocol not in GENERATORS:
            settings_of(step.protocol, self.run_choices(plan, step, None), plan.data_of(step))

    def _adapter(self, plan: RowPlan, preset: str | None) -> Adapter:
        sets = config.parse_sets(plan.method_sets)["method"]
        return registry.create(registry.resolve_options(plan.card, preset or None, sets))

    def _measured(self, plan: RowPlan, step: Step) -> None:
        source = self._source(plan, step)
        data = plan.data_of(step)
        start = "" if step.weights in (AUTO, PRETRAINED) else f", {step.weights} weights"
        lacks = source.lacks or self._lacks_classifier(plan, step)
        for share, ratios, seeds in self._shares(step):
            unit = _Unit(self, plan, step, source, ratios, seeds)
            self._append(
                Task(
                    row=plan.row.name,
                    what=f"{step.protocol} on {data.name}{start}{share}{''.join(f', {text}' for text in step.sets)}",
                    found=unit.found,
                    run=unit.run,
                    arrived=unit.arrived,
                    needs=source.pretraining.task if source.pretraining else None,
                    lacks=lacks,
                    builds=self._builds(plan, step),
                    work=work_of(plan.card, self.preset_of(plan, step, source), step, data, len(seeds)),
                )
            )

    def _costs(self, plan: RowPlan, step: Step) -> None:
        preset = self.preset_of(plan, step, Source(RANDOM))
        unit = Costing(plan.card.name, self.run_choices(plan, step, preset), self.say)
        what = "".join([step.protocol, *(f", {text}" for text in step.sets)])
        work = Work(step.protocol, plan.card.name, preset or "", 1, lambda: None)
        self._append(Task(plan.row.name, what, unit.found, unit.run, arrived=unit.arrived, work=work, alone=True))

    def _shares(self, step: Step) -> Iterator[tuple[str, list[float], range]]:
        """Runs that are made together: probes of all ratios and seeds are one problem, end-to-end trainings are not."""
        count = step.seeds or self.seeds
        ratios = [ratio / 100 for ratio in step.ratios]
        graded = len(ratios) > 1
        if step.protocol == supervised.NAME:
            for ratio in ratios:
                for seed in range(count):
                    shown = f", {ratio:.0%} of training" if graded else ""
                    yield shown + (f", seed {seed}" if count > 1 else ""), [ratio], range(seed, seed + 1)
        else:
            shown = f", {', '.join(f'{ratio:g}' for ratio in step.ratios)} % of training" if graded else ""
            yield shown, ratios, range(count)

    def _lacks_classifier(self, plan: RowPlan, step: Step) -> str:
        if step.protocol not in GENERATORS:
            return ""
        try:
            self.judged(plan, step)
        except MibenchError as problem:
            return str(problem)
        return ""

    def judged(self, plan: RowPlan, step: Step) -> Judged:
        """The protocol of generators with its classifier.

        Raises:
            MibenchError: settings that do not fit, or no weights of the classifier.
        """
        choices = self.run_choices(plan, step, None)
        known = (step.protocol, plan.data.name, choices.sets)
        if known not in self._judged:
            self._judged[known] = judged(step.protocol, choices, plan.data_of(step), self.say)
        return self._judged[known]

    def _builds(self, plan: RowPlan, step: Step) -> frozenset[str]:
        data = plan.data_of(step).name
        if step.protocol in GENERATORS:
            return frozenset({f"classifier on {data}", f"{plan.card.name} on {data}"})
        return frozenset({f"{plan.card.name}, {step.weights}, on {data}"})

    def _source(self, plan: RowPlan, step: Step) -> Source:
        """Which weights a step takes; a pre-training that it needs is put before it."""
        choice, spec = step.weights, self._adapter(plan, None).spec
        if not spec.needs_weights:
            return Source(AUTO)
        if choice in self.starts:
            start = self.starts[choice]
            return Source(str(start.file), lacks=start.lacks)
        if choice == AUTO:
            choice = self._usual(plan, spec)
        if choice == PRETRAINED:
            name = spec.weights_of or plan.card.name
            return Source(pretraining=self._pretraining(plan, registry.find(name)))
        if choice.partition(":")[0] in (RANDOM, PUBLISHED, AUTO):
            try:
                weights.resolve(choice, spec, plug_in=plan.card.origin != "built in")
            except MibenchError as problem:
                return Source(choice, lacks=str(problem))
            return Source(choice)
        if choice:
            if not Path(choice).expanduser().is_file():
                parts = f", or one of {', '.join(self.starts)}" if self.starts else ""
                raise MibenchError(
                    f"row {plan.row.name}: there are no weights `{choice}`; give auto, pretrained, published, random, "
                    f"a file{parts}"
                )
            return Source(choice)
        return Source(lacks=weights.how_to_get(plan.card.name, spec, plan.data.name))

    def _usual(self, plan: RowPlan, spec: MethodSpec) -> str:
        """What "auto" comes to; empty where there is nothing to take or to make."""
        adapter = self._adapter(plan, None)
        trains = spec.pretrainable or bool(spec.weights_of) or isinstance(adapter, Fittable)
        own = bool(plan.row.init) or any(step.protocol == PRETRAIN for step in plan.row.steps)
        if own or isinstance(adapter, Fittable):
            return PRETRAINED
        try:
            weights.resolve(PUBLISHED, spec)
        except MibenchError:
            if plan.card.origin != "built in" and not trains:
                return AUTO
            return PRETRAINED if trains else ""
        return PUBLISHED

    def _pretraining(self, plan: RowPlan, card: MethodCard) -> Pretraining:
        """A method's pre-training with this row's starts, made once for all that need it."""
        choices = self._pretrain_choices(plan, card)
        known = (card.name, plan.learns_on.name, choices.init, choices.preset, choices.sets)
        if known not in self._pretrainings:
            unit = _Pretrain(card, choices, plan.learns_on, self.say)
            missing = [self.starts[part].lacks for part in plan.row.init if self.starts[part].lacks]
            start = ", ".join(f"{part} from its checkpoint" for part in plan.row.init) or "from scratch"
            fits = isinstance(registry.create(card), Fittable)
            task = Task(
                row=plan.row.name,
                what=f"{'fit' if fits else PRETRAIN} on {plan.learns_on.name}" + ("" if fits else f", {start}"),
                found=unit.found,
                run=unit.run,
                keeps=unit.keeps,
                arrived=unit.arrived,
                lacks="; ".join(missing),
                builds=frozenset({f"{name} trained on {plan.learns_on.name}" for name in unit.parts()}),
                work=None if missing else pretraining_work(unit.prepared(), plan.learns_on),
            )
            self._append(task)
            self._pretrainings[known] = Pretraining(task, unit.folder)
        return self._pretrainings[known]

    def _pretrain_choices(self, plan: RowPlan, card: MethodCard) -> PretrainChoices:
        own = [text for step in plan.row.steps if step.protocol == PRETRAIN for text in step.sets]
        sets = sets_for(PRETRAIN, self.choices.sets, own)
        return PretrainChoices(
            data=plan.learns_on.name,
            init=tuple(f"{part}={self.starts[part].file}" for part in plan.row.init),
            preset=plan.chosen_preset if plan.chosen_preset in (registry.FULL, *card.presets) else None,
            sets=(*plan.method_sets, *(text for text in sets if not text.startswith("method."))),
            device=self.choices.device,
            results=self.choices.results,
            force=self.choices.force,
        )

    def preset_of(self, plan: RowPlan, step: Step, source: Source) -> str | None:
        """What a single run would take: on the demo heart the small one, unless weights of the true size are given."""
        choice = RANDOM if source.lacks or source.choice is None else source.choice
        preset = choose_preset(plan.card, plan.chosen_preset, plan.data_of(step), choice, lambda _text: None)
        if preset and plan.chosen_preset is None and preset == plan.card.demo:
            self.say(
                f"preset `{preset}` on the demo heart where a method has one; --preset {registry.FULL} for true sizes"
            )
        return preset

    def run_choices(self, plan: RowPlan, step: Step, preset: str | None) -> RunChoices:
        """The options of a single run that does the same."""
        choices = self.choices
        sets = sets_for(step.protocol, choices.sets, step.sets)
        return RunChoices(
            data=plan.data_of(step).name,
            preset=preset,
            sets=(*plan.method_sets, *(text for text in sets if not text.startswith("method."))),
            device=choices.device,
            batch_size=choices.batch_size,
            results=choices.results,
            force=choices.force,
            classifier_weights=choices.classifier_weights,
        )

    def weights_of(self, source: Source, spec: MethodSpec, card: MethodCard, data: Dataset) -> Weights:
        """The weights, whose file is read for its digest once.

        Raises:
            MibenchError: they are gone.
        """
        choice = source.choice
        if source.pretraining is not None:
            folder = source.pretraining.folder()
            if folder is None:
                raise MibenchError(f"the pre-training of {spec.name} is not done")
            choice = str(folder / pretrain.WEIGHTS)
        assert choice is not None
        known = (choice, spec.name)
        if known not in self._resolved:
            plug_in = card.origin != "built in"
            found = weights.resolve(choice, spec, demo=data.is_demo, plug_in=plug_in)
            if found is None:
                raise MibenchError(weights.how_to_get(card.name, spec, data.name))
            self._resolved[known] = found
        return self._resolved[known]


class _Unit:
    """Measurements that are made together; what they are is known when their weights are."""

    def __init__(
        self, shared: Shared, plan: RowPlan, step: Step, source: Source, ratios: list[float], seeds: range
    ) -> None:
        self._shared, self._plan, self._step, self._source = shared, plan, step, source
        self._ratios, self._seeds = ratios, seeds
        self._known: Measurement | None = None

    def found(self) -> list[Path] | None:
        return None if self._shared.choices.force else self.arrived()

    def arrived(self) -> list[Path] | None:
        measured = self._measurement()
        return list(measured.paths) if measured.done else None

    def run(self) -> list[Path]:
        return self._measurement().run()

    def _measurement(self) -> Measurement:
        if self._known is None:
            self._known = self._make()
        return self._known

    def _make(self) -> Measurement:
        shared, plan, step = self._shared, self._plan, self._step
        data = plan.data_of(step)
        choices = shared.run_choices(plan, step, shared.preset_of(plan, step, self._source))
        sets = config.parse_sets(choices.sets)["method"]
        card = registry.resolve_options(plan.card, choices.preset, sets)
        adapter = registry.create(card)
        found = shared.weights_of(self._source, adapter.spec, card, data)
        if step.protocol in GENERATORS:
            request = request_for(card, adapter, data, choices, shared.say)
            return shared.judged(plan, step).of(request, found, self._ratios, self._seeds)
        return measurement(step.protocol, card, adapter, found, choices, self._ratios, data, shared.say, self._seeds)


class _Pretrain:
    """One pre-training; where it lies is looked for until it is there."""

    def __init__(self, card: MethodCard, choices: PretrainChoices, data: Dataset, say: Say) -> None:
        self._card, self._choices, self._data, self._say = card, choices, data, say
        self._folders: list[Path] = []

    def folder(self) -> Path | None:
        return next(iter(self.keeps()), None)

    def found(self) -> list[Path] | None:
        return None if self._choices.force else self.arrived()

    def arrived(self) -> list[Path] | None:
        return None if self.folder() is None else []

    def keeps(self) -> list[Path]:
        if not self._folders:
            self._folders = finished_folders(self._card, self._choices, self._data)
        return self._folders

    def run(self) -> list[Path]:
        pretrain_on(self._card, self._choices, self._data, self._say)
        return []

    def prepared(self) -> Prepared:
        return prepare_pretraining(self._card, replace(self._choices, init=()), self._data, lambda _text: None)

    def parts(self) -> list[str]:
        """The methods that are trained: its own, and what it starts from."""
        return [self._card.name, *self._card.starts_from.values()]
