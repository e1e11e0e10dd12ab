"""Where words go so that none hides another, or a mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def spread(wanted: Sequence[float], apart: float) -> list[float]:
    """Places on a line as near as can be to the wanted ones, in the same order, at least so far apart.

    Neighbours that are too close form a block around the mean of what they want (isotonic regression).
    """
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    blocks: list[list[float]] = []  # [sum of (wanted - offset), members]
    for place, number in enumerate(order):
        blocks.append([wanted[number] - place * apart, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, members = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += members
    starts = [total / members for total, members in blocks for _ in range(int(members))]
    places = [0.0] * len(wanted)
    for place, number in enumerate(order):
        places[number] = starts[place] + place * apart
    return places


@dataclass(frozen=True)
class Label:
    """Where a label stands, its lower left corner; `led` when it is far enough from its mark to need a line."""

    left: float
    bottom: float
    led: bool


def place(
    marks: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box, radius: float = 1.2
) -> list[Label]:
    """Find a place beside each mark for its label: within the frame, on no mark and on no other label where possible.

    The marks with the most neighbours choose first. Everything is in millimetres.

    Args:
        marks: (x, y) of each.
        sizes: (width, height) of each label.
        frame: that labels stay in.
        radius: of a mark.
    """
    taken: list[Box] = [(x - radius, y - radius, x + radius, y + radius) for x, y in marks]

    def crowd(number: int) -> int:
        x, y = marks[number]
        return -sum(abs(x - a) < 20 and abs(y - b) < 6 for a, b in marks)

    found: dict[int, Label] = {}
    for number in sorted(range(len(marks)), key=lambda number: (crowd(number), number)):
        x, y = marks[number]
        width, height = sizes[number]
        best, least = (0.0, 0.0, False), float("inf")
        for left, bottom, led, cost in _candidates(x, y, width, height, radius):
            box = (left, bottom, left + width, bottom + height)
            cost += 40 * _outside(box, frame) + sum(10 * _overlap(box, other) for other in taken)
            if cost < least:
                best, least = (left, bottom, led), cost
        found[number] = Label(*best)
        taken.append((best[0], best[1], best[0] + width, best[1] + height))
    return [found[number] for number in range(len(marks))]


def _candidates(
    x: float, y: float, width: float, height: float, radius: float
) -> list[tuple[float, float, bool, float]]:
    """Left, bottom, led, and what a place costs: right is best, then left, above, below, and farther with a line."""
    near = radius + 0.6
    places = [
        (x + near, y - height / 2, False, 0.0),
        (x - near - width, y - height / 2, False, 0.3),
        (x - width / 2, y + near, False, 0.5),
        (x - width / 2, y - near - height, False, 0.6),
        (x + near * 0.7, y + near * 0.7, False, 0.4),
        (x + near * 0.7, y - near * 0.7 - height, False, 0.4),
        (x - near * 0.7 - width, y + near * 0.7, False, 0.6),
        (x - near * 0.7 - width, y - near * 0.7 - height, False, 0.6),
    ]
    places += [
        (left, y - height / 2 + up, True, 1.0 + step * 0.4)
        for step in range(1, 9)
        for up in (step * 2.2, -step * 2.2)
        for left in (x + near + 1.5, x - near - 1.5 - width, x - width / 2)
    ]
    return places


def _overlap(one: Box, other: Box) -> float:
    """Square millimetres that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _outside(box: Box, frame: Box) -> float:
    """Millimetres that a box reaches out of a frame."""
    return (
        max(0.0, frame[0] - box[0])
        + max(0.0, frame[1] - box[1])
        + max(0.0, box[2] - frame[2])
        + max(0.0, box[3] - frame[3])
    )
