"""Checks that any encoder must pass, ours or a stranger's, before its numbers mean anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..adapters.base import Encoder
from ..adapters.errors import MibenchError
from .data.store import SignalStore
from .embed import embed_signals


def assert_sound(encoder: Encoder, store: SignalStore, leads: Sequence[str], device: torch.device) -> None:
    """Embed three records twice, together and alone.

    Raises:
        MibenchError: a wrong shape, NaN, a second pass that differs (dropout or batch statistics still on), or an
            embedding that depends on the other records of its batch.
    """
    name = encoder.spec.name
    rows = np.arange(min(3, len(store)))
    millivolt = store.read(rows, leads)
    first = embed_signals(encoder, millivolt, store.sampling_rate, leads, device)
    if not np.isfinite(first).all():
        raise MibenchError(f"method {name}: embeddings of record {store.records[0]} or its neighbours are not finite")
    # Sums run in another order for another batch size, so the last digits may differ; dropout or a batch norm in
    # training mode differ by far more.
    tolerance = 1e-3 * float(np.abs(first).max()) + 1e-6
    again = embed_signals(encoder, millivolt, store.sampling_rate, leads, device)
    if np.abs(again - first).max() > tolerance:
        raise MibenchError(
            f"method {name}: two passes over the same records differ: put the network into eval() in load(), "
            f"dropout and batch statistics belong to training"
        )
    alone = embed_signals(encoder, millivolt[:1], store.sampling_rate, leads, device)
    if np.abs(alone[0] - first[0]).max() > tolerance:
        raise MibenchError(
            f"method {name}: the embedding of a record depends on the other records of its batch: use eval() in load()"
        )
