"""Pre-training of a method on folds 1-8 without labels (paper, Table 7): a run of its own, with its own record.

A closed form is fitted in its stead; what comes out is kept in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from ...adapters.base import Fittable, Generator, Pretrainable
from ...adapters.checkpoints import save_weights
from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean, plain
from .. import results
from ..ecg import TRAIN_FOLDS
from ..files import sha256_file, write_json, write_text
from ..fitting import Fitting
from ..provenance import now, provenance
from ..samples import FOLDER as SAMPLES
from ..samples import draw_epoch
from ..training.loop import BEST, CHECKPOINT, Saving, Training, losses_as_csv
from ..training.schedule import Settings
from ..weights import pretrained_folder
from .request import Request

__all__ = ["CHECKPOINT", "FINISHED", "LOSSES", "NAME", "SAMPLES", "WEIGHTS", "Saving", "Settings", "run"]

NAME = "pretrain"
WEIGHTS = "weights.safetensors"
FINISHED = "finished.json"
LOSSES = "losses.csv"


def run(
    request: Request,
    settings: Settings,
    version: int,
    init: Mapping[str, Path] | None = None,
    seed: int = 0,
    saving: Saving | None = None,
) -> Path:
    """Pre-train, or go on where a killed run stopped, or find it finished.

    Args:
        init: published files for parts of the method, such as {"twelve_lead": Path("12_lead_ECGFounder.pth")}.

    Returns:
        The folder with the weights, the losses and `finished.json`.

    Raises:
        MibenchError: the method cannot be pre-trained, there are too few records, or the loss is not finite.
    """
    method = request.adapter
    if not isinstance(method, (Pretrainable, Fittable)):
        raise MibenchError(
            f"{request.method} has no pre-training in mibench: give its published weights with --weights"
        )
    if method.spec.weights_of:
        other = method.spec.weights_of
        raise MibenchError(f"{request.method} uses the weights of {other}: mibench pretrain --method {other}")
    init = dict(init or {})
    for part, file in init.items():
        if part not in method.init_parts:
            raise MibenchError(f"{request.method} has no part `{part}`{did_you_mean(part, list(method.init_parts))}")
        if not file.is_file():
            raise MibenchError(f"--init {part}={file}: there is no such file")
    settings = replace(settings, precision=_precision(settings.precision, request.batching.device))
    work: Training | Fitting
    if isinstance(method, Fittable):
        work = Fitting(request, method, init, seed)
        shown = work.settings
    else:
        shown = plain(settings)
    determinants = {
        "protocol": {"name": NAME, "version": version, "settings": shown},
        "method": request.method_identity(),
        "init": {part: sha256_file(file) for part, file in sorted(init.items())},
        "data": request.data.manifest,
        "folds": list(TRAIN_FOLDS),
        "seed": seed,
    }
    key = results.run_key(determinants)
    folder = pretrained_folder(request.method) / key
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if (folder / FINISHED).is_file() and not request.force:
            if not isinstance(method, Fittable):
                request.say(f"pre-training {key[:8]} of {request.method} on {request.data.name} is done already")
            return folder
        if isinstance(method, Fittable):
            request.say(f"fitting {request.method} to folds 1-8 of {request.data.name}")
        if not isinstance(method, Fittable):
            after = draw_epoch if isinstance(method, Generator) else _nothing
            work = Training(request, method, settings, init, seed, folder, saving or Saving(), after)
        try:
            work.run()
        except MibenchError as problem:
            failed = _envelope(work, version, determinants, key)
            results.write_failure(request.results, failed, str(problem))
            raise
        _finish(work, folder, _envelope(work, version, determinants, key))
    return folder


def _finish(work: Training | Fitting, folder: Path, envelope: Mapping[str, Any]) -> None:
    """Write the weights, the losses, the record, and last the file that says all is there."""
    request = work.request
    weights = folder / WEIGHTS
    state, epoch = work.chosen_state()
    save_weights(weights, state, {"method": request.method, "key": envelope["key"]})
    if work.losses:
        write_text(folder / LOSSES, losses_as_csv(work.losses))
    summary = {**(work.summary() if isinstance(work, Fitting) else _summary(work)), "chosen_epoch": epoch}
    results.write(request.results, {**envelope, "pretraining": summary}, None)
    about = {
        "key": envelope["key"],
        "created": envelope["created"],
        "data": {"name": request.data.name, "manifest": request.data.manifest, "folds": list(TRAIN_FOLDS)},
        "settings": envelope["protocol"]["settings"],
        "options": plain(request.card.options),
        "init": envelope["determinants"]["init"],
        "sha256": sha256_file(weights),
    }
    write_json(folder / FINISHED, about)
    for file in (CHECKPOINT, BEST):
        (folder / file).unlink(missing_ok=True)


def _nothing(_training: Training, _epoch: int) -> None:
    """After an epoch of a method that has nothing to show."""


def _envelope(work: Training | Fitting, version: int, determinants: Mapping[str, Any], key: str) -> dict[str, Any]:
    request, init = work.request, work.init
    records = {"train": len(work.rows), "validation": len(work.validation)}
    return {
        "key": key,
        "created": now(),
        "protocol": {"name": NAME, "version": version, "settings": determinants["protocol"]["settings"]},
        "method": request.method_record(),
        "weights": {
            "source": "published" if init else "random",
            "name": " + ".join(file.name for file in init.values()) or "from scratch",
            "sha256": None,
            "seed": work.seed,
            "notes": [
                *(f"{part}: sha256 {digest}" for part, digest in determinants["init"].items()),
                *work.init_notes,
            ],
            "pretraining": None,
        },
        "data": request.data_record(work.leads, records),
        "ratio": 1.0,
        "seed": work.seed,
        "determinants": dict(determinants),
        "provenance": provenance(str(request.batching.device), work.seconds),
    }


def _summary(training: Training) -> dict[str, Any]:
    # Every step's loss is in the csv: a table reads all records, and a long training has 125,000 steps.
    losses = np.array([entry["loss"] for entry in training.losses])
    seconds = max(training.seconds, 1e-9)
    return {
        "steps": training.step,
        "epochs": training.step // training.per_epoch,
        "seconds": round(training.seconds, 2),
        "records_per_second": round(training.step * training.settings.batch_size / seconds, 2),
        "first_loss": training.losses[0]["loss"],
        "last_loss": training.losses[-1]["loss"],
        "criterion": getattr(training.network, "criterion", "loss"),
        "validation_losses": training.validation_losses,
        "epoch_losses": [float(value) for value in losses.reshape(-1, training.per_epoch).mean(axis=1)],
        "losses_file": LOSSES,
    }


def _precision(chosen: str, device: torch.device) -> Any:
    if chosen != "auto":
        return chosen
    return "16-mixed" if device.type == "cuda" else "32-true"
