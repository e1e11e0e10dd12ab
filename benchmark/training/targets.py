"""What a frozen teacher says of every record, asked once and kept: training then needs neither it nor its leads.

Of 800,035 records a teacher of 1,024 features leaves 1.6 GB in float16, in place of 88 GB of leads to be read again in
every epoch. Processes share the work, a kill loses at most the part in work, and what was said is found again by the
teacher's own tensors: ablations of the student ask the same teacher only once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...adapters.base import InputSpec, Taught
from ...adapters.errors import MibenchError
from ...adapters.signal import prepare
from ..data.store import SignalStore
from ..files import safe_name, sha256_json, write_array
from ..home import home
from ..progress import Steps
from .engine import Engine

PART_RECORDS = 4096
WHOLE = "targets.npy"
TYPES: dict[str, np.dtype[Any]] = {"float16": np.dtype(np.float16), "float32": np.dtype(np.float32)}


def kept_as(chosen: str, precision: str) -> torch.dtype:
    """The type in which targets are kept, whether they come from the cache or not.

    Args:
        chosen: "float16", "float32", or "auto".
        precision: of the training.
    """
    if chosen == "auto":
        return torch.float16 if "mixed" in precision else torch.float32
    return torch.float16 if chosen == "float16" else torch.float32


def cached_targets(
    objective: Taught,
    method: str,
    identity: Mapping[str, Any],
    view: InputSpec,
    store: SignalStore,
    engine: Engine,
    precision: str,
    batch_size: int,
    kept: torch.dtype,
    steps: Steps,
    say: Callable[[str], None],
) -> npt.NDArray[Any]:
    """(records, features) of a whole store, memory-mapped: row i is what the teacher says of record i.

    Args:
        objective: on the device; its teacher is asked in evaluation mode, in batches as large as those of training,
            so that it says the very same, bit for bit.
        identity: of the method, options included.
        view: of the teacher.
        engine: whose processes share the work.
        precision: of the training.
        kept: type on disk.

    Raises:
        MibenchError: the teacher says something that is not finite, or too large to be kept so.
    """
    assert isinstance(objective, nn.Module)
    type_name = "float16" if kept is torch.float16 else "float32"
    key = sha256_json(
        {
            "method": dict(identity),
            "teacher": _content(objective.teacher),
            "view": asdict(view),
            "signals": store.manifest,
            "precision": precision,
            "batch_size": batch_size,
            "type": type_name,
        }
    )[:16]
    folder = home() / "targets" / safe_name(method) / key
    whole = folder / WHOLE
    # The leading process looks; two machines may not see a new file at the same time.
    if not engine.agreed(_whole(whole, len(store), TYPES[type_name]) is not None):
        folder.mkdir(parents=True, exist_ok=True)
        say(f"asking the frozen teacher of {method} once about each of {len(store):,} records; kept in {folder}")
        _ask(objective, view, store, engine, batch_size, kept, folder, steps(f"teacher of {method}", len(store)))
        engine.wait()
        if engine.leads:
            _join(folder, len(store), TYPES[type_name])
        engine.wait()
    found = _whole(whole, len(store), TYPES[type_name])
    if found is None:
        raise MibenchError(
            f"{whole} is not there for process {engine.rank}: MIBENCH_HOME must be shared by all machines"
        )
    return found


def teach(objective: Taught, view: Tensor, engine: Engine, kept: torch.dtype) -> Tensor:
    """(batch, leads, samples) -> (batch, features) as it is kept.

    Raises:
        MibenchError: a value that is not finite, as it is kept.
    """
    with torch.no_grad(), engine.fabric.autocast():
        said = objective.teach(view)
    targets = said.to(kept)
    if not bool(torch.isfinite(targets).all()):
        large = bool(torch.isfinite(said).all())
        why = (
            "too large for float16: add --set protocol.targets=float32" if large else "not finite: look at its weights"
        )
        raise MibenchError(f"what the frozen teacher says of some record is {why}")
    return targets


def _ask(
    objective: Taught,
    view: InputSpec,
    store: SignalStore,
    engine: Engine,
    batch_size: int,
    kept: torch.dtype,
    folder: Path,
    bar: Callable[[int], None],
) -> None:
    assert isinstance(objective, nn.Module)
    training = objective.training
    objective.eval()
    for number, start in enumerate(range(0, len(store), PART_RECORDS)):
        rows = np.arange(start, min(start + PART_RECORDS, len(store)), dtype=np.int64)
        file = folder / f"part-{number:05d}.npy"
        if number % engine.world == engine.rank and _whole(file, len(rows), None) is None:
            found = []
            for first in range(0, len(rows), batch_size):
                chosen = rows[first : first + batch_size]
                # The last batch is filled up: a batch of another size is rounded otherwise in its last bits.
                filled = np.resize(chosen, batch_size)
                millivolt = torch.from_numpy(store.read(filled, view.leads)).to(engine.device, non_blocking=True)
                prepared = prepare(millivolt, store.sampling_rate, view.leads, view)[:, 0]
                found.append(teach(objective, prepared, engine, kept)[: len(chosen)].cpu())
                bar(start + first + len(chosen))
            part = torch.cat(found).numpy()
            write_array(file, part.shape, part.dtype, [part])
        bar(start + len(rows))
    objective.train(training)


def _join(folder: Path, records: int, kind: np.dtype[Any]) -> None:
    """One file out of all parts, which then go; memory holds one part at a time."""
    parts = sorted(folder.glob("part-*.npy"))
    width = np.load(parts[0], mmap_mode="r").shape[1]
    write_array(folder / WHOLE, (records, width), kind, (np.load(part) for part in parts))
    for part in parts:
        part.unlink()


def _whole(file: Path, records: int, kind: np.dtype[Any] | None) -> npt.NDArray[Any] | None:
    """The array in a file, None when it is absent, damaged, or of another kind."""
    try:
        found: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = found.ndim == 2 and len(found) == records and (kind is None or found.dtype == kind)
    return found if fits else None


def _content(network: nn.Module) -> str:
    """sha256 over the names and values of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(
            tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
            if tensor.ndim
            else str(tensor.item()).encode()
        )
    return digest.hexdigest()
