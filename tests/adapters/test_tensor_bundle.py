"""TensorFlow's variables out of tables that the tests write, and what is wrong with damaged ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle import HEADER, checksum, entry, field, handle, number, table, write_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from mibench.adapters.errors import MibenchError
from mibench.adapters.tensor_bundle import DATA, INDEX, crc32c, masked, read_bundle

VARIABLES: Mapping[str, Any] = {
    "layer_with_weights-0/bias/.ATTRIBUTES/VARIABLE_VALUE": np.arange(5, dtype=np.float32),
    "layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE": np.random.default_rng(0).normal(size=(13, 4, 5)),
    "layer_with_weights-10/kernel/.ATTRIBUTES/VARIABLE_VALUE": np.float32(np.eye(40)),
    "save_counter/.ATTRIBUTES/VARIABLE_VALUE": np.int64(1),
    "empty/.ATTRIBUTES/VARIABLE_VALUE": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("entries_per_block", [1, 2, 100])
def test_reads_every_variable_bit_for_bit(tmp_path: Path, entries_per_block: int) -> None:
    write_bundle(tmp_path, VARIABLES, entries_per_block)
    read = read_bundle(tmp_path)
    assert read.keys() == VARIABLES.keys()
    for name, array in VARIABLES.items():
        assert np.array_equal(read[name].numpy(), array)
        assert read[name].numpy().dtype == array.dtype


def test_the_checksum_is_castagnolis() -> None:
    def of(data: bytes) -> int:
        return crc32c(np.frombuffer(data, np.uint8))

    assert of(b"123456789") == 0xE3069283
    assert of(bytes(32)) == 0x8A9136AA
    assert of(b"\xff" * 32) == 0x62A8AB43
    assert masked(0) == 0xA282EAD8


@settings(max_examples=30, deadline=None)
@given(size=st.integers(4, 3000), seed=st.integers(0, 100))
def test_the_checksum_of_many_lanes_is_that_of_one_byte_after_the_other(size: int, seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    assert masked(crc32c(data)) == checksum(data.tobytes())


def test_a_file_beside_that_is_missing(tmp_path: Path) -> None:
    write_bundle(tmp_path, VARIABLES)
    (tmp_path / INDEX).unlink()
    with pytest.raises(MibenchError, match=r"there is no .*variables\.index: a SavedModel keeps .* side by side"):
        read_bundle(tmp_path)


def test_a_byte_of_the_index_that_differs_is_told_or_was_of_no_use(tmp_path: Path) -> None:
    variables = {name: VARIABLES[name] for name in list(VARIABLES)[:2]}
    write_bundle(tmp_path, variables)
    whole = (tmp_path / INDEX).read_bytes()
    silent = []
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        (tmp_path / INDEX).write_bytes(changed)
        try:
            read = read_bundle(tmp_path)
        except MibenchError:
            continue
        silent.append(place)
        assert all(np.array_equal(read[name].numpy(), array) for name, array in variables.items())
    # The padding of the footer, and an empty block of statistics with its handle.
    assert len(silent) <= 40 + 13


def test_an_index_that_is_cut_short_anywhere(tmp_path: Path) -> None:
    write_bundle(tmp_path, VARIABLES)
    whole = (tmp_path / INDEX).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / INDEX).write_bytes(whole[:length])
        with pytest.raises(MibenchError, match=r"variables\.index is damaged, or no index"):
            read_bundle(tmp_path)


def test_data_that_are_cut_short_or_changed(tmp_path: Path) -> None:
    write_bundle(tmp_path, VARIABLES)
    data = tmp_path / DATA
    whole = data.read_bytes()
    data.write_bytes(whole[: -len("text") - 1])
    with pytest.raises(
        MibenchError, match=r"VARIABLE_VALUE as variables\.index says \(\d+ bytes for .*: copy or download"
    ):
        read_bundle(tmp_path)
    data.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(MibenchError, match=r"kernel/\.ATTRIBUTES/VARIABLE_VALUE .*its checksum differs"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({b"": number(1, 2)}, "of several shards"),
        ({b"": HEADER + number(2, 1)}, "big-endian"),
        ({b"a": entry(19, (2,), 0, 4)}, "a variable of type 19: save the model again in single precision"),
        ({b"a": entry(1, (2,), 0, 8) + field(7, b"")}, "a variable in slices"),
        ({b"a": number(1, 1)[:1]}, "is damaged"),
        ({b"a": b"\x12\x7f"}, "a field reaches beyond its message"),
        ({b"a": b"\x0b"}, "a field is of the unknown kind 3"),
        ({b"a": b"\x08" + b"\xff" * 10}, "a number does not end"),
        ({b"\xff": entry(1, (2,), 0, 8)}, "is damaged"),
    ],
)
def test_what_keras_would_not_write(tmp_path: Path, entries: dict[bytes, bytes], told: str) -> None:
    (tmp_path / INDEX).write_bytes(table({b"": HEADER, **entries}))
    (tmp_path / DATA).write_bytes(bytes(8))
    with pytest.raises(MibenchError, match=told):
        read_bundle(tmp_path)


def test_compressed_blocks_are_named(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(table({b"": HEADER}, compression=1))
    (tmp_path / DATA).write_bytes(b"")
    with pytest.raises(MibenchError, match="it is compressed"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    "faulty", [entry(1, (1 << 40, 1 << 40), 0, 8), entry(1, (2,), 1 << 60, 8), entry(1, ((1 << 64) - 2,), 0, 8)]
)
def test_sizes_beyond_the_data_are_never_made(tmp_path: Path, faulty: bytes) -> None:
    (tmp_path / INDEX).write_bytes(table({b"": HEADER, b"a": faulty}))
    (tmp_path / DATA).write_bytes(bytes(8))
    with pytest.raises(MibenchError, match=r"does not hold a as variables\.index says"):
        read_bundle(tmp_path)


def test_an_entry_of_a_block_that_reaches_beyond_it(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(table({b"": HEADER}, raw=handle(5, 0) + b"\x01"))
    (tmp_path / DATA).write_bytes(b"")
    with pytest.raises(MibenchError, match="an entry reaches beyond its block"):
        read_bundle(tmp_path)
