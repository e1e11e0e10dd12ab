"""The steps of a suite's rows as tasks: pre-trainings, measurements, and which weights they take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...adapters import registry
from ...adapters.base import Fittable, MethodCard, MethodSpec
from ...adapters.errors import MibenchError
from .. import weights
from ..choices import Say
from ..measure import assert_taught, choose_protocol, settings_of
from ..protocols import latent_fid, profile, retrieval, supervised
from .choices import Problems, Start, SuiteChoices
from .costing import Costing
from .estimate import Work, pretraining_work, work_of
from .file import AUTO, PRETRAIN, PRETRAINED, PUBLISHED, RANDOM, Step
from .row import Pretraining, RowPlan, Source
from .setup import GENERATORS, Setup
from .task import Task
from .units import Training, Unit


class Shared:
    """The tasks so far, and what their rows have in common.

    Args:
        choices: of the command line.
        starts: files by part.
        seeds: the suite's.
        say: told what happens.
    """

    def __init__(self, choices: SuiteChoices, starts: dict[str, Start], seeds: int, say: Say) -> None:
        self._setup, self._starts = Setup(choices, starts, say), starts
        self._seeds = choices.seeds or seeds
        self.tasks: list[Task] = []
        self._names: set[str] = set()
        self._pretrainings: dict[tuple[object, ...], Pretraining] = {}

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
        adapter = self._setup.adapter(plan, plan.chosen_preset)
        choose_protocol(plan.card, adapter, None if step.protocol == latent_fid.NAME else step.protocol)
        if step.protocol == latent_fid.NAME and adapter.spec.kind != "generator":
            raise MibenchError(f"row {plan.row.name}: latent FID is of generators, and {plan.card.name} is none")
        if step.protocol == retrieval.NAME:
            assert_taught(plan.card, adapter)
        if step.protocol not in GENERATORS:
            settings_of(step.protocol, self._setup.run_choices(plan, step, None), plan.data_of(step))

    def _measured(self, plan: RowPlan, step: Step) -> None:
        source = self._source(plan, step)
        data = plan.data_of(step)
        start = "" if step.weights in (AUTO, PRETRAINED) else f", {step.weights} weights"
        lacks = source.lacks or self._lacks_classifier(plan, step)
        for share, ratios, seeds in self._shares(step):
            unit = Unit(self._setup, plan, step, source, ratios, seeds)
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
                    work=work_of(plan.card, self._setup.preset_of(plan, step, source), step, data, len(seeds)),
                )
            )

    def _costs(self, plan: RowPlan, step: Step) -> None:
        preset = self._setup.preset_of(plan, step, Source(RANDOM))
        unit = Costing(plan.card.name, self._setup.run_choices(plan, step, preset), self._setup.say)
        what = "".join([step.protocol, *(f", {text}" for text in step.sets)])
        work = Work(step.protocol, plan.card.name, preset or "", 1, lambda: None)
        self._append(Task(plan.row.name, what, unit.found, unit.run, arrived=unit.arrived, work=work, alone=True))

    def _shares(self, step: Step) -> Iterator[tuple[str, list[float], range]]:
        """Runs that are made together: probes of all ratios and seeds are one problem, end-to-end trainings are not."""
        count = step.seeds or self._seeds
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
            self._setup.judged(plan, step)
        except MibenchError as problem:
            return str(problem)
        return ""

    def _builds(self, plan: RowPlan, step: Step) -> frozenset[str]:
        data = plan.data_of(step).name
        if step.protocol in GENERATORS:
            return frozenset({f"classifier on {data}", f"{plan.card.name} on {data}"})
        return frozenset({f"{plan.card.name}, {step.weights}, on {data}"})

    def _source(self, plan: RowPlan, step: Step) -> Source:
        """Which weights a step takes; a pre-training that it needs is put before it."""
        choice, spec = step.weights, self._setup.adapter(plan, None).spec
        if not spec.needs_weights:
            return Source(AUTO)
        if choice in self._starts:
            start = self._starts[choice]
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
                parts = f", or one of {', '.join(self._starts)}" if self._starts else ""
                raise MibenchError(
                    f"row {plan.row.name}: there are no weights `{choice}`; give auto, pretrained, published, random, "
                    f"a file{parts}"
                )
            return Source(choice)
        return Source(lacks=weights.how_to_get(plan.card.name, spec, plan.data.name))

    def _usual(self, plan: RowPlan, spec: MethodSpec) -> str:
        """What "auto" comes to; empty where there is nothing to take or to make."""
        adapter = self._setup.adapter(plan, None)
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
        choices = self._setup.pretrain_choices(plan, card)
        known = (card.name, plan.learns_on.name, choices.init, choices.preset, choices.sets)
        if known not in self._pretrainings:
            unit = Training(card, choices, plan.learns_on, self._setup.say)
            missing = [self._starts[part].lacks for part in plan.row.init if self._starts[part].lacks]
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
