"""How far down its own partner stands among all others: the ranks behind R@K, in memory that grows with the records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

TIE = 1e-6
"""Cosines nearer to each other are the same: single-precision networks tell records apart no better."""

BLOCK = 1 << 21
"""Cosines held at once: 16 MiB in double precision, whatever the size of the gallery."""


def ranks_of_partners(queries: Tensor, gallery: Tensor, block: int = BLOCK) -> npt.NDArray[np.int64]:
    """(records,): how many of the other gallery entries are as near to query i as its partner, entry i, or nearer.

    0 is found at once. By cosine, in double precision; a tie counts against the query, so that an encoder to which all
    records are the same finds none of them.

    Args:
        queries, gallery: (records, features), on one device.
        block: cosines held at once.

    Raises:
        ValueError: the two do not belong together, or hold NaN.
    """
    if queries.ndim != 2 or queries.shape != gallery.shape or not len(queries):
        raise ValueError(f"queries {tuple(queries.shape)} and gallery {tuple(gallery.shape)} must be pairs")
    if not bool(torch.isfinite(queries).all() and torch.isfinite(gallery).all()):
        raise ValueError("queries and gallery must be finite")
    ours, theirs = F.normalize(queries.double(), dim=1), F.normalize(gallery.double(), dim=1)
    rows = max(1, block // len(theirs))
    found = torch.empty(len(ours), dtype=torch.long, device=ours.device)
    for start in range(0, len(ours), rows):
        cosine = ours[start : start + rows] @ theirs.T
        own = cosine.diagonal(start)[:, None].clone()
        # The partner is as near as itself: one is not another.
        found[start : start + rows] = (cosine >= own - TIE).sum(dim=1) - 1
    return found.cpu().numpy()


def ranks_in_batches(queries: Tensor, gallery: Tensor, size: int) -> npt.NDArray[np.int64]:
    """The same among the entries of the query's own batch of `size` records in their order; all batches are full."""
    starts = range(0, len(queries) - size + 1, size)
    return np.concatenate([ranks_of_partners(queries[s : s + size], gallery[s : s + size]) for s in starts])
