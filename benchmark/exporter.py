"""What `mibench export` does: from a name and its weights to a file, and what is to be known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..adapters import registry
from ..adapters.base import Adapter, Encoder, Generator, MethodCard
from ..adapters.errors import MibenchError
from ..adapters.options import plain
from . import config
from .choices import Say, make
from .deployment.onnx_file import OPSET, TOLERANCE, Shape, Written, require_packages, write
from .provenance import version
from .weights import Weights, how_to_get, resolve


@dataclass(frozen=True)
class ExportChoices:
    """The options of `mibench export`."""

    out: Path
    weights: str = "auto"
    preset: str | None = None
    sets: tuple[str, ...] = ()
    sampling_rate: float = 500.0
    seconds: float = 10.0
    dynamic_batch: bool = False
    opset: int = OPSET
    tolerance: float = TOLERANCE
    force: bool = False


def export_and_show(name: str, choices: ExportChoices, say: Say) -> str:
    """Write a method's file; what is to be known of it, as text.

    Raises:
        MibenchError: anything a user can put right; no file is left behind then.
    """
    require_packages()
    if choices.out.exists() and not choices.force:
        raise MibenchError(f"{choices.out} exists already: give another --out, or --force to replace it")
    card, adapter, found = _with_weights(name, choices, say)
    if not isinstance(adapter, (Encoder, Generator)):
        raise MibenchError(f"{name} is a {adapter.spec.kind}: it has nothing to run on a record")
    report = found.load(adapter, torch.device("cpu"))
    for note in report.notes if found.source == "published" else ():
        say(f"{found.name}: {note}")
    shape = Shape(choices.sampling_rate, choices.seconds, choices.dynamic_batch, choices.opset)
    written = write(adapter, choices.out, shape, _about(card, adapter, found), tolerance=choices.tolerance)
    return _told(adapter, found, shape, written)


def notice_of(weights: Weights) -> str | None:
    """What every number from these weights must say, for the data that they were trained on."""
    data = (weights.pretraining or {}).get("data")
    notice = data.get("notice") if isinstance(data, Mapping) else None
    return None if notice is None else str(notice)


def _with_weights(name: str, choices: ExportChoices, say: Say) -> tuple[MethodCard, Adapter, Weights]:
    """The method with what `--weights` means: real pre-trainings first, then those of the demo heart."""
    sets = config.parse_sets(choices.sets, known=("method",))["method"]
    demo = registry.find(name).demo
    tried = [(choices.preset, False), (choices.preset, True)]
    if choices.preset is None and demo:
        tried.append((demo, True))
    for preset, on_demo in tried:
        card, adapter = make(name, preset, sets)
        plug_in, options = card.origin != "built in", plain(card.options)
        found = resolve(choices.weights, adapter.spec, demo=on_demo, plug_in=plug_in, options=options)
        if found is not None:
            if preset != choices.preset:
                say(f"{name}: preset `{preset}`, of which there is a pre-training on the demo heart")
            return card, adapter, found
    _, adapter = make(name, choices.preset, sets)
    raise MibenchError(how_to_get(name, adapter.spec, "demo"))


def _about(card: MethodCard, adapter: Adapter, weights: Weights) -> dict[str, str]:
    spec = adapter.spec
    data = (weights.pretraining or {}).get("data")
    trained_on = [str(data.get("name"))] if isinstance(data, Mapping) else list(spec.pretraining_data)
    about: dict[str, Any] = {
        "method": spec.name,
        "title": spec.title or card.title,
        "version": str(spec.version),
        "options": json.dumps(plain(card.options), sort_keys=True),
        "weights": f"{weights.source}: {weights.name}",
        "weights_sha256": weights.sha256 or "",
        "trained_on": ", ".join(trained_on) if weights.source in ("published", "pretrained") else "nothing",
        "notice": notice_of(weights) or "",
        "license": spec.license or "none stated",
        "paper": spec.paper,
        "mibench": version(),
        "intended_use": "research; no medical device",
    }
    return {name: str(value) for name, value in about.items()}


def _told(adapter: Adapter, weights: Weights, shape: Shape, written: Written) -> str:
    spec, parity, latency = adapter.spec, written.parity, written.latency
    gives = f"{spec.embedding_dim} features" if isinstance(adapter, Encoder) else "twelve leads in mV"
    notice = notice_of(weights)
    lines = [
        f"written: {written.path} ({written.mib:,.1f} MiB, opset {shape.opset})",
        f"takes:   lead I in mV as recorded, {shape.samples} samples at {shape.sampling_rate:g} Hz, "
        f"{'any number of records' if shape.dynamic_batch else 'one record'} at a time",
        f"gives:   {gives}",
        f"weights: {weights.source}, {weights.name}" + (f", sha256 {weights.sha256[:12]}" if weights.sha256 else ""),
        f"parity:  over {parity.records} records, a flat one among them, onnxruntime differs from torch by at most "
        f"{parity.difference:.2g}, where torch gives up to {parity.largest:.3g}"
        + (
            f"; a nanovolt more or less changes what torch gives by {parity.own:.2g}"
            if parity.own > parity.largest * TOLERANCE
            else ""
        ),
        f"latency: {latency['median_ms']:,.1f} ms ({latency['low_ms']:,.1f}-{latency['high_ms']:,.1f}), onnxruntime on "
        f"one thread of this CPU",
    ]
    if spec.license:
        lines.append(f"license: {spec.license}")
    if weights.source == "random":
        lines.append("These weights are random: the file shows what a method costs, and finds nothing.")
    # Every line prints a number.
    return "\n".join(f"{line}   [{notice}]" if notice else line for line in lines)
