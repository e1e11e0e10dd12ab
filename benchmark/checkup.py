"""What `mibench doctor` looks at."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..adapters import registry
from ..adapters.errors import MibenchError
from . import weights
from .data import catalog
from .home import home, results_folder
from .provenance import PACKAGES, version

SCARCE_BYTES = 5 << 30
"""The store of PTB-XL takes 2.6 GB, a pre-training 1 GB."""


@dataclass(frozen=True)
class Finding:
    """One line of the report; `good` is False when the user may want to act."""

    good: bool
    text: str


def checkup() -> Iterator[Finding]:
    """Everything worth knowing before a long run, one finding at a time."""
    yield Finding(True, f"mibench {version()}, Python {platform.python_version()}, {platform.platform()}")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    yield Finding(True, packages)
    yield from _devices()
    yield from _folders()
    yield from _data()
    yield from _weights()
    yield from _methods()


def _devices() -> Iterator[Finding]:
    yield Finding(True, f"CPU: {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        yield Finding(True, "GPU: none that torch can use; linear probes run on the CPU, pre-training is slow there")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield Finding(True, f"GPU {index}: {facts.name}, {facts.total_memory / 2**30:.0f} GiB")


def _folders() -> Iterator[Finding]:
    for title, folder in (("home", home()), ("results", results_folder())):
        place = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(place).free
        writable = os.access(place, os.W_OK) and place.is_dir()
        text = f"{title}: {folder}, {free / 1e9:.1f} GB free"
        if not writable:
            text += "; it cannot be written: choose another with MIBENCH_HOME, MIBENCH_RESULTS or --results"
        elif free < SCARCE_BYTES:
            text += "; that is little for PTB-XL and a pre-training"
        yield Finding(writable and free >= SCARCE_BYTES, text)


def _data() -> Iterator[Finding]:
    names = catalog.registered()
    if not any(name != catalog.DEMO for name in names):
        yield Finding(True, "data: none registered, so runs use the demo heart: mibench data add ptb-xl PATH")
    for name in names:
        try:
            data = catalog.open_dataset(name)
        except MibenchError as problem:
            yield Finding(False, f"data {name}: {problem}")
            continue
        notice = f"   [{data.notice}]" if data.notice else ""
        yield Finding(True, f"data {name}: release {data.release}, {len(data.records):,} records{notice}")


def _weights() -> Iterator[Finding]:
    for name, entry in weights.registered().items():
        try:
            spec = registry.create(registry.find(name)).spec
            weights.resolve("published", spec)
        except MibenchError as problem:
            yield Finding(False, f"weights of {name}: {problem}")
            continue
        yield Finding(True, f"weights of {name}: {entry['path']}")


def _methods() -> Iterator[Finding]:
    cards, warnings = registry.cards()
    for warning in warnings:
        yield Finding(False, f"methods: {warning}")
    for card in cards.values():
        try:
            registry.create(card)
        except MibenchError as problem:
            yield Finding(False, f"method {card.name}: {problem}")
            continue
        yield Finding(True, f"method {card.name}: {card.origin}")
