"""Every built-in method against the conformance kit: at a tiny width always, at full size when there is time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mibench.adapters import registry
from mibench.adapters.base import Fittable
from mibench.benchmark.config import parse_sets
from mibench.benchmark.conformance import CHECKS, Bench, Check, run_checks
from support import TINY

SIZES = {
    "selfmis": TINY,
    "ecgfounder": TINY,
    "ecgfounder-12lead": TINY,
    "noise-matched": ("method.like=zero-mask",),  # which needs no weights to start from
}
"""Settings that make a method tiny, or quick, where no preset does."""

NEEDS_MORE = {"fairseq-signals": "needs another interpreter; tests/adapters/test_isolated.py gives it one"}
CARDS = registry.cards()[0]
METHODS = [name for name, card in CARDS.items() if card.origin == "built in"]


@pytest.fixture(scope="session")
def signals() -> np.ndarray:
    """32 records of the demo heart, twelve leads."""
    return Bench(registry.create(registry.find("prevalence"))).millivolt


def bench_of(name: str, signals: np.ndarray, *, tiny: bool, device: str = "cpu") -> Bench:
    if name in NEEDS_MORE:
        pytest.skip(NEEDS_MORE[name])
    card = CARDS[name]
    sets = parse_sets(SIZES.get(name, ()))["method"] if tiny else {}
    preset = "tiny" if tiny and "tiny" in card.presets else None
    return Bench(registry.create(registry.resolve_options(card, preset, sets)), signals, device=device)


@pytest.fixture(scope="module")
def tiny(request: pytest.FixtureRequest, signals: np.ndarray) -> Bench:
    return bench_of(request.param, signals, tiny=True)


@pytest.fixture(scope="module")
def full(request: pytest.FixtureRequest, signals: np.ndarray) -> Bench:
    return bench_of(request.param, signals, tiny=False)


@pytest.mark.parametrize("tiny", METHODS, indirect=True)
@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_tiny_one_conforms(tiny: Bench, check: Check) -> None:
    check(tiny)


@pytest.mark.slow
@pytest.mark.parametrize("full", METHODS, indirect=True)
@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_the_full_size_conforms(full: Bench, check: Check) -> None:
    check(full)


@pytest.mark.gpu
@pytest.mark.parametrize("name", METHODS)
def test_the_full_size_conforms_on_a_gpu(name: str, signals: np.ndarray) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    bench = bench_of(name, signals, tiny=False, device="cuda")
    assert [outcome.sentence for outcome in run_checks(bench) if outcome.state == "failed"] == []


def test_a_tiny_method_is_tiny() -> None:
    """Otherwise the tests above would take the time of the full size."""
    for name in METHODS:
        card = CARDS[name]
        without_network = "net" not in card.options or isinstance(registry.create(card), Fittable)
        assert "tiny" in card.presets or name in SIZES or name in NEEDS_MORE or without_network, name
