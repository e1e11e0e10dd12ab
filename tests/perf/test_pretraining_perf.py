"""One pre-training step of every method at full width: memory, records per second, and what each switch is worth.

On a GPU at batch 128 (`torch.cuda.max_memory_allocated`), elsewhere at batch 2 (live tensor bytes).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from mibench.adapters import registry
from mibench.adapters.base import Pretrainable
from mibench.adapters.checkpoints import save_weights
from mibench.benchmark.bench import PeakMemory
from mibench.benchmark.data import catalog
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.data.demo import DemoOptions
from mibench.benchmark.embed import Batching
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.schedule import Settings
from mibench.benchmark.training import Saving, Training

pytestmark = pytest.mark.perf

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
RECORDS = 128 if CUDA else 2
TRANSFORMERS = ("simclr", "3kg", "clocs", "wav2vec2", "w2v-cmsc", "stmem", "heartlang")
MIB = 2**20


@dataclass(frozen=True)
class Variant:
    """One way to take a step."""

    precision: str = "32-true"
    net: tuple[tuple[str, Any], ...] = ()


VARIANTS = {
    "fp32": Variant(),
    "fp32, plain attention": Variant(net=(("attention", "plain"),)),
    "bf16": Variant("bf16-mixed"),
    "bf16, checkpointing": Variant("bf16-mixed", (("checkpoint_activations", True),)),
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Enough of the demo heart for a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        return catalog.make_demo(DemoOptions(records=320 if CUDA else 120))


def training_of(name: str, variant: Variant, data: Dataset, folder: Path) -> Training:
    """A method's pre-training at its full size, ready for its first step."""
    net: Mapping[str, Any] = {"net": dict(variant.net)} if variant.net else {}
    card = registry.resolve_options(registry.find(name), overrides=net)
    adapter = registry.create(card)
    assert isinstance(adapter, Pretrainable)
    init = {}
    for part, other in card.starts_from.items():
        source = registry.create(registry.find(other))
        assert isinstance(source, Pretrainable)
        init[part] = folder / f"{other}.safetensors"
        save_weights(init[part], source.trained_state(source.objective({})), {"method": other})
    settings = Settings(epochs=1, batch_size=RECORDS, precision=variant.precision)  # type: ignore[arg-type]
    request = Request(adapter, card, data, folder, Batching(DEVICE))
    return Training(request, adapter, settings, init, 0, folder, Saving())


def measure(name: str, variant: Variant, data: Dataset, folder: Path) -> tuple[float, float]:
    """(peak MiB of the second step, records per second of the third); the first makes the optimiser's state."""
    training = training_of(name, variant, data, folder)
    training._train_step()
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
        training._train_step()
        peak = torch.cuda.max_memory_allocated() / MIB
    else:
        with PeakMemory() as memory:
            training._train_step()
        # What lasts from step to step was made before the count began.
        state = [value for entry in training.optimizer.state.values() for value in entry.values()]
        lasting = [*training.network.parameters(), *training.network.buffers(), *state]
        peak = (memory.peak + sum(value.nbytes for value in lasting if isinstance(value, torch.Tensor))) / MIB
    started = time.perf_counter()
    training._train_step()
    if CUDA:
        torch.cuda.synchronize()
    return peak, RECORDS / (time.perf_counter() - started)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_step_of_pre_training(name: str, records: Dataset, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    found: dict[str, tuple[float, float]] = {}

    def all_variants() -> None:
        for title, variant in VARIANTS.items():
            (tmp_path / title).mkdir()
            found[title] = measure(name, variant, records, tmp_path / title)

    benchmark.pedantic(all_variants, rounds=1)
    for title, (peak, rate) in found.items():
        benchmark.extra_info[title] = f"{peak:,.0f} MiB, {rate:.2f} records/s"
        print(f"\n{name}, {title}, batch {RECORDS} on {DEVICE}: {peak:,.0f} MiB, {rate:.2f} records/s")
    assert found["fp32"][0] <= found["fp32, plain attention"][0]
    assert found["bf16, checkpointing"][0] < found["bf16"][0]


def test_a_step_of_selfmis(records: Dataset, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    peak, rate = benchmark.pedantic(lambda: measure("selfmis", Variant(), records, tmp_path), rounds=1)
    print(f"\nselfmis, fp32, batch {RECORDS} on {DEVICE}: {peak:,.0f} MiB, {rate:.2f} records/s")
    assert rate > 0
