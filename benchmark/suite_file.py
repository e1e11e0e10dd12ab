"""What a suite consists of, as `configs/suites/NAME.yaml` has it: rows of steps that belong to one table."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from ..adapters.errors import MibenchError
from ..adapters.options import build, did_you_mean
from . import config

PRETRAIN = "pretrain"
PROTOCOLS = (PRETRAIN, "retrieval", "linear_probe", "supervised")
"""What a step may be; also the sections that `--set` knows in a suite, beside `method`."""

ON_PRETRAINING_DATA = (PRETRAIN, "retrieval")
"""Those that look at signals alone; the others need labels."""

PRETRAINED, RANDOM = "pretrained", "random"


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
        weights: "pretrained" by the row's own first step, "random", or the part whose checkpoint is taken.
        ratios: shares of the training records in percent.
    """

    protocol: str
    weights: str = PRETRAINED
    ratios: tuple[float, ...] = (100.0,)

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}; got {self.protocol!r}")
        if not self.ratios or not all(0 < ratio <= 100 for ratio in self.ratios):
            raise ValueError(f"ratios are percent of the training records, over 0 and up to 100; got {self.ratios}")


@dataclass(frozen=True)
class Row:
    """One row of the suite's table: a method, the parts that start from a checkpoint, and the steps in their order."""

    name: str
    method: str
    steps: tuple[Step, ...]
    init: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """Rows, and what they share.

    Attributes:
        title: in one line.
        rows: in the order of the table.
        checkpoints: what rows may start from.
        pretrain_data: name of the data set for pre-training, where it is registered and none is chosen.
        table: number of the paper's table that shows it, 0 for none.
    """

    title: str
    rows: tuple[Row, ...]
    checkpoints: tuple[Checkpoint, ...] = ()
    pretrain_data: str = ""
    table: int = 0

    def __post_init__(self) -> None:
        parts = [checkpoint.part for checkpoint in self.checkpoints]
        for row in self.rows:
            named = [*row.init, *(step.weights for step in row.steps if step.weights not in (PRETRAINED, RANDOM))]
            unknown = [part for part in named if part not in parts]
            if unknown:
                raise ValueError(f"row {row.name}: there is no checkpoint {unknown[0]}")
            first = bool(row.steps) and row.steps[0].protocol == PRETRAIN
            if not first and any(step.weights == PRETRAINED for step in row.steps):
                raise ValueError(f"row {row.name}: pretrained weights need a step `pretrain` before all others")


def suites() -> list[str]:
    """The names of all suites."""
    folder = resources.files(f"{config.ROOT}.configs") / "suites"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_suite(name: str) -> Suite:
    """A suite by its name.

    Raises:
        MibenchError: there is none of that name, or its file is wrong.
    """
    if name not in suites():
        raise MibenchError(f"there is no suite `{name}`{did_you_mean(name, suites())}")
    return build(Suite, config.load("suites", name), f"suite {name}")
