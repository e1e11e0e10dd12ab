"""How often intervals of paired differences hold the truth, and how often they see one where there is none.

    python -m mibench.benchmark.stats.coverage_paired --repeats 500

prints Markdown tables: of one statement with 2, 5, 20 and 200 positives, and of Avg and Avg6 on folds with the
positives of PTB-XL's. `coverage` does the same for single AUCs. Nothing else in mibench uses this.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ecg import MI_STATEMENTS
from .bootstrap import resample_weights
from .comparison import differences_under
from .coverage import MODELS, POSITIVES, plain, shifted

FOLD = (29, 35, 236, 48, 268, 5, 3, 20, 2)
"""Positives of the nine statements in PTB-XL's test fold, release 1.0.1."""

PAIRS = ((0.5, 0.5), (0.9, 0.9), (0.97, 0.97), (0.8, 0.7), (0.97, 0.9))
MEANS = ((0.8, 0.8), (0.9, 0.9), (0.9, 0.8), (0.95, 0.9))
CORRELATIONS = (0.5, 0.9)


@dataclass(frozen=True)
class Found:
    """Of the intervals of many folds: the share that held the truth, the mean width, and the share without 0."""

    coverage: float
    width: float
    rejected: float


def measure_statement(
    positives: int,
    areas: tuple[float, float],
    correlation: float,
    model: str,
    *,
    negatives: int = 2000,
    repeats: int = 500,
    resamples: int = 500,
) -> Found:
    """Differences of two methods on one statement.

    Args:
        areas: true AUCs; where they are equal, `rejected` is the rate of false alarms.
        correlation: between the methods' scores of a record, before positives are shifted.
        model: of `coverage.MODELS`.
    """
    labels = np.arange(positives + negatives)[:, None] < positives
    generator = _generator(positives, areas, correlation, model)
    return _measure(labels, ("PMI",), areas, correlation, model, generator, repeats, resamples)["PMI"]


def measure_means(
    areas: tuple[float, float],
    correlation: float,
    model: str,
    *,
    records: int = 2163,
    repeats: int = 500,
    resamples: int = 500,
) -> dict[str, Found]:
    """Differences of all columns of a board, on folds with the positives of PTB-XL's."""
    generator = _generator(records, areas, correlation, model)
    labels = np.zeros((records, len(FOLD)), dtype=bool)
    for k, count in enumerate(FOLD):
        labels[generator.choice(records, count, replace=False), k] = True
    return _measure(labels, MI_STATEMENTS, areas, correlation, model, generator, repeats, resamples)


def _generator(size: int, areas: tuple[float, float], correlation: float, model: str) -> np.random.Generator:
    parts = [size, *(int(1000 * area) for area in areas), int(100 * correlation), MODELS.index(model)]
    return np.random.default_rng(parts)


def _measure(
    labels: NDArray[np.bool_],
    statements: Sequence[str],
    areas: tuple[float, float],
    correlation: float,
    model: str,
    generator: np.random.Generator,
    repeats: int,
    resamples: int,
) -> dict[str, Found]:
    from scipy.special import ndtr

    patients = np.arange(len(labels))
    weights = resample_weights(labels, patients, resamples, 0)
    ends = []
    for _ in range(repeats):
        # Half of what a record adds is the same for all its statements, which therefore hang together.
        shared = np.sqrt(0.5) * (generator.normal(size=(len(labels), 1)) + generator.normal(size=labels.shape))
        own = generator.normal(size=(2, *labels.shape))
        uniform = ndtr(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)
        rows = [
            np.where(labels, shifted(uniform[i], area, model), plain(uniform[i], model))[None]
            for i, area in enumerate(areas)
        ]
        found = differences_under(weights, rows, labels, patients, statements)
        ends.append((found.low[0, 1], found.high[0, 1]))
    low, high = np.moveaxis(np.array(ends), 1, 0)
    return {
        name: _found(low[:, place], high[:, place], areas[0] - areas[1])
        for place, name in enumerate(found.columns)
        if np.isfinite(low[:, place]).all()
    }


def _found(low: NDArray[Any], high: NDArray[Any], truth: float) -> Found:
    held, excluded = (low <= truth) & (truth <= high), (low > 0) | (high < 0)
    return Found(float(held.mean()), float((high - low).mean()), float(excluded.mean()))


def table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """As Markdown; `Found` as coverage in per cent, mean width, and in square brackets the per cent without 0."""
    from tabulate import tabulate

    body = [[_cell(cell) for cell in line] for line in lines]
    return tabulate(body, header, "pipe", disable_numparse=True)


def _cell(value: object) -> str:
    if isinstance(value, Found):
        return f"{100 * value.coverage:.0f} ({value.width:.2f}) [{100 * value.rejected:.0f}]"
    return str(value)


def statements_table(repeats: int) -> str:
    """Of one statement."""
    lines = [
        [count, model, *pair, *(measure_statement(count, pair, r, model, repeats=repeats) for r in CORRELATIONS)]
        for count in POSITIVES
        for model in MODELS
        for pair in PAIRS
    ]
    return table(["positives", "scores", "AUC", "AUC", *(f"correlation {r:g}" for r in CORRELATIONS)], lines)


def means_table(repeats: int) -> str:
    """Of Avg and Avg6."""
    lines = []
    for model in MODELS:
        for pair in MEANS:
            for correlation in CORRELATIONS:
                found = measure_means(pair, correlation, model, repeats=repeats)
                lines.append([model, *pair, correlation, found["Avg"], found["Avg6"]])
    return table(["scores", "AUC", "AUC", "correlation", "Avg", "Avg6"], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        prog="python -m mibench.benchmark.stats.coverage_paired",
        description="How often 95 % intervals of paired differences hold the truth on simulated test folds. Cells: "
        "coverage in per cent, mean width in round brackets, and in square ones the per cent that exclude no "
        "difference, which are false alarms where both true AUCs are equal.",
    )
    parser.add_argument("--repeats", type=int, default=500, metavar="N", help="folds of each kind  [default: 500]")
    chosen = parser.parse_args(arguments)
    if chosen.repeats < 1:
        parser.error("at least one fold of each kind is needed")
    print(statements_table(chosen.repeats), means_table(chosen.repeats), sep="\n\n")


if __name__ == "__main__":
    main()
