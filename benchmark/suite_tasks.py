"""The tasks of a suite: pre-trainings, retrievals, probes and end-to-end trainings, each with its data and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..adapters import registry
from ..adapters.base import MethodCard, MethodSpec
from ..adapters.errors import MibenchError
from ..adapters.options import did_you_mean
from . import config, results, weights
from .choices import PretrainChoices, RunChoices, Say, choose_preset, open_data
from .data import catalog
from .data.dataset import Dataset
from .measure import Measurement, measurement
from .pretraining import prepare_pretraining, pretrain_on
from .protocols import pretrain
from .suite import Task
from .suite_file import ON_PRETRAINING_DATA, PRETRAIN, PRETRAINED, PROTOCOLS, RANDOM, Row, Step, Suite
from .weights import Weights

SECTIONS = ("method", *PROTOCOLS)
"""What `--set` may begin with in a suite: each protocol has a section of its own, because a suite has several."""


@dataclass(frozen=True)
class SuiteChoices:
    """The options of `mibench run --suite`.

    Attributes:
        data: labelled; as `--data` has it.
        pretrain_data: pre-trained and retrieved on; None is the suite's where it is registered, else `data`.
        init: PART=FILE; parts that are not given start from registered published files.
        seeds: of probes and end-to-end trainings.
        preset, sets: `method.` is of every method that has the option, the rest of one protocol.
    """

    data: str | None = None
    pretrain_data: str | None = None
    init: tuple[str, ...] = ()
    seeds: int = 1
    preset: str | None = None
    sets: tuple[str, ...] = ()
    device: str = "auto"
    batch_size: int = 64
    results: Path = Path("results")
    force: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A file for a part, or the sentence that says how to come by one."""

    file: Path | None
    lacks: str = ""


def tasks_of(suite: Suite, choices: SuiteChoices, say: Say) -> list[Task]:
    """Every step of every row, in order; nothing is run yet.

    Raises:
        MibenchError: choices that fit nothing in the suite, data without labels, or a file that is not there.
    """
    config.parse_sets(choices.sets, SECTIONS)
    cards = {row.method: registry.find(row.method) for row in suite.rows}
    sets = _method_sets(list(cards.values()), choices.sets)
    presets = _presets(list(cards.values()), choices.preset)
    checkpoints = _checkpoints(suite, choices.init)
    data = open_data(choices.data, say)
    if not data.labelled:
        raise MibenchError(
            f"{data.name} has no labels to probe on: give it with --pretrain-data, and labels with --data"
        )
    signals = _signals(suite, choices.pretrain_data, data, say)
    tasks: list[Task] = []
    for row in suite.rows:
        chosen = replace(choices, preset=presets[row.method], sets=(*sets[row.method], *_protocol_sets(choices.sets)))
        tasks += _Rower(row, cards[row.method], chosen, data, signals, checkpoints, say).tasks()
    return tasks


class _Rower:
    """One row on its data."""

    def __init__(
        self,
        row: Row,
        card: MethodCard,
        choices: SuiteChoices,
        data: Dataset,
        signals: Dataset,
        checkpoints: dict[str, Checkpoint],
        say: Say,
    ) -> None:
        self.row, self.card, self.choices = row, card, choices
        self.data, self.signals, self.checkpoints, self.say = data, signals, checkpoints, say

    def tasks(self) -> list[Task]:
        """Its steps; those that take pre-trained weights need the pre-training, and not each other."""
        found: list[Task] = []
        for step in self.row.steps:
            data = self._data_of(step)
            where = f"{step.protocol} on {data.name}"
            if step.protocol == PRETRAIN:
                start = ", ".join(f"{part} from its checkpoint" for part in self.row.init) or "from scratch"
                done, run, lacks = self._pretrained, self._pretrain, self._lacks(self.row.init)
                found.append(Task(self.row.name, f"{where}, {start}", done, run, None, lacks))
                continue
            needs = found[0] if step.weights == PRETRAINED else None
            lacks = self._lacks((step.weights,)) if step.weights not in (PRETRAINED, RANDOM) else ""
            found += [self._measured(step, ratio, needs, lacks, where) for ratio in step.ratios]
        return found

    def _measured(self, step: Step, ratio: float, needs: Task | None, lacks: str, where: str) -> Task:
        share = f", {ratio:g} % of training" if len(step.ratios) > 1 else ""
        start = "" if step.weights == PRETRAINED else f", {step.weights} weights"
        return Task(
            row=self.row.name,
            what=where + start + share,
            done=lambda: self._measurement(step, ratio).done,
            run=lambda: self._measurement(step, ratio).run(),
            needs=needs,
            lacks=lacks,
        )

    def _data_of(self, step: Step) -> Dataset:
        return self.signals if step.protocol in ON_PRETRAINING_DATA else self.data

    def _lacks(self, parts: Sequence[str]) -> str:
        return "; ".join(self.checkpoints[part].lacks for part in parts if self.checkpoints[part].lacks)

    def _folder(self) -> Path:
        """Where the row's pre-training lies, or will."""
        prepared = prepare_pretraining(self.card, self._pretrain_choices(), self.signals, lambda _text: None)
        asked = prepared.request, prepared.settings, prepared.version, prepared.init
        key = results.run_key(pretrain.what_determines(*asked, self._pretrain_choices().seed))
        return weights.pretrained_folder(prepared.request.method) / key

    def _pretrained(self) -> bool:
        return (self._folder() / pretrain.FINISHED).is_file()

    def _pretrain(self) -> list[Path]:
        pretrain_on(self.card, self._pretrain_choices(), self.signals, self.say)
        return []

    def _pretrain_choices(self) -> PretrainChoices:
        choices = self.choices
        return PretrainChoices(
            data=self.signals.name,
            init=tuple(f"{part}={self.checkpoints[part].file}" for part in self.row.init),
            preset=choices.preset,
            sets=_sets_for(PRETRAIN, choices.sets),
            device=choices.device,
            results=choices.results,
            force=choices.force,
        )

    def _measurement(self, step: Step, ratio: float) -> Measurement:
        data, choices = self._data_of(step), self.choices
        asked = RunChoices(
            data=data.name,
            preset=choose_preset(self.card, choices.preset, data, RANDOM, self.say),
            sets=_sets_for(step.protocol, choices.sets),
            device=choices.device,
            batch_size=choices.batch_size,
            results=choices.results,
            force=choices.force,
            seeds=choices.seeds,
        )
        sets = config.parse_sets(asked.sets)["method"]
        card = registry.resolve_options(self.card, asked.preset, sets)
        adapter = registry.create(card)
        found = self._weights(step, adapter.spec, data)
        return measurement(step.protocol, card, adapter, found, asked, [ratio / 100], data, self.say)

    def _weights(self, step: Step, spec: MethodSpec, data: Dataset) -> Weights:
        if step.weights == RANDOM:
            choice = RANDOM
        elif step.weights == PRETRAINED:
            choice = str(self._folder() / pretrain.WEIGHTS)
        else:
            choice = str(self.checkpoints[step.weights].file)
        found = weights.resolve(choice, spec, demo=data.is_demo)
        assert found is not None
        return found


def _signals(suite: Suite, chosen: str | None, data: Dataset, say: Say) -> Dataset:
    """What is pre-trained on: the chosen set, else the suite's own where it is registered, else the labelled one."""
    if chosen is None and suite.pretrain_data in catalog.registered() and not data.is_demo:
        chosen = suite.pretrain_data
    if chosen is None or chosen == data.name:
        if suite.pretrain_data and suite.pretrain_data != data.name:
            say(f"pre-training on {data.name} itself; the paper's is on {suite.pretrain_data} (--pretrain-data)")
        return data
    return open_data(chosen, say)


def _checkpoints(suite: Suite, init: Sequence[str]) -> dict[str, Checkpoint]:
    """A file for each part that rows start from: given, or registered as published.

    Raises:
        MibenchError: not of the form PART=FILE, an unknown part, or no such file.
    """
    parts = {entry.part: entry.method for entry in suite.checkpoints}
    given = {}
    for pair in init:
        part, equals, name = pair.partition("=")
        if not equals or not name:
            raise MibenchError(f"--init takes PART=FILE, such as twelve_lead=12_lead_ECGFounder.pth; got `{pair}`")
        if part not in parts:
            raise MibenchError(f"--init {pair}: the suite has no part `{part}`{did_you_mean(part, list(parts))}")
        given[part] = Path(name).expanduser()
        if not given[part].is_file():
            raise MibenchError(f"--init {pair}: there is no such file")
    return {part: Checkpoint(given[part]) if part in given else _registered(part, parts[part]) for part in parts}


def _registered(part: str, method: str) -> Checkpoint:
    spec = registry.create(registry.find(method)).spec
    where = f" ({spec.published_weights})" if spec.published_weights else ""
    try:
        found = weights.resolve("published", spec)
    except MibenchError:
        found = None
    if found is not None and found.path is not None:
        return Checkpoint(found.path)
    return Checkpoint(
        None, f"no file for {part}: give --init {part}=FILE, or once: mibench weights add {method} FILE{where}"
    )


def _method_sets(cards: Sequence[MethodCard], sets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For each method the `method.` settings that it has: the methods of a suite need not have the same.

    Raises:
        MibenchError: no method has one of them.
    """
    ours = [text for text in sets if text.startswith("method.")]
    found = {card.name: tuple(text for text in ours if _has(card, text)) for card in cards}
    for text in ours:
        if not any(text in taken for taken in found.values()):
            raise MibenchError(f"--set {text}: no method of the suite ({', '.join(found)}) has this option")
    return found


def _has(card: MethodCard, text: str) -> bool:
    options: object = card.options
    for key in text.partition("=")[0].removeprefix("method.").split("."):
        if not isinstance(options, dict) or key not in options:
            return False
        options = options[key]
    return True


def _presets(cards: Sequence[MethodCard], chosen: str | None) -> dict[str, str | None]:
    """For each method the preset, where it has one of that name.

    Raises:
        MibenchError: no method has it.
    """
    known = {card.name: [registry.FULL, *card.presets] for card in cards}
    if chosen is not None and not any(chosen in names for names in known.values()):
        every = sorted({name for names in known.values() for name in names})
        raise MibenchError(f"no method of the suite has a preset `{chosen}`{did_you_mean(chosen, every)}")
    return {name: chosen if chosen in names else None for name, names in known.items()}


def _protocol_sets(sets: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for text in sets if not text.startswith("method."))


def _sets_for(protocol: str, sets: Sequence[str]) -> tuple[str, ...]:
    """What one step is set: its method's options, and its protocol's section under the name that it has alone."""
    own = [f"protocol.{text.removeprefix(f'{protocol}.')}" for text in sets if text.startswith(f"{protocol}.")]
    return (*(text for text in sets if text.startswith("method.")), *own)
