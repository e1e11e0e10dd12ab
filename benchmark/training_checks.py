"""What the conformance checks look at in a method that mibench trains or fits itself; as `benchmark.checks`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..adapters.base import Adapter, Batches, Encoder, Fittable, InputSpec, Players, Pretrainable, Tunable
from ..adapters.checkpoints import save_weights
from ..adapters.errors import MibenchError
from ..adapters.signal import prepare
from .bench import Bench
from .checks import NotApplicable, fail, same
from .ecg import LEADS

RECORDS = 2
"""Of the training step that is looked at: the fewest of which a norm has statistics."""

BATCH = 8
"""Records that a closed form is given at a time; the last batch is the validation fold."""


def training(bench: Bench) -> None:
    """Every network that learns has a finite loss that reaches it, and load() reads what was trained."""
    adapter = bench.adapter
    if not isinstance(adapter, Pretrainable):
        raise NotApplicable("there is no objective to train it with")
    with bench.seeded(2):
        objective = _made(adapter, adapter.init_parts).to(bench.device)
        if not isinstance(getattr(objective, "criterion", None), str):
            fail(bench, "its objective has no `criterion`: say in words what its loss in evaluation mode is")
        players = _players(bench, objective)
        batch = {name: _view(bench, view) for name, view in adapter.views.items()}
        batch["patient"] = torch.arange(RECORDS, device=bench.device)
        parts = objective.train()(batch)
        for name, parameters in players.items():
            _require_loss_reaches(bench, parts, name, parameters)
        with torch.no_grad():
            judged = objective.eval()(batch)
        _require_finite_loss(bench, judged, "loss", "in evaluation mode")
        if isinstance(objective, Players) and set(judged) != {"loss"}:
            beside = ", ".join(sorted(set(judged) - {"loss"}))
            fail(bench, f"in evaluation mode its objective gives {beside} as well: give the criterion alone")
        state = adapter.trained_state(objective)
    _require_read_back(bench, state, "trained_state()")


def fit(bench: Bench) -> None:
    """Fitted twice, it finds the same, and load() reads it."""
    adapter = bench.adapter
    if not isinstance(adapter, Fittable):
        raise NotApplicable("it is no closed form")
    whole = InputSpec(
        leads=LEADS,
        sampling_rate=adapter.spec.sampling_rate,
        samples=round(bench.millivolt.shape[-1] * adapter.spec.sampling_rate / bench.sampling_rate),
        normalization="none",
    )
    records = prepare(torch.from_numpy(bench.millivolt).to(bench.device), bench.sampling_rate, LEADS, whole)[:, 0]
    learned, held_out = _batches(records[:-BATCH]), _batches(records[-BATCH:])
    found = []
    for _ in range(2):
        with bench.seeded(2):
            try:
                found.append(adapter.fit(learned, held_out, {}, bench.device))
            except MibenchError as problem:
                if adapter.init_parts:
                    raise NotApplicable(f"it starts from {', '.join(adapter.init_parts)}: {problem}") from problem
                raise
    broken = [name for name, value in found[0].state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        fail(bench, f"fit() gave numbers in {', '.join(broken)} that are not finite: look where it divides or solves")
    first, second = (result.state for result in found)
    if first.keys() != second.keys() or any(not _alike(bench, first[name], second[name]) for name in first):
        fail(bench, "fitted twice to the same records, it differs: draw from torch's global generator, if at all")
    error = found[0].validation_loss
    if error is not None and not (np.isfinite(error) and error >= 0):
        fail(bench, f"fit() says that its validation loss is {error}: give a mean squared error, or None")
    _require_read_back(bench, first, "fit()")


def tune(bench: Bench) -> None:
    """What network() gives computes what embed() does, and learns from a loss on it."""
    adapter = bench.adapter
    if not (isinstance(adapter, Encoder) and isinstance(adapter, Tunable)):
        raise NotApplicable("it has no network() to train end to end")
    bench.ready()
    ecg = bench.prepared(bench.observed(slice(RECORDS)))
    net = adapter.network()
    if net is not adapter.network():
        fail(bench, "network() gives another network each time: give the one that load() built and embed() runs")
    try:
        wanted = bench.raw(ecg)
        with torch.no_grad():
            found = net.eval()(ecg)
        if not _alike(bench, found, wanted):
            fail(bench, f"network() in evaluation mode differs from embed(): {_apart(found, wanted)}")
        with bench.seeded(2), torch.enable_grad():
            made = net.train()(ecg)
            if not made.requires_grad:
                fail(bench, "network() gives no gradient: leave no_grad and detach to embed()")
            # Weighed at random: of features behind a norm, the plain sum does not depend on what is before it.
            learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
            gradients = torch.autograd.grad((made * torch.randn_like(made)).sum(), learning, allow_unused=True)
        reached = [gradient for gradient in gradients if gradient is not None]
        if not all(bool(torch.isfinite(gradient).all()) for gradient in reached):
            fail(bench, "the gradient in network() is not finite: look where it divides, or takes a root or a log")
        if not any(bool(gradient.any()) for gradient in reached):
            fail(bench, "no gradient reaches the parameters of network(): do not detach what it is to learn from")
    finally:
        # In training mode a norm has moved its statistics.
        bench.load()


def _made(adapter: Pretrainable, parts: tuple[str, ...]) -> nn.Module:
    try:
        return adapter.objective({})
    except MibenchError as problem:
        if parts:
            raise NotApplicable(f"it starts from {', '.join(parts)}: {problem}") from problem
        raise


def _players(bench: Bench, objective: nn.Module) -> dict[str, list[nn.Parameter]]:
    """What learns, by the network that it belongs to; an objective of a single loss has one without a name."""
    given = objective.players() if isinstance(objective, Players) else {"": objective.parameters()}
    players = {name: [value for value in values if value.requires_grad] for name, values in given.items()}
    owners = [id(value) for values in players.values() for value in values]
    if len(set(owners)) < len(owners):
        fail(bench, "players() gives a parameter to two players: each steps alone, give it to one")
    idle = [name for name, value in objective.named_parameters() if value.requires_grad and id(value) not in owners]
    if idle:
        fail(bench, f"players() leaves out {', '.join(idle[:3])}: give it to a player, or freeze it")
    return players


def _view(bench: Bench, view: InputSpec) -> Tensor:
    """As the training loop prepares it."""
    signal = torch.from_numpy(bench.millivolt[:RECORDS]).to(bench.device)
    windows = prepare(signal, bench.sampling_rate, LEADS, view)
    return windows if view.windows == "tiled" or view.window_count > 1 else windows[:, 0]


def _require_loss_reaches(bench: Bench, parts: Mapping[str, Tensor], name: str, parameters: list[nn.Parameter]) -> None:
    """As the trainer takes the gradients: each player's own, one after another, from one pass."""
    loss = f"{name}_loss" if name else "loss"
    _require_finite_loss(bench, parts, loss, "in training mode")
    gradients = torch.autograd.grad(parts[loss], parameters, retain_graph=True, allow_unused=True)
    reached = [gradient for gradient in gradients if gradient is not None]
    whose = f"player {name}" if name else "the network"
    if not all(bool(torch.isfinite(gradient).all()) for gradient in reached):
        fail(bench, f"the gradient of {loss} is not finite: look where it divides, or takes a root or a logarithm")
    if not any(bool(gradient.any()) for gradient in reached):
        fail(bench, f"{loss} does not reach the parameters of {whose}: do not detach what it is to learn from")


def _require_finite_loss(bench: Bench, parts: Mapping[str, Tensor], name: str, mode: str) -> None:
    if name not in parts:
        fail(bench, f"{mode} its objective gives {', '.join(parts)} and no `{name}`: give it, as a single number")
    if parts[name].ndim or not bool(torch.isfinite(parts[name])):
        fail(bench, f"{mode} `{name}` is no finite single number: take the mean over records, and look for a division")


def _require_read_back(bench: Bench, state: Mapping[str, Tensor], source: str) -> None:
    adapter: Adapter = bench.adapter
    before = bench.output(bench.observed(slice(3)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        save_weights(file, state, {"method": adapter.spec.name})
        try:
            adapter.load(file, bench.device)
            after = bench.output(bench.observed(slice(3)))
        finally:
            bench.load()
    if not np.isfinite(after).all():
        fail(bench, f"with what {source} gave, its synthetic ECG is not finite")
    if np.array_equal(before, after):
        fail(bench, f"with what {source} gave, it makes what it made before: let load() take every tensor of the file")


def _batches(records: Tensor) -> Batches:
    return lambda: (records[start : start + BATCH] for start in range(0, len(records), BATCH))


def _alike(bench: Bench, first: Tensor, second: Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    largest = float(first.double().abs().max()) if first.numel() else 0.0
    return bool(((first.double() - second.double()).abs() <= same(bench) * largest).all())


def _apart(found: Tensor, wanted: Tensor) -> str:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        shapes = f"{tuple(found.shape)} of {found.dtype} and {tuple(wanted.shape)} of {wanted.dtype}"
        return f"{shapes}: let it pool as embed() does"
    return f"by {float((found - wanted).abs().max()):.3g} at most: leave nothing that embed() does outside of it"
