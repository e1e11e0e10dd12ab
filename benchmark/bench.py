"""The bench that a method is checked on: its adapter, some signals, a device; and what can be seen while it works."""

from __future__ import annotations

import contextlib
import hashlib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from ..adapters.base import LEADS, Adapter, Encoder, Generator, LoadReport
from ..adapters.errors import MibenchError
from ..adapters.signal import place, prepare
from .data.store import SignalStore
from .embed import embed_signals
from .synthesis import synthesize
from .weights import Weights

RECORDS = 32
"""Records on the bench: the largest batch that a check runs."""

DEPTH = 6
"""How far networks are looked for among the attributes of attributes."""

Array = npt.NDArray[np.float32]


class Bench:
    """One adapter with 32 records; it is loaded when first needed, and stays loaded between checks.

    Attributes:
        adapter: what is checked.
        millivolt: (32, 12, samples), all leads; fewer records than that are repeated.
        sampling_rate: of the records, Hz.
        leads: the observed ones, all that the adapter is ever shown.
        device: where the network lives.
        weights: that it is loaded with.
        report: what loading them found.
    """

    def __init__(
        self,
        adapter: Adapter,
        signals: SignalStore | npt.ArrayLike | None = None,
        *,
        sampling_rate: float = 500.0,
        leads: Sequence[str] | None = None,
        device: str | torch.device = "cpu",
        weights: Weights | Path | None = None,
        records: int = RECORDS,
        loaded: bool = False,
    ) -> None:
        """Put an adapter on the bench.

        Args:
            adapter: an encoder, a generator or a part.
            signals: a store, an array (records, 12, samples) in mV, or None for records of the demo heart.
            sampling_rate: of an array, Hz.
            leads: that are observed; None is lead I, the first lead that the method takes when it takes no lead I, or
                all of them for a generator that sees more than lead I.
            device: by name or as torch has it.
            weights: a choice of weights or a file; None is random weights, always the same.
            records: how many at most, for a quick look.
            loaded: the adapter is ready already, and is left so.

        Raises:
            MibenchError: the array is no twelve leads of some records.
        """
        self.adapter = adapter
        self.device = torch.device(device)
        spec = adapter.spec
        if isinstance(weights, Path):
            weights = Weights("published", weights.name, weights)
        self.weights = weights or (Weights("random", "random", seed=0) if spec.needs_weights else Weights("none"))
        usual = ("I",) if "I" in spec.leads else spec.leads[:1]
        self.leads = tuple(leads or (usual if spec.sees == "observed" else spec.leads))
        self.sampling_rate = signals.sampling_rate if isinstance(signals, SignalStore) else float(sampling_rate)
        self.records: tuple[str, ...] = ()
        self._signals = signals
        self._wanted = records
        self._loaded = loaded
        self.report = LoadReport()

    @cached_property
    def millivolt(self) -> Array:
        """(records, 12, samples) in mV, read when first needed."""
        signals = self._signals
        if isinstance(signals, SignalStore):
            rows = np.arange(min(self._wanted, len(signals)))
            self.records = tuple(map(str, signals.records[rows]))
            found = signals.read(rows)
        elif signals is None:
            found = demo_signals(self._wanted)
        else:
            found = np.array(np.asarray(signals)[: self._wanted], dtype=np.float32)
        if found.ndim != 3 or found.shape[1] != len(LEADS) or not len(found):
            raise MibenchError(f"signals to check with are (records, {len(LEADS)}, samples) in mV; got {found.shape}")
        return found[np.arange(self._wanted) % len(found)] if self._wanted == RECORDS else found

    def load(self, device: torch.device | None = None) -> None:
        """Load the adapter anew, on its own device or on another."""
        self.report = self.weights.load(self.adapter, device or self.device)
        self._loaded = True

    def ready(self) -> None:
        """Load the adapter unless it is loaded."""
        if not self._loaded:
            self.load()

    def observed(self, rows: slice | Sequence[int] = slice(None)) -> Array:
        """(rows, observed leads, samples) in mV."""
        return np.ascontiguousarray(self.millivolt[rows][:, [LEADS.index(lead) for lead in self.leads]])

    def prepared(self, millivolt: Array) -> Tensor:
        """What the network is given for some observed leads: (batch, leads, samples) on the device."""
        signal = torch.from_numpy(millivolt).to(self.device)
        return prepare(signal, self.sampling_rate, self.leads, self.adapter.spec).flatten(0, 1)

    def output(self, millivolt: Array, *, seed: int = 0) -> Array:
        """What the method makes of some observed leads, by the way that the benchmark takes.

        Returns:
            (records, embedding_dim) of an encoder, (records, 12, samples) of a generator.
        """
        self.ready()
        with self.seeded(seed):
            if isinstance(self.adapter, Encoder):
                return embed_signals(self.adapter, millivolt, self.sampling_rate, self.leads, self.device)
            if not isinstance(self.adapter, Generator):
                raise TypeError(f"a {self.adapter.spec.kind} has no output")
            twelve = place(torch.from_numpy(millivolt), [LEADS.index(lead) for lead in self.leads], len(LEADS))
            made = synthesize(self.adapter, twelve.numpy(), self.sampling_rate, self.device, pass_through=False)
            output: Array = made.cpu().numpy()
            return output

    def raw(self, signal: Tensor) -> Tensor:
        """What `embed` or `synthesize` itself returns, without gradient as everywhere in the benchmark."""
        self.ready()
        if not isinstance(self.adapter, (Encoder, Generator)):
            raise TypeError(f"a {self.adapter.spec.kind} has no output")
        call = self.adapter.embed if isinstance(self.adapter, Encoder) else self.adapter.synthesize
        with torch.inference_mode():
            return call(signal)

    @contextlib.contextmanager
    def other_leads_scrambled(self) -> Iterator[None]:
        """Every lead that was not observed replaced by noise, while the block lasts."""
        others = [index for index, lead in enumerate(LEADS) if lead not in self.leads]
        kept = self.millivolt[:, others].copy()
        self.millivolt[:, others] = np.random.default_rng(0).standard_normal(kept.shape)
        try:
            yield
        finally:
            self.millivolt[:, others] = kept

    @contextlib.contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Torch's generators from a seed, and as they were when the block ends."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield


def networks(adapter: object) -> dict[str, nn.Module]:
    """Every module that can be reached from the attributes of an adapter or of its class, by its path."""
    found: dict[str, nn.Module] = {}
    attributes = {name: value for cls in reversed(type(adapter).__mro__) for name, value in vars(cls).items()}
    # Of an object with __slots__, vars() would raise.
    attributes.update(getattr(adapter, "__dict__", {}))
    _collect(attributes, "", DEPTH, set(), found)
    return found


def fingerprint(modules: Mapping[str, nn.Module]) -> dict[str, str]:
    """A digest of every parameter and buffer, those that no checkpoint holds included."""
    digests = {}
    for path, module in modules.items():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            digests[f"{path}.{name}"] = hashlib.sha256(values.tobytes()).hexdigest()
    return digests


@contextlib.contextmanager
def running_modules() -> Iterator[dict[nn.Module, bool]]:
    """The modules that run inside the block, and whether each was in training mode when it did."""
    seen: dict[nn.Module, bool] = {}

    def note(module: nn.Module, _arguments: Any) -> None:
        seen[module] = seen.get(module, False) or module.training

    handle = register_module_forward_pre_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's base has no types
    """The largest number of bytes in tensors made inside the block and alive together, on any device.

    Attributes:
        peak: in bytes, so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._alive = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {storage._cdata for storage in _storages((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in before and storage._cdata not in self._known:
                self._add(storage)
        self.peak = max(self.peak, self._alive)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()

        def free(_: Any) -> None:
            self._alive -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, free)
        self._alive += size


def _storages(value: Any) -> Iterator[torch.UntypedStorage]:
    if isinstance(value, Tensor):
        # Sparse tensors and their like have no storage of their own.
        with contextlib.suppress(NotImplementedError, RuntimeError):
            yield value.untyped_storage()
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _storages(entry)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _storages(entry)


def _collect(value: Any, path: str, depth: int, seen: set[int], found: dict[str, nn.Module]) -> None:
    if depth < 0 or id(value) in seen or isinstance(value, (str, bytes, type, ModuleType, Tensor, np.ndarray)):
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        found[path] = value
        return
    inside: Mapping[Any, Any] = {}
    if isinstance(value, Mapping):
        inside = value
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = dict(enumerate(value))
    elif is_dataclass(value):
        inside = {entry.name: getattr(value, entry.name, None) for entry in fields(value)}
    elif hasattr(value, "__dict__") and not callable(value):
        inside = vars(value)
    for name, entry in list(inside.items()):
        _collect(entry, f"{path}.{name}" if path else str(name), depth - 1, seen, found)


def demo_signals(records: int) -> Array:
    """(records, 12, 5000) of the demo heart at 500 Hz, made in memory."""
    from .data.demo.cohort import FOLDS, draw_cohort
    from .data.demo.electrodes import twelve_leads
    from .data.demo.simulate import simulate

    visits = draw_cohort(max(records, FOLDS), root=0)[:records]
    return np.stack([twelve_leads(simulate(visit, root=0).leads) for visit in visits]).astype(np.float32)
