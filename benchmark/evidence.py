"""Are two rows of a board different? Paired differences from the scores that lie beside the records.

What was compared once is kept: a board whose scores are the same is answered from one small file, without NumPy and
without reading scores. The comparing itself is in `paired_scores`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..adapters.errors import MibenchError
from .board import COLUMNS
from .files import sha256_json, write_text
from .home import home
from .multiplicity import holm
from .scores import Source, source

ALGORITHM = 2
"""Raised whenever the same scores give other differences, intervals or p values: what was kept is then made again."""

LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """First minus second in AUC, as fractions of one: 95 % interval, two-sided p before any adjustment."""

    value: float
    low: float
    high: float
    p: float
    method: str


@dataclass(frozen=True)
class Comparison:
    """Of two rows.

    Attributes:
        records: test records that both have scores of.
        dropped: test records left out because only one of the two has them.
        differences: by column of a board; None where undefined.
    """

    records: int
    dropped: int
    differences: Mapping[str, Difference | None]


_NOTHING = Comparison(0, 0, dict.fromkeys(COLUMNS))


@dataclass(frozen=True)
class Contest:
    """All pairs of a board.

    Attributes:
        identities: of each row, what its scores are known by; None where they cannot be compared.
        pairs: by two identities, in alphabetical order.
        warnings: sentences on what could not be compared.
    """

    identities: tuple[str | None, ...]
    pairs: Mapping[tuple[str, str], Comparison]
    warnings: tuple[str, ...] = field(default=())

    def difference(self, first: int, second: int) -> Comparison:
        """Row `first` minus row `second`; nothing but None where one of them has no scores."""
        one, other = self.identities[first], self.identities[second]
        if one is None or other is None:
            return _NOTHING
        if one == other:
            return self._itself(one)
        if one < other:
            return self.pairs.get((one, other), _NOTHING)
        found = self.pairs.get((other, one), _NOTHING)
        turned = {name: _turned(difference) for name, difference in found.differences.items()}
        return Comparison(found.records, found.dropped, turned)

    def _itself(self, identity: str) -> Comparison:
        """Of two rows with the same scores: no difference, where there is an AUC at all."""
        some = next((found for pair, found in self.pairs.items() if identity in pair), None)
        if some is None:
            return _NOTHING
        none = Difference(0.0, 0.0, 0.0, 1.0, "the same scores")
        return Comparison(some.records, 0, {name: one and none for name, one in some.differences.items()})

    def adjusted(self, first: int, second: int, column: str, among: Sequence[int] | None = None) -> float | None:
        """The p value of a difference, adjusted after Holm for all rows that `first` is compared with.

        Args:
            among: those rows, `second` one of them; all others of the board unless told.
        """
        rivals = [i for i in (range(len(self.identities)) if among is None else among) if i != first]
        found = {rival: self.difference(first, rival).differences[column] for rival in rivals}
        known = {rival: difference.p for rival, difference in found.items() if difference is not None}
        return dict(zip(known, holm(list(known.values())), strict=True)).get(second)

    def separated(self, first: int, others: Sequence[int], column: str) -> bool:
        """Is a row significantly above each of some others, at 5 % after Holm? Not, where one is not comparable."""
        rivals = [other for other in others if other != first]
        found = [self.difference(first, rival).differences[column] for rival in rivals]
        known = [difference for difference in found if difference is not None]
        if not known or len(known) < len(found):
            return False
        below = all(difference.value > 0 for difference in known)
        return below and max(holm([difference.p for difference in known])) <= LEVEL


def compare(first: Sequence[Path], second: Sequence[Path], *, resamples: int = 2000) -> Comparison:
    """Compare two rows on the test records that both have.

    Args:
        first, second: record files of each row's seeds.
        resamples: of the paired patient bootstrap.

    Raises:
        MibenchError: scores are missing, damaged or NaN, the rows share no record, or they disagree on labels.
    """
    from . import paired_scores

    rows = [[source(path) for path in paths] for paths in (first, second)]
    loaded = [paired_scores.load([one.path for one in row]) for row in rows]
    (outcome,) = paired_scores.outcomes(loaded, resamples=resamples, seed_of=_manifests(rows)).values()
    if outcome.problem:
        raise MibenchError(f"{first[0]} and {second[0]} {outcome.problem}")
    return _comparison(outcome.to_json())


def contest(rows: Sequence[Sequence[Path]], *, resamples: int = 2000, cache: Path | None = None) -> Contest:
    """Compare all rows of a board with each other.

    Rows without usable scores are not comparable; a warning says why, and the others are compared.

    Args:
        rows: record files of each row's seeds.
        resamples: of the paired patient bootstrap, shared by all rows.
        cache: where comparisons are kept; `comparisons` in mibench's home unless told.
    """
    folder = home() / "comparisons" if cache is None else cache
    warnings: list[str] = []
    usable = dict(enumerate(_sources(row, warnings) for row in rows))
    sources = {place: row for place, row in usable.items() if row}
    pairs = _recall(folder, sources, resamples)
    if pairs is None:
        loaded = _loaded(sources, warnings)
        sources = {place: sources[place] for place in loaded}
        pairs = _recall(folder, sources, resamples)
        if pairs is None:
            pairs = _settle(folder, sources, loaded, resamples, warnings)
    for (one, other), entry in pairs.items():
        if entry["problem"]:
            first, second = (_first(sources, identity) for identity in (one, other))
            warnings.append(f"{first} and {second} {entry['problem']}: they are not compared")
    identities = tuple(_identity(sources[place]) if place in sources else None for place in range(len(rows)))
    compared = {pair: _comparison(entry) for pair, entry in pairs.items()}
    return Contest(identities, compared, tuple(dict.fromkeys(warnings)))


def _sources(row: Sequence[Path], warnings: list[str]) -> list[Source]:
    """The sources of a row, or none of them and a warning."""
    try:
        return [source(path) for path in row]
    except MibenchError as problem:
        warnings.append(_left_out(problem))
        return []


def _left_out(problem: MibenchError) -> str:
    return f"{problem}; its row is left without comparison"


def _loaded(sources: Mapping[int, Sequence[Source]], warnings: list[str]) -> dict[int, Any]:
    from . import paired_scores

    loaded = {}
    for place, row in sources.items():
        try:
            loaded[place] = paired_scores.load([one.path for one in row])
        except MibenchError as problem:
            warnings.append(_left_out(problem))
    return loaded


def _settle(
    folder: Path,
    sources: Mapping[int, Sequence[Source]],
    loaded: Mapping[int, Any],
    resamples: int,
    warnings: list[str],
) -> dict[tuple[str, str], dict[str, Any]]:
    """Compare, and keep the outcome."""
    from . import paired_scores

    distinct = {_identity(sources[place]): loaded[place] for place in loaded}
    names = sorted(distinct)
    found = paired_scores.outcomes(
        [distinct[name] for name in names], resamples=resamples, seed_of=_manifests(list(sources.values()))
    )
    pairs = {(names[i], names[j]): outcome.to_json() for (i, j), outcome in found.items()}
    # Nearly all pairs were compared in the same ways, which are long to write.
    ways = [list(way) for way in dict.fromkeys(tuple(entry["methods"]) for entry in pairs.values())]
    kept = {
        "methods": ways,
        "pairs": {
            f"{one} {other}": {**entry, "methods": ways.index(entry["methods"])}
            for (one, other), entry in pairs.items()
        },
    }
    path = _place(folder, sources, resamples)
    try:
        write_text(path, json.dumps(kept, separators=(",", ":"), allow_nan=False) + "\n")
    except OSError as problem:
        warnings.append(f"the comparison could not be kept in {path} ({problem.strerror}): it is made again next time")
    return pairs


def _recall(
    folder: Path, sources: Mapping[int, Sequence[Source]], resamples: int
) -> dict[tuple[str, str], dict[str, Any]] | None:
    """What is kept of these rows; None when that is nothing, or damaged."""
    names = sorted({_identity(row) for row in sources.values()})
    wanted = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
    if len(names) < 2:
        return {}
    try:
        kept = json.loads(_place(folder, sources, resamples).read_bytes())
        pairs = {}
        for pair in wanted:
            entry = kept["pairs"][" ".join(pair)]
            pairs[pair] = {**entry, "methods": kept["methods"][entry["methods"]]}
            _comparison(pairs[pair])
            str(entry["problem"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    return pairs


def _place(folder: Path, sources: Mapping[int, Sequence[Source]], resamples: int) -> Path:
    """One file per set of rows, whatever their order."""
    rows = sorted({_identity(row) for row in sources.values()})
    key = {"algorithm": ALGORITHM, "resamples": resamples, "rows": rows, "data": _manifests(list(sources.values()))}
    return folder / f"{sha256_json(key)[:32]}.json"


def _identity(row: Sequence[Source]) -> str:
    return sha256_json(sorted(one.sha256 for one in row))[:20]


def _manifests(rows: Sequence[Sequence[Source]]) -> str:
    return " ".join(sorted({one.manifest for row in rows for one in row}))


def _first(sources: Mapping[int, Sequence[Source]], identity: str) -> Path:
    return next(row[0].path for row in sources.values() if _identity(row) == identity)


def _comparison(entry: Mapping[str, Any]) -> Comparison:
    """Of an outcome as `Outcome.to_json` writes it."""
    numbers = zip(COLUMNS, entry["differences"], entry["methods"], strict=True)
    differences: dict[str, Difference | None] = {}
    for name, four, method in numbers:
        if four is None:
            differences[name] = None
        else:
            value, low, high, p = map(float, four)
            differences[name] = Difference(value, low, high, p, str(method))
    return Comparison(int(entry["records"]), int(entry["dropped"]), differences)


def _turned(difference: Difference | None) -> Difference | None:
    if difference is None:
        return None
    return Difference(-difference.value, -difference.high, -difference.low, difference.p, difference.method)
