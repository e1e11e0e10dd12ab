"""Typed options out of plain values: what YAML and `--set` give, checked against a dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import MibenchError

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass `cls` out of plain values, nested dataclasses included.

    Args:
        cls: a dataclass whose fields are numbers, strings, booleans, literals, tuples or dataclasses.
        values: nested mappings with the fields' names; fields left out keep their defaults.
        where: what is being read, for the error: "method selfmis" or the path of a file.

    Raises:
        MibenchError: an unknown key (with the nearest name), a value of the wrong kind, or one that `cls` refuses.
    """
    hints = get_type_hints(cls)
    names = [entry.name for entry in dataclasses.fields(cls)]  # type: ignore[arg-type]
    ready = {}
    for key, value in values.items():
        if key not in names:
            raise MibenchError(f"{where}: unknown setting `{key}`{did_you_mean(key, names)}")
        ready[key] = _convert(value, hints[key], f"{where}: `{key}`")
    try:
        return cls(**ready)
    except (TypeError, ValueError) as problem:
        raise MibenchError(f"{where}: {problem}") from problem


def plain(value: Any) -> Any:
    """The JSON-able twin of a dataclass of options: what goes into keys and records."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value


def merge(base: Mapping[str, Any], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over each other, later ones on top."""
    merged = dict(base)
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            both = isinstance(below, Mapping) and isinstance(value, Mapping)
            merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def did_you_mean(word: str, known: Sequence[str], *, listing: bool = True) -> str:
    """The end of an error sentence: `; did you mean X?` or the names there are."""
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean `{near[0]}`?"
    return f"; there is {', '.join(sorted(known))}" if listing and known else ""


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _first_that_fits(value, get_args(hint), where)
    if origin is Literal:
        choices = get_args(hint)
        if type(value) is int and str(value) in choices:
            return str(value)  # YAML reads the word 44 as a number
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise MibenchError(f"{where} must be one of {', '.join(map(str, choices))}; got `{value}`")
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise MibenchError(f"{where} is a group of settings; got `{value}`")
        return build(hint, value, where)
    if origin is tuple:
        return _convert_tuple(value, get_args(hint), where)
    return _convert_scalar(value, hint, where)


def _convert_tuple(value: Any, kinds: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise MibenchError(f"{where} must be a list; got `{value}`")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise MibenchError(f"{where} must hold {len(kinds)} values; got {len(value)}")
    return tuple(_convert(entry, kind, where) for entry, kind in zip(value, kinds, strict=True))


def _convert_scalar(value: Any, hint: Any, where: str) -> Any:
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if (hint is bool and isinstance(value, bool)) or (hint is str and isinstance(value, str)):
        return value
    if hint is type(None) and value is None:
        return None
    name = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}.get(hint, str(hint))
    raise MibenchError(f"{where} must be {name}; got `{value}`")


def _first_that_fits(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    problems = []
    # An integer is also a fine float: the exact kind is tried first.
    for kind in sorted(kinds, key=lambda kind: type(value) is not kind):
        try:
            return _convert(value, kind, where)
        except MibenchError as problem:
            problems.append(str(problem))
    raise MibenchError(" / ".join(problems))
