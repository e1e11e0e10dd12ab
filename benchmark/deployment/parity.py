"""Does a file give what torch gives? Asked record by record, in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...adapters.base import LEADS, Encoder, Generator
from ...adapters.errors import MibenchError
from ...adapters.signal import resample
from ..embed import embed_signals
from ..profiling.inputs import RATE, records
from ..synthesis import synthesize

NANOVOLT = 1e-6
"""In mV: a thousandth of PTB-XL's resolution."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    """How a file stands against torch.

    Attributes:
        difference: the largest there is.
        largest: value of torch.
        worst: the largest difference as a multiple of what is allowed for its record: above 1 it is refused.
        own: by how much torch itself differs where noise of a nanovolt is added to that record. A network that scales
            a flat lead up makes much of nothing, and then no two programs agree.
        records: that were compared.
    """

    difference: float
    largest: float
    worst: float
    own: float
    records: int


def check_signals(sampling_rate: float, samples: int) -> Array:
    """(records, 1, samples) in mV: of the demo heart, one ten times as large, one of 5 uV, and one that is flat."""
    heart = records(4)[:, :1]
    if sampling_rate != RATE:
        heart = resample(heart, RATE, sampling_rate)
    # Of other lengths than ten seconds: the beginning of such a record, or it over and over.
    heart = heart.repeat(1, 1, -(-samples // heart.shape[-1]))[..., :samples]
    tiny = heart[:1] * (0.005 / float(heart[0].abs().max()))
    signals: Array = torch.cat([heart, 10 * heart[1:2], tiny, torch.full_like(tiny, 0.25)]).contiguous().numpy()
    return signals


def compare(
    method: Encoder | Generator,
    run: Callable[[Array], Any],
    sampling_rate: float,
    samples: int,
    tolerance: float,
    *,
    together: bool,
) -> Parity:
    """Hold what `run` gives for some records against the method's own way.

    Args:
        method: loaded on the CPU.
        run: (batch, 1, samples) -> what the file gives.
        tolerance: as a share of the largest value of a record.
        together: all at once as well.

    Raises:
        MibenchError: the file takes a fixed number of records at a time, and any number was asked for.
    """
    signals = check_signals(sampling_rate, samples)
    wanted = _own_way(method, signals, sampling_rate)
    noise = np.random.default_rng(0).standard_normal(signals.shape).astype(np.float32) * NANOVOLT
    own = _by_record(_own_way(method, signals + noise, sampling_rate) - wanted)
    largest = _by_record(wanted)
    try:
        off = _by_record(np.concatenate([run(signals[row : row + 1]) for row in range(len(signals))]) - wanted)
        if together:
            off = np.maximum(off, _by_record(run(signals) - wanted))
    except Exception as problem:
        if not together:
            raise
        raise MibenchError(
            f"{method.spec.name}: its network fixes the number of records at a time; leave --dynamic-batch out"
        ) from problem
    excess = off / np.maximum(np.maximum(tolerance * largest, own), 1e-12)
    worst = int(excess.argmax())
    return Parity(float(off.max()), float(largest.max()), float(excess[worst]), float(own[worst]), len(signals))


def _own_way(method: Encoder | Generator, signals: Array, sampling_rate: float) -> Array:
    cpu = torch.device("cpu")
    if isinstance(method, Encoder):
        return embed_signals(method, signals, sampling_rate, ("I",), cpu)
    twelve = np.zeros((len(signals), len(LEADS), signals.shape[-1]), dtype=np.float32)
    twelve[:, :1] = signals
    made: Array = synthesize(method, twelve, sampling_rate, cpu, pass_through=False).numpy()
    return made


def _by_record(values: Array) -> npt.NDArray[np.float64]:
    """The largest of each; NaN must not pass for a small number."""
    flat = np.abs(values.reshape(len(values), -1)).astype(np.float64)
    largest: npt.NDArray[np.float64] = np.where(np.isfinite(flat), flat, np.inf).max(axis=1)
    return largest
