"""What a leaderboard holds, before any format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .ecg import MI_STATEMENTS

if TYPE_CHECKING:
    from pathlib import Path

    from .generation_block import Classifier
    from .published import Figures

AVERAGES = ("Avg", "Avg6")
_WAYS = {"supervised": " (networks trained end to end)"}
"""What the name of a protocol does not say."""
_NUMBERED = {"1": "Linear probing, the paper's Table 1", "3": "Linear probing by share, the paper's Table 3"}

COLUMNS: tuple[str, ...] = (*MI_STATEMENTS, *AVERAGES)


Mark = Literal["best", "second"]


@dataclass(frozen=True)
class Value:
    """An AUC, or what a board shows in its place, and its 95 % interval, as fractions of one.

    Means over seeds, the ends of the intervals included.
    """

    auc: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True)
class Gap:
    """A row minus the row of reference, AUC as fractions of one: 95 % interval, and p after Holm."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Origin:
    """What a number was measured on, and how: rows of two origins never share a board unless that is asked for.

    Attributes:
        data, release, manifest, complete: of the data set, as in the records.
        notice: what every number from it must say; mostly empty.
        version: of the protocol.
    """

    data: str
    release: str
    manifest: str
    complete: bool
    notice: str
    version: int

    @property
    def words(self) -> str:
        """For a board of several origins: what this row is of."""
        return f"{self.data} {self.release} ({self.manifest[:6]}), v{self.version}"

    @property
    def warning(self) -> str:
        """What data that give no result demand to be said; mostly empty."""
        subset = "" if self.complete else "a subset of the data: not comparable with results on all of it"
        return self.notice or subset


@dataclass(frozen=True)
class Row:
    """One line of a board.

    Attributes:
        rank: by Avg among the rows of the same ratio; None without a result, and for generators that see more than
            the observed lead.
        method, title: the name on the command line, and in tables.
        variant: what tells this row from others of the same method; mostly empty.
        weights: label of the weights; anchors say that they are one.
        source, weights_name: as in the records.
        ratio: share of the training records.
        seeds: of the finished runs.
        spread: standard deviation of Avg over seeds; None with fewer than two.
        values: by column, `COLUMNS`.
        paper: the paper's figures for this row; None where it has none.
        options: of the method.
        note: what went wrong; empty when nothing did.
        fidelity: of a generator, how near its leads come to the real ones: `generation_block.FIGURES`.
        fidelity_notes: what must be said of those.
        sees, pass_through: of a generator, as in the records.
        origin: what it was measured on.
        about: what the row itself must say of that; mostly empty.
        leak: how its weights have met these data before, `leaks.SENTENCES`; empty when they have not.
        marks: by column, where the row is the best or the second of its column and the paired differences say so.
        gaps: by column, its distance from the row of reference of the same share of training records.
        is_reference: whether it is that row.
        paths: the files of the finished runs, in the order of `seeds`; their test scores lie beside them. Empty for
            records that were not read from files.
    """

    rank: int | None
    method: str
    title: str
    variant: str
    weights: str
    source: str
    weights_name: str
    ratio: float | None
    seeds: tuple[int, ...]
    spread: float | None
    values: Mapping[str, Value]
    paper: Figures | None
    options: Mapping[str, Any]
    note: str
    fidelity: Mapping[str, float]
    fidelity_notes: tuple[str, ...]
    sees: str
    pass_through: bool | None
    origin: Origin
    about: str = ""
    leak: str = ""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    gaps: Mapping[str, Gap] = field(default_factory=dict)
    is_reference: bool = False
    paths: tuple[Path, ...] = ()

    @property
    def is_anchor(self) -> bool:
        """Whether the row is there to hold others against: nothing learnt, or by one formula, or too much seen."""
        # As `labels` words the weights: a network trained end to end may start from random ones and is none.
        return self.sees != "observed" or "(anchor)" in self.weights or self.weights.startswith("fitted on ")

    @property
    def name(self) -> str:
        """The title, with what tells the row from others of the same method."""
        return f"{self.title} ({self.variant})" if self.variant else self.title

    @property
    def competes(self) -> bool:
        """False without a result, and for generators that see more than the observed lead."""
        return self.values["Avg"].auc is not None and self.sees == "observed"


@dataclass(frozen=True)
class Board:
    """Rows that may be compared: one data set, one release, one version of one protocol, one classifier.

    `classifier` is what reads generated leads, None where nothing is generated. `warning` is what data that give no
    result demand to be said; `row_notice` must stand on every row. `positives` are the counts for the header, and
    `footer` holds sentences for below the table. `mixed` boards hold rows of several origins: each row says which, and
    nobody has a rank. `number` is that of the paper's table, where the board stands for one. `metric` names what the
    values are, which `measure` says in words, and `remark` what the caption must add to that.
    """

    data: str
    release: str
    manifest: str
    warning: str
    row_notice: str
    protocol: str
    version: int
    classifier: Classifier | None
    positives: Mapping[str, str]
    rows: tuple[Row, ...]
    footer: tuple[str, ...]
    mixed: bool = False
    number: str = ""
    metric: str = "auc"
    measure: str = "ROC AUC (x100) with 95 % intervals"
    remark: str = ""

    @property
    def caption(self) -> str:
        """What the table shows, after the warning where there is one."""
        way, version = _WAYS.get(self.protocol, ""), "" if self.mixed else f" v{self.version}"
        text = f"{self.measure}, {self.protocol}{version}{way} on {self.data}."
        if self.number in _NUMBERED:
            text = f"{_NUMBERED[self.number]}: {text}"
        if self.mixed:
            text += " Rows of different data or versions of the protocol are not comparable with each other."
        if self.classifier is not None:
            text = _of_generated_leads(text, self.classifier)
        text += f" {self.remark}" if self.remark else ""
        return f"{self.warning}. {text}" if self.warning else text

    @property
    def label(self) -> str:
        """What tells this board from all others, in letters, digits and dashes."""
        parts = [f"table {self.number}"] * bool(self.number)
        parts += [self.metric] * (self.metric != "auc")
        parts += [self.data, self.protocol, f"v{self.version}", self.manifest[:6]]
        if self.classifier is not None:
            read_by = self.classifier
            parts += [read_by.method, read_by.preset, read_by.source, read_by.sha256[:6], str(read_by.seed or "")]
            parts.append(read_by.trained_on)
        return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower())


def _of_generated_leads(text: str, classifier: Classifier) -> str:
    if classifier.trained_on == "generated":
        what = "Generated twelve leads, read by classifiers whose training records were generated too"
        records = "records generated by each row's own method"
    else:
        what, records = "Generated twelve leads, the pipeline of the paper's Table 2", "real records"
    return f"{what}: {text} Classifier: {classifier.words}, trained on {records}."
