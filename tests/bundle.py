"""A writer of TensorFlow's bundles, small and slow: what the tests of their reader read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mibench.adapters.tensor_bundle import DATA, INDEX

DTYPES = {"float32": 1, "float64": 2, "int64": 9}


def varint(value: int) -> bytes:
    """A whole number, seven bits to a byte, the lowest first."""
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def number(place: int, value: int) -> bytes:
    """A field of a protocol buffer that holds a whole number."""
    return varint(place << 3) + varint(value)


def field(place: int, value: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes, or another message."""
    return varint(place << 3 | 2) + varint(len(value)) + value


def handle(offset: int, size: int) -> bytes:
    """Where a block lies."""
    return varint(offset) + varint(size)


def checksum(data: bytes) -> int:
    """Masked CRC-32C, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    register ^= 0xFFFFFFFF
    return ((register >> 15 | register << 17) + 0xA282EAD8) & 0xFFFFFFFF


HEADER = number(1, 1) + field(3, number(1, 1))


def entry(dtype: int, shape: tuple[int, ...], offset: int, size: int, crc: int = 0) -> bytes:
    """A BundleEntryProto; zeros are left out, as protocol buffers do."""
    sizes = b"".join(field(2, number(1, value) if value else b"") for value in shape)
    placed = number(4, offset) if offset else b""
    return (
        number(1, dtype) + field(2, sizes) + placed + number(5, size) + varint(6 << 3 | 5) + crc.to_bytes(4, "little")
    )


def table(pairs: Mapping[bytes, bytes], per_block: int = 100, compression: int = 0, raw: bytes = b"") -> bytes:
    """A LevelDB table of sorted keys; `raw` is appended to each block of entries."""
    written, handles = bytearray(), {}

    def put(block: bytes) -> bytes:
        offset = len(written)
        ended = block + (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes([compression])
        written.extend(ended + checksum(ended).to_bytes(4, "little"))
        return handle(offset, len(ended) - 1)

    keys = sorted(pairs)
    for start in range(0, len(keys), per_block):
        part = keys[start : start + per_block]
        handles[part[-1]] = put(_block({key: pairs[key] for key in part}) + raw)
    footer = put(b"") + put(_block(handles))
    written.extend(footer.ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little"))
    return bytes(written)


def write_bundle(folder: Path, variables: Mapping[str, Any], per_block: int = 100) -> None:
    """`variables.index` and its data, with the object graph that every SavedModel has beside its variables."""
    data, pairs = bytearray(), {b"": HEADER}
    for name, array in variables.items():
        content = np.ascontiguousarray(array).tobytes()
        pairs[name.encode()] = entry(DTYPES[str(array.dtype)], array.shape, len(data), len(content), checksum(content))
        data += content
    pairs[b"_CHECKPOINTABLE_OBJECT_GRAPH"] = entry(7, (), len(data), 4)
    (folder / INDEX).write_bytes(table(pairs, per_block))
    (folder / DATA).write_bytes(bytes(data) + b"text")


def _block(pairs: Mapping[bytes, bytes]) -> bytes:
    block, before = bytearray(), b""
    for key, value in pairs.items():
        shared = next(
            (at for at, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        block += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return bytes(block)
