"""Trained classifiers, kept: all generators are judged by the same heads, which are trained once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from .files import read_arrays, sha256_json, write_arrays
from .home import home
from .probe import Head

Place = tuple[float, int]
"""Share of the training records, and seed."""


def cached(
    train: Callable[[Sequence[Place]], list[Head]],
    determinants: Mapping[str, Any],
    places: Sequence[Place],
    device: torch.device,
) -> list[Head]:
    """One head for every place, from the cache or trained now; those that are missing are trained together.

    Args:
        train: trains the heads of some places.
        determinants: what determines the heads, ratio and seed apart.
    """
    folder = home() / "classifiers" / sha256_json(dict(determinants))[:16]
    folder.mkdir(parents=True, exist_ok=True)
    files = {place: folder / f"ratio-{place[0]:.6f}-seed-{place[1]}.npz" for place in places}
    with FileLock(folder / ".lock"):
        found = {place: _read(file, device) for place, file in files.items()}
        missing = [place for place, head in found.items() if head is None]
        for place, head in zip(missing, train(missing) if missing else [], strict=True):
            _write(files[place], head)
            found[place] = head
    return [head for head in (found[place] for place in places) if head is not None]


def _read(file: Path, device: torch.device) -> Head | None:
    kept = read_arrays(file, [entry.name for entry in fields(Head)])
    if kept is None:
        return None
    return Head(
        weight=torch.from_numpy(kept["weight"]).to(device),
        bias=torch.from_numpy(kept["bias"]).to(device),
        best_epoch=int(kept["best_epoch"]),
        epochs=int(kept["epochs"]),
        validation=tuple(kept["validation"].tolist()),
    )


def _write(file: Path, head: Head) -> None:
    write_arrays(
        file,
        {
            "weight": head.weight.cpu().numpy(),
            "bias": head.bias.cpu().numpy(),
            "best_epoch": np.array(head.best_epoch),
            "epochs": np.array(head.epochs),
            "validation": np.array(head.validation),
        },
    )
