"""Settings: YAML files of `configs/`, laid over each other, with `--set section.key=value` on top."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, TypeVar

import yaml

from ..adapters.base import MethodCard
from ..adapters.errors import MibenchError
from ..adapters.options import build, did_you_mean, merge

T = TypeVar("T")
ROOT = __name__.rpartition(".benchmark")[0]
SECTIONS = ("method", "protocol")


def load(kind: str, name: str) -> dict[str, Any]:
    """The content of `configs/KIND/NAME.yaml`; empty when there is no such file."""
    return copy.deepcopy(_parsed(kind, name))


@functools.cache
def _parsed(kind: str, name: str) -> dict[str, Any]:
    """Read once: a suite asks for the same few files hundreds of times."""
    file = resources.files(f"{ROOT}.configs") / kind / f"{name}.yaml"
    if not file.is_file():
        return {}
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")) or {})


def parse_sets(pairs: Sequence[str], known: Sequence[str] = SECTIONS) -> dict[str, dict[str, Any]]:
    """`("method.loss.t=0.1", ...)` as nested values by section.

    Args:
        known: the sections there are.

    Raises:
        MibenchError: not of the form section.key=value, or an unknown section.
    """
    sections: dict[str, dict[str, Any]] = {name: {} for name in known}
    for pair in pairs:
        path, equals, text = pair.partition("=")
        section, *keys = path.strip().split(".")
        if not equals or not keys or not all(keys):
            raise MibenchError(f"--set takes section.key=value, such as {known[-1]}.epochs=5; got `{pair}`")
        if section not in known:
            raise MibenchError(f"--set {pair}: unknown section `{section}`{did_you_mean(section, list(known))}")
        sections[section] = merge(sections[section], _nested(keys, _scalar(text, pair)))
    return sections


def protocol(
    name: str, cls: type[T], *layers: Mapping[str, Any], data: str = "", method: Mapping[str, Any] = MethodCard.EMPTY
) -> tuple[T, int]:
    """Settings of a protocol and its version.

    Args:
        name: such as "linear_probe".
        cls: its dataclass of settings.
        layers: values on top of the protocol's own, later ones win.
        method: a method's own values, right after the protocol's defaults.
        data: the data set, whose adjustments (a short demo) come after those.
    """
    file = load("protocols", name)
    adjusted = load("data", data).get("protocols", {}).get(name, {}) if data else {}
    return build(cls, merge(file["settings"], method, adjusted, *layers), f"protocol {name}"), int(file["version"])


def _nested(keys: Sequence[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def _scalar(text: str, pair: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise MibenchError(f"--set {pair}: the value is not readable as YAML") from problem
    if isinstance(value, str):
        try:
            # YAML 1.1 reads 1e-4 as text.
            return float(value)
        except ValueError:
            return value
    return value
