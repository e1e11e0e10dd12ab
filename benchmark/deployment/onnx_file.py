"""A method as an ONNX file: written, held against torch in onnxruntime, timed, and only then put in its place."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...adapters.base import LEADS, Encoder, Generator
from ...adapters.errors import MibenchError
from ..files import atomic_path
from ..profiling.inputs import RATE
from ..profiling.latency import Timing, quartiles, repeat
from .chain import Chain
from .parity import Parity, check_signals, compare

OPSET = 18
TOLERANCE = 1e-4
"""As a share of the largest value that torch gives for a record."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
MIB = 2**20
INPUT = "lead_I_mV"


@dataclass(frozen=True)
class Shape:
    """What a file takes: records of `seconds` at `sampling_rate` Hz, one at a time or any number of them."""

    sampling_rate: float = RATE
    seconds: float = 10.0
    dynamic_batch: bool = False
    opset: int = OPSET

    @property
    def samples(self) -> int:
        """Of a record."""
        return round(self.seconds * self.sampling_rate)


@dataclass(frozen=True)
class Written:
    """A file that passed.

    Attributes:
        path, mib: the file and its size.
        parity: how onnxruntime stands against torch.
        latency: of a record in onnxruntime on one thread, as `quartiles` has it.
    """

    path: Path
    mib: float
    parity: Parity
    latency: Mapping[str, Any]


def require_packages() -> None:
    """Raise unless everything is here that a file is written and checked with."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MibenchError(
            f"exporting needs {', '.join(missing)}, of the extra `export`: pip install 'mibench[export]' "
            f"-c constraints.txt"
        )


def write(
    method: Encoder | Generator,
    path: Path,
    shape: Shape,
    about: Mapping[str, str],
    *,
    tolerance: float = TOLERANCE,
    timing: Timing | None = None,
) -> Written:
    """Write a method, loaded on the CPU, to a file that appears only once it gives what torch gives.

    Args:
        about: metadata of the file.
        tolerance: largest difference that is accepted, as a share of the largest value.
        timing: of the latency.

    Raises:
        MibenchError: a package is missing, the method cannot be put into such a file, or the file gives other values.
    """
    require_packages()
    output = "features" if isinstance(method, Encoder) else "twelve_leads_mV"
    chain = Chain(method, shape.sampling_rate, shape.samples).eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        _convert(chain, temporary, shape, output)
        _describe(temporary, {**about, **_of_shape(chain, shape, output)})
        session = _session(temporary)
        parity = compare(
            method,
            lambda signals: session.run(None, {INPUT: signals})[0],
            shape.sampling_rate,
            shape.samples,
            tolerance,
            together=shape.dynamic_batch,
        )
        if not parity.worst <= 1:
            raise MibenchError(
                f"{method.spec.name}: onnxruntime differs from torch by {parity.difference:.3g} where torch gives up "
                f"to {parity.largest:.3g}, over the tolerance of {tolerance:g}; no file was left behind"
            )
        one = {INPUT: check_signals(shape.sampling_rate, shape.samples)[:1]}
        times = repeat(lambda: session.run(None, one), torch.device("cpu"), timing or Timing())
        mib = temporary.stat().st_size / MIB
    return Written(path, round(mib, 3), parity, quartiles(times))


def _convert(chain: Chain, file: Path, shape: Shape, output: str) -> None:
    example = torch.zeros(2 if shape.dynamic_batch else 1, 1, shape.samples)
    with torch.inference_mode():
        # A record that the method does not take is said in its own words.
        chain(example)
    batch = {"lead": {0: torch.export.Dim("batch", min=1)}} if shape.dynamic_batch else None
    # Of three versions of each operation that torchvision would bring it says that they are not there.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                chain,
                (example,),
                str(file),
                input_names=[INPUT],
                output_names=[output],
                opset_version=shape.opset,
                dynamo=True,
                dynamic_shapes=batch,
                external_data=False,
                verbose=False,
            )
        except Exception as problem:
            reason = next((line for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
            raise MibenchError(
                f"{chain.spec.name} cannot be exported: torch.onnx gives up on its network ({reason.strip()[:200]})"
            ) from problem


def _describe(file: Path, about: Mapping[str, str]) -> None:
    import onnx

    model = onnx.load(str(file))
    model.producer_name = "mibench"
    onnx.helper.set_model_props(model, dict(about))
    onnx.save(model, str(file))


def _of_shape(chain: Chain, shape: Shape, output: str) -> dict[str, str]:
    spec = chain.spec
    gives = f"(batch, {spec.embedding_dim})" if output == "features" else f"(batch, 12, {shape.samples}) in mV"
    return {
        "sampling_rate": f"{shape.sampling_rate:g}",
        "units": "mV",
        "lead": "I",
        "samples": str(shape.samples),
        "input": f"(batch, 1, {shape.samples}) of lead I in mV at {shape.sampling_rate:g} Hz, as recorded: resampling, "
        f"windows, filter and scale are inside",
        "output": gives + ("" if output == "features" else f", in the order {', '.join(LEADS)}, lead I generated too"),
        "batch": "any" if shape.dynamic_batch else "1",
        "filter": spec.filter,
        "normalization": spec.normalization,
    }


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Read whole: the file is moved to its place while the session lives.
    return onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
