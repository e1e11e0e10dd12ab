"""A pre-training step with its loader: what the teacher's cache is worth, and what a hundred times the records cost.

pytest -m perf -s tests/perf/test_training_perf.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from mibench.adapters.base import Pretrainable
from mibench.benchmark.data import catalog
from mibench.benchmark.data.dataset import Dataset, save_dataset
from mibench.benchmark.data.demo import DemoOptions
from mibench.benchmark.data.records import Shape
from mibench.benchmark.data.shards import npy_header, shard_name
from mibench.benchmark.data.store import INDEX, INDEX_SCHEMA, MANIFEST, SignalStore, content_hash
from mibench.benchmark.files import write_json
from mibench.benchmark.training.loop import Saving, Training, Ways
from mibench.benchmark.training.schedule import Settings
from support import TINY, request_of

pytestmark = pytest.mark.perf

SHARD = 500
STEPS = 15

PROGRAM = """
import json, re, sys, time
from dataclasses import replace
from pathlib import Path
from mibench.benchmark.data.dataset import load_dataset
from mibench.benchmark.training.loop import Saving, Training, Ways
from mibench.benchmark.training.schedule import Settings
from support import TINY, request_of

data, method = load_dataset(Path(sys.argv[1])), sys.argv[2]
preset, sets = (None, TINY) if method == "selfmis" else ("tiny", ())
request = request_of(method, data, Path("."), preset=preset, sets=sets)
settings = Settings(epochs=1000, batch_size=32, precision="32-true", shuffle=sys.argv[3], pool_records=4096)
began = time.monotonic()
training = Training(request, request.adapter, settings, {}, 0, Path("."), Saving(), ways=Ways(teacher_cache=False))
ready = time.monotonic() - began
with training._ahead() as ahead:
    training._pieces = ahead
    for _ in range(5):
        training._train_step()
    ahead.waited, began = 0.0, time.monotonic()
    for _ in range(int(sys.argv[4])):
        training._train_step()
    seconds = time.monotonic() - began
mib = int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
rate = 32 * int(sys.argv[4]) / seconds
print(json.dumps({"rate": rate, "mib": mib, "ready": ready, "waiting": ahead.waited / seconds}))
"""


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The demo heart of 640 records."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        return catalog.make_demo(DemoOptions(records=640))


def test_a_teacher_asked_before_against_one_asked_in_every_step(
    heart: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: BenchmarkFixture
) -> None:
    """Records per second of a SelfMIS step, loader included; both in turns, so that both meet the same machine."""
    monkeypatch.setenv("MIBENCH_HOME", str(tmp_path))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sets = () if device.type == "cuda" else TINY
    settings = Settings(epochs=1000, batch_size=128 if device.type == "cuda" else 64, precision="32-true")
    ready = {}
    for name, ways in {"plain": Ways(teacher_cache=False), "cached": Ways()}.items():
        request = request_of("selfmis", heart, tmp_path, sets=sets)
        request = replace(request, batching=replace(request.batching, device=device))
        assert isinstance(request.adapter, Pretrainable)
        ready[name] = Training(request, request.adapter, settings, {}, 0, tmp_path / name, Saving(), ways=ways)
    rates: dict[str, list[float]] = {"plain": [], "cached": []}
    shares = {}

    def both() -> None:
        for name, training in ready.items():
            with training._ahead() as ahead:
                training._pieces = ahead
                training._train_step()
                ahead.waited, began = 0.0, _now(device)
                for _ in range(10):
                    training._train_step()
                seconds = _now(device) - began
                rates[name].append(10 * settings.batch_size / seconds)
                shares[name] = ahead.waited / seconds
                training._pieces = None

    benchmark.pedantic(both, rounds=3, warmup_rounds=1)
    plain, cached = (max(rates[name]) for name in ("plain", "cached"))
    print(
        f"\nSelfMIS on {device}: {cached:,.0f} records/s cached, {plain:,.0f} plain, ratio {cached / plain:.1f}; "
        f"waiting for data {shares['cached']:.1%} and {shares['plain']:.1%}"
    )
    assert cached > 1.3 * plain


@pytest.mark.parametrize(("method", "shuffle"), [("selfmis", "records"), ("simclr", "blocks")])
def test_a_hundred_times_the_records_cost_no_more_memory_and_time_a_step(
    method: str, shuffle: str, heart: Dataset, tmp_path: Path
) -> None:
    """1,000, 10,000 and 100,000 records, whose shards are links to one: their pages are always in memory."""
    found = []
    for count in (1_000, 10_000, 100_000):
        folder = many(heart, count, tmp_path / str(count))
        environment = {**os.environ, "MIBENCH_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
        environment["MALLOC_MMAP_THRESHOLD_"] = "65536"
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
        command = [sys.executable, "-c", PROGRAM, str(folder), method, shuffle, str(STEPS)]
        answer = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        found.append(json.loads(answer.stdout.splitlines()[-1]))
        print(
            f"\n{method}, {shuffle}, {count:,} records: {found[-1]['rate']:,.0f} records/s, "
            f"{found[-1]['mib']:,.0f} MiB, ready in {found[-1]['ready']:.1f} s, waiting {found[-1]['waiting']:.1%}"
        )
    few, _, most = found
    assert most["rate"] > 0.5 * few["rate"]
    # Names, patients and gains of 99,000 more records, and their order; their signals would be 12 GB.
    assert most["mib"] - few["mib"] < 150


def many(heart: Dataset, count: int, folder: Path) -> Path:
    """A data set of as many records as wanted, each shard a link to the first 500 records of the demo heart."""
    source, store = heart.store.path, folder / "store"
    store.mkdir(parents=True)
    signals = np.load(source / shard_name(0), mmap_mode="r")[:SHARD]
    (store / shard_name(0)).write_bytes(npy_header(signals.shape) + signals.tobytes())
    shards = count // SHARD
    for number in range(1, shards):
        os.link(store / shard_name(0), store / shard_name(number))
    table = pyarrow.parquet.read_table(source / INDEX).slice(0, SHARD).to_pydict()
    repeated = {name: values * shards for name, values in table.items()}
    repeated["record"] = [str(number) for number in range(count)]
    repeated["patient"] = [str(number // 5) for number in range(count)]
    repeated["shard"] = [number // SHARD for number in range(count)]
    repeated["row"] = [number % SHARD for number in range(count)]
    index = pyarrow.Table.from_pydict(repeated, schema=INDEX_SCHEMA)
    pyarrow.parquet.write_table(index, store / INDEX)
    details = {
        **heart.store.details,
        "records": count,
        "shards": [
            {"number": number, "file": shard_name(number), "records": SHARD, "sha256": "0" * 64}
            for number in range(shards)
        ],
    }
    shape = Shape(heart.store.sampling_rate, heart.store.samples)
    details["manifest"] = content_hash(index, details["shards"], shape)
    write_json(store / MANIFEST, details)
    opened = SignalStore.open(store)
    save_dataset(
        folder,
        opened,
        name="many",
        release="linked",
        notice=heart.notice,
        complete=True,
        source="",
        folds=np.where(np.arange(count) < count - 100, 1, 9).astype(np.int8),
        statements=(),
        labels=np.zeros((count, 0), dtype=np.uint8),
    )
    return folder


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
