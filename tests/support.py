"""What several test modules share and is no fixture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import torch

from mibench.benchmark.choices import make
from mibench.benchmark.config import parse_sets
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.embed import Batching
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.record_check import fault

TINY = (
    "method.net.base_filters=8",
    "method.net.filter_list=[16, 16, 32]",
    "method.net.m_blocks_list=[1, 1, 1]",
)
"""A Net1D of a few thousand parameters, for tests of everything around it; its full size has tests of its own."""

TINY_ARGUMENTS = tuple(part for text in TINY for part in ("--set", text))
"""The same on a command line."""


def request_of(
    method: str, data: Dataset, results: Path, *, preset: str | None = None, sets: Sequence[str] = ()
) -> Request:
    """A method on a data set, as a protocol is asked, on the CPU and quietly."""
    card, adapter = make(method, preset, parse_sets(sets)["method"])
    return Request(adapter, card, data, results, Batching(torch.device("cpu")))


@cache
def record_schema() -> jsonschema.Draft202012Validator:
    """The published schema, read and compiled once."""
    text = (resources.files("mibench.benchmark") / "run_record.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def assert_valid(record: Mapping[str, Any]) -> None:
    """Hold a run record against the published schema, and against the quick check that every reader makes."""
    record_schema().validate(dict(record))
    assert fault(record) is None
