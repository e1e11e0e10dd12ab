"""Where the positives of each statement stand among its negatives: all that a ROC curve is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ecg import MI_STATEMENTS
from ..paired_scores import Scores


@dataclass(frozen=True)
class Positions:
    """Where the positives of a statement stand among its negatives.

    Attributes:
        shares: for each positive record the share of negatives that score higher, ties half, mean over seeds; sorted.
        negatives: how many there are.
    """

    shares: NDArray[np.float64]
    negatives: int

    @property
    def area(self) -> float:
        """The AUC: one minus the mean of the shares."""
        return 1.0 - float(self.shares.mean())

    def steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False and true positive rates of the curve, from (0, 0) to (1, 1); its area is the AUC."""
        count = len(self.shares)
        across = np.concatenate([[0.0], np.repeat(self.shares, 2), [1.0]])
        up = np.concatenate([np.repeat(np.arange(count + 1), 2)[:-1] / count, [1.0]])
        return across, up


def positions(scores: Scores) -> dict[str, Positions]:
    """By statement; one without positives or without negatives is left out."""
    found = {}
    for column, name in enumerate(MI_STATEMENTS):
        positive = scores.labels[:, column]
        if positive.all() or not positive.any():
            continue
        shares = [_above(run[positive, column], run[~positive, column]) for run in scores.scores]
        found[name] = Positions(np.sort(np.mean(shares, axis=0)), int((~positive).sum()))
    return found


def _above(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> NDArray[np.float64]:
    ranked = np.sort(negatives)
    below = np.searchsorted(ranked, positives, side="left") + np.searchsorted(ranked, positives, side="right")
    return 1.0 - below / (2.0 * len(ranked))
