"""The training loop: what is trained, in which order, and how it survives a kill.

The order of records and every random draw are functions of (seed, epoch, step), so that a run that was killed and
started again ends with the same weights, bit for bit on one CPU.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ...adapters.base import LEADS, LoadReport, Pretrainable, Tokenizing
from ...adapters.checkpoints import read_weights, save_weights
from ...adapters.errors import MibenchError
from ...adapters.signal import prepare
from ..ecg import TRAIN_FOLDS, VALIDATION_FOLD
from ..files import atomic_path
from ..protocols.request import Request
from ..seeds import derive
from ..tokens import TokenStore, cached_tokens
from .optimizers import Optimizers
from .schedule import Settings, learning_rate, should_stop, step_rows, steps_per_epoch

CHECKPOINT = "checkpoint.pt"
BEST = "best.safetensors"


@dataclass(frozen=True)
class Saving:
    """When a checkpoint is written: after so many seconds, or after so many steps."""

    seconds: float = 300.0
    steps: int | None = None


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
    ) -> None:
        self.request, self.method, self.settings = request, method, settings
        self.init, self.seed, self.folder, self.saving = init, seed, folder, saving
        self.after_epoch = after_epoch
        self.rows = request.data.rows(TRAIN_FOLDS, labelled=False)
        self.validation = request.data.rows([VALIDATION_FOLD], labelled=False)
        self.per_epoch = steps_per_epoch(len(self.rows), settings)
        if self.per_epoch == 0:
            raise MibenchError(
                f"{request.data.name} has {len(self.rows)} records in folds 1-8, fewer than one batch of "
                f"{settings.batch_size}: choose a smaller one with --batch-size"
            )
        self.total = settings.epochs * self.per_epoch
        self.leads = tuple(lead for lead in LEADS if any(lead in view.leads for view in method.views.values()))
        # Numbers in place of names: all an objective may want to know is who is the same.
        self.patients = np.unique(request.data.patients, return_inverse=True)[1].astype(np.int64)
        self.tokens = self._tokenize()
        self.step = 0
        self.seconds = 0.0
        self.losses: list[dict[str, float]] = []
        device = request.batching.device
        self.fabric = Fabric(
            accelerator="cuda" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision=settings.precision,  # type: ignore[arg-type]
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights", method.spec.name))
            module = method.objective(init)
        reports: Mapping[str, LoadReport] = getattr(method, "init_reports", {})
        self.init_notes = [f"{part}: {note}" for part, report in reports.items() for note in report.notes]
        for note in self.init_notes:
            request.say(note)
        self.optimizers = Optimizers(module, settings)
        self.module = self.optimizers.set_up(self.fabric, module)

    @property
    def network(self) -> nn.Module:
        """The method's own objective, without what the engine wraps around it."""
        inner: nn.Module = self.module.module
        return inner

    def run(self) -> None:
        """Train to the last step, from the last checkpoint when there is one."""
        self._resume()
        bar = self.request.steps(f"pre-training {self.request.method}", self.total)
        started, saved_at, saved_step = time.monotonic(), time.monotonic(), self.step
        before = self.seconds
        while not self.finished:
            self._train_step()
            self.seconds = before + time.monotonic() - started
            bar(self.step)
            if self.step % self.per_epoch == 0:
                self._end_epoch()
            due = time.monotonic() - saved_at >= self.saving.seconds
            due |= self.saving.steps is not None and self.step - saved_step >= self.saving.steps
            # The last step needs none: the weights are written whole a moment later.
            if due and not self.finished:
                self._save()
                saved_at, saved_step = time.monotonic(), self.step

    def _train_step(self) -> None:
        self.module.train()
        rows = step_rows(self.rows, self.settings, self.seed, self.step)
        torch.manual_seed(derive(self.seed, "step", self.step))
        parts = self.module(self._batch(rows))
        broken = [name for name in self.optimizers.losses if not torch.isfinite(parts[name])]
        if broken:
            value, name = float(parts[broken[0]].detach()), broken[0].replace("_", " ")
            records = ", ".join(self.request.data.records[rows].tolist())
            raise MibenchError(
                f"pre-training {self.request.method}: the {name} is {value} at step {self.step}; "
                f"the batch holds records {records}. The last checkpoint is kept; "
                f"lower the rate with --set protocol.learning_rate"
            )
        self.optimizers.step(self.fabric, self.module, parts, learning_rate(self.settings, self.step, self.total))
        logged = {name: float(value.detach()) for name, value in parts.items()}
        self.losses.append({"step": float(self.step), **logged})
        self.step += 1

    def _batch(self, rows: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """Every view of the records, prepared on the device; leads that no view takes are never read."""
        device = self.request.batching.device
        patient = torch.from_numpy(self.patients[rows]).to(device, non_blocking=True)
        if self.tokens is not None:
            tokens = self.tokens.read(rows)
            return {"patient": patient, **{name: value.to(device) for name, value in tokens.items()}}
        store = self.request.data.store
        millivolt = torch.from_numpy(store.read(rows, self.leads)).to(device, non_blocking=True)
        views = {
            name: prepare(millivolt, store.sampling_rate, self.leads, view) for name, view in self.method.views.items()
        }
        single = {
            name for name, view in self.method.views.items() if view.window_count == 1 and view.windows != "tiled"
        }
        return {"patient": patient, **{name: view[:, 0] if name in single else view for name, view in views.items()}}

    def _tokenize(self) -> TokenStore | None:
        """The tokens of all records, where the method reads tokens: they are cut once, not once in every epoch."""
        method, request = self.method, self.request
        if not isinstance(method, Tokenizing):
            return None
        (view,) = method.views.values()
        return cached_tokens(method, view, request.data.store, self.leads, request.steps)

    def _end_epoch(self) -> None:
        epoch = self.step // self.per_epoch
        train = float(np.mean([entry["loss"] for entry in self.losses[-self.per_epoch :]]))
        text = f"epoch {epoch} of {self.settings.epochs}: training loss {train:.4f}"
        validation = self._validate()
        if validation is not None:
            before = self.validation_losses
            self.losses[-1]["validation_loss"] = validation
            text += f", validation loss {validation:.4g}"
            # An epoch that ends as it began, in a run that was killed, is chosen again: the file is the same.
            if self.settings.select == "best" and validation < min(before, default=math.inf):
                save_weights(
                    self.folder / BEST, self.method.trained_state(self.network), {"method": self.request.method}
                )
        self.request.say(self.request.numbered(text))
        self.after_epoch(self, epoch)

    @property
    def validation_losses(self) -> list[float]:
        """One for each epoch so far; empty without validation records."""
        return [entry["validation_loss"] for entry in self.losses if "validation_loss" in entry]

    @property
    def finished(self) -> bool:
        """After the last step, or when the patience is used up."""
        between = self.step % self.per_epoch == 0
        return self.step >= self.total or (between and should_stop(self.settings, self.validation_losses))

    def chosen_state(self) -> tuple[dict[str, Tensor], int]:
        """The weights to keep, and the epoch that they are of, counted from 1."""
        last = self.step // self.per_epoch
        losses = self.validation_losses
        if self.settings.select == "last" or not losses:
            return self.method.trained_state(self.network), last
        return read_weights(self.folder / BEST)[0], 1 + int(np.argmin(losses))

    def _validate(self) -> float | None:
        """Mean loss over fold 9 in record order; None when it has less than one batch.

        A loss that depends on the batch, as contrastive ones do, is taken over full batches only; a criterion of the
        single records, over all.
        """
        size = min(self.settings.batch_size, len(self.validation))
        singly = hasattr(self.network, "criterion")
        if size < (1 if singly else 2):
            return None
        self.module.eval()
        torch.manual_seed(derive(self.seed, "validation"))
        stop = len(self.validation) if singly else len(self.validation) - size + 1
        batches = [self.validation[start : start + size] for start in range(0, stop, size)]
        with torch.no_grad():
            losses = [float(self.module(self._batch(rows))["loss"]) for rows in batches]
        return float(np.average(losses, weights=[len(rows) for rows in batches]))

    def _save(self) -> None:
        state = {
            "module": self.network.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
        }
        with atomic_path(self.folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        file = self.folder / CHECKPOINT
        if self.request.force or not file.is_file():
            return
        try:
            state = torch.load(file, map_location=self.request.batching.device, weights_only=True)
            self.network.load_state_dict(state["module"])
            self.optimizers.load_state_dict(state["optimizers"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        except Exception as problem:
            raise MibenchError(
                f"{file} cannot be read ({problem}): remove it to start this pre-training again"
            ) from problem
        self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
        self.request.say(f"resuming the pre-training of {self.request.method} at step {self.step} of {self.total}")


def losses_as_csv(losses: list[dict[str, float]]) -> str:
    """A line per step; the validation loss stands in the last line of each epoch."""
    columns = list(dict.fromkeys(name for entry in losses for name in entry))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**entry, "step": int(entry["step"])} for entry in losses)
    return text.getvalue()
