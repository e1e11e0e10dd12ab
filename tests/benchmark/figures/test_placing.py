"""Where names go: apart from each other, near what they name."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mibench.benchmark.figures.placing import place, spread


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 50), max_size=12), st.floats(0.1, 5))
def test_places_on_a_line_keep_their_order_and_distance(wanted: list[float], apart: float) -> None:
    places = spread(wanted, apart)
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    for one, other in itertools.pairwise(order):
        assert places[other] - places[one] >= apart - 1e-9
    if wanted:
        assert sum(places) == pytest.approx(sum(wanted), abs=1e-6), "as a whole they stay where they want to be"


def test_places_that_are_free_are_taken() -> None:
    assert spread([3.0, 9.0, 1.0], 1.0) == [3.0, 9.0, 1.0]
    assert spread([5.0, 5.0], 2.0) == [4.0, 6.0]


def test_labels_cover_neither_marks_nor_labels_nor_lines() -> None:
    marks = [(30.0, 30.0), (30.5, 31.0), (31.0, 29.0), (60.0, 30.0), (59.0, 31.5), (5.0, 50.0)]
    sizes = [(14.0, 2.3)] * len(marks)
    line = (0.0, 33.0, 80.0, 33.4)
    labels = place(marks, sizes, (0, 0, 80, 60), [line])
    boxes = [(found.left, found.bottom, found.left + 14.0, found.bottom + 2.3) for found in labels]
    for one, other in itertools.combinations([*boxes, line], 2):
        assert min(one[2], other[2]) <= max(one[0], other[0]) or min(one[3], other[3]) <= max(one[1], other[1])
    for box, (x, y) in itertools.product(boxes, marks):
        assert not (box[0] < x < box[2] and box[1] < y < box[3])
    assert all(box[0] >= 0 and box[2] <= 80 for box in boxes)


def test_a_lone_label_stands_to_the_right_without_a_line() -> None:
    (label,) = place([(10.0, 10.0)], [(8.0, 2.0)], (0, 0, 50, 50))
    assert not label.led
    assert label.left > 10
    assert label.bottom + 1 == pytest.approx(10)
