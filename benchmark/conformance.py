"""Checks that any method must pass, ours or a stranger's, before its numbers mean anything.

On the command line: `mibench methods check path/to/my_adapter.py:MyNet`. In the tests of a package of one's own:

    import pytest
    from mibench.benchmark.conformance import CHECKS, Bench

    from my_package.adapter import MyNet

    @pytest.fixture(scope="module")
    def bench():
        return Bench(MyNet())  # lead I of 32 records of the demo heart, random weights, on the CPU

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_my_net_conforms(check, bench):
        check(bench)

`Bench` also takes a store or an array of signals, a weights file, a device and the observed leads. A check that fails
raises `NonconformingError`, whose sentence says what is wrong and how it is mended; one that has nothing to look at in
a method of this kind raises `NotApplicable`, which pytest counts as skipped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from ..adapters.base import Adapter, Encoder, Generator, Kind
from ..adapters.errors import MibenchError
from . import checks, training_checks
from .bench import Array, Bench
from .checks import NonconformingError, NotApplicable
from .data.store import SignalStore
from .weights import Weights

__all__ = ["CHECKS", "Bench", "Check", "NonconformingError", "NotApplicable", "Outcome", "assert_sound", "run_checks"]


@dataclass(frozen=True)
class Check:
    """One property of every method; called with a bench, it returns or raises.

    Attributes:
        name: one word.
        look: raises `NonconformingError` or `NotApplicable`, or returns.
        kinds: of methods that it looks at.
    """

    name: str
    look: Callable[[Bench], None]
    kinds: tuple[Kind, ...] = ("encoder", "generator")

    @property
    def description(self) -> str:
        """What holds when it passes, in one line."""
        return (inspect.getdoc(self.look) or self.name).partition("\n")[0].rstrip(".")

    def __call__(self, bench: Bench) -> None:
        """Look at the method on the bench.

        Raises:
            NonconformingError: it does not hold.
            NotApplicable: the method is of another kind, or has not got what this looks at.
        """
        kind = bench.adapter.spec.kind
        if kind not in self.kinds:
            raise NotApplicable(f"this is a {kind}; the check is for {' and '.join(f'{name}s' for name in self.kinds)}")
        self.look(bench)

    def __str__(self) -> str:
        return self.name


ANY: tuple[Kind, ...] = ("encoder", "generator", "part")

CHECKS: tuple[Check, ...] = (
    Check("spec", checks.spec, ANY),
    Check("options", checks.options, ANY),
    Check("load", checks.load, ANY),
    Check("shape", checks.shape),
    Check("finite", checks.finite),
    Check("flat", checks.flat),
    Check("noise", checks.noise),
    Check("repeat", checks.repeat),
    Check("history", checks.history),
    Check("batch", checks.batch),
    Check("device", checks.device),
    Check("leads", checks.leads),
    Check("input", checks.input_signal),
    Check("frozen", checks.frozen),
    Check("eval", checks.evaluation),
    Check("gradient", checks.gradient),
    Check("memory", checks.memory),
    Check("tokens", checks.tokens, ("encoder",)),
    Check("tune", training_checks.tune, ("encoder",)),
    Check("training", training_checks.training, ("generator",)),
    Check("fit", training_checks.fit, ("generator",)),
)
"""Every check, in the order in which their findings are best read."""


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Attributes:
        check: which one.
        state: "ok", "failed", or "skipped" where it did not apply.
        sentence: what is wrong and how it is mended, or why it was skipped.
    """

    check: Check
    state: Literal["ok", "failed", "skipped"]
    sentence: str = ""


def run_checks(
    adapter: Adapter | Bench,
    store: SignalStore | Array | None = None,
    device: str | torch.device = "cpu",
    weights: Weights | Path | None = None,
) -> list[Outcome]:
    """Every check on one method; none stops the others, unless the method cannot even be loaded.

    Args:
        adapter: the method, or a bench with the method on it.
        store: signals to check it with, as `Bench` takes them.
        device: where its network lives.
        weights: that it is loaded with; None is random weights.
    """
    bench = adapter if isinstance(adapter, Bench) else Bench(adapter, store, device=device, weights=weights)
    return list(outcomes(bench))


def outcomes(bench: Bench) -> Iterator[Outcome]:
    """The same one by one, as they come."""
    loads = True
    for check in CHECKS:
        outcome = _outcome(check, bench) if loads else Outcome(check, "skipped", "the method does not load")
        loads = loads and not (check.look is checks.load and outcome.state == "failed")
        yield outcome


def assert_sound(method: Encoder | Generator, store: SignalStore, leads: Sequence[str], device: torch.device) -> None:
    """The quick look before a long run: three records twice, together and alone, as the method is loaded now.

    Raises:
        MibenchError: a wrong shape, NaN, a second pass that differs (dropout or batch statistics still on), or an
            output that depends on the other records of its batch.
    """
    bench = Bench(method, store, leads=leads, device=device, records=3, loaded=True)
    first = checks.require_finite(bench, bench.observed())
    checks.require_repeatable(bench, first)
    checks.require_alone_alike(bench, first, rows=(0,))


def _outcome(check: Check, bench: Bench) -> Outcome:
    try:
        check(bench)
    except NotApplicable as reason:
        return Outcome(check, "skipped", str(reason))
    except MibenchError as problem:
        return Outcome(check, "failed", str(problem))
    # Whatever a stranger's code raises is a finding about it, and the other checks still have something to say.
    except Exception as problem:
        text = f"{type(problem).__name__}: {problem}".rstrip(": ")
        return Outcome(check, "failed", f"method {bench.adapter.spec.name} raised {text}: run it by hand on such input")
    return Outcome(check, "ok")
