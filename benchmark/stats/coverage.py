"""How often 95 % intervals hold the truth, and how wide they are: measured on simulated test folds.

`python -m mibench.benchmark.stats.coverage` prints the tables as Markdown. Nothing else in mibench uses this.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..metrics import auc
from .bootstrap import resample_weights, resampled_means
from .intervals import HANLEY_MCNEIL, Z95, hanley_mcneil_error, inside, score_ends

MODELS = ("normal", "exponential")
"""Scores of both classes: normal with one variance, or exponential, which Hanley and McNeil's error is made for."""

AREAS = (0.5, 0.7, 0.9, 0.97)
POSITIVES = (2, 5, 20, 200)

Float = NDArray[np.float64]
Ends = tuple[Float, Float]


@dataclass(frozen=True)
class Cell:
    """One kind of interval at one true AUC and number of positives."""

    model: str
    area: float
    positives: int
    method: str
    coverage: float
    width: float


def shifted(uniform: Float, area: float, model: str) -> Float:
    """Scores of positives out of uniform numbers, so that the true AUC against `plain` ones is `area`."""
    from scipy.special import ndtri

    if model == "exponential":
        return np.asarray(-np.log1p(-uniform) * area / (1 - area))
    return np.asarray(ndtri(uniform) + ndtri(area) * np.sqrt(2))


def plain(uniform: Float, model: str) -> Float:
    """Scores of negatives out of uniform numbers."""
    return shifted(uniform, 0.5, model)


def plain_interval(areas: Float, positives: int, negatives: int) -> Ends:
    """Hanley and McNeil's normal interval, cut off at 0 and 1: the one whose widths the protocol quotes."""
    reach = Z95 * hanley_mcneil_error(areas, positives, negatives)
    return np.maximum(areas - reach, 0), np.minimum(areas + reach, 1)


def logit_interval(areas: Float, positives: int, negatives: int) -> Ends:
    """The one that mibench prints below `ENOUGH_POSITIVES`."""
    kept = inside(areas, positives, negatives)
    reach = Z95 * hanley_mcneil_error(areas, positives, negatives) / (kept * (1 - kept))
    centre = np.log(kept / (1 - kept))
    return tuple(0.5 * (1 + np.tanh((centre + side * reach) / 2)) for side in (-1, 1))  # type: ignore[return-value]


THEORY: Mapping[str, Callable[[Float, int, int], Ends]] = {
    "Hanley-McNeil": plain_interval,
    HANLEY_MCNEIL: logit_interval,
    "Hanley-McNeil (score)": score_ends,
}


def measure(
    positives: int, area: float, model: str, *, negatives: int = 2000, repeats: int = 1000, resamples: int = 500
) -> list[Cell]:
    """All kinds of intervals on the same simulated folds of one statement, a record a patient."""
    generator = np.random.default_rng([positives, int(1000 * area), MODELS.index(model)])
    truth = np.arange(positives + negatives)[:, None] < positives
    weights = resample_weights(truth, np.arange(len(truth)), resamples, 0)
    estimates, percentiles = np.empty(repeats), np.empty((2, repeats))
    for repeat in range(repeats):
        uniform = generator.random(len(truth))
        scores = np.where(truth[:, 0], shifted(uniform, area, model), plain(uniform, model))[:, None]
        estimates[repeat] = auc(scores, truth)[0]
        drawn = resampled_means(scores[None], truth, weights)[:, 0]
        percentiles[:, repeat] = np.quantile(drawn, [0.025, 0.975])
    found = {name: ends(estimates, positives, negatives) for name, ends in THEORY.items()}
    found["percentile bootstrap"] = (percentiles[0], percentiles[1])
    return [
        Cell(model, area, positives, name, float(((low <= area) & (area <= high)).mean()), float((high - low).mean()))
        for name, (low, high) in found.items()
    ]


def table(cells: Sequence[Cell]) -> str:
    """Coverage in per cent and mean width, as Markdown: a line for each true AUC and number of positives."""
    from tabulate import tabulate

    names = list(dict.fromkeys(cell.method for cell in cells))
    lines: dict[tuple[int, float, str], dict[str, str]] = {}
    for cell in cells:
        line = lines.setdefault((cell.positives, cell.area, cell.model), {})
        line[cell.method] = f"{100 * cell.coverage:.0f} ({cell.width:.2f})"
    body = [
        [str(positives), f"{area:.2f}", model, *(line[name] for name in names)]
        for (positives, area, model), line in lines.items()
    ]
    header = ["positives", "true AUC", "scores", *(f"{name}: coverage % (width)" for name in names)]
    return tabulate(
        body, header, "pipe", disable_numparse=True, colalign=["right", "right", "left", *["right"] * len(names)]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        prog="python -m mibench.benchmark.stats.coverage",
        description="How often 95 % intervals of an AUC hold the truth on simulated test folds of 2,000 negatives.",
    )
    parser.add_argument("--repeats", type=int, default=1000, metavar="N", help="folds of each kind  [default: 1000]")
    chosen = parser.parse_args(arguments)
    kinds = [(count, area, model) for count in POSITIVES for area in AREAS for model in MODELS]
    print(table([cell for kind in kinds for cell in measure(*kind, repeats=chosen.repeats)]))


if __name__ == "__main__":
    main()
