"""What every protocol is asked: a method with its weights, on a data set, and where the results go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...adapters.base import Adapter, MethodCard
from ...adapters.options import plain
from ...adapters.registry import code_hash
from ..data.catalog import silent
from ..data.dataset import Dataset
from ..embed import Batching
from ..progress import Steps

Say = Callable[[str], None]


@dataclass(frozen=True)
class Described:
    """A method as records and keys know it, whatever it is run on.

    Attributes:
        adapter, card: the method.
    """

    adapter: Adapter
    card: MethodCard

    @property
    def method(self) -> str:
        """The method's name in folders and records."""
        return self.adapter.spec.name

    @property
    def title(self) -> str:
        """The method's name in tables, with its preset: a tiny network must not pass for its method."""
        spec = self.adapter.spec
        return (spec.title or self.card.title or spec.name) + (f" ({self.card.preset})" if self.card.preset else "")

    def method_identity(self) -> dict[str, Any]:
        """What determines the method's outputs, weights apart."""
        return {
            "spec": self.adapter.spec.identity(),
            "options": plain(self.card.options),
            "code": code_hash(self.card),
        }

    def method_record(self) -> dict[str, Any]:
        """The `method` part of a run record."""
        spec = self.adapter.spec
        return {
            "name": spec.name,
            "title": self.title,
            "kind": spec.kind,
            "version": spec.version,
            "target": self.card.target,
            "options": plain(self.card.options),
            "input": {
                "leads": list(spec.leads),
                "sampling_rate": spec.sampling_rate,
                "samples": spec.samples,
                "normalization": spec.normalization,
                "windows": spec.windows,
                "filter": spec.filter,
            },
            "pretraining_data": list(spec.pretraining_data),
        }


@dataclass(frozen=True)
class Request(Described):
    """A method on a data set.

    Attributes:
        data: the data set.
        results: root folder of run records.
        batching: device and batch size of forward passes.
        force: run again what is already done.
        say, steps: how progress is told.
    """

    data: Dataset
    results: Path
    batching: Batching
    force: bool = False
    say: Say = field(default=lambda _text: None)
    steps: Steps = silent

    def numbered(self, text: str) -> str:
        """A line that prints a number, with the notice that its data demand."""
        return f"{text}   [{self.data.notice}]" if self.data.notice else text

    def data_record(self, observed: tuple[str, ...], records: dict[str, int]) -> dict[str, Any]:
        """The `data` part of a run record."""
        return {
            "name": self.data.name,
            "release": self.data.release,
            "notice": self.data.notice,
            "complete": self.data.complete,
            "manifest": self.data.manifest,
            "sampling_rate": self.data.store.sampling_rate,
            "observed_leads": list(observed),
            "records": records,
        }
