"""The tensors of a file of `torch.save`, whatever else is in it: rewritten as plain weights, and nothing of it is run.

A program of its own, for a process of its own: `python -I inert_worker.py FILE OUT CONTAINER...`. It imports no module
that FILE names. What FILE would build comes out as placeholders that hold their arguments and do nothing; tensors are
put together here from their sizes and bytes. OUT is a file of `torch.save` with tensors and plain values alone; what
was ignored is printed as one line of JSON.
"""

from __future__ import annotations

import functools
import json
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
NODES = 100_000
"""Most values kept beside the tensors: lists of lists of lists can be small in a file and endless outside it."""

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


class UnreadableError(Exception):
    """One sentence on why no tensors can be had."""


class Inert:
    """Stands for anything that a pickle names: takes whatever is done to it, keeps it, and does nothing."""

    foreign = ""
    arguments: tuple[Any, ...]
    state: Any
    items: dict[Any, Any]

    def __new__(cls, *arguments: Any, **_named: Any) -> Inert:
        # Not in __init__, which pickles mostly pass by.
        made = super().__new__(cls)
        made.arguments, made.state, made.items = arguments, None, {}
        return made

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        pass

    def __call__(self, *arguments: Any) -> Inert:
        return Inert(*arguments)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def append(self, _value: Any) -> None:
        """Of a list that is none."""

    def extend(self, _values: Any) -> None:
        """Of a list that is none."""

    def add(self, _value: Any) -> None:
        """Of a set that is none."""


@dataclass(frozen=True)
class Kind:
    """The element type of a storage."""

    dtype: torch.dtype


@dataclass(frozen=True)
class Storage:
    """Where the numbers of tensors are: a part of the file, by its key."""

    key: str
    dtype: torch.dtype
    numel: int
    start: int = 0


@dataclass(frozen=True)
class Described:
    """A tensor as the pickle describes it, before any number was read."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


@dataclass
class Names:
    """What a pickle names, turned into what may stand for it.

    Attributes:
        ignored: names that became placeholders, in the order met.
    """

    ignored: dict[str, type[Inert]] = field(default_factory=dict)

    def find(self, module: str, name: str) -> Any:
        """The stand-in for `module.name`."""
        known = HARMLESS.get((module, name))
        if known is not None:
            return known
        if name in STORAGES and module in ("torch", "torch.cuda", "torch.storage"):
            return Kind(STORAGES[name])
        if module == "torch" and name in DTYPES:
            return Kind(DTYPES[name])
        full = f"{module}.{name}"
        if full not in self.ignored:
            self.ignored[full] = type("Placeholder", (Inert,), {"foreign": full})
        return self.ignored[full]


class InertUnpickler(pickle.Unpickler):
    """An unpickler that imports nothing.

    Attributes:
        names: what was met.
        widths: bytes of a number in each storage, by its key.
    """

    def __init__(self, file: IO[bytes], names: Names) -> None:
        # Latin 1 gives every byte a letter: files of Python 2 hold bytes where texts are.
        super().__init__(file, encoding="latin1")
        self.names = names
        self.widths: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in, never an import."""
        return self.names.find(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """The description of a storage; of a class, whose source code old files keep, its placeholder."""
        if not isinstance(pid, tuple) or len(pid) < 4:
            raise UnreadableError("it refers to what is no part of it: it is damaged, or no file of torch.save")
        what, kind, key, *rest = (_text(part) for part in pid)
        if what == "module":
            return kind
        _location, numel, *view = rest
        start = view[0][1] if view and view[0] is not None else 0
        self.widths[str(key)] = kind.dtype.itemsize
        return Storage(str(key), kind.dtype, int(numel), int(start))


def rewrite(file: Path, out: Path, containers: tuple[str, ...]) -> list[str]:
    """Write the tensors and plain values of `file` to `out`, and say what was ignored.

    Args:
        containers: keys under which the tensors may be, in order of preference.

    Raises:
        UnreadableError: there are no tensors, or what describes them is impossible.
    """
    names = Names()
    content, read = open_file(file, names)
    key, state, beside = unwrap(content, containers)
    # Tensors that share their numbers mostly come one after another.
    read = functools.lru_cache(maxsize=1)(read)
    tensors = {name: materialise(value, read) for name, value in state.items()}
    if not tensors:
        raise UnreadableError("there are no tensors in it")
    budget = [NODES]
    torch.save({key: tensors, **{str(name): plain(value, budget) for name, value in beside.items()}}, out)
    return list(names.ignored)


def open_file(path: Path, names: Names) -> tuple[Any, Callable[[Storage], bytes]]:
    """What a file describes, and the function that reads a storage."""
    if zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        entries = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if not entries:
            raise UnreadableError("it is a zip file without a pickle of torch")
        folder = entries[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise UnreadableError("its numbers are big-endian")
        with archive.open(entries[0]) as member:
            content = InertUnpickler(member, names).load()
        return content, lambda storage: archive.read(f"{folder}data/{storage.key}")
    return _open_legacy(path, names)


def unwrap(content: Any, containers: tuple[str, ...]) -> tuple[str, dict[str, Described], Mapping[Any, Any]]:
    """The key of the state dict, the state dict itself, and what stands beside it."""
    if isinstance(content, Mapping):
        for key in containers:
            state = _described(content.get(key))
            if state:
                return key, state, {name: value for name, value in content.items() if name != key}
    state = _described(content)
    beside = content if isinstance(content, Mapping) else {}
    return containers[0], state, {name: value for name, value in beside.items() if str(name) not in state}


def materialise(tensor: Described, read: Callable[[Storage], bytes]) -> Tensor:
    """A tensor of its own out of the bytes of its storage."""
    storage, width = tensor.storage, tensor.dtype.itemsize
    if not all(isinstance(number, int) and number >= 0 for number in (*tensor.size, *tensor.stride, tensor.offset)):
        raise UnreadableError("a tensor has an impossible size")
    if len(tensor.size) != len(tensor.stride):
        raise UnreadableError("a tensor has an impossible shape")
    if 0 in tensor.size:
        return torch.empty(tensor.size, dtype=tensor.dtype)
    reach = sum((size - 1) * stride for size, stride in zip(tensor.size, tensor.stride, strict=True))
    first = storage.start + tensor.offset
    data = bytearray(read(storage))
    if (first + reach + 1) * width > len(data):
        raise UnreadableError("a tensor reaches beyond its numbers: the file is cut short")
    whole = torch.frombuffer(data, dtype=tensor.dtype, count=len(data) // width)
    return whole.as_strided(tensor.size, tensor.stride, first).clone(memory_format=torch.contiguous_format)


def plain(value: Any, budget: list[int], depth: int = 40) -> Any:
    """The numbers, texts and containers in a value; what is none becomes None, tensors included."""
    budget[0] -= 1
    if budget[0] < 0 or depth < 0:
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {_key(name): plain(entry, budget, depth - 1) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry, budget, depth - 1) for entry in value]
    if isinstance(value, Inert):
        return plain(_inside(value), budget, depth - 1)
    return None


def _inside(value: Inert) -> Any:
    """The values in a placeholder: attributes, and of omegaconf's nodes what they are a node of."""
    state = value.state
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], (Mapping, type(None))):
        state = {**(state[0] or {}), **(state[1] if isinstance(state[1], Mapping) else {})}
    if isinstance(state, Mapping):
        return next((state[name] for name in ("_content", "_val") if name in state), state)
    if value.items:
        return value.items
    # An enumeration's member is its class called with its value.
    return value.arguments[0] if len(value.arguments) == 1 else None


def _described(value: Any) -> dict[str, Described]:
    """The tensors of a state dict, or of a pickled network by the names that its state dict would give them."""
    if isinstance(value, Mapping):
        return {str(name): tensor for name, tensor in value.items() if isinstance(tensor, Described)}
    return dict(_of_network(value, "", 100)) if isinstance(value, Inert) else {}


def _of_network(value: Any, prefix: str, depth: int) -> Iterator[tuple[str, Described]]:
    parts = value.state if isinstance(value, Inert) and isinstance(value.state, Mapping) else {}
    parts = {name: part if isinstance(part, Mapping) else {} for name, part in parts.items()}
    # Buffers that no state dict holds are listed in a set; files of old have no such list.
    unsaved = value.state.get("_non_persistent_buffers_set", ()) if parts else ()
    for name, tensor in [*parts.get("_parameters", {}).items(), *parts.get("_buffers", {}).items()]:
        if isinstance(tensor, Described) and name not in unsaved:
            yield f"{prefix}{name}", tensor
    for name, child in parts.get("_modules", {}).items():
        if depth:
            yield from _of_network(child, f"{prefix}{name}.", depth - 1)


def _open_legacy(path: Path, names: Names) -> tuple[Any, Callable[[Storage], bytes]]:
    """The format before 2020: several pickles in a row, then the numbers."""
    with path.open("rb") as file:
        if InertUnpickler(file, names).load() != LEGACY_MAGIC:
            raise UnreadableError("it is no file of torch.save")
        InertUnpickler(file, names).load()
        system = InertUnpickler(file, names).load()
        if not isinstance(system, Mapping) or system.get("little_endian") is not True:
            raise UnreadableError("its numbers are big-endian")
        unpickler = InertUnpickler(file, names)
        content = unpickler.load()
        places = {}
        for key in map(str, InertUnpickler(file, names).load()):
            (numel,) = struct.unpack("<q", file.read(8))
            places[key] = (file.tell(), numel * unpickler.widths[key])
            file.seek(places[key][1], 1)

    def read(storage: Storage) -> bytes:
        start, size = places[storage.key]
        with path.open("rb") as again:
            again.seek(start)
            return again.read(size)

    return content, read


def _rebuild(storage: Storage, offset: int, size: Any, stride: Any, *_rest: Any) -> Described:
    return Described(storage, offset, tuple(size), tuple(stride), storage.dtype)


def _rebuild_typed(
    storage: Storage, offset: int, size: Any, stride: Any, _gradient: Any, _hooks: Any, kind: Kind, *_rest: Any
) -> Described:
    return Described(storage, offset, tuple(size), tuple(stride), kind.dtype)


def _rebuild_parameter(tensor: Any, *_rest: Any) -> Any:
    return tensor


def _rebuild_subclass(function: Any, _type: Any, arguments: Any, _state: Any) -> Any:
    return function(*arguments) if function in (_rebuild, _rebuild_typed) else None


def _encode(text: Any, *_rest: Any) -> bytes:
    return str(text).encode("latin1", "replace")


def _dictionary(*_arguments: Any) -> dict[Any, Any]:
    return {}


def _size(values: Any = ()) -> tuple[Any, ...]:
    return tuple(values)


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value


def _key(name: Any) -> Any:
    return name if isinstance(name, (str, int, bool)) else str(name) if isinstance(name, float) else "?"


HARMLESS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): _dictionary,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_typed,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_subclass,
    ("torch", "Size"): _size,
    ("_codecs", "encode"): _encode,
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)},
}

if __name__ == "__main__":
    try:
        print(json.dumps({"ignored": rewrite(Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:]))}))
    except UnreadableError as reason:
        print(json.dumps({"error": str(reason)}))
        sys.exit(1)
