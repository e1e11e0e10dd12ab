"""Pre-training of a method on folds 1-8 without labels (paper, Table 7): a run of its own, with its own record.

A closed form is fitted in its stead; what comes out is kept in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from ...adapters.base import Fittable, Generator, Pretrainable, Taught
from ...adapters.checkpoints import save_weights
from ...adapters.errors import MibenchError
from ...adapters.options import did_you_mean, plain
from .. import results
from ..ecg import TRAIN_FOLDS
from ..files import sha256_file, write_json
from ..fitting import SETTINGS as CLOSED_FORM
from ..fitting import Fitting
from ..provenance import now, provenance
from ..samples import FOLDER as SAMPLES
from ..samples import draw_epoch
from ..training.checkpoint import FOLDER as CHECKPOINTS
from ..training.checkpoint import Checkpoints, differences
from ..training.engine import Engine
from ..training.journal import FILE as LOSSES
from ..training.loop import BEST, Saving, Training, Ways, resolved
from ..training.schedule import Settings, determining, shared_out
from ..training.stopping import StoppedError
from ..training.watch import CURVE
from ..weights import pretrained_folder
from .request import Request

__all__ = [
    "BEST",
    "CURVE",
    "FINISHED",
    "LOSSES",
    "NAME",
    "OBJECTIVE",
    "SAMPLES",
    "WEIGHTS",
    "Saving",
    "Settings",
    "Ways",
    "run",
]

NAME = "pretrain"
WEIGHTS = "weights.safetensors"
OBJECTIVE = "objective.safetensors"
"""Student and teacher of a `Taught` objective, for what measures them against each other."""
FINISHED = "finished.json"
UNFINISHED = "unfinished.json"
"""What determines a training that is under way."""


def run(
    request: Request,
    settings: Settings,
    version: int,
    init: Mapping[str, Path] | None = None,
    seed: int = 0,
    saving: Saving | None = None,
    ways: Ways | None = None,
) -> Path:
    """Pre-train, or go on where a killed run stopped, or find it finished.

    Under torchrun every process calls this with the same arguments; one of them writes.

    Args:
        init: published files for parts of the method, such as {"twelve_lead": Path("12_lead_ECGFounder.pth")}.
        saving: when checkpoints are written.
        ways: what changes the speed and not the numbers.

    Returns:
        The folder with the weights, the losses and `finished.json`.

    Raises:
        MibenchError: the method cannot be pre-trained, there are too few records, the batch cannot be shared among the
            processes, or the loss is not finite.
        StoppedError: it was asked to end; a checkpoint was written.
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
    settings = resolved(settings, request.batching.device)
    engine = Engine(request.batching.device, settings.precision)
    determinants = what_determines(request, settings, version, init, seed, engine.world)
    key = results.run_key(determinants)
    folder = pretrained_folder(request.method) / key
    folder.mkdir(parents=True, exist_ok=True)
    # One of several processes holds the lock for all of them, and says whether there is anything to do.
    lock = FileLock(folder / ".lock") if engine.leads else nullcontext()
    with lock:
        if engine.agreed((folder / FINISHED).is_file() and not request.force):
            if not isinstance(method, Fittable):
                request.say(f"pre-training {key[:8]} of {request.method} on {request.data.name} is done already")
            return folder
        work: Training | Fitting
        if isinstance(method, Fittable):
            request.say(f"fitting {request.method} to {request.data.training_part} of {request.data.name}")
            work = Fitting(request, method, init, seed)
        else:
            if engine.leads:
                _hint(request, folder, determinants)
                write_json(folder / UNFINISHED, determinants)
            if ways is not None and ways.resume is not None:
                # Refused at once, not after the teacher was asked about a million records.
                Checkpoints(folder, determinants, request.say).read(ways.resume, torch.device("cpu"))
            after = draw_epoch if isinstance(method, Generator) else _nothing
            work = Training(
                request, method, settings, init, seed, folder, saving or Saving(), after,
                engine=engine, ways=ways, determinants=determinants,
            )  # fmt: skip
        try:
            work.run()
        except StoppedError:
            raise
        except MibenchError as problem:
            if engine.leads:
                failed = _envelope(work, version, determinants, key)
                results.write_failure(request.results, failed, str(problem))
            raise
        if engine.leads:
            _finish(work, folder, _envelope(work, version, determinants, key))
        engine.wait()
    return folder


def what_determines(
    request: Request, settings: Settings, version: int, init: Mapping[str, Path], seed: int, processes: int = 1
) -> dict[str, Any]:
    """Whatever determines the weights that come out."""
    method = request.adapter
    if isinstance(method, Fittable):
        shown = dict(CLOSED_FORM)
    else:
        settings = resolved(settings, request.batching.device)
        by_batch = isinstance(method, Generator)
        shown = plain(determining(settings, shared_out(settings, processes), by_batch=by_batch))
    return {
        "protocol": {"name": NAME, "version": version, "settings": shown},
        "method": request.method_identity(),
        "init": {part: sha256_file(file) for part, file in sorted(init.items())},
        "data": request.data.manifest,
        "folds": list(TRAIN_FOLDS),
        "seed": seed,
    }


def _hint(request: Request, folder: Path, determinants: Mapping[str, Any]) -> None:
    """A training of the same method that stopped half way, and what is different about it: it may be what was meant."""
    if any((folder / CHECKPOINTS).glob("*.pt")):
        return
    for file in sorted(folder.parent.glob(f"*/{UNFINISHED}")):
        try:
            theirs = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found = differences(theirs, determinants)
        if file.parent != folder and found and any((file.parent / CHECKPOINTS).glob("*.pt")):
            request.say(
                f"note: another pre-training of {request.method} stopped half way ({file.parent}); there "
                f"{'; '.join(found[:3])}{' and more' if len(found) > 3 else ''}. This one begins anew"
            )


def _finish(work: Training | Fitting, folder: Path, envelope: Mapping[str, Any]) -> None:
    """Write the weights, the losses, the record, and last the file that says all is there."""
    request = work.request
    weights = folder / WEIGHTS
    epoch = work.choose()
    save_weights(weights, work.trained_state(), {"method": request.method, "key": envelope["key"]})
    both = None
    if isinstance(work, Training):
        work.journal.write()
        if isinstance(work.network, Taught):
            both = folder / OBJECTIVE
            save_weights(both, work.network.state_dict(), {"method": request.method, "key": envelope["key"]})
    summary = {**work.summary(), "chosen_epoch": epoch}
    results.write(request.results, {**envelope, "pretraining": summary}, None)
    data = request.data
    about = {
        "key": envelope["key"],
        "created": envelope["created"],
        "data": {
            "name": data.name, "manifest": data.manifest, "notice": data.notice, "release": data.release,
            "folds": list(TRAIN_FOLDS),
        },
        "settings": envelope["protocol"]["settings"],
        "options": plain(request.card.options),
        "init": envelope["determinants"]["init"],
        "sha256": sha256_file(weights),
        "objective_sha256": None if both is None else sha256_file(both),
    }  # fmt: skip
    write_json(folder / FINISHED, about)
    if isinstance(work, Training):
        work.checkpoints.clear()
    for file in (BEST, UNFINISHED):
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
