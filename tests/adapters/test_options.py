"""Typed options: what fits, what is refused, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from mibench.adapters.errors import MibenchError
from mibench.adapters.options import build, did_you_mean, merge, plain


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    kind: Literal["divide", "multiply"] = "divide"


@dataclass(frozen=True)
class Outer:
    width: int = 64
    flag: bool = False
    bias: float | Literal["learn"] = 0.0
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.9, 0.999)
    inner: Inner = field(default_factory=Inner)
    name: str | None = None

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be positive, got {self.width}")


def test_nested_values_become_what_the_fields_say() -> None:
    built = build(Outer, {"width": 8, "inner": {"rate": 1}, "sizes": [3], "bias": "learn", "name": "x"}, "here")
    assert built == Outer(width=8, inner=Inner(rate=1.0), sizes=(3,), bias="learn", name="x")
    assert isinstance(built.inner.rate, float)


def test_a_word_that_reads_as_a_number_is_still_that_word() -> None:
    @dataclass(frozen=True)
    class Labels:
        labels: Literal["44", "mi9"] = "mi9"

    assert build(Labels, {"labels": 44}, "here").labels == "44"
    with pytest.raises(MibenchError, match="must be one of 44, mi9"):
        build(Labels, {"labels": 45}, "here")


def test_plain_is_the_inverse_of_build() -> None:
    built = Outer(sizes=(4, 5), inner=Inner(kind="multiply"))
    assert build(Outer, plain(built), "here") == built


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"widht": 3}, "did you mean `width`"),
        ({"inner": {"kind": "add"}}, "`inner`: `kind` must be one of divide, multiply"),
        ({"width": 1.5}, "must be a whole number"),
        ({"width": True}, "must be a whole number"),
        ({"flag": 1}, "must be true or false"),
        ({"sizes": "12"}, "must be a list"),
        ({"pair": [1.0]}, "must hold 2 values"),
        ({"inner": 3}, "is a group of settings"),
        ({"width": 0}, "width must be positive"),
        ({"bias": "learned"}, "must be one of learn"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(values: dict[str, object], says: str) -> None:
    with pytest.raises(MibenchError, match=says) as caught:
        build(Outer, values, "method x")
    assert str(caught.value).startswith("method x: ")


def test_merge_lays_nested_values_over_each_other() -> None:
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"d": 4}) == {"a": {"b": 3, "c": 2}, "d": 4}


def test_a_far_word_gets_the_list() -> None:
    assert did_you_mean("zzz", ["alpha", "beta"]) == "; there is alpha, beta"
