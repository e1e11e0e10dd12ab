"""What the command line chooses for a suite, held against what the suite has: checked before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...adapters import registry
from ...adapters.base import MethodCard
from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean
from .. import weights
from .file import PROTOCOLS

SECTIONS = ("method", *PROTOCOLS)
"""What `--set` may begin with in a suite: each protocol has a section of its own, because a suite has several."""


@dataclass(frozen=True)
class SuiteChoices:
    """The options of `mibench run --suite`.

    Attributes:
        data: labelled, as `--data` has it, in place of the suite's.
        pretrain_data: pre-trained and retrieved on; None is the suite's where it is registered, else `data`.
        init: PART=FILE; parts that are not given start from registered published files.
        seeds: of probes and end-to-end trainings; None is the suite's.
        preset, sets: `method.` is of every method that has the option, the rest of one protocol.
        classifier_weights: of the twelve-lead encoder that reads what generators make.
    """

    data: str | None = None
    pretrain_data: str | None = None
    init: tuple[str, ...] = ()
    seeds: int | None = None
    preset: str | None = None
    sets: tuple[str, ...] = ()
    device: str = "auto"
    batch_size: int = 64
    results: Path = Path("results")
    force: bool = False
    classifier_weights: str = "auto"


class Problems:
    """Everything that is wrong, so that it is said at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """What is wrong inside the block is kept, and the block left."""
        try:
            yield
        except MibenchError as problem:
            self._found.append(str(problem))

    def stop(self) -> None:
        """Say what was found.

        Raises:
            MibenchError: there was anything.
        """
        found = list(dict.fromkeys(self._found))
        if len(found) == 1:
            raise MibenchError(found[0])
        if found:
            listed = "\n".join("  - " + text.replace("\n", "\n    ") for text in found)
            raise MibenchError(f"{len(found)} things are wrong with this suite, and nothing was run:\n{listed}")


@dataclass(frozen=True)
class Start:
    """A file that a part starts from, or the sentence that says how to come by one."""

    file: Path | None
    lacks: str = ""


def starts_of(parts: Mapping[str, str], init: Sequence[str]) -> dict[str, Start]:
    """A file for each part that rows start from: given, or registered as published.

    Args:
        parts: part -> method whose registered file serves.

    Raises:
        MibenchError: not of the form PART=FILE, an unknown part, or no such file.
    """
    given = {}
    for pair in init:
        part, equals, name = pair.partition("=")
        if not equals or not name:
            raise MibenchError(f"--init takes PART=FILE, such as twelve_lead=12_lead_ECGFounder.pth; got `{pair}`")
        if part not in parts:
            raise MibenchError(f"--init {pair}: the suite has no part `{part}`{did_you_mean(part, list(parts))}")
        given[part] = Path(name).expanduser().absolute()
        if not given[part].is_file():
            raise MibenchError(f"--init {pair}: there is no such file")
    return {part: Start(given[part]) if part in given else _registered(part, parts[part]) for part in parts}


def _registered(part: str, method: str) -> Start:
    spec = registry.create(registry.find(method)).spec
    where = f" ({spec.published_weights})" if spec.published_weights else ""
    try:
        found = weights.resolve("published", spec)
    except MibenchError:
        found = None
    if found is not None and found.path is not None:
        return Start(found.path)
    return Start(
        None, f"no file for {part}: give --init {part}=FILE, or once: mibench weights add {method} FILE{where}"
    )


def method_sets(cards: Sequence[MethodCard], sets: Sequence[str]) -> dict[str, tuple[str, ...]]:
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
        if not isinstance(options, Mapping) or key not in options:
            return False
        options = options[key]
    return True


def presets_of(cards: Sequence[MethodCard], chosen: str | None) -> dict[str, str | None]:
    """For each method the preset, where it has one of that name.

    Raises:
        MibenchError: no method has it.
    """
    known = {card.name: [registry.FULL, *card.presets] for card in cards}
    if chosen is not None and not any(chosen in names for names in known.values()):
        every = sorted({name for names in known.values() for name in names})
        raise MibenchError(f"no method of the suite has a preset `{chosen}`{did_you_mean(chosen, every)}")
    return {name: chosen if chosen in names else None for name, names in known.items()}


def sets_for(protocol: str, sets: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """What one step is set, under the names that a single run has.

    Args:
        protocol: of the step.
        sets: of the command line, those of its protocol under that section.
        own: of the suite's file, without a section; the command line comes after them.
    """
    chosen = [text.removeprefix(f"{protocol}.") for text in sets if text.startswith(f"{protocol}.")]
    methods = [text for text in sets if text.startswith("method.")]
    return (*methods, *(f"protocol.{text}" for text in (*own, *chosen)))
