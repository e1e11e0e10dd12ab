"""What a pre-training will take on this machine: disk, memory and hours, out of a few measured seconds of its own loop.

The loop is the real one, on the demo heart, whose records have the size of MIMIC-IV-ECG's: its speed is measured, the
number of records and epochs is known, and the rest is arithmetic. Nothing is extrapolated but the length.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..adapters import registry
from ..adapters.base import LEADS, MethodCard, Pretrainable, Taught
from ..adapters.checkpoints import save_weights
from ..adapters.errors import MibenchError
from . import config
from .choices import PretrainChoices, Say, choose_device
from .data import catalog, mimic
from .data.dataset import Dataset
from .data.holdout import USUAL
from .data.readers import MIMIC_IV_ECG
from .embed import Batching
from .home import home
from .progress import steps
from .protocols import pretrain
from .protocols.request import Request
from .training.loop import Saving, Training, Ways, resolved
from .training.schedule import Settings
from .training.targets import kept_as, teach

SECONDS = 10.0
FEW = 64
GIB = 2**30


@dataclass(frozen=True)
class Sized:
    """The data that are planned for: how many records are trained on, how many there are, and what they are called."""

    name: str
    training: int
    records: int
    samples: int
    registered: bool


@dataclass(frozen=True)
class Stage:
    """One pre-training as measured.

    Attributes:
        method: that is trained.
        settings: its recipe.
        measured: records in each step that was timed.
        rate: records per second in a step, with a frozen teacher asked before.
        teacher_rate: records per second of asking the teacher; None without one that is frozen.
        memory: bytes at most, of the GPU, or of this process at the measured batch.
        parameters: bytes of the objective's tensors.
        trained: bytes of those that learn.
        targets: bytes of what a teacher says of one record; 0 without one.
    """

    method: str
    settings: Settings
    measured: int
    rate: float
    teacher_rate: float | None
    memory: int
    parameters: int
    trained: int
    targets: int

    def hours(self, data: Sized) -> float:
        """Of the whole training on this machine as it is: one process."""
        seconds = data.training * self.settings.epochs / self.rate
        if self.teacher_rate is not None:
            seconds += data.records / self.teacher_rate
        return seconds / 3600

    def disk(self, data: Sized) -> int:
        """Bytes beside the store: the teacher's words, two checkpoints and one on its way, the best and the result."""
        checkpoint = self.parameters + 2 * self.trained
        return self.targets * data.records + 3 * checkpoint + 2 * self.parameters


def plan_and_show(methods: Sequence[str], choices: PretrainChoices, say: Say) -> str:
    """The plan of some methods, or of all that mibench can pre-train for `all`; as text.

    Raises:
        MibenchError: a method that has no pre-training.
    """
    from tabulate import tabulate

    names = trainable() if list(methods) == ["all"] else list(methods)
    data = _sized(choices.data)
    device = choose_device(choices.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    catalog.open_dataset(catalog.DEMO, steps)
    rows: list[list[str]] = []
    for name in names:
        say(f"measuring {name} for about {SECONDS:.0f} s")
        rows += [_row(stage, data) for stage in _alone(name, choices, device)]
    store = data.records * len(LEADS) * data.samples * 2
    free = shutil.disk_usage(next(place for place in (home(), *home().parents) if place.exists())).free
    source = "registered here" if data.registered else "not registered here: its published size"
    header = ["method", "epochs", "batch", "precision", "records/s", "hours", "memory", "disk beside the store"]
    return "\n".join(
        [
            f"{data.name} ({source}): {data.training:,} training records of {data.records:,}; on {where}.",
            f"Its store: {store / 1e9:.1f} GB, read on the way; {free / 1e9:,.0f} GB are free at {home()}.",
            "",
            tabulate(rows, header, "simple", disable_numparse=True, colalign=["left", *["right"] * 7]),
            "",
            f"Measured on the demo heart for about {SECONDS:.0f} s each, in one process, at the batch in brackets "
            f"where it is not the recipe's; a slow disk is not in it. N processes take about an N-th of the hours.",
            "Memory: of the GPU at most, or of this process. Disk: teacher's words, checkpoints, weights.",
        ]
    )


def _alone(name: str, choices: PretrainChoices, device: torch.device) -> list[Stage]:
    """The stages of a method, measured in a process of its own: what another one left in memory is not its doing."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(stages, (name, choices, device))


def trainable() -> list[str]:
    """Methods with a pre-training of epochs, in the order of the registry."""
    cards, _ = registry.cards()
    found = []
    for card in cards.values():
        try:
            adapter = registry.create(card)
        except MibenchError:
            continue
        if isinstance(adapter, Pretrainable) and adapter.spec.pretrainable and not adapter.spec.weights_of:
            found.append(card.name)
    return found


def stages(name: str, choices: PretrainChoices, device: torch.device) -> list[Stage]:
    """What a method's pre-training consists of, measured: that of what it starts from comes first.

    Raises:
        MibenchError: the method has none.
    """
    with tempfile.TemporaryDirectory() as place:
        return _stages(registry.find(name), choices, device, Path(place))[0]


def _stages(card: MethodCard, choices: PretrainChoices, device: torch.device, place: Path) -> tuple[list[Stage], Path]:
    sets = config.parse_sets(choices.sets)
    card = registry.resolve_options(card, choices.preset, sets["method"])
    adapter = registry.create(card)
    if not isinstance(adapter, Pretrainable) or adapter.spec.weights_of:
        raise MibenchError(f"{card.name} has no pre-training of its own to plan")
    found: list[Stage] = []
    init = {}
    for part, other in card.starts_from.items():
        plain = replace(choices, preset=None, sets=())
        before, init[part] = _stages(registry.find(other), plain, device, place / part)
        found += before
    given = {"epochs": choices.epochs, "batch_size": choices.batch_size, "micro_batch": choices.micro_batch}
    layer = {name: value for name, value in given.items() if value is not None}
    settings, _ = config.protocol(pretrain.NAME, Settings, sets["protocol"], layer, method=card.pretraining)
    settings = resolved(settings, device)
    place.mkdir(parents=True, exist_ok=True)
    training, size = _training(card, adapter, settings, init, device, place)
    stage = _measure(card.name, training, settings, size)
    weights = place / "weights.safetensors"
    save_weights(weights, training.trained_state(), {"method": card.name})
    return [*found, stage], weights


def _training(
    card: MethodCard,
    adapter: Pretrainable,
    settings: Settings,
    init: dict[str, Path],
    device: torch.device,
    place: Path,
) -> tuple[Training, int]:
    demo = catalog.open_dataset(catalog.DEMO, steps)
    size = (settings.micro_batch or settings.batch_size) if device.type == "cuda" else 2
    rows = demo.training_rows()
    # Enough for as many steps as fit into the time: epochs begin anew.
    chosen = rows[: max(FEW, 2 * size)]
    folds = np.full_like(demo.folds, 10)
    folds[chosen] = 1
    few: Dataset = replace(demo, folds=folds)
    size = min(size, len(chosen))
    request = Request(adapter, card, few, place, Batching(device), steps=steps)  # type: ignore[arg-type]
    short = replace(settings, epochs=10_000, batch_size=size, micro_batch=None, warmup_epochs=0, shuffle="records")
    return Training(request, adapter, short, init, 0, place, Saving(), ways=Ways(teacher_cache=False)), size


def _measure(name: str, training: Training, settings: Settings, size: int) -> Stage:
    """Steps until the time is up, the first one, which also makes the optimiser's state, not counted."""
    if training.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(training.device)
    training._train_step()
    seconds, count = _timed(training._train_step, training.device)
    network, kept, teacher_rate, targets = training.network, kept_as(settings.targets, settings.precision), None, 0
    step = seconds / count
    if isinstance(network, Taught) and network.frozen:
        view = training.batches.read(training.rows[:size])[network.teacher_view]
        spent, times = _timed(lambda: teach(network, view, training.engine, kept), training.device, SECONDS / 5)
        teacher_rate = size * times / spent
        targets = teach(network, view, training.engine, kept)[0].nbytes
        step = max(step - spent / times, 0.05 * step)
    return Stage(
        method=name,
        settings=settings,
        measured=size,
        rate=size / step,
        teacher_rate=teacher_rate,
        memory=_memory(training.device),
        parameters=_bytes(network),
        trained=sum(value.nbytes for value in network.parameters() if value.requires_grad),
        targets=targets,
    )


def _timed(work: Callable[[], Any], device: torch.device, limit: float = SECONDS) -> tuple[float, int]:
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() - started < limit:
        work()
        count += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return time.perf_counter() - started, count


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _bytes(network: nn.Module) -> int:
    return sum(value.nbytes for value in network.state_dict().values())


def _row(stage: Stage, data: Sized) -> list[str]:
    settings = stage.settings
    batch = str(settings.batch_size)
    if stage.measured != (settings.micro_batch or settings.batch_size):
        batch += f" ({stage.measured})"
    return [
        stage.method,
        str(settings.epochs),
        batch,
        settings.precision,
        f"{stage.rate:,.1f}",
        f"{stage.hours(data):,.1f}",
        f"{stage.memory / GIB:.1f} GiB",
        f"{stage.disk(data) / 1e9:.1f} GB",
    ]


def _sized(choice: str | None) -> Sized:
    name = choice or MIMIC_IV_ECG
    if choice is None and name not in catalog.registered():
        ((records, _),) = mimic.RELEASES
        return Sized(name, records - USUAL, records, mimic.SAMPLING_RATE * mimic.SECONDS, registered=False)
    data = catalog.open_dataset(name, steps)
    return Sized(data.name, len(data.training_rows()), len(data.records), data.store.samples, registered=True)
