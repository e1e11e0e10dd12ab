"""Parameters and multiply-accumulates of a method, by two counters that miss different things, in three recipes.

ptflops prints the paper's figures and misses attention that is fused or spelled with `@`, weights used as plain
tensors, and layers that are derived from torch's; the other counter sees every matrix product and convolution, and
nothing that is done element by element. Each count is of one record.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...adapters.base import Adapter, Counted, Encoder, Generator, MethodCard, PaperCount, Pretrainable
from ..bench import networks
from ..costs import both_macs, ptflops_macs, true_macs
from ..seeds import derive
from .inputs import forward_of, load_at_random, objective_of, records, step_batch

PAPER, STEP, INFERENCE = RECIPES = ("paper", "pretraining-step", "single-lead-inference")
"""`paper` is what Table 4 was counted on; `pretraining-step` the forward pass of a step, masks and views as they are;
`single-lead-inference` what a record of lead I takes, all of its windows."""

TOGETHER = 2
"""Records of a counted step: a contrast needs another one."""

T = TypeVar("T")
Counts = dict[str, "int | None"]


def count(card: MethodCard, adapter: Adapter, recipes: Sequence[str]) -> tuple[Counts, dict[str, Counts]]:
    """(parameters, MACs by recipe) of a method with random weights.

    Args:
        card: with its options resolved.
        recipes: of `RECIPES`; a recipe that the method has nothing for holds None.

    Returns:
        "total" and "trainable" parameters of the network that is pre-trained, or of the one that is probed where
        mibench pre-trains none; "probed" of the latter; "paper" as the paper's counter has them. MACs by "ptflops" and
        "counted".
    """
    parameters: Counts = dict.fromkeys(("total", "trainable", "probed", "paper"))
    macs: dict[str, Counts] = {recipe: {"ptflops": None, "counted": None} for recipe in recipes}
    if PAPER in recipes and isinstance(adapter, Counted):
        macs[PAPER], parameters["paper"] = _paper(adapter.paper_count())
    if isinstance(adapter, (Encoder, Generator)):
        load_at_random(adapter, torch.device("cpu"))
        nets = nn.ModuleList(networks(adapter).values())
        parameters |= _parameters(nets) | {"probed": sum(value.numel() for value in nets.parameters())}
        if INFERENCE in recipes:
            macs[INFERENCE] = _inference(adapter, nets)
        del nets
    if isinstance(adapter, Pretrainable) and adapter.spec.pretrainable:
        with objective_of(card, adapter) as objective:
            parameters |= _parameters(objective)
            if STEP in recipes:
                macs[STEP] = _step(objective, step_batch(adapter, records(TOGETHER)))
    return parameters, macs


class _Fixed(nn.Module):
    """Runs a call whose networks it holds, in the mode that they are in: ptflops puts everything in evaluation."""

    def __init__(self, parts: nn.Module, run: Callable[[], Any]) -> None:
        super().__init__()
        self.parts = parts
        self._run = run

    def train(self, mode: bool = True) -> _Fixed:
        return self

    def forward(self) -> Any:
        return self._run()


def _paper(recipe: PaperCount) -> tuple[Counts, int | None]:
    module = recipe.module.eval()
    found = []
    for draw in range(recipe.draws):
        torch.manual_seed(derive(draw, "count"))
        found.append(_counted(module, recipe.inputs, recipe.without))
    theirs = [macs for macs, _, _ in found if macs is not None]
    return {
        "ptflops": round(sum(theirs) / len(theirs)) if len(theirs) == len(found) else None,
        "counted": round(sum(macs for _, macs, _ in found) / len(found)),
    }, found[0][2]


def _inference(adapter: Adapter, nets: nn.Module) -> Counts:
    run = forward_of(adapter, records(1))
    # The counter looks for the gradient of whatever could have one.
    nets.requires_grad_(False)
    found = _quietly(lambda: ptflops_macs(_Fixed(nets, run), dict))
    return {"ptflops": None if found is None else found[0], "counted": true_macs(run)}


def _step(objective: nn.Module, batch: dict[str, Tensor]) -> Counts:
    objective.train()
    before = [value.clone() for value in objective.buffers()]
    theirs, ours, _ = _of_step(objective, batch)
    if any(not torch.equal(value, old) for value, old in zip(objective.buffers(), before, strict=True)):
        # A vocabulary is made in the first step, which is not what a step costs.
        theirs, ours, _ = _of_step(objective, batch)
    return {"ptflops": None if theirs is None else theirs // TOGETHER, "counted": ours // TOGETHER}


def _of_step(objective: nn.Module, batch: dict[str, Tensor]) -> tuple[int | None, int, int | None]:
    torch.manual_seed(derive(0, "count"))
    return _counted(_Fixed(objective, lambda: objective(batch)), dict)


def _counted(
    module: nn.Module, inputs: Callable[[], dict[str, Any]], without: Sequence[str] = ()
) -> tuple[int | None, int, int | None]:
    """(MACs by ptflops, true MACs, parameters by ptflops); None where ptflops gives up on a network."""
    found = _quietly(lambda: both_macs(module, inputs, without=without))
    return found or (None, true_macs(lambda: module(**inputs())), None)


def _quietly(call: Callable[[], T]) -> T | None:
    """What a call to ptflops gives, None where it gives up on a network: it then prints a traceback."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
        try:
            return call()
        except (TypeError, AttributeError, RuntimeError):
            return None


def _parameters(module: nn.Module) -> Counts:
    sizes = [(value.numel(), value.requires_grad) for value in module.parameters()]
    return {"total": sum(size for size, _ in sizes), "trainable": sum(size for size, learns in sizes if learns)}
