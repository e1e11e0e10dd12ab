"""The losses of a training as a curve: every step thin, their running mean thick, held-out losses as points."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...adapters.errors import MibenchError
from ..files import atomic_path

TRAINING, HELD_OUT = "#0072B2", "#D55E00"
"""Blue and vermilion, which colour-blind readers tell apart."""

POINTS = 4000
"""Steps that are drawn; of a longer training, means of neighbours."""


def draw_losses(file: Path, out: Path, *, per_epoch: int, title: str, footer: str) -> None:
    """Draw `losses.csv` to a PNG.

    Args:
        file: with columns "step", "loss" and, where there is one, "validation_loss".
        out: the picture; what was there is replaced.
        per_epoch: steps in an epoch.
        footer: what must be said of the numbers.

    Raises:
        MibenchError: the file holds no losses.
    """
    steps, losses, held_out = _read(file)
    if not len(steps):
        raise MibenchError(f"{file} holds no losses")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    x, y = _thinned(steps, losses)
    epochs = (x + 1) / per_epoch
    window = max(1, len(y) // 50)
    if window == 1:
        axes.plot(epochs, y, color=TRAINING, linewidth=1.2, label="training, each step")
    else:
        axes.plot(epochs, y, color="0.75", linewidth=0.6, label="training, each step")
        smooth = np.convolve(y, np.ones(window) / window, mode="valid")
        axes.plot(epochs[window - 1 :], smooth, color=TRAINING, linewidth=1.6, label="training, running mean")
    if held_out:
        at, values = zip(*held_out, strict=True)
        places = (np.array(at) + 1) / per_epoch
        axes.plot(places, values, "o--", color=HELD_OUT, markersize=4, linewidth=1.0, label="held-out records")
    finite = y[np.isfinite(y)]
    if len(finite) and finite.min() > 0 and finite.max() > 20 * finite.min():
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.annotate(footer, (0, 0), (0, -36), "axes fraction", "offset points", fontsize=6, color="0.35", va="top")
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png")


def _read(file: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[tuple[int, float]]]:
    steps, losses, held_out = [], [], []
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            steps.append(int(row["step"]))
            losses.append(float(row["loss"]))
            if row.get("validation_loss"):
                held_out.append((steps[-1], float(row["validation_loss"])))
    return np.array(steps, dtype=np.int64), np.array(losses, dtype=np.float64), held_out


def _thinned(
    steps: npt.NDArray[np.int64], losses: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """At most `POINTS` points: means of as many neighbours as it takes."""
    many = -(-len(steps) // POINTS)
    whole = len(steps) // many * many
    x, y = (values[:whole].reshape(-1, many).mean(axis=1) for values in (steps.astype(np.float64), losses))
    return x, y
