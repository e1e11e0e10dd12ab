"""What lies where on ECG paper: which samples of which lead in which row, and how far apart the rows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..ecg import LEADS
from .style import MM_PER_POINT, text_width

Layout = Literal["rows", "clinical"]

MM_PER_SECOND = 25.0
MM_PER_MILLIVOLT = 10.0
LARGE_MM = 5
"""Side of a large square."""
NAME_POINTS = 9.0
GAP = 2
"""Millimetres that are kept free between two rows."""


@dataclass(frozen=True)
class Piece:
    """Some samples of a lead, and the row of the paper that they are drawn in."""

    lead: int
    first: int
    last: int
    row: int


@dataclass(frozen=True)
class Sheet:
    """Signals on their way to the paper: real first, then generated, each (12, samples) in mV."""

    signals: Sequence[NDArray[np.float64]]
    names: Sequence[str]
    rate: float
    layout: Layout

    @property
    def samples(self) -> int:
        return int(self.signals[0].shape[1])

    def pieces(self) -> list[Piece]:
        """In rows, all of each lead; in the clinical layout a quarter of each, and all of lead II beneath."""
        if self.layout == "rows":
            return [Piece(lead, 0, self.samples, lead) for lead in range(len(LEADS))]
        cuts = [round(self.samples * quarter / 4) for quarter in range(5)]
        short = [Piece(lead, cuts[lead // 3], cuts[lead // 3 + 1], lead % 3) for lead in range(len(LEADS))]
        return [*short, Piece(LEADS.index("II"), 0, self.samples, 3)]

    def cut(self, piece: Piece, seconds: float | None = None) -> list[NDArray[np.float64]]:
        """The samples of a piece in each signal, all or those of its first seconds."""
        last = piece.last if seconds is None else min(piece.last, piece.first + ceil(seconds * self.rate))
        return [signal[piece.lead, piece.first : last] for signal in self.signals]

    def name_height(self, piece: Piece) -> float:
        """Millimetres above the baseline where a name stands clear of the trace beneath it."""
        beneath = self.cut(piece, seconds=text_width("aVR", NAME_POINTS, "bold") / MM_PER_SECOND)
        return max(0.2, *(float(signal.max()) for signal in beneath)) * MM_PER_MILLIVOLT + 1

    def reach(self, row: int) -> tuple[float, float]:
        """Millimetres that a row takes above and below its baseline."""
        above, below = MM_PER_MILLIVOLT, 0.0  # the calibration pulse stands in every row
        for piece in self.pieces():
            if piece.row == row:
                for signal in self.cut(piece):
                    above = max(above, float(signal.max()) * MM_PER_MILLIVOLT)
                    below = max(below, -float(signal.min()) * MM_PER_MILLIVOLT)
                if self.layout == "clinical":
                    above = max(above, self.name_height(piece) + NAME_POINTS * MM_PER_POINT)
        return above, below

    def baselines(self) -> tuple[list[int], int]:
        """How far each row's baseline lies below the grid's upper edge, and the grid's height; on large squares, mm."""
        depths: list[int] = []
        depth, free = 0, 0.0
        for row in range(1 + max(piece.row for piece in self.pieces())):
            above, below = self.reach(row)
            depth += LARGE_MM * ceil((free + above + GAP) / LARGE_MM)
            free = below
            depths.append(depth)
        return depths, depth + LARGE_MM * max(1, ceil((free + GAP) / LARGE_MM))
