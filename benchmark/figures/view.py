"""What the figures of a board are drawn from: the board, profiles of costs, and what was chosen of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean
from ..board import Board, Row
from ..ecg import MI_STATEMENTS
from ..tables import leaderboards

if TYPE_CHECKING:
    from pathlib import Path

PROFILE = "profile"
"""The protocol whose records hold costs."""

_FIRST = "linear_probe"
"""The protocol of the paper's main table: drawn where nothing else was asked for."""


@dataclass(frozen=True)
class View:
    """What figures show.

    Attributes:
        boards: that fit what was asked for; the first one is drawn.
        profiles: finished records of the protocol `profile`, of any machine.
        paper: as `published.load_paper` gives it.
        ratio: share of the training records of the figures that show one; None is the largest that the board has.
        reference: the method that others are compared with, METHOD or METHOD:SOURCE with a source of weights; None is
            the best.
        chosen: the methods that were asked for: figures then show all of their rows and no others. None is a choice
            of the figure's own.
    """

    boards: tuple[Board, ...]
    profiles: tuple[Mapping[str, Any], ...]
    paper: Mapping[str, Any]
    ratio: float | None = None
    reference: str | None = None
    chosen: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        records: Sequence[Mapping[str, Any]],
        paper: Mapping[str, Any],
        *,
        data: str | None = None,
        protocol: str | None = None,
        label: str | None = None,
        methods: Sequence[str] = (),
        ratio: float | None = None,
        reference: str | None = None,
        folder: Path | None = None,
    ) -> View:
        """What records show of a data set, a protocol and some methods; ranks stay those of the whole board.

        Args:
            records: as `results.scan` gives them.
            data, protocol: only boards of these; of several boards the one of the linear probe comes first.
            label: only boards with this in their label.
            methods: only rows of these methods.
            ratio: share of the training records, 0 to 1.
            folder: where the records were looked for, for the error.

        Raises:
            MibenchError: no record, board or method fits.
        """
        found = leaderboards(records, paper, data=data, folder=folder)
        boards = [board for board in found if protocol in (None, board.protocol) and (label or "") in board.label]
        if not boards:
            have = ", ".join(board.label for board in found)
            asked = " and ".join(part for part in (protocol, label) if part)
            raise MibenchError(f"no board fits {asked}: there are {have}")
        boards.sort(key=lambda board: board.protocol != _FIRST)  # stable: otherwise as in the tables
        known = {row.method for board in boards for row in board.rows}
        _check_names(known, methods)
        chosen = tuple(methods)
        boards = [board for board in boards if not chosen or any(row.method in chosen for row in board.rows)]
        profiles = [r for r in records if r["protocol"]["name"] == PROFILE and r["status"] == "done"]
        return cls(tuple(boards), tuple(profiles), paper, ratio, reference, chosen)

    def on(self, board: Board) -> View:
        """The same of another board."""
        return replace(self, boards=(board,))

    @property
    def board(self) -> Board:
        """The board that is drawn."""
        return self.boards[0]

    @property
    def shown_ratio(self) -> float | None:
        """The share of the training records that figures of one share show.

        Raises:
            MibenchError: the board has no run of the chosen share.
        """
        shares = sorted({row.ratio for row in self.board.rows if row.ratio is not None})
        if self.ratio is None:
            return shares[-1] if shares else None
        for share in shares:
            if abs(share - self.ratio) < 1e-9:
                return share
        have = ", ".join(f"{100 * share:g}" for share in shares) or "none"
        raise MibenchError(
            f"--ratio {100 * self.ratio:g}: no row of {self.board.protocol} on {self.board.data} learnt from that "
            f"share of the training records; there are {have} %"
        )

    @property
    def all_rows(self) -> list[Row]:
        """Rows of any share that have a result and were not left out by name."""
        return [row for row in self.board.rows if row.values["Avg"].auc is not None and self._wanted(row)]

    @property
    def peers(self) -> list[Row]:
        """All rows of the shown share, whatever was asked for: what the tables compare with each other."""
        return [row for row in self.board.rows if row.ratio == self.shown_ratio]

    @property
    def rows(self) -> list[Row]:
        """Rows of the shown share that have a result, in the order of the board.

        Raises:
            MibenchError: there is none.
        """
        rows = [row for row in self.all_rows if row.ratio == self.shown_ratio]
        if not rows:
            raise MibenchError(
                f"no run of {self.board.protocol} on {self.board.data} has finished: run again what failed "
                "(`mibench table` tells what went wrong)"
            )
        return rows

    @property
    def compared(self) -> list[Row]:
        """Rows of the shown share for figures that have no room for anchors."""
        return self.without_anchors(self.rows)

    def without_anchors(self, rows: Sequence[Row]) -> list[Row]:
        """Those that compete; of methods that were asked for and have none, their anchors; all, if nobody is left."""
        competing = {row.method for row in rows if not row.is_anchor}
        kept = [row for row in rows if not row.is_anchor or (self.chosen and row.method not in competing)]
        return kept or list(rows)

    @property
    def methods(self) -> list[Row]:
        """Those of `rows` that compete."""
        return [row for row in self.rows if not row.is_anchor]

    @property
    def anchors(self) -> list[Row]:
        """Those of `rows` that only show what numbers mean."""
        return [row for row in self.rows if row.is_anchor]

    @property
    def failures(self) -> list[str]:
        """A sentence on the rows of the shown share without a result; nothing where all have one."""
        failed = [row for row in self.peers if row.values["Avg"].auc is None and self._wanted(row)]
        named = "; ".join(f"{row.name} ({row.note or 'nothing was measured'})" for row in failed)
        return [f"No result: {named}."] if named else []

    def _wanted(self, row: Row) -> bool:
        return not self.chosen or row.method in self.chosen

    def names(self, rows: Sequence[Row]) -> list[str]:
        """A name for each row, with its weights where they are random, or where two would be called the same."""
        shared = Counter(row.name for row in rows if not row.is_anchor)
        return [
            f"{row.name}, {weights_words(row)}" if row.source == "random" or shared[row.name] > 1 else row.name
            for row in rows
        ]

    @property
    def about(self) -> str:
        """Data, release, protocol and share of the training records: what stands under every title."""
        ratio = self.shown_ratio
        share = "" if ratio is None else f", {100 * ratio:g} % of the training records"
        return f"{self.about_board}{share}"

    @property
    def about_board(self) -> str:
        """Data, release and protocol, and what read generated leads."""
        board, reader = self.board, self.board.classifier
        read = "" if reader is None else f", read by {reader.words} that learnt from {reader.trained_on} records"
        return f"{board.protocol} v{board.version} on {board.data}, {board.release}{read}"

    @property
    def positives(self) -> str:
        """How many test records carry each statement."""
        counts = self.board.positives
        named = ", ".join(f"{name}\N{NO-BREAK SPACE}{counts[name]}" for name in MI_STATEMENTS if name in counts)
        return f"Test positives: {named}." if named else "Test positives: unknown."


def weights_words(row: Row) -> str:
    """The label of a row's weights; that it is an anchor is shown otherwise."""
    return row.weights.replace(" (anchor)", "")


def _check_names(known: set[str], asked: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            raise MibenchError(f"there is no run of `{name}` to draw{did_you_mean(name, sorted(known))}")
