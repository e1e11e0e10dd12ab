"""Which two rows `mibench compare A B` means: by method, by method and source of weights, or by keys of records."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..adapters.errors import MibenchError
from ..adapters.options import did_you_mean
from .board import AVERAGES, COLUMNS, Board, Row
from .ecg import MI_STATEMENTS
from .generation_block import UNTRAINED
from .tables import mean_value

if TYPE_CHECKING:
    from pathlib import Path

SHORTEST_KEY = 4
_LISTED = 8


@dataclass(frozen=True)
class Contestant:
    """A row with finished runs, and the board that it stands on."""

    board: Board
    row: Row

    @property
    def title(self) -> str:
        """The row's name and weights, for people."""
        return f"{self.row.name}, {self.row.weights}"

    @property
    def where(self) -> str:
        """Protocol and share of the training records."""
        share = "" if self.row.ratio is None else f", {100 * self.row.ratio:g} % of the training records"
        read_by = self.board.classifier
        trained = f", classifier of {read_by.trained_on} records" if read_by else ""
        return f"{self.board.protocol} v{self.board.version}{trained}{share}"

    @property
    def known_as(self) -> str:
        """For a list of candidates: what to type, and what it is."""
        return f"{self.row.paths[0].stem[:12]} ({self.row.method}:{self.row.source}, {self.board.data}, {self.where})"

    @property
    def same_data(self) -> tuple[str, str]:
        """Rows with the same have the same test records."""
        return self.board.data, self.board.manifest


def contestants(
    boards: Sequence[Board], records: Mapping[Path, Mapping[str, Any]], first: str, second: str, ratio: float | None
) -> tuple[Contestant, Contestant]:
    """The two rows that two names mean.

    A bare method is its trained weights where there are any, and rows of one protocol and share of the training
    records go before those of two; all the training records go before fewer.

    Args:
        boards: as `tables.leaderboards` gives them.
        records: by file, for keys that mean one seed of a row.
        first, second: `method`, `method:source`, or the first letters of a key, four at least.
        ratio: share of the training records, 0 to 1; None is any.

    Raises:
        MibenchError: nothing fits, or too much does.
    """
    every = [Contestant(board, row) for board in boards for row in board.rows if row.paths]
    found = [_meant(every, records, name, ratio) for name in (first, second)]
    if first == second:
        raise MibenchError(_same(first, second, found[0]))
    pairs = [
        (one, other)
        for one, other in itertools.product(*found)
        if one.same_data == other.same_data and set(one.row.paths).isdisjoint(other.row.paths)
    ]
    if not pairs:
        raise MibenchError(_no_pair(first, second, *found))
    for better in (_one_board, _one_share, _whole_share, _real_classifier):
        pairs = [pair for pair in pairs if better(pair)] or pairs
    if len(pairs) > 1:
        raise MibenchError(_too_many(first, second, pairs))
    return pairs[0]


def _meant(
    every: Sequence[Contestant], records: Mapping[Path, Mapping[str, Any]], name: str, ratio: float | None
) -> list[Contestant]:
    """All rows that a name may mean."""
    inside = [c for c in every if ratio is None or (c.row.ratio is not None and abs(c.row.ratio - ratio) < 1e-9)]
    method, _, source = name.rpartition(":")
    named = [c for c in inside if name.lower() in (c.row.method.lower(), c.row.title.lower())]
    if named:
        trained = [c for c in named if c.row.source not in UNTRAINED]
        return trained or named
    sourced = [c for c in inside if method and (c.row.method.lower(), c.row.source) == (method.lower(), source)]
    if sourced:
        return sourced
    if len(name) >= SHORTEST_KEY and re.fullmatch(r"[0-9a-f]+", name):
        keyed = [
            _single(c, place, records[path])
            for c in every
            for place, path in enumerate(c.row.paths)
            if path.stem.startswith(name)
        ]
        if keyed:
            return keyed
    raise MibenchError(_unknown(every, name, ratio))


def _single(contestant: Contestant, place: int, record: Mapping[str, Any]) -> Contestant:
    """One seed of a row, as a row of its own."""
    row, metrics = contestant.row, record["metrics"]
    if len(row.paths) == 1:
        return contestant
    values = {
        name: mean_value([(metrics["auc"].get(name), metrics.get("interval", {}).get(name))]) for name in MI_STATEMENTS
    }
    for name in AVERAGES:
        values[name] = mean_value([(metrics.get(name.lower()), metrics.get(f"{name.lower()}_interval"))])
    assert list(values) == list(COLUMNS)
    only = replace(row, paths=(row.paths[place],), seeds=(row.seeds[place],), values=values, spread=None)
    return replace(contestant, row=only)


def _one_board(pair: tuple[Contestant, Contestant]) -> bool:
    return pair[0].board.label == pair[1].board.label


def _one_share(pair: tuple[Contestant, Contestant]) -> bool:
    return pair[0].row.ratio == pair[1].row.ratio


def _whole_share(pair: tuple[Contestant, Contestant]) -> bool:
    return all(contestant.row.ratio in (None, 1.0) for contestant in pair)


def _real_classifier(pair: tuple[Contestant, Contestant]) -> bool:
    """The paper's pipeline goes before classifiers that learnt from generated records."""
    return all(c.board.classifier is None or c.board.classifier.trained_on == "real" for c in pair)


def _unknown(every: Sequence[Contestant], name: str, ratio: float | None) -> str:
    share = "" if ratio is None else f" at {100 * ratio:g} % of the training records"
    known = sorted({f"{c.row.method}:{c.row.source}" for c in every})
    if not known:
        return "no finished run keeps test scores to compare: `mibench run --method selfmis` makes the first"
    plain = sorted({c.row.method for c in every})
    if ratio is not None and name in plain:
        shares = sorted({100 * c.row.ratio for c in every if c.row.method == name and c.row.ratio is not None})
        return f"{name} has no finished run{share}; there are runs at {', '.join(f'{share:g}' for share in shares)} %"
    meant = did_you_mean(name, plain, listing=False)
    return (
        f"`{name}` is no method with finished runs{share}, and no key of one; there are {', '.join(known)}. A key is "
        f"the name of a file in the results folder, {SHORTEST_KEY} letters of it or more{meant}"
    )


def _no_pair(first: str, second: str, ones: Sequence[Contestant], others: Sequence[Contestant]) -> str:
    if {c.row.paths for c in ones} & {c.row.paths for c in others}:
        return _same(first, second, ones)
    left, right = (sorted({f"{c.board.data} {c.board.release}" for c in found}) for found in (ones, others))
    return (
        f"{first} has runs on {', '.join(left)} and {second} on {', '.join(right)}: only runs on the same data can be "
        f"compared; run both on one of them"
    )


def _same(first: str, second: str, found: Sequence[Contestant]) -> str:
    method = found[0].row.method
    return (
        f"{first} and {second} are the same runs: compare two methods, or two weights of one, such as "
        f"{method}:pretrained and {method}:random, or two keys"
    )


def _too_many(first: str, second: str, pairs: Sequence[tuple[Contestant, Contestant]]) -> str:
    sentences = []
    for name, found in zip((first, second), zip(*pairs, strict=True), strict=True):
        rows = list(dict.fromkeys(contestant.known_as for contestant in found))
        if len(rows) > 1:
            more = f"; and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
            sentences.append(f"{name} may be {'; '.join(rows[:_LISTED])}{more}")
    return (
        f"it is not clear which runs are meant: {'. '.join(sentences)}. Give a key in place of the name, or say more "
        f"with --data, --protocol, --ratio or METHOD:SOURCE"
    )
