"""Which records are in which step: a function of (seed, epoch, step) alone, so that resuming costs nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..seeds import derive
from .schedule import Settings

Rows = npt.NDArray[np.int64]

MANY_RECORDS = 100_000
"""From here on, signals of all leads are shuffled in blocks: 12 GB that memory need not hold."""


class Sampler:
    """The order of records, epoch by epoch; each of them once in every epoch.

    "records" draws one permutation of all records. "blocks" reads neighbours together: blocks of neighbouring records
    are put in random order, and the records of a pool of such blocks are shuffled among each other. A disk then reads
    a block in one go, and memory holds a pool, however many records there are.

    Args:
        rows: of the store, in its order.
        settings: batch, blocks and pools, and whether a short last batch is left out.
        seed: of the training.
        many: "auto" means blocks.
    """

    def __init__(self, rows: Rows, settings: Settings, seed: int, *, many: bool = False) -> None:
        self.rows, self.settings, self.seed = rows, settings, seed
        self.per_epoch = steps_per_epoch(len(rows), settings)
        blocks = settings.shuffle == "blocks" or (settings.shuffle == "auto" and many)
        # One pool of everything is a permutation of all records, and stays the one that it would be without blocks.
        self.in_blocks = blocks and len(rows) > settings.pool_records
        # The newest of each is kept. Several threads ask, about two epochs at the edge between them: each returns what
        # it was asked for, whoever keeps something else meanwhile.
        self._epoch: tuple[int, Rows] | None = None
        self._blocks: tuple[int, Rows, Rows] | None = None
        self._pool: tuple[int, int, Rows] | None = None

    def batch(self, step: int) -> Rows:
        """The rows of one step, in random order."""
        epoch, within = divmod(step, self.per_epoch)
        size = self.settings.batch_size
        start, stop = within * size, min((within + 1) * size, len(self.rows))
        if not self.in_blocks:
            return self.rows[self._permutation(epoch)[start:stop]]
        _, bounds = self._pools(epoch)
        first = int(np.searchsorted(bounds, start, side="right")) - 1
        found, at = [], start
        while at < stop:
            end = min(stop, int(bounds[first + 1]))
            found.append(self._records(epoch, first)[at - bounds[first] : end - bounds[first]])
            at, first = end, first + 1
        return np.concatenate(found)

    def _permutation(self, epoch: int) -> Rows:
        kept = self._epoch
        if kept is None or kept[0] != epoch:
            order = np.random.default_rng(derive(self.seed, "order", epoch)).permutation(len(self.rows))
            kept = self._epoch = (epoch, order)
        return kept[1]

    def _pools(self, epoch: int) -> tuple[Rows, Rows]:
        """Blocks in the order of an epoch, and the place in the epoch at which each pool of them begins."""
        kept = self._blocks
        if kept is None or kept[0] != epoch:
            size, records = self.settings.block_records, len(self.rows)
            blocks = np.random.default_rng(derive(self.seed, "blocks", epoch)).permutation(-(-records // size))
            ends = np.cumsum(np.minimum(size, records - blocks * size))
            step = self._blocks_per_pool
            bounds = np.concatenate([[0], ends[step - 1 :: step], ends[-1:] if len(blocks) % step else []])
            kept = self._blocks = (epoch, blocks.astype(np.int64), bounds.astype(np.int64))
        return kept[1:]

    def _records(self, epoch: int, pool: int) -> Rows:
        kept = self._pool
        if kept is None or kept[:2] != (epoch, pool):
            blocks, _ = self._pools(epoch)
            step, size = self._blocks_per_pool, self.settings.block_records
            chosen = blocks[pool * step : (pool + 1) * step]
            rows = np.concatenate([self.rows[block * size : (block + 1) * size] for block in chosen.tolist()])
            order = np.random.default_rng(derive(self.seed, "pool", epoch, pool)).permutation(len(rows))
            kept = self._pool = (epoch, pool, rows[order])
        return kept[2]

    @property
    def _blocks_per_pool(self) -> int:
        return max(1, self.settings.pool_records // self.settings.block_records)


def parts_of(rows: Rows, parts: int) -> list[Rows]:
    """A batch in equal parts, each sorted: the loss does not mind, and the disk is read in one direction.

    Raises:
        ValueError: the parts would be unequal.
    """
    if len(rows) % parts:
        raise ValueError(f"{len(rows)} records cannot be shared equally among {parts}")
    return [np.sort(part) for part in np.split(rows, parts)]


def steps_per_epoch(records: int, settings: Settings) -> int:
    """Number of optimiser steps in an epoch."""
    full, rest = divmod(records, settings.batch_size)
    return full if settings.drop_last or rest < 2 else full + 1
