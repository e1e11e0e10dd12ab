"""The embedding cache: resumed after a kill, shared between processes, never trusted when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mibench.adapters.base import MethodSpec
from mibench.benchmark import embed
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.embed import Batching, cached_embeddings, embed_signals, embedding_folder, embedding_key

CPU = Batching(torch.device("cpu"), batch_size=16)


class Means:
    """Two features a window: mean and mean square, on windows of four seconds."""

    spec = MethodSpec(
        name="means", embedding_dim=2, samples=2000, normalization="none", windows="mean-of-windows", window_count=3
    )

    def __init__(self, *, dies_after: int = 10**9) -> None:
        self.left = dies_after

    def load(self, weights: Path | None, device: torch.device) -> None:
        pass

    def embed(self, ecg: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return torch.stack([ecg[:, 0].mean(dim=1), ecg[:, 0].square().mean(dim=1)], dim=1)


def embeddings(demo: Dataset, encoder: Means, batching: Batching = CPU) -> np.ndarray:
    folder = embedding_folder("means", embedding_key({"name": "means"}, demo.store, ["I"]))
    return cached_embeddings(
        lambda: encoder, "means", folder, demo.store, ["I"], batching, lambda what, total: lambda done: None
    )


def test_windows_of_a_record_are_averaged(demo: Dataset) -> None:
    signal = demo.store.read([3], ["I"])
    found = embed_signals(Means(), signal, 500.0, ["I"], CPU.device)
    windows = [signal[0, 0, start : start + 2000] for start in (0, 1500, 3000)]
    np.testing.assert_allclose(
        found[0], [np.mean([w.mean() for w in windows]), np.mean([(w**2).mean() for w in windows])], atol=1e-5
    )


def test_an_interrupted_embedding_goes_on(demo: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "PART_RECORDS", 32)
    with pytest.raises(KeyboardInterrupt):
        embeddings(demo, Means(dies_after=5))
    resumed = Means()
    whole = embeddings(demo, resumed)
    calls = 10**9 - resumed.left
    assert calls == -(-(len(demo.records) - 64) // 16), "the two parts of 32 that were finished are not computed again"
    np.testing.assert_array_equal(whole, embeddings(demo, Means(dies_after=0)))


def test_the_cache_answers_without_an_encoder(demo: Dataset) -> None:
    first = embeddings(demo, Means())
    np.testing.assert_array_equal(first, embeddings(demo, Means(dies_after=0)))


def test_a_damaged_cache_is_computed_again(demo: Dataset) -> None:
    first = embeddings(demo, Means())
    (file,) = embed.home().rglob("embeddings.npy")
    file.write_bytes(file.read_bytes()[:100])
    np.testing.assert_array_equal(first, embeddings(demo, Means()))


def test_batch_size_is_no_part_of_the_answer(demo: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = embeddings(demo, Means())
    monkeypatch.setenv("MIBENCH_HOME", str(tmp_path))
    np.testing.assert_allclose(first, embeddings(demo, Means(), Batching(CPU.device, 7)), rtol=1e-5, atol=1e-7)


def test_keys_tell_leads_weights_and_signals_apart(demo: Dataset) -> None:
    base = embedding_key({"weights": "a"}, demo.store, ["I"])
    assert base == embedding_key({"weights": "a"}, demo.store, ["I"])
    assert base != embedding_key({"weights": "b"}, demo.store, ["I"])
    assert base != embedding_key({"weights": "a"}, demo.store, ["I", "II"])
