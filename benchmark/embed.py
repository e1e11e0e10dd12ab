"""Embeddings: every record goes through a frozen encoder once, and what came out is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock

from ..adapters.base import Encoder, Tokenizer
from ..adapters.errors import MibenchError
from ..adapters.signal import prepare
from .data.store import SignalStore
from .files import safe_name, sha256_json, write_array
from .home import home
from .tokens import TokenStore, cached_tokens

PART_RECORDS = 512
"""Records between two saves: what a kill can cost."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Batching:
    """How embedding is spread over the device; none of it is part of a key.

    Attributes:
        device: of the network.
        batch_size: records per forward pass.
    """

    device: torch.device
    batch_size: int = 64


def embed_signals(
    encoder: Encoder,
    millivolt: npt.NDArray[np.float32],
    sampling_rate: float,
    leads: Sequence[str],
    device: torch.device,
) -> npt.NDArray[np.float32]:
    """(records, leads, samples) in mV -> (records, embedding_dim): one forward pass, windows averaged.

    Raises:
        MibenchError: the encoder's output has another shape than its spec says, or holds NaN.
    """
    signal = torch.from_numpy(millivolt).to(device, non_blocking=True)
    windows = prepare(signal, sampling_rate, leads, encoder.spec)
    records, count = windows.shape[:2]
    with torch.inference_mode():
        output = _checked(encoder, encoder.embed(windows.flatten(0, 1)), records * count)
    embedding: npt.NDArray[np.float32] = output.view(records, count, -1).mean(dim=1).cpu().numpy()
    return embedding


def embed_tokens(
    encoder: Tokenizer, tokens: TokenStore, rows: npt.NDArray[np.int64], device: torch.device
) -> npt.NDArray[np.float32]:
    """Embeddings of some records from their tokens, in one forward pass.

    Raises:
        MibenchError: as of `embed_signals`.
    """
    with torch.inference_mode():
        given = {name: value.to(device, non_blocking=True) for name, value in tokens.read(rows).items()}
        output = _checked(encoder, encoder.embed_tokens(given), len(rows))
    embedding: npt.NDArray[np.float32] = output.cpu().numpy()
    return embedding


def _checked(encoder: Encoder, output: torch.Tensor, batch: int) -> torch.Tensor:
    wanted = (batch, encoder.spec.embedding_dim)
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != wanted:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise MibenchError(
            f"method {encoder.spec.name}: embed() must return (batch, embedding_dim) = {wanted} and returned {shape}: "
            f"mend its embed() or its spec.embedding_dim"
        )
    return output.float()


def embed_rows(
    encoder: Encoder,
    store: SignalStore,
    rows: npt.NDArray[np.int64],
    leads: Sequence[str],
    batching: Batching,
    progress: Progress | None = None,
    tokens: TokenStore | None = None,
) -> npt.NDArray[np.float32]:
    """Embeddings of some rows of a store, in their order; only the observed `leads` are read, or their tokens.

    Raises:
        MibenchError: an embedding is not finite; the record is named.
    """
    parts = []
    for start in range(0, len(rows), batching.batch_size):
        chosen = rows[start : start + batching.batch_size]
        if tokens is not None and isinstance(encoder, Tokenizer):
            part = embed_tokens(encoder, tokens, chosen, batching.device)
        else:
            part = embed_signals(encoder, store.read(chosen, leads), store.sampling_rate, leads, batching.device)
        if not np.isfinite(part).all():
            record = store.records[chosen[int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])]]
            raise MibenchError(f"method {encoder.spec.name}: the embedding of record {record} is not finite")
        parts.append(part)
        if progress:
            progress(min(start + batching.batch_size, len(rows)))
    return np.concatenate(parts)


def embedding_key(identity: Mapping[str, Any], store: SignalStore, leads: Sequence[str]) -> str:
    """What determines an embedding: method and weights (`identity`), the signals, and which leads were observed."""
    return sha256_json({"method": dict(identity), "signals": store.manifest, "leads": list(leads)})[:16]


def embedding_folder(method: str, key: str) -> Path:
    """Where the embeddings of a key are kept."""
    return home() / "embeddings" / safe_name(method) / key


def cached_embeddings(
    load: Callable[[], Encoder],
    method: str,
    folder: Path,
    store: SignalStore,
    leads: Sequence[str],
    batching: Batching,
    steps: Callable[[str, int], Progress],
) -> npt.NDArray[np.float32]:
    """(records, embedding_dim) of a whole store, from the cache or computed part by part.

    The encoder is loaded only when something is missing. A kill loses at most the part in work; two processes that
    want the same embeddings wait for each other.

    Args:
        load: makes the encoder with its weights, ready on the device.
        method: its name, for the progress bar.
        folder: of `embedding_folder`.
        steps: makes a progress function.
    """
    whole = folder / "embeddings.npy"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        ready = _read(whole, len(store))
        if ready is None:
            ready = _compute(load, method, folder, store, leads, batching, steps)
            _write(whole, ready)
            for part in folder.glob("part-*.npy"):
                part.unlink()
    return ready


def _compute(
    load: Callable[[], Encoder],
    method: str,
    folder: Path,
    store: SignalStore,
    leads: Sequence[str],
    batching: Batching,
    steps: Callable[[str, int], Progress],
) -> npt.NDArray[np.float32]:
    parts = []
    encoder = tokens = None
    progress = steps(f"embedding with {method}", len(store))
    for number, start in enumerate(range(0, len(store), PART_RECORDS)):
        rows = np.arange(start, min(start + PART_RECORDS, len(store)), dtype=np.int64)
        file = folder / f"part-{number:05d}.npy"
        part = _read(file, len(rows))
        if part is None:
            if encoder is None:
                encoder = load()
                if isinstance(encoder, Tokenizer):
                    tokens = cached_tokens(encoder, encoder.spec, store, leads, steps)

            def count(done: int, start: int = start) -> None:
                progress(start + done)

            part = embed_rows(encoder, store, rows, leads, batching, count, tokens)
            _write(file, part)
        progress(start + len(rows))
        parts.append(part)
    return np.concatenate(parts)


def _read(path: Path, records: int) -> npt.NDArray[np.float32] | None:
    """What is in the cache, None when it is absent or damaged: then it is simply computed again."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.ndim == 2 and len(array) == records and array.dtype == np.float32 else None


def _write(path: Path, array: npt.NDArray[np.float32]) -> None:
    write_array(path, array.shape, array.dtype, [array])
