"""What a leaderboard holds, before any format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .ecg import MI_STATEMENTS

if TYPE_CHECKING:
    from .published import Figures

AVERAGES = ("Avg", "Avg6")
COLUMNS: tuple[str, ...] = (*MI_STATEMENTS, *AVERAGES)


@dataclass(frozen=True)
class Value:
    """An AUC and its 95 % interval as fractions of one: means over seeds, the ends of the intervals included."""

    auc: float | None = None
    low: float | None = None
    high: float | None = None
    method: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a board.

    Attributes:
        rank: by Avg among the rows of the same ratio; None without a result.
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


@dataclass(frozen=True)
class Board:
    """Rows that may be compared: one data set, one release, one version of one protocol.

    `warning` is what data that give no result demand to be said; `row_notice` must stand on every row. `positives` are
    the counts for the header, and `footer` holds sentences for below the table.
    """

    data: str
    release: str
    manifest: str
    warning: str
    row_notice: str
    protocol: str
    version: int
    positives: Mapping[str, str]
    rows: tuple[Row, ...]
    footer: tuple[str, ...]

    @property
    def caption(self) -> str:
        """One sentence, after the warning where there is one."""
        text = f"ROC AUC (x100) with 95 % intervals, {self.protocol} v{self.version} on {self.data}."
        return f"{self.warning}. {text}" if self.warning else text
