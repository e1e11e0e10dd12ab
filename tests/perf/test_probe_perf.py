"""Fifteen heads at once against fifteen plain loops, and one encoder pass against one per epoch."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from mibench.adapters.base import Encoder
from mibench.benchmark.choices import make
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.embed import Batching, embed_rows
from mibench.benchmark.probe import HeadTask, ProbeSettings, first_weights, train_heads
from mibench.benchmark.weights import Weights

pytestmark = pytest.mark.perf

FEATURES, STATEMENTS = 1024, 44


def plain_loop(
    rows: np.ndarray,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    seed: int,
    epochs: int,
    *,
    loader: bool,
) -> None:
    """What a probe on cached embeddings usually is: a data loader, autograd, Adam, scikit-learn's AUC per epoch.

    Without `loader` it indexes tensors directly: the leanest plain loop there is.
    """
    data = TensorDataset(train[0][rows], train[1][rows].float())
    weight, bias = first_weights(FEATURES, STATEMENTS, seed)
    linear = nn.Linear(FEATURES, STATEMENTS)
    linear.weight.data, linear.bias.data = weight.T.contiguous(), bias
    optimizer = torch.optim.Adam(linear.parameters(), 5e-4)
    shuffle = torch.Generator().manual_seed(seed)
    batches = DataLoader(data, batch_size=64, shuffle=True, generator=shuffle)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    for _ in range(epochs):
        lean = (data[chosen] for chosen in torch.randperm(len(data), generator=shuffle).split(64))
        for x, y in batches if loader else lean:
            loss = nn.functional.binary_cross_entropy_with_logits(linear(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            roc_auc_score(validation[1].numpy(), linear(validation[0]).numpy(), average="macro")


@pytest.mark.parametrize(
    ("records", "validation_records", "epochs", "wanted"),
    [
        pytest.param(352, 72, 20, 8, id="ptb-xl-500"),
        # Arithmetic bounds the ratio here: matrix products alone take a tenth of the time of the plain loops.
        pytest.param(17_111, 2_156, 4, 4, id="ptb-xl"),
    ],
)
def test_fifteen_heads(
    benchmark: BenchmarkFixture, records: int, validation_records: int, epochs: int, wanted: float
) -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    generator = torch.Generator().manual_seed(0)

    def part(size: int) -> tuple[Tensor, Tensor]:
        labels = torch.rand(size, STATEMENTS, generator=generator) < 0.05
        labels[0], labels[1] = True, False
        return torch.randn(size, FEATURES, generator=generator), labels.to(torch.uint8)

    train, validation = part(records), part(validation_records)
    tasks = [
        HeadTask(np.random.default_rng(seed).permutation(records)[: round(ratio * records)], seed)
        for ratio in (0.25, 0.5, 1.0)
        for seed in range(5)
    ]
    settings = ProbeSettings(epochs=epochs, patience=epochs)
    benchmark.pedantic(train_heads, (tasks, train, validation, settings), rounds=3, warmup_rounds=1)
    ours = benchmark.stats.stats.min
    naive = {}
    for loader in (True, False):
        start = time.perf_counter()
        for task in tasks:
            plain_loop(task.rows, train, validation, task.seed, epochs, loader=loader)
        naive[loader] = time.perf_counter() - start
    print(
        f"\n15 heads, {records:,} records, {epochs} epochs: {ours:.2f} s together; one by one {naive[True]:.2f} s "
        f"with a data loader ({naive[True] / ours:.1f} times), {naive[False]:.2f} s indexing tensors "
        f"({naive[False] / ours:.1f} times)"
    )
    assert naive[True] / ours >= wanted


def test_one_encoder_pass_against_one_per_epoch(benchmark: BenchmarkFixture, demo: Dataset) -> None:
    """What encoding once saves against a loop that sends every training record through the encoder in every epoch."""
    torch.set_num_threads(os.cpu_count() or 1)
    _, encoder = make("ecgfounder")
    assert isinstance(encoder, Encoder)
    Weights("random", seed=0).load(encoder, torch.device("cpu"))
    rows, epochs = demo.split()["train"][:16], 20
    batching = Batching(torch.device("cpu"))
    labels = torch.from_numpy(demo.labels[rows])

    def encode() -> tuple[Tensor, Tensor]:
        return torch.from_numpy(embed_rows(encoder, demo.store, rows, ["I"], batching)), labels

    def once() -> None:
        train = encode()
        train_heads([HeadTask(np.arange(len(rows)), 0)], train, train, ProbeSettings(epochs=epochs, patience=epochs))

    benchmark.pedantic(once, rounds=2, warmup_rounds=1)
    ours = benchmark.stats.stats.min
    start = time.perf_counter()
    for _ in range(epochs):
        train = encode()
        train_heads([HeadTask(np.arange(len(rows)), 0)], train, train, ProbeSettings(epochs=1))
    naive = time.perf_counter() - start
    print(f"\n{epochs} epochs: {ours:.2f} s encoded once, {naive:.2f} s in every epoch, {naive / ours:.1f} times")
    assert naive / ours >= 8
