"""Where mibench keeps what it makes: stores, embeddings, weights; and where results go."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of stores, embeddings and weights: $MIBENCH_HOME, else $XDG_DATA_HOME/mibench, else ~/.local/share."""
    explicit = os.environ.get("MIBENCH_HOME")
    if explicit:
        return Path(explicit).expanduser().absolute()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "mibench"


def results_folder(chosen: Path | None = None) -> Path:
    """The folder of run records: the one chosen, else $MIBENCH_RESULTS, else `results` in the working folder."""
    return (chosen or Path(os.environ.get("MIBENCH_RESULTS", "results"))).absolute()
