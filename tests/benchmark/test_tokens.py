"""The token cache: what it gives back is what was cut, padding apart, also after a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mibench.adapters.base import InputSpec, MethodSpec, Tokenizer, Tokenizing
from mibench.adapters.errors import MibenchError
from mibench.adapters.signal import prepare
from mibench.benchmark import tokens
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.embed import Batching, embed_rows
from mibench.benchmark.tokens import TokenStore, cached_tokens, check_tokens, tokens_key

SPEC = InputSpec(normalization="none")
POSITIONS = 12


def silent(_text: str, _total: int) -> Callable[[int], None]:
    return lambda _done: None


class Peaks:
    """Cuts eight samples wherever lead I is highest within a second, if it is higher than `floor`."""

    spec = MethodSpec(name="peaks", embedding_dim=8, normalization="none")

    def __init__(self, floor: float = 0.5, dies_after: int = 10**9) -> None:
        self.tokenizer: Mapping[str, Any] = {"name": "peaks", "floor": floor}
        self.floor, self.left = floor, dies_after

    def load(self, weights: Path | None, device: torch.device) -> None:
        pass

    def tokenize(self, ecg: Tensor) -> dict[str, Tensor]:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        words = torch.zeros(len(ecg), POSITIONS, 8)
        seconds = torch.zeros(len(ecg), POSITIONS, dtype=torch.int64)
        for record, lead in enumerate(ecg[:, 0]):
            found = [s for s in range(10) if lead[500 * s : 500 * s + 500].max() > self.floor]
            for place, second in enumerate(found):
                top = int(lead[500 * second : 500 * second + 492].argmax()) + 500 * second
                words[record, place] = lead[top : top + 8]
                seconds[record, place] = second + 1
        return {"words": words, "seconds": seconds}

    def embed_tokens(self, tokens: Mapping[str, Tensor]) -> Tensor:
        return tokens["words"].sum(dim=1)

    def embed(self, ecg: Tensor) -> Tensor:
        return self.embed_tokens(self.tokenize(ecg))


def cut(demo: Dataset, method: Peaks, leads: tuple[str, ...] = ("I",)) -> TokenStore:
    return cached_tokens(method, SPEC, demo.store, leads, silent)


def test_it_satisfies_the_contract_and_an_encoder_of_signals_does_not() -> None:
    assert isinstance(Peaks(), Tokenizer)
    assert isinstance(Peaks(), Tokenizing)


def test_what_is_read_is_what_was_cut(demo: Dataset) -> None:
    rows = np.array([7, 3, 100, 3])
    found = cut(demo, Peaks()).read(rows)
    signal = prepare(torch.from_numpy(demo.store.read(rows, ["I"])), 500.0, ["I"], SPEC)[:, 0]
    wanted = Peaks().tokenize(signal)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name


def test_padding_is_not_stored_and_empty_sentences_are_counted(demo: Dataset) -> None:
    signal = prepare(torch.from_numpy(demo.store.read(np.arange(120), ["I"])), 500.0, ["I"], SPEC)[:, 0]
    floor = float(signal.amax(dim=(1, 2)).median())
    store = cut(demo, Peaks(floor))
    silent_records = int((signal.amax(dim=(1, 2)) <= floor).sum())
    assert silent_records >= 60
    assert store.empty == silent_records
    wanted = int(Peaks(floor).tokenize(signal)["seconds"].ne(0).sum())
    assert np.load(store.path / "seconds.npy").shape == (wanted,)
    assert np.load(store.path / "words.npy").shape == (wanted, 8)


def test_the_cache_is_not_cut_again_and_a_killed_one_goes_on(demo: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PART_RECORDS", 32)
    monkeypatch.setattr(tokens, "BATCH_RECORDS", 16)
    monkeypatch.setattr(tokens, "WORTH_PROCESSES", 100)
    with pytest.raises(KeyboardInterrupt):
        cut(demo, Peaks(dies_after=5))
    (part, torn) = sorted((tokens.home() / "tokens").rglob("part-*.npz"))
    torn.write_bytes(torn.read_bytes()[:200])
    resumed = Peaks()
    store = cut(demo, resumed)
    assert 10**9 - resumed.left == 6, "one part of 32 was whole, 88 records in batches of 16 were left"
    again = cut(demo, Peaks(dies_after=0))
    rows = np.arange(120)
    assert all(torch.equal(store.read(rows)[name], value) for name, value in again.read(rows).items())
    assert not part.exists()


def test_several_processes_cut_the_same(demo: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone = cut(demo, Peaks())
    monkeypatch.setenv("MIBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(tokens, "PART_RECORDS", 16)
    monkeypatch.setattr(tokens.os, "cpu_count", lambda: 2)
    together = cut(demo, Peaks(dies_after=4))
    assert together.path != alone.path, "each process has its own count of calls, and neither makes more than four"
    rows = np.arange(120)
    assert all(torch.equal(alone.read(rows)[name], value) for name, value in together.read(rows).items())


class Faulty(Peaks):
    """Gives NaN, which no network should be fed."""

    def tokenize(self, ecg: Tensor) -> dict[str, Tensor]:
        return {"words": torch.full((len(ecg), POSITIONS, 8), float("nan"))}


@pytest.mark.parametrize("part_records", [512, 16])
def test_a_fault_is_one_sentence_in_whatever_process(
    demo: Dataset, monkeypatch: pytest.MonkeyPatch, part_records: int
) -> None:
    monkeypatch.setattr(tokens, "PART_RECORDS", part_records)
    with pytest.raises(MibenchError, match="NaN or infinite values in `words`") as caught:
        cut(demo, Faulty())
    assert "Traceback" not in str(caught.value)


def test_a_damaged_cache_is_cut_again(demo: Dataset) -> None:
    store = cut(demo, Peaks())
    rows = np.arange(120)
    before = store.read(rows)
    file = store.path / "words.npy"
    file.write_bytes(file.read_bytes()[:-100])
    after = cut(demo, Peaks()).read(rows)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_keys_tell_tokenisers_inputs_and_leads_apart(demo: Dataset) -> None:
    base = tokens_key({"floor": 1}, SPEC, demo.store, ["I"])
    assert base == tokens_key({"floor": 1}, SPEC, demo.store, ["I"])
    assert base == tokens_key({"floor": 1}, Peaks.spec, demo.store, ["I"]), "a name is no part of the signal"
    assert base != tokens_key({"floor": 2}, SPEC, demo.store, ["I"])
    assert base != tokens_key({"floor": 1}, InputSpec(), demo.store, ["I"])
    assert base != tokens_key({"floor": 1}, SPEC, demo.store, ["II"])


def test_embeddings_of_the_cache_are_those_of_the_signal(demo: Dataset) -> None:
    encoder, rows, batching = Peaks(), np.arange(10), Batching(torch.device("cpu"), 4)
    direct = embed_rows(encoder, demo.store, rows, ["I"], batching)
    cached = embed_rows(Peaks(dies_after=0), demo.store, rows, ["I"], batching, tokens=cut(demo, encoder))
    np.testing.assert_array_equal(direct, cached)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "must give arrays"),
        ({"words": torch.zeros(3, 4)}, "for 2 records"),
        ({"words": torch.zeros(2, 4, 8), "seconds": torch.zeros(2, 5)}, "must give arrays"),
        ({"words": torch.full((2, 4, 8), float("nan"))}, "NaN or infinite values in `words`"),
    ],
)
def test_what_is_no_tokens_is_refused(given: dict[str, Tensor], says: str) -> None:
    with pytest.raises(MibenchError, match=says):
        check_tokens(given, 2)
