"""The figures of a board by their names; none is imported before it is drawn."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .view import View

NAMES: Mapping[str, str] = {
    "forest": "Avg and Avg6 of every row with 95 % intervals, spread over seeds and the paper's figures",
    "heatmap": "AUC of every method and statement; what may be chance is hatched",
    "ratios": "Avg against the share of the training records (Table 3)",
    "pareto": "Avg against parameters, MACs and memory, with the Pareto front",
    "roc": "ROC curves per statement, every positive a tick",
    "critical-difference": "average ranks over the statements, with Nemenyi's critical difference",
    "differences": "paired differences against one method, per statement and on average",
}
"""What there is, and what each shows."""


def draw(name: str, view: View) -> Figure:
    """A figure of the first board of a view, not yet written.

    Raises:
        MibenchError: no figure has this name, or the view holds too little for it.
    """
    if name not in NAMES:
        raise MibenchError(f"there is no figure `{name}`{did_you_mean(name, list(NAMES))}")
    from .style import house_style

    module = importlib.import_module(f".{name.replace('-', '_')}", __package__)
    with house_style():
        figure: Figure = module.draw(view)
    return figure


def write(name: str, view: View, *files: Path) -> None:
    """Draw a figure to files, .png or .pdf by their endings; the same records give the same bytes.

    Raises:
        MibenchError: as of `draw`, or a file cannot be written.
    """
    from .sheet import DPI
    from .style import check_out, house_style, save

    for file in files:
        check_out(file)
    figure = draw(name, view)
    with house_style():
        for file in files:
            save(figure, file, title=f"{name}: {view.about}", dpi=DPI)
