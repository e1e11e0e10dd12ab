"""What a method costs (paper, Table 4): parameters, MACs, memory of a pre-training step, latency of one record.

No number here depends on data or weights, and most depend on the machine: the record's data are none, its weights
random, and the machine is part of its key, so that profiles of two machines stand side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ...adapters.base import Encoder, Generator, Pretrainable
from ...adapters.options import plain
from .. import config, results
from ..profile_check import ABSENT, COUNTED, MEASURED, NAME
from ..profiling.cells import measured
from ..profiling.counts import RECIPES, count
from ..profiling.hardware import busy_load, cores, hardware
from ..profiling.inputs import RATE, SAMPLES
from ..profiling.latency import Timing, latency
from ..profiling.live import live_mib
from ..profiling.worker import Job
from ..provenance import now, provenance
from ..weights import Weights
from . import pretrain
from .request import Described, Say

__all__ = ["NAME", "RECIPES", "Profiling", "Settings", "batches_of", "run"]

PRECISIONS = ("fp32", "amp")
DATA: dict[str, Any] = {
    "name": "no-data",
    "release": "no data set: costs do not depend on values",
    "notice": None,
    "complete": True,
    "manifest": "none",
    "sampling_rate": RATE,
    "observed_leads": ["I"],
    "records": {},
}
"""The `data` of a profile: the records that a network is given are of the demo heart, and change no figure."""


@dataclass(frozen=True)
class Settings:
    """Settings of the protocol.

    Attributes:
        warmup: passes or steps that are not timed.
        runs, seconds, fewest: of what is timed at batch 1, as `Timing` has them.
        steps: measured pre-training steps of a cell.
        cell_seconds: after which a cell is given up.
        memory_on_cpu: take steps without a GPU too; the memory is that of the process.
        count_memory: without a GPU, count the bytes of live tensors.
    """

    warmup: int = 3
    runs: int = 30
    seconds: float = 1.5
    fewest: int = 3
    steps: int = 3
    cell_seconds: float = 600.0
    memory_on_cpu: bool = False
    count_memory: bool = True

    def __post_init__(self) -> None:
        if min(self.warmup, self.runs, self.fewest, self.steps) < 1 or min(self.seconds, self.cell_seconds) <= 0:
            raise ValueError("warmup, runs, fewest and steps must be at least 1, seconds and cell_seconds above 0")

    @property
    def timing(self) -> Timing:
        """What is timed at batch 1."""
        return Timing(self.warmup, self.runs, self.seconds, self.fewest)


@dataclass(frozen=True)
class Profiling:
    """What is asked of a profile.

    Attributes:
        recipes: of `RECIPES`.
        batches: records of a pre-training step, beside the method's own.
        device: on which memory is measured and latency as well; a CPU's latency always.
        settings, version: of the protocol.
        results: root folder of run records.
        force: profile again what is done.
        preset, sets: the method's options as they were chosen, for other processes.
        say: how progress is told.
    """

    recipes: tuple[str, ...]
    batches: tuple[int, ...]
    device: torch.device
    settings: Settings
    version: int
    results: Path
    force: bool = False
    preset: str | None = None
    sets: Mapping[str, Any] = field(default_factory=dict)
    say: Say = field(default=lambda _text: None)


def run(method: Described, asked: Profiling, export: Callable[[], dict[str, Any]] | None = None) -> Path:
    """Profile one method; what is done already stays, and only a file that is missing is then exported.

    Args:
        export: makes the method's file for a device without torch and measures it; None: not asked for.

    Returns:
        The run record.

    Raises:
        Exception: whatever the method raised; the failure is recorded.
    """
    started = time.monotonic()
    found = determinants(method, asked)
    key = results.run_key(found)
    place = (asked.results, DATA["name"], f"{NAME}-v{asked.version}", method.method, key)
    before = results.read(results.record_path(*place)) if results.exists(*place) and not asked.force else None
    if before is not None and (export is None or before[NAME]["export"] is not None):
        asked.say(f"{method.method}: profiled already on this machine")
        return results.record_path(*place)
    envelope = _envelope(method, asked, found, key)
    try:
        block = dict(before[NAME]) if before is not None else measure(method, asked)
        block["export"] = block.get("export") if export is None else export()
    except Exception as problem:
        results.write_failure(asked.results, envelope, str(problem) or type(problem).__name__)
        raise
    record = {**envelope, "provenance": provenance(str(asked.device), time.monotonic() - started), NAME: block}
    return results.write(asked.results, record, None)


def measure(method: Described, asked: Profiling) -> dict[str, Any]:
    """The record's `profile` block, but for an exported file."""
    adapter = method.adapter
    asked.say(f"{method.method}: parameters and MACs")
    parameters, macs = count(method.card, adapter, asked.recipes)
    memory = _memory(method, asked)
    return {
        "parameters": parameters,
        "macs": macs,
        "memory": memory,
        "latency": _latency(method, asked) if isinstance(adapter, (Encoder, Generator)) else [],
        "energy": _energy(memory),
        "export": None,
        "hardware": hardware(asked.device),
        "input": {"leads": ["I"], "seconds": SAMPLES / RATE, "sampling_rate": RATE},
        "default_batch": _default_batch(method),
        "pretrained_as": None if adapter.spec.pretrainable else adapter.spec.weights_of or None,
    }


def batches_of(method: Described, asked: Sequence[int]) -> list[int]:
    """Batches whose steps are looked at: those asked for and the method's own; none where it is not pre-trained."""
    own = _default_batch(method)
    return [] if own is None else sorted({*asked, own})


def _default_batch(method: Described) -> int | None:
    if not (isinstance(method.adapter, Pretrainable) and method.adapter.spec.pretrainable):
        return None
    settings, _ = config.protocol(pretrain.NAME, pretrain.Settings, method=method.card.pretraining)
    return settings.batch_size


def _memory(method: Described, asked: Profiling) -> list[dict[str, Any]]:
    cells = [(batch, precision) for batch in batches_of(method, asked.batches) for precision in PRECISIONS]
    taken = asked.device.type == "cuda" or asked.settings.memory_on_cpu
    found = _measured(method, asked, cells) if taken else _counted(method, asked, cells)
    return [
        {"batch": batch, "precision": precision, **cell} for (batch, precision), cell in zip(cells, found, strict=True)
    ]


def _measured(method: Described, asked: Profiling, cells: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
    found = []
    for batch, precision in cells:
        asked.say(f"{method.method}: a pre-training step of {batch} records, {precision}")
        cell = measured(_job(method, asked, batch, precision), asked.settings.cell_seconds)
        found.append({"device": asked.device.type, **cell})
    return found


def _counted(method: Described, asked: Profiling, cells: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
    adapter = method.adapter
    possible = asked.settings.count_memory and isinstance(adapter, Pretrainable) and not method.card.starts_from
    found: list[dict[str, Any]] = []
    for batch, precision in cells:
        counted = None
        if possible and isinstance(adapter, Pretrainable):
            asked.say(f"{method.method}: live tensors of a pre-training step of {batch} records, {precision}")
            counted = live_mib(adapter, batch, amp=precision == "amp")
            # Sizes that depend on values do so in every cell.
            possible = counted is not None
        cell = {"status": ABSENT} if counted is None else {"status": COUNTED, "counted_mib": round(counted, 1)}
        found.append({"device": None, **cell})
    return found


def _latency(method: Described, asked: Profiling) -> list[dict[str, Any]]:
    busy = busy_load()
    slower = f"; others use this machine (load {busy} on {cores()} cores), so it takes longer than it need"
    asked.say(f"{method.method}: latency of one record{slower if busy else ''}")
    # On the CPU, as it was loaded for its parameters.
    cpu, settings = torch.device("cpu"), asked.settings
    cells = [
        {"device": name, "status": MEASURED, **latency(method.adapter, cpu, settings.timing, threads)}
        for name, threads in (("cpu, one thread", 1), ("cpu", cores()))
    ]
    for cell in cells if busy else ():
        cell["load"] = busy
    gpu: dict[str, Any] = {"status": ABSENT}
    if asked.device.type == "cuda":
        gpu = measured(_job(method, asked, 0, "fp32"), settings.cell_seconds)
    return [*cells, {"device": "gpu", **gpu}]


def _job(method: Described, asked: Profiling, batch: int, precision: str) -> Job:
    return Job(
        method=method.card.name,
        device=str(asked.device),
        preset=asked.preset,
        sets=dict(asked.sets),
        batch=batch,
        precision=precision,
        steps=asked.settings.steps,
        timing=asdict(asked.settings.timing),
    )


def _energy(memory: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The fewest joules that a record took in a step, and of which cell; None where no driver tells."""
    told = [cell for cell in memory if cell.get("joules_per_record") is not None]
    if not told:
        return None
    best = min(told, key=lambda cell: float(cell["joules_per_record"]))
    return {name: best[name] for name in ("joules_per_record", "batch", "precision", "energy_by")}


def determinants(method: Described, asked: Profiling) -> dict[str, Any]:
    """Whatever determines the figures: the machine is among it, and neither data nor weights are."""
    return {
        "protocol": {"name": NAME, "version": asked.version, "settings": plain(asked.settings)},
        "method": method.method_identity(),
        "recipes": list(asked.recipes),
        "batches": batches_of(method, asked.batches),
        "hardware": hardware(asked.device),
    }


def _envelope(method: Described, asked: Profiling, found: dict[str, Any], key: str) -> dict[str, Any]:
    needs = method.adapter.spec.needs_weights
    weights = Weights("random", "random", seed=0) if needs else Weights("none", "none")
    return {
        "schema": results.SCHEMA_VERSION,
        "key": key,
        "created": now(),
        "protocol": found["protocol"],
        "method": method.method_record(),
        "weights": weights.to_record(),
        "data": DATA,
        "ratio": None,
        "seed": None,
        "determinants": found,
        "provenance": provenance(str(asked.device), 0.0),
    }
