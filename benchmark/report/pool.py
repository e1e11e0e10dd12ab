"""JSON values that have much in common, written so that what they share stands there once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

SHARED_FROM = 32
"""Characters from which a part is worth sharing."""


class Pool:
    """Parts of JSON values, the same ones once.

    `packed` gives a value back in which `{"@": n}` stands for `shared[n]`, as do the values in `shared`. A key that
    begins with @ gets another one before it, so that nothing else looks like that.
    """

    def __init__(self) -> None:
        self.shared: list[Any] = []
        self._numbers: dict[Hashable, int] = {}
        self._parts: list[Any] = []  # a plain value, or a dict or list of the numbers of its parts
        self._lengths: list[int] = []
        self._uses: list[int] = []
        self._places: dict[int, int] = {}

    def add(self, value: Any) -> int:
        """Take a value in; its number, by which it is asked for once all values are there."""
        number = self._number(value)
        self._uses[number] += 1
        return number

    def packed(self, number: int) -> Any:
        """A value by its number."""
        if self._uses[number] < 2 or self._lengths[number] < SHARED_FROM:
            return self._inside(number)
        if number not in self._places:
            inside = self._inside(number)
            self._places[number] = len(self.shared)
            self.shared.append(inside)
        return {"@": self._places[number]}

    def _number(self, value: Any) -> int:
        parts: Any
        key: Hashable
        if isinstance(value, dict):
            parts = {name: self._number(part) for name, part in value.items()}
            key, inner = ("dict", *parts.items()), list(parts.values())
        elif isinstance(value, (list, tuple)):
            inner = parts = [self._number(part) for part in value]
            key = ("list", *parts)
        else:
            # True equals 1 and 1.0: the type tells them apart.
            parts, key, inner = value, (type(value), value), []
        if key in self._numbers:
            return self._numbers[key]
        for part in inner:
            self._uses[part] += 1
        names = sum(len(name) + 4 for name in parts) if isinstance(parts, dict) else 2
        own = names if isinstance(value, (dict, list, tuple)) else len(str(value)) + 2
        self._numbers[key] = number = len(self._parts)
        self._parts.append(parts)
        self._lengths.append(own + sum(self._lengths[part] + 1 for part in inner))
        self._uses.append(0)
        return number

    def _inside(self, number: int) -> Any:
        parts = self._parts[number]
        if isinstance(parts, dict):
            return {f"@{name}" if name.startswith("@") else name: self.packed(part) for name, part in parts.items()}
        return [self.packed(part) for part in parts] if isinstance(parts, list) else parts
