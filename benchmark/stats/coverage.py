"""How often 95 % intervals hold the truth, and how wide they are, as Markdown tables for the documentation.

    python -m mibench.benchmark.stats.coverage --repeats 1000

Nothing else in mibench uses this.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from ..files import write_text
from ..progress import steps
from .intervals import ENOUGH_POSITIVES
from .simulation import MODELS, PERCENTILE, THEORIES, Found, try_differences, try_intervals, try_means

POSITIVES = (2, 5, 20, 200)
AREAS = (0.5, 0.7, 0.9, 0.97)
PAIRS = ((0.5, 0.5), (0.9, 0.9), (0.97, 0.97), (0.8, 0.7), (0.97, 0.9))
MEANS = ((0.8, 0.8), (0.9, 0.9), (0.9, 0.8), (0.95, 0.9))
CORRELATIONS = (0.5, 0.9)
PARTS = ("intervals", "differences", "means")

Tick = Callable[[], None]


def intervals(repeats: int, resamples: int, negatives: int, tick: Tick) -> str:
    """The table of intervals of one AUC; what mibench prints is in bold."""
    names = [*THEORIES, PERCENTILE]
    lines = _head("positives", "scores", "true AUC", *names)
    for positives in POSITIVES:
        printed = PERCENTILE if positives >= ENOUGH_POSITIVES else "logit"
        for model in MODELS:
            for area in AREAS:
                found = try_intervals(positives, area, model, negatives=negatives, repeats=repeats, resamples=resamples)
                cells = [f"**{_cell(found[name])}**" if name == printed else _cell(found[name]) for name in names]
                lines.append(_line(positives, model, area, *cells))
                tick()
    return "\n".join(lines)


def differences(repeats: int, resamples: int, negatives: int, tick: Tick) -> str:
    """The table of paired differences of two methods on one statement."""
    lines = _head("positives", "scores", "true AUCs", *(f"correlation {r:g}" for r in CORRELATIONS))
    for positives in POSITIVES:
        for model in MODELS:
            for areas in PAIRS:
                cells = []
                for correlation in CORRELATIONS:
                    found = try_differences(
                        positives,
                        areas,
                        correlation,
                        model,
                        negatives=negatives,
                        repeats=repeats,
                        resamples=resamples,
                    )
                    cells.append(_cell(found))
                    tick()
                lines.append(_line(positives, model, f"{areas[0]:g}, {areas[1]:g}", *cells))
    return "\n".join(lines)


def means(repeats: int, resamples: int, negatives: int, tick: Tick) -> str:
    """The table of paired differences of Avg and Avg6 on a fold like PTB-XL's."""
    lines = _head("scores", "true AUCs", "correlation", "Avg", "Avg6")
    for model in MODELS:
        for areas in MEANS:
            for correlation in CORRELATIONS:
                found = try_means(
                    areas, correlation, model, records=negatives + 163, repeats=repeats, resamples=resamples
                )
                lines.append(
                    _line(model, f"{areas[0]:g}, {areas[1]:g}", correlation, _cell(found["Avg"]), _cell(found["Avg6"]))
                )
                tick()
    return "\n".join(lines)


_TABLES = {"intervals": intervals, "differences": differences, "means": means}
_CELLS = {
    "intervals": len(POSITIVES) * len(MODELS) * len(AREAS),
    "differences": len(POSITIVES) * len(MODELS) * len(PAIRS) * len(CORRELATIONS),
    "means": len(MODELS) * len(MEANS) * len(CORRELATIONS),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m mibench.benchmark.stats.coverage",
        description="Measure on simulated folds how often 95 % intervals hold the truth, and how wide they are. "
        "Prints Markdown; each cell is the coverage in per cent and the mean width.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)}; all by default")
    parser.add_argument("--repeats", type=int, default=1000, help="simulated folds per cell (default 1000)")
    parser.add_argument("--resamples", type=int, default=500, help="bootstrap resamples per fold (default 500)")
    parser.add_argument("--negatives", type=int, default=2000, help="negative records per fold (default 2000)")
    parser.add_argument("--out", type=Path, help="write to this file instead")
    chosen = parser.parse_args(arguments)
    parts = chosen.parts or list(PARTS)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    if chosen.repeats < 1 or chosen.resamples < 2 or chosen.negatives < 300:
        parser.error("at least 1 repeat, 2 resamples and 300 negatives are needed")
    bar, finished = steps("simulating", sum(_CELLS[part] for part in parts)), 0

    def tick() -> None:
        nonlocal finished
        finished += 1
        bar(finished)

    tables = [_TABLES[part](chosen.repeats, chosen.resamples, chosen.negatives, tick) for part in parts]
    text = "\n\n".join(tables) + "\n"
    if chosen.out:
        write_text(chosen.out, text)
    else:
        print(text, end="")


def _head(*names: str) -> list[str]:
    return [_line(*names), _line(*["---"] * len(names))]


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _cell(found: Found) -> str:
    return f"{100 * found.coverage:.1f} %, {found.width:.2f}"


if __name__ == "__main__":
    main()
