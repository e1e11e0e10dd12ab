"""The tasks of a suite: every step of every row, on every data set, with its weights; nothing is run yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...adapters import registry
from ...adapters.base import MethodCard
from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean
from .. import config
from ..choices import Say, open_data
from ..data import catalog
from ..data.dataset import Dataset
from .choices import SECTIONS, Problems, Start, SuiteChoices, method_sets, presets_of, starts_of
from .file import UNLABELLED, Row, Suite
from .row import RowPlan
from .rows import Shared
from .task import Task

__all__ = ["Plan", "SuiteChoices", "planned"]


@dataclass(frozen=True)
class Plan:
    """A suite's tasks, each after what it needs; those of one row stand together.

    Attributes:
        manifests: of the data sets that they are on, by name.
        choices: with the data by the names that they are registered under.
    """

    tasks: tuple[Task, ...]
    manifests: Mapping[str, str]
    choices: SuiteChoices


def planned(suite: Suite, choices: SuiteChoices, say: Say) -> Plan:
    """Every step of every row, in order.

    Raises:
        MibenchError: methods, presets, settings or data that there are not, or that do not fit each other: all of it
            is said at once.
    """
    problems = Problems()
    rows = suite.every_row()
    with problems.collected():
        _assert_sections(choices.sets)
    cards = _cards(rows, problems)
    known = list(cards.values())
    sets: dict[str, tuple[str, ...]] = {}
    presets: dict[str, str | None] = {}
    starts: dict[str, Start] = {}
    with problems.collected():
        sets = method_sets(known, choices.sets)
    with problems.collected():
        presets = presets_of(known, choices.preset)
    with problems.collected():
        starts = starts_of(suite.every_checkpoint(), choices.init)
    datas = _datas(suite, choices.data, rows, problems, say)
    signals: dict[str, Dataset] = {}
    for data in datas:
        with problems.collected():
            signals[data.name] = _signals(suite, choices.pretrain_data, data, say)
    problems.stop()
    shared = Shared(choices, starts, suite.seeds, say)
    for data in datas:
        for row in rows:
            method = row.method
            plan = RowPlan(row, cards[method], presets[method], sets[method], data, signals[data.name])
            shared.add(plan, problems)
    problems.stop()
    manifests = {data.name: data.manifest for data in (*datas, *signals.values())}
    if len(datas) == 1:
        name = datas[0].name
        choices = replace(choices, data=name, pretrain_data=signals[name].name)
    return Plan(tuple(shared.tasks), manifests, choices)


def _assert_sections(sets: Sequence[str]) -> None:
    """`protocol.`, which a single run has, says nothing where there are several."""
    unclear = next((text for text in sets if text.startswith("protocol.")), None)
    if unclear:
        raise MibenchError(
            f"--set {unclear}: a suite has several protocols, so name the one that is meant: "
            f"linear_probe.{unclear.removeprefix('protocol.')}"
        )
    config.parse_sets(sets, SECTIONS)


def _cards(rows: Sequence[Row], problems: Problems) -> dict[str, MethodCard]:
    """Every method of the suite, with the presets that rows ask for held against it."""
    cards: dict[str, MethodCard] = {}
    for row in rows:
        with problems.collected():
            card = cards[row.method] = cards.get(row.method) or registry.find(row.method)
            names = [registry.FULL, *card.presets]
            if row.preset and row.preset not in names:
                raise MibenchError(
                    f"row {row.name}: {card.name} has no preset `{row.preset}`{did_you_mean(row.preset, names)}"
                )
    return cards


def _datas(suite: Suite, chosen: str | None, rows: Sequence[Row], problems: Problems, say: Say) -> list[Dataset]:
    """The labelled data sets: the chosen one, else the suite's, else what a run takes."""
    names: Sequence[str | None] = [chosen] if chosen is not None else suite.data or [None]
    needed = any(step.protocol not in UNLABELLED for row in rows for step in row.steps)
    found = []
    for name in names:
        with problems.collected():
            data = open_data(name, say)
            if needed and not data.labelled:
                raise MibenchError(
                    f"{data.name} has no labels to probe on: give it with --pretrain-data, and labels with --data"
                )
            found.append(data)
    return found


def _signals(suite: Suite, chosen: str | None, data: Dataset, say: Say) -> Dataset:
    """What is pre-trained on: the chosen set, else the suite's own where it is registered, else the labelled one."""
    wanted = next((part.pretrain_data for part in (suite, *suite.parts) if part.pretrain_data), "")
    if chosen is None and wanted in catalog.registered() and not data.is_demo:
        chosen = wanted
    if chosen is None or chosen == data.name:
        if wanted and wanted != data.name:
            say(f"pre-training on {data.name} itself; the paper's is on {wanted} (--pretrain-data)")
        return data
    return open_data(chosen, say)
