"""What `mibench embed` does: embeddings of a data set or of somebody's own array, in one `.npz`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..adapters import registry
from ..adapters.base import Encoder
from ..adapters.errors import MibenchError
from ..adapters.options import plain
from . import config, weights
from .choices import choose_device, choose_leads, choose_preset, make
from .data.catalog import open_dataset
from .embed import Batching, embed_signals
from .files import atomic_path
from .frozen import embeddings_of
from .progress import steps
from .protocols.request import Request
from .provenance import now, version

FLOAT_LIMIT_MILLIVOLT = 1000.0
"""No ECG reaches a volt: larger numbers are microvolts or raw digits."""


@dataclass(frozen=True)
class EmbedChoices:
    """The options of `mibench embed`: either `data`, or `npy` with its `rate`."""

    data: str | None
    npy: Path | None
    rate: float | None
    leads: tuple[str, ...]
    weights: str
    preset: str | None
    sets: tuple[str, ...]
    device: str
    batch_size: int


def write_embeddings(method: str, choices: EmbedChoices, out: Path, say: Callable[[str], None]) -> str:
    """Embed and write; a sentence on what was written.

    Raises:
        MibenchError: wrong options, an unreadable array, or a method or weights that do not fit.
    """
    if (choices.data is None) == (choices.npy is None):
        raise MibenchError("give either --data NAME or --npy FILE with --rate")
    data = open_dataset(choices.data, steps) if choices.data is not None else None
    preset = (
        choices.preset
        if data is None
        else choose_preset(registry.find(method), choices.preset, data, choices.weights, say)
    )
    card, adapter = make(method, preset, config.parse_sets(choices.sets)["method"])
    if not isinstance(adapter, Encoder):
        raise MibenchError(f"{method} is a {adapter.spec.kind}: it has no embeddings")
    leads = choose_leads(choices.leads) if choices.leads else ("I",)
    batching = Batching(choose_device(choices.device), choices.batch_size)
    array = _read_array(choices) if choices.npy is not None else None
    name = data.name if data else ""
    found = weights.resolve(
        choices.weights,
        adapter.spec,
        demo=data is not None and data.is_demo,
        plug_in=card.origin != "built in",
        options=plain(card.options),
    )
    if found is None:
        raise MibenchError(weights.how_to_get(card.name, adapter.spec, name or "ptb-xl"))
    about = {
        "mibench": version(),
        "created": now(),
        "method": adapter.spec.identity(),
        "options": plain(card.options),
        "weights": {"source": found.source, "name": found.name, "sha256": found.sha256, "seed": found.seed},
        "leads": list(leads),
    }
    if data is not None:
        request = Request(adapter, card, data, Path(), batching, say=say, steps=steps)
        embeddings = embeddings_of(request, found, leads).embeddings
        about["data"] = {"name": data.name, "release": data.release, "manifest": data.manifest, "notice": data.notice}
        records = data.records
    else:
        assert array is not None
        assert choices.rate is not None
        for note in found.load(adapter, batching.device).notes:
            say(note)
        embeddings = _of_array(adapter, array, choices.rate, _given_leads(choices, array), batching)
        about["data"] = {"file": str(choices.npy), "sampling_rate": choices.rate}
        records = np.arange(len(array)).astype(str)
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, embeddings=embeddings, records=records, about=np.array(json.dumps(about)))
    notice = f"   [{data.notice}]" if data is not None and data.notice else ""
    return f"{out}: {embeddings.shape[0]:,} records x {embeddings.shape[1]} features, weights {found.name}{notice}"


def _of_array(
    encoder: Encoder, array: npt.NDArray[np.float32], rate: float, leads: tuple[str, ...], batching: Batching
) -> npt.NDArray[np.float32]:
    bar = steps("embedding", len(array))
    parts = []
    for start in range(0, len(array), batching.batch_size):
        chunk = np.array(array[start : start + batching.batch_size], dtype=np.float32)
        if not np.isfinite(chunk).all():
            place = start + int(np.flatnonzero(~np.isfinite(chunk).all(axis=(1, 2)))[0])
            raise MibenchError(f"record {place} of --npy holds NaN or infinity: mend it or leave it out")
        parts.append(embed_signals(encoder, chunk, rate, leads, batching.device))
        bar(start + len(chunk))
    return np.concatenate(parts)


def _read_array(choices: EmbedChoices) -> npt.NDArray[np.float32]:
    """The user's array as it lies on disk, memory-mapped, always (records, leads, samples)."""
    path, rate = choices.npy, choices.rate
    assert path is not None
    if rate is None or rate <= 0:
        raise MibenchError("--npy needs --rate, the sampling rate in Hz")
    try:
        array: npt.NDArray[np.float32] = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as problem:
        raise MibenchError(f"{path} is not a readable .npy file ({problem}): write it with numpy.save") from problem
    if array.ndim == 2:
        array = array[:, None]
    if array.ndim != 3 or array.dtype.kind not in "fiu" or not len(array):
        raise MibenchError(
            f"{path} must hold numbers of shape (records, leads, samples) in mV, or (records, samples) for one lead; "
            f"it holds {array.dtype} {array.shape}"
        )
    if float(np.nanmax(np.abs(array[: min(len(array), 64)]))) > FLOAT_LIMIT_MILLIVOLT:
        raise MibenchError(f"{path} holds values over {FLOAT_LIMIT_MILLIVOLT:g}: signals are taken in mV; divide first")
    return array


def _given_leads(choices: EmbedChoices, array: npt.NDArray[np.float32]) -> tuple[str, ...]:
    """Leads in the array's own order, which need not be the standard one."""
    names = [name for text in choices.leads for name in text.replace(",", " ").split()] or ["I"]
    if [name.lower() for name in names] == ["all"]:
        leads = choose_leads(names)
    else:
        leads = tuple(choose_leads([name])[0] for name in names)
    if len(leads) != array.shape[1]:
        raise MibenchError(
            f"--npy holds {array.shape[1]} leads and --leads names {len(leads)}: name each, in the array's order"
        )
    return leads
