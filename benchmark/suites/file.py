"""What a suite consists of, as `configs/suites/NAME.yaml` or a file of one's own has it.

Rows are methods with the steps they go through. A group says the same of several methods at once, and a suite may
include others: what is measured is composed, so that no combination is written out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ...adapters.errors import MibenchError
from ...adapters.options import build, did_you_mean
from .. import config

PRETRAIN = "pretrain"
PROTOCOLS = (PRETRAIN, "retrieval", "linear_probe", "supervised", "generative", "latent_fid", "profile")
"""What a step may be; also the sections that `--set` knows in a suite, beside `method`."""

UNLABELLED = (PRETRAIN, "retrieval", "profile")
"""Those that look at signals alone, or at none; the others need labels."""

AUTO, PRETRAINED, PUBLISHED, RANDOM = "auto", "pretrained", "published", "random"


@dataclass(frozen=True)
class Checkpoint:
    """A file that rows start from: the part of a method, and the method whose registered weights serve."""

    part: str
    method: str


@dataclass(frozen=True)
class Step:
    """One run or several that belong together.

    Attributes:
        protocol: of `PROTOCOLS`.
        weights: "auto" is the row's own pre-training where it has one, else the registered published file, else a
            pre-training made for it; "pretrained", "published", "random", "random:SEED"; a part of the suite's
            checkpoints; or a file.
        ratios: shares of the training records in percent; the probes of all are one problem.
        seeds: number of them; 0 is the suite's.
        sets: settings of the protocol, as `--set` has them without its section: epochs=2.
    """

    protocol: str
    weights: str = AUTO
    ratios: tuple[float, ...] = (100.0,)
    seeds: int = 0
    sets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}; got {self.protocol!r}")
        if not self.ratios or not all(0 < ratio <= 100 for ratio in self.ratios):
            raise ValueError(f"ratios are percent of the training records, over 0 and up to 100; got {self.ratios}")
        if self.seeds < 0:
            raise ValueError(f"seeds is a number of them; got {self.seeds}")


@dataclass(frozen=True)
class Row:
    """A method and the steps it goes through, in their order.

    Attributes:
        name: as the plan and the tables print it.
        method: a name, or path/to/file.py:Class.
        steps: what is made of it.
        init: the parts that its pre-training starts from.
        preset: of the method's options; empty is the usual one.
        sets: options of the method, as `--set` has them without `method.`.
        learns_on_data: its pre-training is on the labelled data, as a generator's is.
    """

    name: str
    method: str
    steps: tuple[Step, ...]
    init: tuple[str, ...] = ()
    preset: str = ""
    sets: tuple[str, ...] = ()
    learns_on_data: bool = False


@dataclass(frozen=True)
class Group:
    """Several methods that go through the same steps: a row for each, called as the method is; the rest as of `Row`."""

    methods: tuple[str, ...]
    steps: tuple[Step, ...]
    preset: str = ""
    sets: tuple[str, ...] = ()
    learns_on_data: bool = False

    def rows(self) -> tuple[Row, ...]:
        """The rows that it stands for."""
        return tuple(
            Row(name, name, self.steps, (), self.preset, self.sets, self.learns_on_data) for name in self.methods
        )


@dataclass(frozen=True)
class Suite:
    """Rows, and what they share.

    Attributes:
        title: in one line.
        rows: in the order of the table.
        groups: rows of several methods each, after those.
        include: suites whose rows follow, by name, or by path beside this file.
        checkpoints: what rows may start from.
        data: names of labelled data sets; none is what `mibench run` takes.
        pretrain_data: name of the data set for pre-training, where it is registered and none is chosen.
        seeds: of probes and end-to-end trainings, where a step does not say.
        table: number of the paper's table that shows it, 0 for none.
        parts: the included suites, as they were read.
    """

    title: str
    rows: tuple[Row, ...] = ()
    groups: tuple[Group, ...] = ()
    include: tuple[str, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    data: tuple[str, ...] = ()
    pretrain_data: str = ""
    seeds: int = 1
    table: int = 0
    parts: tuple[Suite, ...] = ()

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1; got {self.seeds}")
        parts = [checkpoint.part for checkpoint in self.checkpoints]
        for row in self.rows:
            unknown = [part for part in row.init if part not in parts]
            if unknown:
                raise ValueError(f"row {row.name}: there is no checkpoint {unknown[0]}")
            if any(step.protocol == PRETRAIN for step in row.steps[1:]):
                raise ValueError(f"row {row.name}: a step `pretrain` comes before all others")

    def every_row(self) -> tuple[Row, ...]:
        """Its own rows, those of its groups, and those of the suites that it includes."""
        own = (*self.rows, *(row for group in self.groups for row in group.rows()))
        return (*own, *(row for part in self.parts for row in part.every_row()))

    def every_checkpoint(self) -> dict[str, str]:
        """Part -> method, of its own and of the suites that it includes."""
        found = {entry.part: entry.method for part in self.parts for entry in part.checkpoints}
        return {**found, **{entry.part: entry.method for entry in self.checkpoints}}

    def with_tables(self) -> list[Suite]:
        """This suite and those that it includes, where a table of the paper shows them."""
        return [suite for suite in (self, *self.parts) if suite.table]


def suites() -> list[str]:
    """The names of all suites."""
    folder = resources.files(f"{config.ROOT}.configs") / "suites"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_suite(name: str) -> Suite:
    """A suite by its name, or by the path of a YAML file.

    Raises:
        MibenchError: there is none of that name, its file is wrong, or it includes itself.
    """
    return _load(name, None, ())


def _load(name: str, folder: Path | None, above: tuple[str, ...]) -> Suite:
    is_file = name.endswith((".yaml", ".yml")) or os.sep in name
    file = (folder or Path()) / Path(name).expanduser() if is_file else None
    if file is None and name not in suites():
        raise MibenchError(
            f"there is no suite `{name}`{did_you_mean(name, suites())} (one of your own: path/to/it.yaml)"
        )
    known = str(file.resolve()) if file else name
    if known in above:
        raise MibenchError(f"suite {name} includes itself, by way of {' and '.join(above[above.index(known) :])}")
    where = f"suite {name}"
    suite = build(Suite, _read(file) if file else config.load("suites", name), where)
    if not (suite.rows or suite.groups or suite.include):
        raise MibenchError(f"{where} has nothing to run: give it `rows`, `groups` or `include`")
    parts = tuple(_load(other, file.parent if file else None, (*above, known)) for other in suite.include)
    return replace(suite, parts=parts)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise MibenchError(f"--suite {file}: {problem.strerror}; give a name or a YAML file") from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise MibenchError(f"--suite {file} is not readable as YAML: {' '.join(str(problem).split())}") from problem
    if not isinstance(found, dict):
        raise MibenchError(f"--suite {file} holds no suite: it begins with `title:`; see configs/suites/demo.yaml")
    return {key: value for key, value in found.items() if key != "parts"}
