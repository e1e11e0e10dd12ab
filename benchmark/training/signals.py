"""Recorded leads on the device as millivolts: read ahead of time into pinned memory, or held there altogether."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..data.store import SignalStore
from ..progress import Steps
from .sampler import Rows

HELD_SHARE = 0.5
"""Of the free memory of a GPU, what may hold signals; the network needs the rest."""

AHEAD = 4
"""Batches on their way, and threads that fetch them."""

_CHUNK = 4096

T = TypeVar("T")


@dataclass(frozen=True)
class Digital:
    """Samples as stored, (batch, leads, samples) int16, with gain (units per mV) and baseline, (batch, leads)."""

    samples: Tensor
    gain: Tensor
    baseline: Tensor

    def millivolt(self) -> Tensor:
        """(batch, leads, samples) float32, bit for bit as `SignalStore.read` gives it."""
        return (self.samples - self.baseline.unsqueeze(-1)) / self.gain.unsqueeze(-1)


class Signals:
    """Some leads of a store, for one device.

    Args:
        store: where they are.
        leads: that are read; the others never leave the disk.
        device: where millivolts are wanted.
    """

    def __init__(self, store: SignalStore, leads: Sequence[str], device: torch.device) -> None:
        self.store, self.leads, self.device = store, tuple(leads), device
        self._buffers: queue.SimpleQueue[tuple[Tensor, torch.cuda.Event]] = queue.SimpleQueue()
        self._held: Digital | None = None
        self._places = np.empty(0, dtype=np.int64)

    def hold(self, rows: Rows, steps: Steps) -> bool:
        """Copy all signals of some rows to a GPU, if they fit in half of what is free there; then no disk is needed."""
        needed = len(rows) * len(self.leads) * self.store.samples * 2
        if self.device.type != "cuda" or needed > HELD_SHARE * torch.cuda.mem_get_info(self.device)[0]:
            return False
        bar = steps(f"loading lead {', '.join(self.leads)} onto the GPU", len(rows))
        shape = (len(rows), len(self.leads))
        samples = torch.empty((*shape, self.store.samples), dtype=torch.int16, device=self.device)
        gain, baseline = torch.empty(shape, device=self.device), torch.empty(shape, device=self.device)
        for start in range(0, len(rows), _CHUNK):
            chosen = rows[start : start + _CHUNK]
            part = self._read(chosen)
            place = slice(start, start + len(chosen))
            samples[place], gain[place], baseline[place] = part.samples, part.gain, part.baseline
            bar(start + len(chosen))
        self._places = np.full(len(self.store), -1, dtype=np.int64)
        self._places[rows] = np.arange(len(rows))
        self._held = Digital(samples, gain, baseline)
        return True

    def fetch(self, rows: Rows) -> Digital | Tensor:
        """What a thread can do ahead of time: read from disk, into pinned memory for a GPU."""
        if self._held is not None:
            return torch.from_numpy(self._places[rows])
        return self._read(rows)

    def millivolt(self, fetched: Digital | Tensor) -> Tensor:
        """(batch, leads, samples) float32 on the device, of what `fetch` gave."""
        if isinstance(fetched, Tensor):
            assert self._held is not None
            chosen = fetched.to(self.device, non_blocking=True)
            return Digital(*(part[chosen] for part in vars(self._held).values())).millivolt()
        if self.device.type != "cuda":
            return fetched.millivolt()
        moved = Digital(*(part.to(self.device, non_blocking=True) for part in vars(fetched).values()))
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._buffers.put((fetched.samples, event))
        return moved.millivolt()

    def _read(self, rows: Rows) -> Digital:
        shape = (len(rows), len(self.leads), self.store.samples)
        out = self._pinned(shape) if self.device.type == "cuda" else None
        samples, gain, baseline = self.store.read_digital(rows, self.leads, None if out is None else out.numpy())
        return Digital(
            torch.from_numpy(samples) if out is None else out, torch.from_numpy(gain), torch.from_numpy(baseline)
        )

    def _pinned(self, shape: tuple[int, ...]) -> Tensor:
        """Pinned memory of a shape: that of an earlier batch once the GPU has taken it, or new."""
        try:
            buffer, taken = self._buffers.get_nowait()
        except queue.Empty:
            return torch.empty(shape, dtype=torch.int16, pin_memory=True)
        taken.synchronize()
        return buffer if buffer.shape == shape else torch.empty(shape, dtype=torch.int16, pin_memory=True)


class Ahead(Generic[T]):
    """Fetches what will be wanted next while the device computes.

    Args:
        fetch: gives the n-th piece; a pure function, called in threads.
        first, end: pieces that will be asked for, in order.

    Attributes:
        waited: seconds that were spent waiting.
    """

    def __init__(self, fetch: Callable[[int], T], first: int, end: int) -> None:
        self._fetch, self._next, self._end = fetch, first, end
        self._coming: deque[Future[T]] = deque()
        self._threads = ThreadPoolExecutor(AHEAD, thread_name_prefix="ahead")
        self.waited = 0.0
        self._fill()

    def take(self) -> T:
        """The next piece."""
        started = time.perf_counter()
        piece = self._coming.popleft().result()
        self.waited += time.perf_counter() - started
        self._fill()
        return piece

    def close(self) -> None:
        """Let go of what was fetched and not taken."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _fill(self) -> None:
        while len(self._coming) < AHEAD and self._next < self._end:
            self._coming.append(self._threads.submit(self._fetch, self._next))
            self._next += 1

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
