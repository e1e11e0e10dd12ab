"""The variables of a TensorFlow SavedModel, read without TensorFlow.

`variables.index` is a LevelDB table: sorted names, each with a BundleEntryProto that says where in
`variables.data-00000-of-00001` the tensor lies, as plain little-endian numbers. Read is only what Keras makes of it:
one shard, no compression, dense tensors of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .errors import MibenchError

INDEX = "variables.index"
DATA = "variables.data-00000-of-00001"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
"""Which object has which variable, as text: in every index, and no variable itself."""

MAGIC = 0xDB4775248B80FB57
FOOTER = 48
TRAILER = 5  # how a block is compressed, and its checksum
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}
"""TensorFlow's numbers of the types that are read."""
VARINT, BYTES, FIXED32 = 0, 2, 5


def _crc_table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> np.uint32(1) ^ np.uint32(0x82F63B78) * (table & np.uint32(1))
    return table


TABLE = _crc_table()


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies, and its masked CRC-32C."""

    dtype: int
    shape: tuple[int, ...]
    offset: int
    size: int
    checksum: int


def read_bundle(folder: Path) -> dict[str, Tensor]:
    """The variables of a SavedModel by their names in the index, on the CPU; every checksum is compared.

    Args:
        folder: `variables` of the SavedModel, which holds `variables.index` and its data.

    Raises:
        MibenchError: one of the two is absent, cut short, damaged, or written in another way than Keras writes it.
    """
    index, data = folder / INDEX, folder / DATA
    for file in (index, data):
        if not file.is_file():
            raise MibenchError(
                f"there is no {file}: a SavedModel keeps {INDEX} and {DATA} side by side in its folder `variables`; "
                f"copy the whole folder"
            )
    try:
        entries = _read_index(index.read_bytes())
    except (ValueError, IndexError) as problem:
        raise MibenchError(
            f"{index} is damaged, or no index that a SavedModel of Keras has ({problem}): copy or download it again"
        ) from problem
    content: npt.NDArray[np.uint8] = np.fromfile(data, dtype=np.uint8)
    tensors = {}
    for name, entry in entries.items():
        try:
            tensors[name] = _read_tensor(content, entry)
        except ValueError as problem:
            raise MibenchError(
                f"{data} does not hold {name} as {INDEX} says ({problem}): copy or download both again"
            ) from problem
    return tensors


def crc32c(data: npt.NDArray[np.uint8]) -> int:
    """CRC-32C (Castagnoli) of four bytes or more.

    The data are gone through in many lanes of equal length at once. The checksum is linear: that of two lanes in a row
    is that of the second, and that of the first with as many zeros behind it as the second is long.
    """
    lanes = 1 << max(0, int(data.size - 1).bit_length() - 9)
    length = -(-data.size // lanes)
    padded = np.zeros(lanes * length, np.uint8)
    # Zeros in front change nothing; that the register begins with ones is the first four bytes inverted.
    padded[-data.size :] = data
    padded[padded.size - data.size :][:4] ^= 0xFF
    sums: npt.NDArray[np.uint32] = np.zeros(lanes, np.uint32)
    behind = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for column in np.ascontiguousarray(padded.reshape(lanes, length).T):
        sums = TABLE[(sums ^ column) & 0xFF] ^ (sums >> 8)
        behind = TABLE[behind & 0xFF] ^ (behind >> 8)
    while len(sums) > 1:
        sums = _append_zeros(sums[0::2], behind) ^ sums[1::2]
        behind = _append_zeros(behind, behind)
    return int(sums[0]) ^ 0xFFFFFFFF


def masked(checksum: int) -> int:
    """As LevelDB and TensorFlow store it, so that a checksum of checksums stays a good one."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _append_zeros(sums: npt.NDArray[np.uint32], behind: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """What becomes of checksums when the zeros are appended that turn the 32 single bits into `behind`."""
    appended: npt.NDArray[np.uint32] = np.zeros_like(sums)
    for bit, value in enumerate(behind):
        appended ^= (sums >> np.uint32(bit) & np.uint32(1)) * value
    return appended


def _read_index(table: bytes) -> dict[str, Entry]:
    if len(table) < FOOTER or int.from_bytes(table[-8:], "little") != MAGIC:
        raise ValueError("it does not end as one")
    footer = table[-FOOTER:]
    _, at = _handle(footer, 0)
    (offset, size), _ = _handle(footer, at)
    entries: dict[str, Entry] = {}
    for _, handle in _pairs(_block(table, offset, size)):
        (offset, size), _ = _handle(handle, 0)
        for key, value in _pairs(_block(table, offset, size)):
            if not key:
                _refuse_unknown_header(value)
            elif key != OBJECT_GRAPH.encode():
                entries[key.decode()] = _entry(value)
    return entries


def _block(table: bytes, offset: int, size: int) -> bytes:
    """The entries of a block, without its restart points: they are for those who search."""
    block = table[offset : offset + size + TRAILER]
    if len(block) < size + TRAILER or size < 4:
        raise ValueError("it is cut short")
    if block[size]:
        raise ValueError("it is compressed, which TensorFlow does not do")
    if masked(crc32c(np.frombuffer(block[: size + 1], np.uint8))) != int.from_bytes(block[size + 1 :], "little"):
        raise ValueError("a checksum differs")
    restarts = int.from_bytes(block[size - 4 : size], "little")
    end = size - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block has more restart points than bytes")
    return block[:end]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key is stored without what it shares with the one before."""
    at, key = 0, b""
    while at < len(block):
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or at + own + length > len(block):
            raise ValueError("an entry reaches beyond its block")
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number does not end")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of the fields of a protocol buffer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, value = tag & 7, 0
        if kind == VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind not in (BYTES, FIXED32):
            raise ValueError(f"a field is of the unknown kind {kind}")
        length = 4
        if kind == BYTES:
            length, at = _varint(message, at)
        if at + length > len(message):
            raise ValueError("a field reaches beyond its message")
        part = message[at : at + length]
        yield tag >> 3, part if kind == BYTES else int.from_bytes(part, "little")
        at += length


def _numbers(message: bytes) -> dict[int, int]:
    return {number: value for number, value in _fields(message) if isinstance(value, int)}


def _refuse_unknown_header(message: bytes) -> None:
    header = _numbers(message)
    if header.get(1, 0) != 1 or header.get(2, 0) != 0:
        raise ValueError("it is of several shards, or big-endian: save the model again in one, little-endian")


def _entry(message: bytes) -> Entry:
    numbers = _numbers(message)
    shape: list[int] = []
    for number, value in _fields(message):
        if number == 2 and isinstance(value, bytes):
            sizes = [size for field, size in _fields(value) if field == 2 and isinstance(size, bytes)]
            shape += [_numbers(size).get(1, 0) for size in sizes]
        if number == 7:
            raise ValueError("it holds a variable in slices: save the model again without partitioned variables")
    if numbers.get(1) not in DTYPES:
        raise ValueError(f"it holds a variable of type {numbers.get(1)}: save the model again in single precision")
    return Entry(numbers[1], tuple(shape), numbers.get(4, 0), numbers.get(5, 0), numbers.get(6, 0))


def _read_tensor(content: npt.NDArray[np.uint8], entry: Entry) -> Tensor:
    kind = np.dtype(DTYPES[entry.dtype])
    if math.prod(entry.shape) * kind.itemsize != entry.size or entry.offset + entry.size > content.size:
        raise ValueError(f"{entry.size} bytes for {'x'.join(map(str, entry.shape)) or 'a single number'}")
    part = content[entry.offset : entry.offset + entry.size]
    if part.size and masked(crc32c(part)) != entry.checksum:
        raise ValueError("its checksum differs")
    return torch.from_numpy(part.view(kind).reshape(entry.shape).astype(kind.newbyteorder("="), copy=True))
