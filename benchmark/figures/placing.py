"""Where words go so that none hides another, or a mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""

_ALONG = tuple(0.3 + 0.06 * step for step in range(12))
ROUNDS = 6
"""How often each label may choose its place."""


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
    marks: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    obstacles: Sequence[Box] = (),
    radius: float = 1.1,
) -> list[Label]:
    """Find a place beside each mark for its label: within the frame, on no mark, line or other label where possible.

    Labels choose one after another, and again when they know where the others went. Everything is in millimetres.

    Args:
        marks: (x, y) of each.
        sizes: (width, height) of each label.
        frame: that labels stay in.
        obstacles: what labels are not to cover either.
        radius: of a mark.
    """
    boxes = [_around(mark, radius) for mark in marks]
    found: dict[int, Label] = {}
    for _ in range(ROUNDS):
        for number, mark in enumerate(marks):
            others = [_box(label, sizes[other]) for other, label in found.items() if other != number]
            for other, label in found.items():
                if other != number and label.led:
                    line = _line(marks[other], _box(label, sizes[other]))
                    others += [_around(point, 0.4) for point in line]
            # A label next to another mark would be read as that one's name.
            foreign = [_around(other, radius + 0.7) for other in marks if other != mark]
            taken = [*boxes, *foreign, *others, *obstacles]
            found[number] = _best(mark, sizes[number], frame, taken, radius)
    return [found[number] for number in range(len(marks))]


def _best(
    mark: tuple[float, float], size: tuple[float, float], frame: Box, taken: Sequence[Box], radius: float
) -> Label:
    best, least = Label(*mark, False), float("inf")
    for left, bottom, led, cost in _candidates(*mark, *size, radius):
        label = Label(left, bottom, led)
        box = _box(label, size)
        cost += 40 * _outside(box, frame) + sum(10 * _overlap(box, other) for other in taken)
        if led:
            line = _line(mark, box)
            cost += sum(1.5 for point in line for other in taken if _inside(point, other))
        if cost < least:
            best, least = label, cost
    return best


def foot(mark: tuple[float, float], box: Box) -> tuple[float, float]:
    """Where the line from a mark meets its label: on the label's edge, at half its height where it is beside it."""
    x, y = min(max(mark[0], box[0]), box[2]), (box[1] + box[3]) / 2
    if box[0] < x < box[2]:
        y = box[1] if mark[1] < box[1] else box[3]
    return x, y


def _line(mark: tuple[float, float], box: Box) -> list[tuple[float, float]]:
    """Points of that line, the mark's own surroundings left out."""
    x, y = foot(mark, box)
    return [(mark[0] + (x - mark[0]) * part, mark[1] + (y - mark[1]) * part) for part in _ALONG]


def _inside(point: tuple[float, float], box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _around(mark: tuple[float, float], radius: float) -> Box:
    return mark[0] - radius, mark[1] - radius, mark[0] + radius, mark[1] + radius


def _box(label: Label, size: tuple[float, float]) -> Box:
    return label.left, label.bottom, label.left + size[0], label.bottom + size[1]


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
