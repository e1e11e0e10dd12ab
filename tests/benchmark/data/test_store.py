"""The signal store: what is read back is what was recorded, and damage never passes for data."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mibench.adapters.errors import MibenchError
from mibench.benchmark.data.build import RecordSource, build_store
from mibench.benchmark.data.maps import Maps
from mibench.benchmark.data.records import read_recording, write_recording
from mibench.benchmark.data.store import SignalStore
from mibench.benchmark.ecg import LEADS

SAMPLES = 50
RECORDS = 23


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 23 records in shards of five, with differing gains, baselines and lead orders."""
    root = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(8)
    sources = []
    for number in range(RECORDS):
        millivolt = rng.normal(size=(12, SAMPLES))
        leads = list(rng.permutation(LEADS))
        if number == 4:
            millivolt[leads.index("V1")] = 0
            millivolt[leads.index("II"), 3] = np.nan
        record = root / f"r{number:02d}"
        write_recording(record, millivolt, 100, gain=200 + number, leads=leads)
        header = record.with_suffix(".hea").read_text()
        record.with_suffix(".hea").write_text(header.replace("(0)/mV", f"({number})/mV"))
        sources.append(RecordSource(record.name, f"p{number // 2}", record))
    build_store(sources, root / "store", sampling_rate=100, samples=SAMPLES, shard_records=5)
    return root / "store"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The same store, to be damaged."""
    (tmp_path / "store").mkdir()
    for file in folder.iterdir():
        (tmp_path / "store" / file.name).write_bytes(file.read_bytes())
    return tmp_path / "store"


def in_millivolt(folder: Path, record: str) -> npt.NDArray[np.float64]:
    recording = read_recording(folder.parent / record)
    millivolt: npt.NDArray[np.float64] = (recording.digital - recording.baseline[:, None]) / recording.gain[:, None]
    return millivolt


def test_reading_in_any_order_across_shards_gives_the_recordings(folder: Path) -> None:
    store = SignalStore.open(folder)
    assert len(store) == RECORDS
    rows = np.random.default_rng(1).integers(0, RECORDS, size=60)
    for leads in (LEADS, ("I",), ("V2", "V3"), ("V6", "aVL", "I"), ("II", "II")):
        signals = store.read(rows, leads)
        assert signals.shape == (60, len(leads), SAMPLES)
        assert signals.dtype == np.float32
        for row, signal in zip(rows, signals, strict=True):
            expected = in_millivolt(folder, store.records[row])[[LEADS.index(lead) for lead in leads]]
            np.testing.assert_allclose(signal, expected, rtol=1e-6)


@pytest.mark.parametrize("leads", [LEADS, ("I",), ("V6", "aVL", "I"), ("II", "II")])
def test_digital_samples_divide_to_what_is_read_to_the_bit(folder: Path, leads: tuple[str, ...]) -> None:
    store = SignalStore.open(folder)
    rows = np.random.default_rng(2).integers(0, RECORDS, size=40)
    place = np.empty((40, len(leads), SAMPLES), dtype=np.int16)
    digital, gain, baseline = store.read_digital(rows, leads, place)
    assert digital is place
    assert (digital.dtype, gain.dtype, baseline.dtype) == (np.int16, np.float32, np.float32)
    np.testing.assert_array_equal((digital - baseline[..., None]) / gain[..., None], store.read(rows, leads))
    np.testing.assert_array_equal(store.read_digital(rows, leads)[0], digital)
    with pytest.raises(ValueError, match="must be int16 of shape"):
        store.read_digital(rows, leads, place[:-1])
    with pytest.raises(ValueError, match="must be int16 of shape"):
        store.read_digital(rows, leads, place.astype(np.float32))


def test_few_shards_are_mapped_at_a_time_and_all_are_read(folder: Path) -> None:
    store, few = SignalStore.open(folder), SignalStore.open(folder)
    few._maps = Maps(most=2)
    rows = np.random.default_rng(3).integers(0, RECORDS, size=60)
    for leads in (LEADS, ("I",), ("I", "V6")):
        np.testing.assert_array_equal(few.read(rows, leads), store.read(rows, leads))
        assert len(few._maps) == 2


def test_rows_may_be_a_list_a_mask_or_empty(folder: Path) -> None:
    store = SignalStore.open(folder)
    mask = np.zeros(RECORDS, dtype=bool)
    mask[[3, 11]] = True
    np.testing.assert_array_equal(store.read(mask), store.read([3, 11]))
    np.testing.assert_array_equal(store.read(7), store.read([7]))
    assert store.read([]).shape == (0, 12, SAMPLES)


@pytest.mark.parametrize("rows", [[RECORDS], [-1], [[0, 1]], [True, False]])
def test_rows_that_do_not_exist_are_an_error(folder: Path, rows: object) -> None:
    with pytest.raises(IndexError):
        SignalStore.open(folder).read(rows)  # type: ignore[arg-type]


def test_an_unknown_lead_is_named(folder: Path) -> None:
    with pytest.raises(MibenchError, match="unknown lead AVR"):
        SignalStore.open(folder).read([0], ["I", "AVR"])


def test_the_index_tells_what_is_known_of_each_record(folder: Path) -> None:
    index = SignalStore.open(folder).index
    assert index["record"].tolist() == [f"r{number:02d}" for number in range(RECORDS)]
    assert index["patient"].tolist() == [f"p{number // 2}" for number in range(RECORDS)]
    assert index["shard"].tolist() == [number // 5 for number in range(RECORDS)]
    assert index["row"].tolist() == [number % 5 for number in range(RECORDS)]
    assert index["gain"].iloc[6].tolist() == [206.0] * 12
    assert index["baseline"].iloc[6].tolist() == [6] * 12
    assert index["invalid"].tolist() == [int(number == 4) for number in range(RECORDS)]
    assert [list(flat) for flat in index["flat"] if len(flat)] == [["V1"]]


def test_shards_are_plain_arrays_of_leads_by_time(folder: Path) -> None:
    shards = sorted(folder.glob("shard-*.npy"))
    assert [np.load(shard).shape for shard in shards] == [(5, 12, SAMPLES)] * 4 + [(3, 12, SAMPLES)]
    assert np.load(shards[0], mmap_mode="r").dtype == np.dtype("<i2")
    np.testing.assert_array_equal(np.load(shards[2])[1], read_recording(folder.parent / "r11").digital)


def test_a_store_can_be_pickled_before_and_after_use(folder: Path) -> None:
    store = SignalStore.open(folder)
    signals = store.read([20, 0])
    again = pickle.loads(pickle.dumps(store))
    assert len(pickle.dumps(store)) < 2000
    np.testing.assert_array_equal(again.read([20, 0]), signals)


def test_an_undamaged_store_passes(folder: Path) -> None:
    SignalStore.open(folder).verify()


@pytest.mark.parametrize("position", [3, 60, 2000, -1])
def test_one_changed_byte_in_a_shard_is_found(copy: Path, position: int) -> None:
    store = SignalStore.open(copy)
    shard = copy / "shard-00002.npy"
    content = bytearray(shard.read_bytes())
    content[position] ^= 1
    shard.write_bytes(content)
    with pytest.raises(MibenchError, match=r"shard-00002\.npy was damaged.*mibench data add"):
        store.verify()


def test_a_changed_manifest_or_index_is_found(copy: Path) -> None:
    details = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**details, "manifest": "0" * 64}))
    with pytest.raises(MibenchError, match=r"index\.parquet was damaged"):
        SignalStore.open(copy).verify()


@pytest.mark.parametrize("name", ["manifest.json", "index.parquet", "shard-00001.npy"])
def test_a_store_without_one_of_its_files_does_not_open(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(MibenchError, match="mibench data add"):
        SignalStore.open(copy)


@pytest.mark.parametrize("name", ["manifest.json", "index.parquet", "shard-00001.npy"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_store_with_half_a_file_does_not_open(copy: Path, name: str, keep: float) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(MibenchError, match="mibench data add"):
        SignalStore.open(copy)


def test_a_shard_with_a_broken_header_is_not_read(copy: Path) -> None:
    shard = copy / "shard-00001.npy"
    content = shard.read_bytes()
    shard.write_bytes(content.replace(b"(5, 12, 50)", b"(5, 50, 12)"))
    store = SignalStore.open(copy)
    assert store.read([0]).shape == (1, 12, SAMPLES)
    with pytest.raises(MibenchError, match=r"shard-00001\.npy"):
        store.read([5])
    shard.write_bytes(b"x" + content[1:])
    with pytest.raises(MibenchError, match=r"shard-00001\.npy"):
        store.read([5])


def test_what_is_no_store_of_this_version_does_not_open(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="no finished signal store"):
        SignalStore.open(tmp_path / "nowhere")
    details = json.loads((copy / "manifest.json").read_text())
    for changed, words in [({"schema": 99}, "another version"), ({"kind": "photographs"}, "no signal store")]:
        (copy / "manifest.json").write_text(json.dumps({**details, **changed}))
        with pytest.raises(MibenchError, match=words):
            SignalStore.open(copy)
    (copy / "manifest.json").write_text(json.dumps({"schema": 1, "kind": "mibench signal store"}))
    with pytest.raises(MibenchError, match="not a whole signal store"):
        SignalStore.open(copy)


@settings(max_examples=15, deadline=None)
@given(
    millivolt=arrays(np.float64, st.tuples(st.integers(1, 5), st.just(12), st.just(7)), elements=st.floats(-30, 30)),
    shard_records=st.integers(1, 4),
)
def test_any_signal_survives_the_way_through_the_store(
    tmp_path_factory: pytest.TempPathFactory, millivolt: npt.NDArray[np.float64], shard_records: int
) -> None:
    root = tmp_path_factory.mktemp("any")
    sources = [RecordSource(f"r{number}", "p", root / f"r{number}") for number in range(len(millivolt))]
    for source, signals in zip(sources, millivolt, strict=True):
        write_recording(source.path, signals, 500)
    store = build_store(sources, root / "store", sampling_rate=500, samples=7, shard_records=shard_records)
    np.testing.assert_allclose(store.read(range(len(millivolt))), millivolt, atol=0.00051)
