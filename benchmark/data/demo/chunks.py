"""Writing a demo tree: record by record, in this process or in several, to the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...files import write_text
from ..processes import in_processes

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 32
_DIED = "a process that was writing demo data died, perhaps for want of memory: try again with fewer workers"


def in_chunks(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, progress: Callable[[int], None]
) -> list[Result]:
    """What `function` makes of each item, in their order; `progress` hears how many are done."""
    if workers <= 1:
        results = []
        for item in items:
            results.append(function(item))
            progress(len(results))
        return results
    chunks = [(start, items[start : start + _CHUNK]) for start in range(0, len(items), _CHUNK)]
    found: dict[int, list[Result]] = {}
    done = 0
    for _, (start, made) in in_processes(partial(_each, function), chunks, min(workers, len(chunks)), died=_DIED):
        found[start] = made
        done += len(made)
        progress(done)
    return [result for start, _ in chunks for result in found[start]]


def _each(function: Callable[[Item], Result], chunk: tuple[int, Sequence[Item]]) -> tuple[int, list[Result]]:
    start, items = chunk
    return start, [function(item) for item in items]


def write_sums(root: Path, sums: Mapping[str, str]) -> None:
    """SHA256SUMS.txt of some files, named from `root`."""
    write_text(root / "SHA256SUMS.txt", "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
