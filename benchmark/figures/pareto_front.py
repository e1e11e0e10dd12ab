"""Which methods no other one beats at less cost, and the staircase that they make."""

from __future__ import annotations

from collections.abc import Sequence

from .placing import Box


def front(values: Sequence[tuple[float, float]]) -> list[int]:
    """Which of (cost, AUC) no other one beats: none is as cheap and better, or as good and cheaper; cheapest first."""
    best = float("-inf")
    members = []
    for number in sorted(range(len(values)), key=lambda i: (values[i][0], -values[i][1])):
        if values[number][1] > best:
            members.append(number)
            best = values[number][1]
    return members


def stairs(steps: Sequence[tuple[float, float]], wide: float) -> list[Box]:
    """The front as boxes that labels keep off, in mm."""
    found: list[Box] = []
    bottom = 0.0
    for number, (x, y) in enumerate(sorted(steps)):
        right = sorted(steps)[number + 1][0] if number + 1 < len(steps) else wide
        found += [(x - 0.6, bottom, x + 0.6, y), (x, y - 0.6, right, y + 0.6)]
        bottom = y
    return found
