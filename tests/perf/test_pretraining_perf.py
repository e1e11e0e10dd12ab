"""One pre-training step of every method at full width: memory, records per second, and what each switch is worth.

On a GPU at batch 128, in fp32 and bf16 (`torch.cuda.max_memory_allocated`). Without one, records per second at batch 2
in fp32, and the bytes of live tensors at batch 128, counted on tensors that have sizes and no values.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytest_benchmark.fixture import BenchmarkFixture
from torch._subclasses.fake_tensor import FakeTensorMode

from mibench.adapters import registry
from mibench.adapters.base import Pretrainable, Taught
from mibench.adapters.checkpoints import save_weights
from mibench.benchmark.bench import PeakMemory
from mibench.benchmark.data import catalog
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.data.demo import DemoOptions
from mibench.benchmark.embed import Batching
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.training.loop import Saving, Training
from mibench.benchmark.training.schedule import Settings

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


PLAIN, CHECKPOINTING = ("attention", "plain"), ("checkpoint_activations", True)
VARIANTS = {
    "fp32": Variant(),
    "fp32, plain attention": Variant(net=(PLAIN,)),
    "bf16": Variant("bf16-mixed"),
    "bf16, checkpointing": Variant("bf16-mixed", (CHECKPOINTING,)),
}
# A CPU that knows no bf16 takes minutes for a step of it.
HERE = VARIANTS if CUDA else {title: VARIANTS[title] for title in ("fp32", "fp32, plain attention")}

PAPER = yaml.safe_load((resources.files("mibench.results") / "paper.yaml").read_text(encoding="utf-8"))
TABLE_4 = {"simclr": "SimCLR", "3kg": "3KG", "clocs": "CLOCS", "stmem": "ST-MEM"}
"""Methods whose sizes do not depend on values, by their row of the paper's table."""


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
        # One step of its own: a vocabulary that was never set is refused.
        (folder / other).mkdir()
        source = training_of(other, Variant(), data, folder / other)
        source._train_step()
        init[part] = folder / f"{other}.safetensors"
        save_weights(init[part], source.method.trained_state(source.network), {"method": other})
    settings = Settings(epochs=1, batch_size=RECORDS, precision=variant.precision)  # type: ignore[arg-type]
    request = Request(adapter, card, data, folder, Batching(DEVICE))
    return Training(request, adapter, settings, init, 0, folder, Saving())


def measure(name: str, variant: Variant, data: Dataset, folder: Path) -> tuple[float | None, float]:
    """(peak MiB of the second step on a GPU, records per second of it); the first makes the optimiser's state."""
    training = training_of(name, variant, data, folder)
    training._train_step()
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    training._train_step()
    if CUDA:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return torch.cuda.max_memory_allocated() / MIB if CUDA else None, RECORDS / seconds


@pytest.mark.parametrize("name", [*TRANSFORMERS, "selfmis"])
def test_a_step_of_pre_training(name: str, records: Dataset, tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    found: dict[str, tuple[float | None, float]] = {}

    def all_variants() -> None:
        for title, variant in HERE.items():
            if name in TRANSFORMERS or not variant.net:
                (tmp_path / title).mkdir()
                found[title] = measure(name, variant, records, tmp_path / title)

    benchmark.pedantic(all_variants, rounds=1)
    for title, (peak, rate) in found.items():
        memory = f"{peak:,.0f} MiB, " if peak else ""
        print(f"\n{name}, {title}, batch {RECORDS} on {DEVICE}: {memory}{rate:.2f} records/s")
    if CUDA and name in TRANSFORMERS:
        assert found["bf16, checkpointing"][0] < found["bf16"][0] < found["fp32"][0]  # type: ignore[operator]


@pytest.mark.parametrize("name", TABLE_4)
def test_live_tensors_at_batch_128(name: str, benchmark: BenchmarkFixture) -> None:
    found = benchmark.pedantic(
        lambda: {title: live_mib(name, variant, 128) for title, variant in VARIANTS.items()}, rounds=1
    )
    published = PAPER["table4_resources"]["rows"][TABLE_4[name]]["mem_same_batch_mib"]
    for title, peak in found.items():
        print(f"\n{name}, {title}, batch 128: {peak:,.0f} MiB of live tensors; Table 4: {published:,} MiB")
    assert found["fp32"] < found["fp32, plain attention"]
    assert found["bf16, checkpointing"] < found["bf16"] < found["fp32"]
    assert found["bf16, checkpointing"] < published / 2


def test_live_tensors_of_selfmis_at_batch_128(benchmark: BenchmarkFixture) -> None:
    """Its student beside a teacher that is asked in every step, and beside one that was asked before."""
    rows = PAPER["table4_resources"]["rows"]
    published = {"fp32": rows["SelfMIS (w/o AMP)"], "bf16": rows["SelfMIS (w AMP)"]}

    def count() -> dict[str, tuple[float, float]]:
        return {
            title: (live_mib("selfmis", VARIANTS[title], 128), live_mib("selfmis", VARIANTS[title], 128, asked=True))
            for title in published
        }

    for title, (plain, cached) in benchmark.pedantic(count, rounds=1).items():
        wanted = published[title]["mem_same_batch_mib"]
        print(f"\nselfmis, {title}, batch 128: {plain:,.0f} MiB, cached {cached:,.0f}; Table 4: {wanted:,}")
        # The teacher leaves nothing behind, and its passing peak is below that of the student's gradients.
        assert cached <= plain < wanted


def live_mib(name: str, variant: Variant, batch: int, *, asked: bool = False) -> float:
    """Largest sum of tensors alive in forward and backward, with weights, gradients and the optimiser's two moments.

    Args:
        asked: what the teacher says is given, as from the cache.
    """
    net = dict(variant.net)
    card = registry.find(name)
    if "attention_dropout" in card.options.get("net", {}) and PLAIN not in variant.net:
        # The fused kernel of a GPU drops without keeping the matrix; torch's for the CPU falls back on the plain way.
        net["attention_dropout"] = 0.0
    adapter = registry.create(registry.resolve_options(card, overrides={"net": net}))
    assert isinstance(adapter, Pretrainable)
    with FakeTensorMode():
        objective = adapter.objective({}).train()
        views = {view: torch.randn(batch, len(spec.leads), spec.samples) for view, spec in adapter.views.items()}
        learned = sum(value.nbytes for value in objective.parameters() if value.requires_grad)
        lasting = 2 * learned + sum(parameter.nbytes for parameter in objective.parameters())
        if asked and isinstance(objective, Taught):
            views = {view: views[view] for view in objective.student_views}
            views["targets"] = torch.randn(batch, adapter.spec.embedding_dim or 0)
        with PeakMemory() as memory:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=variant.precision == "bf16-mixed"):
                loss = objective({**views, "patient": torch.arange(batch)})["loss"]
            loss.backward()
    return (memory.peak + lasting) / MIB
