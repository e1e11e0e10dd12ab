"""Records that cannot be read: counted by reason, listed in a file, and how many of them are too many."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ...adapters.errors import MibenchError

_EXAMPLES = 3
_GENERAL = (
    (re.compile(r" \(.*"), ""),
    (re.compile(r"^wrong checksum in .*"), "wrong checksum"),
    (re.compile(r"^\d+ samples long"), "another length"),
    (re.compile(r"^samples from .*"), "samples beyond 16 bits"),
    (re.compile(r"^it names the signal file .*"), "a signal file elsewhere"),
)


def reason(problem: str) -> str:
    """What is wrong with a record, without what differs from record to record.

    >>> reason("/data/1.dat: truncated: 12 bytes do not hold any sample of 12 leads; copy the record again")
    'truncated'
    """
    text = problem.partition(": ")[2].partition(";")[0].partition(":")[0]
    for pattern, short in _GENERAL:
        text = pattern.sub(short, text)
    return text or problem


def by_reason(problems: Sequence[str]) -> dict[str, list[str]]:
    """Problems by reason, the most frequent first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        groups[reason(problem)].append(problem)
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))


def report(problems: Sequence[str], total: int) -> str:
    """The text of the file that lists bad records: counts by reason, then each of them."""
    groups = by_reason(problems)
    lines = [f"{len(problems):,} of {total:,} records cannot be read", ""]
    lines += [f"{len(group):>9,}  {name}" for name, group in groups.items()]
    for name, group in groups.items():
        lines += ["", f"{name} ({len(group):,}):", *group]
    return "\n".join(lines) + "\n"


def tolerated(share: float, total: int) -> int:
    """How many bad records may be left out silently: 0 of them, all, or a share rounded down."""
    return int(share * total)


def too_many(problems: Sequence[str], total: int, share: float, listing: Path) -> MibenchError:
    """The error that stops a build."""
    groups = by_reason(problems)
    counts = ", ".join(f"{name} ({len(group):,})" for name, group in groups.items())
    first = [group[0] for group in groups.values()][:_EXAMPLES]
    first += [problem for problem in problems if problem not in first][: _EXAMPLES - len(first)]
    limit = f"more than the {share:.0%} that may be left out" if share else ""
    return MibenchError(
        f"{len(problems):,} of {total:,} records cannot be read{', ' if limit else ''}{limit}: {counts}. For example "
        f"{' | '.join(first)}. All are listed in {listing}. Put them right and run the same command again (the rest is "
        "kept), or leave them out with --skip-bad"
    )
