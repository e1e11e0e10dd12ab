"""What the command line chooses: methods with their options, data, device, leads; checked, before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from ..adapters import registry
from ..adapters.base import LEADS, Adapter, MethodCard
from ..adapters.errors import MibenchError
from . import weights
from .data.catalog import DEMO, open_dataset
from .data.dataset import Dataset
from .embed import Batching
from .progress import steps
from .protocols.request import Request

Say = Callable[[str], None]


@dataclass(frozen=True)
class MethodChoices:
    """How a method is set up, on which data and where.

    Attributes:
        data: name or path; None is the registered data set, or the demo heart.
        weights: as `--weights` has it.
        preset, sets: of the method's options.
        device, batch_size: of forward passes.
        results: folder of run records.
        force: run again what is already done.
    """

    data: str | None = None
    weights: str = "auto"
    preset: str | None = None
    sets: tuple[str, ...] = ()
    device: str = "auto"
    batch_size: int = 64
    results: Path = Path("results")
    force: bool = False


@dataclass(frozen=True)
class GenerateChoices(MethodChoices):
    """What a generator's output is looked at with.

    Attributes:
        classifier_weights: of the twelve-lead encoder, as `--weights` has it.
        pass_through: the recorded lead I takes the place of the generated one; None is the protocol's.
    """

    classifier_weights: str = "auto"
    pass_through: bool | None = None


@dataclass(frozen=True)
class RunChoices(GenerateChoices):
    """The options of `mibench run`; ratios in percent, seeds a number of them; protocol None is that of the kind."""

    ratios: tuple[float, ...] = (100.0,)
    seeds: int = 1
    leads: tuple[str, ...] = ()
    companions: bool | None = None
    train_on: tuple[Literal["real", "generated"], ...] = ("real",)
    protocol: str | None = None


@dataclass(frozen=True)
class PretrainChoices:
    """The options of `mibench pretrain`."""

    data: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    init: tuple[str, ...] = ()
    seed: int = 0
    checkpoint_seconds: float = 300.0
    checkpoint_steps: int | None = None
    micro_batch: int | None = None
    teacher_cache: bool = True
    compile: bool = False
    resume: Path | None = None
    tensorboard: Path | None = None
    preset: str | None = None
    sets: tuple[str, ...] = ()
    device: str = "auto"
    results: Path = Path("results")
    force: bool = False


def make(
    name: str, preset: str | None = None, sets: Mapping[str, Any] = MethodCard.EMPTY
) -> tuple[MethodCard, Adapter]:
    """A method's card with its options resolved, and its adapter."""
    card = registry.resolve_options(registry.find(name), preset, sets)
    return card, registry.create(card)


def choose_preset(card: MethodCard, chosen: str | None, data: Dataset, source: str, say: Say) -> str | None:
    """The preset of a method: the chosen one, or on the demo heart the one that shows the way in minutes.

    Args:
        source: what `--weights` says; published weights fit the true size alone.
    """
    if chosen is not None or not (data.is_demo and card.demo):
        return chosen
    found = weights.resolve(source, registry.create(card).spec, demo=data.is_demo)
    if found is not None and found.source == "published":
        return registry.FULL
    say(f"{card.name}: preset `{card.demo}` on the demo heart; --preset {registry.FULL} for its true size")
    return card.demo


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU when there is one.

    Raises:
        MibenchError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as problem:
        raise MibenchError(f"--device {name}: not available here; try cpu, or see `mibench doctor`") from problem
    return device


def choose_leads(leads: Sequence[str]) -> tuple[str, ...]:
    """Leads by name in any case, or `all`; commas count as spaces.

    Raises:
        MibenchError: an unknown lead.
    """
    names = [name for text in leads for name in text.replace(",", " ").split()]
    if [name.lower() for name in names] == ["all"]:
        return LEADS
    known = {lead.lower(): lead for lead in LEADS}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise MibenchError(f"--leads: there is no lead {', '.join(unknown)}; there is {', '.join(LEADS)}, or all")
    return tuple(sorted({known[name.lower()] for name in names}, key=LEADS.index))


def open_data(choice: str | None, say: Say) -> Dataset:
    """The chosen data set, and a word on what it is."""
    data = open_dataset(choice, steps)
    if data.is_demo:
        which = "the demo heart" if data.name == DEMO else f"{data.name}, written by the demo heart"
        kind = "ptb-xl" if data.labelled else "mimic-iv-ecg"
        say(
            f"{data.notice}. This is {which}: {len(data.records)} synthetic records.\n"
            f"For real data: mibench data add {kind} /path/to/{kind}"
        )
    else:
        say(f"{data.name}: {data.release}" + (f", {len(data.records):,} records" if data.complete else ""))
    return data


def request_for(
    card: MethodCard, adapter: Adapter, data: Dataset, choices: MethodChoices | PretrainChoices, say: Say
) -> Request:
    """A method on a data set, as protocols are asked."""
    batching = Batching(choose_device(choices.device))
    if isinstance(choices, MethodChoices):  # that of a pre-training is of its steps
        batching = replace(batching, batch_size=choices.batch_size)
    return Request(
        adapter=adapter,
        card=card,
        data=data,
        results=choices.results,
        batching=batching,
        force=choices.force,
        say=say,
        steps=steps,
    )


def once(say: Say) -> Say:
    """Tell each line once: several rows of one method have the same to say of it."""
    told: set[str] = set()

    def tell(line: str) -> None:
        if line not in told:
            told.add(line)
            say(line)

    return tell
