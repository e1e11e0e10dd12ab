"""Size and latency of a method's file, for its profile; the file itself is not kept."""

from __future__ import annotations

import importlib.metadata
import tempfile
from pathlib import Path
from typing import Any

import torch

from ...adapters.base import Encoder, Generator
from ...adapters.errors import MibenchError
from ..profile_check import MEASURED
from ..profiling.inputs import load_at_random
from ..profiling.latency import Timing
from ..protocols.request import Described
from .onnx_file import Shape, write

IMPOSSIBLE = "not exportable"


def exported(method: Described, timing: Timing) -> dict[str, Any]:
    """The record's `export`: a file with random weights, written, checked, timed and forgotten.

    Returns:
        "status", "mib", "median_ms", "low_ms", "high_ms", "runs" (onnxruntime, one thread, from raw lead I on),
        "difference" from torch; or "status" and "error" for a method that no such file can hold.
    """
    adapter, shape = method.adapter, Shape()
    if not isinstance(adapter, (Encoder, Generator)):
        return {"status": IMPOSSIBLE, "error": f"{method.method} has nothing to run on a record"}
    load_at_random(adapter, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            written = write(adapter, Path(folder) / "model.onnx", shape, {}, timing=timing)
        except MibenchError as problem:
            return {"status": IMPOSSIBLE, "error": str(problem)}
    return {
        "status": MEASURED,
        "format": "onnx",
        "opset": shape.opset,
        "runtime": f"onnxruntime {importlib.metadata.version('onnxruntime')}",
        "mib": written.mib,
        "difference": written.parity.difference,
        **written.latency,
    }
