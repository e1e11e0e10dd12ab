"""The training loop: what is trained, in which order, and how it survives a kill.

The order of records and every random draw are functions of (seed, epoch, step, part of the batch), so that a run that
was killed and started again ends with the same weights, bit for bit on one CPU, and so that a batch is the same
whether one process takes it in parts or several take a part each.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...adapters.base import Contrastive, LoadReport, Pretrainable, Taught
from ...adapters.checkpoints import read_weights, save_weights
from ...adapters.errors import MibenchError
from ..protocols.request import Request
from ..seeds import derive
from .batches import Batches, Fetched, leads_of
from .checkpoint import Checkpoints
from .engine import Engine
from .journal import Journal
from .optimizers import Optimizers
from .sampler import MANY_RECORDS, Rows, Sampler, parts_of, steps_per_epoch
from .schedule import Settings, learning_rate, shared_out, should_stop
from .signals import Ahead
from .stopping import Stopping
from .targets import cached_targets, kept_as, teach
from .watch import Watch

BEST = "best.safetensors"


@dataclass(frozen=True)
class Saving:
    """When a checkpoint is written: after so many seconds, or after so many steps."""

    seconds: float = 300.0
    steps: int | None = None


@dataclass(frozen=True)
class Ways:
    """What changes how fast a training is and nothing that it finds, up to the last bits.

    Attributes:
        teacher_cache: ask a frozen teacher once about each record, not in every step.
        compile: let torch compile the network first.
        resume: a checkpoint to go on from, in place of the newest one in the folder.
        tensorboard: a folder for TensorBoard's event files.
    """

    teacher_cache: bool = True
    compile: bool = False
    resume: Path | None = None
    tensorboard: Path | None = None


class Training:
    """One pre-training: its state is the network, the optimisers, the step and the losses so far."""

    def __init__(
        self,
        request: Request,
        method: Pretrainable,
        settings: Settings,
        init: Mapping[str, Path],
        seed: int,
        folder: Path,
        saving: Saving,
        after_epoch: Callable[[Training, int], None] = lambda _training, _epoch: None,
        *,
        engine: Engine | None = None,
        ways: Ways | None = None,
        determinants: Mapping[str, Any] | None = None,
    ) -> None:
        self.request, self.method, self.settings = request, method, settings
        self.init, self.seed, self.folder, self.saving = init, seed, folder, saving
        self.after_epoch, self.ways = after_epoch, ways or Ways()
        self.engine = engine or Engine(request.batching.device, settings.precision)
        self.fabric, self.device = self.engine.fabric, self.engine.device
        self.share = shared_out(settings, self.engine.world)
        self.rows, self.validation = request.data.training_rows(), request.data.held_out_rows()
        self._require_records()
        everything = len(leads_of(method.views)) > 1
        self.sampler = Sampler(self.rows, settings, seed, many=everything and len(request.data.records) > MANY_RECORDS)
        self.per_epoch = self.sampler.per_epoch
        self.total = settings.epochs * self.per_epoch
        self.step = 0
        self.seconds = 0.0
        self._pieces: Ahead[list[Fetched]] | None = None
        objective = self._objective()
        self.kept = kept_as(settings.targets, settings.precision)
        self.batches = self._batches(objective)
        # Of twelve leads that were read for the teacher alone, one is left.
        self.leads = tuple(self.batches.leads)
        self.optimizers = Optimizers(objective, settings)
        trained: Any = torch.compile(objective) if self.ways.compile else objective
        self.module = self.optimizers.set_up(self.engine, trained)
        self.checkpoints = Checkpoints(folder, determinants or {}, request.say)
        self.journal = Journal(folder, self.engine, validated=self._size_of_validation() is not None)
        self.watch = Watch(self)

    def _require_records(self) -> None:
        data, batch = self.request.data, self.settings.batch_size
        if steps_per_epoch(len(self.rows), self.settings) == 0:
            raise MibenchError(
                f"{data.name} has {len(self.rows)} records in {data.training_part}, fewer than one batch of {batch}: "
                f"choose a smaller one with --batch-size"
            )

    def _objective(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "weights", self.method.spec.name))
            objective = self.method.objective(self.init)
        reports: Mapping[str, LoadReport] = getattr(self.method, "init_reports", {})
        self.init_notes = [f"{part}: {note}" for part, report in reports.items() for note in report.notes]
        for note in self.init_notes:
            self.request.say(note)
        if isinstance(objective, Contrastive):
            objective.negatives = self.settings.negatives
            if self.share.passes > 1 and self.settings.negatives == "global":
                raise MibenchError(
                    f"{self.request.method} learns from negatives that learn as well, and these cannot come from "
                    f"another forward pass: leave --micro-batch out, start more processes, or take those of the same "
                    f"pass with --set protocol.negatives=local"
                )
        return objective.to(self.device)

    def _batches(self, objective: nn.Module) -> Batches:
        request, method = self.request, self.method
        targets = None
        cached = self.ways.teacher_cache and isinstance(objective, Taught) and objective.frozen
        if cached and isinstance(objective, Taught):
            targets = cached_targets(
                objective,
                request.method,
                request.method_identity(),
                method.views[objective.teacher_view],
                request.data.store,
                self.engine,
                self.settings.precision,
                self.share.size,
                self.kept,
                request.steps,
                request.say,
            )
        batches = Batches(method, objective, request.data, self.engine, targets, request.steps)
        batches.hold(np.concatenate([self.rows, self.validation]), request.steps)
        return batches

    @property
    def network(self) -> nn.Module:
        """The method's own objective, without what the engine and the compiler wrap around it."""
        inner = self.module.module
        plain: nn.Module = getattr(inner, "_orig_mod", inner)
        return plain

    def run(self) -> None:
        """Train to the last step, from the last checkpoint when there is one.

        Raises:
            MibenchError: a loss is no number; the last good checkpoint stays.
            StoppedError: somebody asked the process to end; a checkpoint was written.
        """
        self._resume()
        bar = self.request.steps(f"pre-training {self.request.method}", self.total)
        started, before = time.monotonic(), self.seconds
        saved_at, saved_step = time.monotonic(), self.step
        with Stopping() as stopping, self.watch, self._ahead() as ahead:
            self._pieces = ahead
            while not self.finished:
                self._train_step()
                self.seconds = before + time.monotonic() - started
                between = self.step % self.per_epoch == 0
                if not (between or self.journal.due(self.step)):
                    continue
                due = time.monotonic() - saved_at >= self.saving.seconds
                due |= self.saving.steps is not None and self.step - saved_step >= self.saving.steps
                stop, save = self._look(stopping.asked, due=due)
                bar(self.step)
                self.watch.show(bar, ahead.waited)
                if between:
                    self._end_epoch()
                # The last step needs none: the weights are written whole a moment later.
                if (save or stop) and not self.finished:
                    self._save()
                    saved_at, saved_step = time.monotonic(), self.step
                    if stop:
                        stopping.end(f"{self.request.method} at step {self.step} of {self.total}")
        self._pieces = None

    def _ahead(self) -> Ahead[list[Fetched]]:
        return Ahead(self._fetch, self.step, self.total)

    def _fetch(self, step: int) -> list[Fetched]:
        """The forward passes of this process in a step, as read from disk."""
        rows = self.sampler.batch(step)
        parts = parts_of(rows, self.share.parts)
        among = np.concatenate(parts) if self.settings.negatives == "global" and self.share.parts > 1 else None
        first = self.engine.rank * self.share.passes
        return [self.batches.fetch(part, among) for part in parts[first : first + self.share.passes]]

    def _train_step(self) -> None:
        self.module.train()
        fetched = self._fetch(self.step) if self._pieces is None else self._pieces.take()
        first = self.engine.rank * self.share.passes
        made: list[dict[str, Tensor]] = []
        rate = learning_rate(self.settings, self.step, self.total)
        self.optimizers.zero()
        if self._teaches_now:
            made = self._taught([self._ready(piece, first + number) for number, piece in enumerate(fetched)])
        sums: dict[str, Tensor] = {}
        for number, piece in enumerate(fetched):
            batch = made[number] if made else self._ready(piece, first + number)
            last = number == len(fetched) - 1
            with nullcontext() if last else self.engine.without_sync(self.module):
                parts = self.module(batch)
                self.optimizers.backward(self.engine, self.module, parts, share=1 / len(fetched))
            for name, value in parts.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(fetched)
        # A wild batch may be noticed a few steps later; what is kept was looked at first.
        self.optimizers.move(self.engine, self.module, rate)
        self.journal.add(self.step, rate, sums)
        self.step += 1

    def _ready(self, piece: Fetched, part: int) -> dict[str, Tensor]:
        # The first part keeps the seed that a batch in one part has.
        names = (self.step,) if part == 0 else (self.step, part)
        torch.manual_seed(derive(self.seed, "step", *names))
        return self.batches.ready(piece)

    @property
    def _teaches_now(self) -> bool:
        return self.batches.targets is None and isinstance(self.network, Taught)

    def _taught(self, batches: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        """Batches with what the teacher says now; among its words to all processes where negatives are shared."""
        network = self.network
        assert isinstance(network, Taught)
        said = [teach(network, batch[network.teacher_view], self.engine, self.kept) for batch in batches]
        if self.settings.negatives == "local" or self.share.parts == 1:
            return [{**batch, "targets": targets} for batch, targets in zip(batches, said, strict=True)]
        everyone = self.engine.gather(torch.cat(said))
        start = self.engine.rank * self.share.passes * self.share.size
        places = torch.arange(start, start + len(batches) * self.share.size, device=self.device)
        return [
            {**batch, "targets": everyone, "places": places[number * self.share.size :][: self.share.size]}
            for number, batch in enumerate(batches)
        ]

    def _look(self, asked: bool, *, due: bool) -> tuple[bool, bool]:
        """Fetch the losses since the last look; whether to stop, and whether to save, which all processes agree on."""
        entries, (stop, save) = self.journal.fetch([float(asked), float(due and self.engine.leads)])
        for entry in entries:
            broken = [name for name in self.optimizers.losses if not math.isfinite(entry[name])]
            if broken:
                raise self._no_number(int(entry["step"]), broken[0], entry[broken[0]])
        self.journal.keep(entries)
        return stop > 0, save > 0

    def _no_number(self, step: int, name: str, value: float) -> MibenchError:
        rows = np.sort(self.sampler.batch(step))
        records = ", ".join(self.request.data.records[rows].tolist())
        kept = self.checkpoints.files()
        left = f"The last checkpoint, {kept[0].name}, is kept" if kept else "No checkpoint was written yet"
        return MibenchError(
            f"pre-training {self.request.method}: the {name.replace('_', ' ')} is {value} at step {step}; "
            f"the batch holds records {records}. {left}; "
            f"lower the rate with --set protocol.learning_rate"
        )

    def _end_epoch(self) -> None:
        epoch = self.step // self.per_epoch
        validation = self._validate()
        lowest = min(self.journal.validation_losses, default=math.inf)
        train = self.journal.end_epoch(validation)
        text = f"epoch {epoch} of {self.settings.epochs}: training loss {train:.4f}"
        if validation is not None:
            text += f", validation loss {validation:.4g}"
            # An epoch that ends as it began, in a run that was killed, is chosen again: the file is the same.
            if validation < lowest and self.engine.leads:
                self._keep_best()
        self.request.say(self.request.numbered(f"{text}; {self.watch.words()}"))
        self.watch.end_epoch(train, validation)
        if self.engine.leads:
            self.after_epoch(self, epoch)

    def _keep_best(self) -> None:
        try:
            save_weights(self.folder / BEST, self.network.state_dict(), {"method": self.request.method})
        except MibenchError as problem:
            # Without `select` it is a convenience, with it the result.
            if self.settings.select == "best":
                raise
            self.request.say(f"the best weights so far were not kept: {problem}")

    @property
    def validation_losses(self) -> list[float]:
        """One for each epoch so far; empty without validation records."""
        return self.journal.validation_losses

    @property
    def finished(self) -> bool:
        """After the last step, or when the patience is used up."""
        between = self.step % self.per_epoch == 0
        return self.step >= self.total or (between and should_stop(self.settings, self.validation_losses))

    def choose(self) -> int:
        """Take up the weights to keep; the epoch that they are of, counted from 1."""
        if self.settings.select == "last" or not self.validation_losses:
            return self.step // self.per_epoch
        self.network.load_state_dict(read_weights(self.folder / BEST)[0])
        return 1 + int(np.argmin(self.validation_losses))

    def trained_state(self) -> dict[str, Tensor]:
        """The weights file to be."""
        return self.method.trained_state(self.network)

    def _size_of_validation(self) -> int | None:
        """Records of a held-out batch, as many as see each other in training; None when there are not enough."""
        together = self.share.size if self.settings.negatives == "local" else self.settings.batch_size
        size = min(together, len(self.validation))
        singly = hasattr(self.network, "criterion")
        return None if size < (1 if singly else 2) else size

    def _validate(self) -> float | None:
        """Mean loss over the held-out records in record order; None when there is less than one batch.

        A loss that depends on the batch, as contrastive ones do, is taken over full batches only; a criterion of the
        single records, over all. Processes take turns.
        """
        size = self._size_of_validation()
        if size is None:
            return None
        network = self.network.eval()
        torch.manual_seed(derive(self.seed, "validation"))
        singly = hasattr(network, "criterion")
        stop = len(self.validation) if singly else len(self.validation) - size + 1
        parts = [self.validation[start : start + size] for start in range(0, stop, size)]
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number, rows in enumerate(parts):
            if number % self.engine.world == self.engine.rank:
                loss = self._loss_of(rows)
                total += torch.tensor([loss * len(rows), len(rows)], dtype=torch.float64, device=self.device)
        loss_sum, count = self.engine.total(total).tolist()
        return float(loss_sum / count)

    def _loss_of(self, rows: Rows) -> float:
        network = self.network
        batch = self.batches.read(rows)
        if self._teaches_now and isinstance(network, Taught):
            batch["targets"] = self._said_of(rows, network)
        # Not through the engine's wrapper, which would wait for other processes.
        with torch.no_grad(), self.fabric.autocast():
            return float(network(batch)["loss"])

    def _said_of(self, rows: Rows, network: Taught) -> Tensor:
        """What the teacher says, in batches as large as those of training: others are rounded otherwise."""
        size = self.share.size
        filled = np.resize(rows, -(-len(rows) // size) * size)
        views = [self.batches.read(part)[network.teacher_view] for part in np.split(filled, len(filled) // size)]
        return torch.cat([teach(network, view, self.engine, self.kept) for view in views])[: len(rows)]

    def _save(self) -> None:
        if self.engine.leads:
            try:
                journal = self.journal.state_dict()
            except OSError as problem:
                self.request.say(f"{self.journal.file} could not be written ({problem.strerror}); no checkpoint either")
                return
            state = {
                "module": self.network.state_dict(),
                "optimizers": self.optimizers.state_dict(),
                "precision": self.fabric.strategy.precision.state_dict(),
                "seconds": self.seconds,
                "journal": journal,
            }
            self.checkpoints.save(self.step, state)

    def _resume(self) -> None:
        if self.request.force and self.ways.resume is None:
            self.journal.start()
            return
        state = self._checkpoint()
        if state is None:
            self.journal.start()
            return
        try:
            self.network.load_state_dict(state["module"])
            self.optimizers.load_state_dict(state["optimizers"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
            self.journal.load_state_dict(state["journal"])
        except (RuntimeError, ValueError, KeyError, TypeError) as problem:
            raise MibenchError(
                f"the checkpoint in {self.checkpoints.folder} does not fit ({problem}): remove it to start this "
                f"pre-training again"
            ) from problem
        self.step, self.seconds = state["step"], state["seconds"]
        self.request.say(f"resuming the pre-training of {self.request.method} at step {self.step} of {self.total}")

    def _checkpoint(self) -> dict[str, Any] | None:
        """The checkpoint that the leading process chooses, read by every process."""
        if self.ways.resume is not None:
            return self.checkpoints.read(self.ways.resume, self.device)
        state = self.checkpoints.newest(self.device) if self.engine.leads else None
        step = self.engine.agreed(None if state is None else state["step"])
        if step is None or state is not None:
            return state
        return self.checkpoints.read(self.checkpoints.folder / f"step-{step:09d}.pt", self.device)

    def summary(self) -> dict[str, Any]:
        """What the record keeps of it; every step's loss is in the csv, since a long training has 125,000 steps."""
        seconds = max(self.seconds, 1e-9)
        return {
            "steps": self.step,
            "epochs": self.step // self.per_epoch,
            "seconds": round(self.seconds, 2),
            "records_per_second": round(self.step * self.settings.batch_size / seconds, 2),
            "first_loss": self.journal.first["loss"],
            "last_loss": self.journal.last["loss"],
            "criterion": getattr(self.network, "criterion", "loss"),
            "validation_losses": self.validation_losses,
            "epoch_losses": self.journal.epoch_losses,
            "losses_file": self.journal.file.name,
            "processes": self.engine.world,
            "passes": self.share.passes,
            "teacher": self._teacher_words(),
            **self.watch.summary(),
        }

    def _teacher_words(self) -> str | None:
        if not isinstance(self.network, Taught):
            return None
        return "asked in every step" if self._teaches_now else "asked once for each record"


def resolved(settings: Settings, device: torch.device) -> Settings:
    """Settings with the precision that "auto" means on a device: 16-mixed on a GPU, 32-true on a CPU."""
    if settings.precision != "auto":
        return settings
    return replace(settings, precision="16-mixed" if device.type == "cuda" else "32-true")
