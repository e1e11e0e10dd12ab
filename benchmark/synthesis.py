"""From lead I to twelve leads of a whole record: windows cut, generated, checked, and put together again.

The order is that of the paper's Table 2: recorded millivolts, the generator, lead I passed through or not; whatever
reads the result scales it by itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..adapters.base import LEADS, Generator
from ..adapters.errors import MibenchError
from ..adapters.signal import join, prepare, resample

OBSERVED = ("I",)
"""What a watch records: the one lead that a generator is given."""


def synthesize(
    generator: Generator,
    millivolt: npt.NDArray[np.float32],
    sampling_rate: float,
    device: torch.device,
    *,
    pass_through: bool,
) -> Tensor:
    """Twelve generated leads of some records, each by itself.

    Args:
        generator: loaded on `device`. One that sees more than lead I is given all twelve of `millivolt`.
        millivolt: (records, 12, samples) in mV; of another patient's records for a generator that sees those.
        sampling_rate: Hz.
        pass_through: put the recorded lead I in the place of the generated one. Not done with the leads of another
            record: lead I would be the only one of this patient.

    Returns:
        (records, 12, samples) float32 in mV on `device`, at `sampling_rate`, in the order of `LEADS`.

    Raises:
        MibenchError: the generator gives another shape, or numbers that are not finite.
    """
    spec = generator.spec
    observed = OBSERVED if spec.sees == "observed" else LEADS
    channels = [LEADS.index(lead) for lead in observed]
    given = torch.from_numpy(np.ascontiguousarray(millivolt[:, channels])).to(device, non_blocking=True)
    windows = prepare(given, sampling_rate, observed, spec)
    records, count = windows.shape[:2]
    with torch.inference_mode():
        output = generator.synthesize(windows.flatten(0, 1))
        _assert_leads(generator, output, records * count)
        output = output.float().view(records, count, len(LEADS), spec.samples)
        length = round(millivolt.shape[-1] * spec.sampling_rate / sampling_rate)
        whole = join(output, spec, length) if spec.windows == "tiled" else output[:, 0]
        whole = resample(whole, spec.sampling_rate, sampling_rate)
        if pass_through and spec.sees != "another-record":
            recorded = torch.from_numpy(np.ascontiguousarray(millivolt[:, :1])).to(device)
            whole = torch.cat([recorded, whole[:, 1:]], dim=1)
    return whole


def _assert_leads(generator: Generator, output: Tensor, windows: int) -> None:
    wanted = (windows, len(LEADS), generator.spec.samples)
    if not isinstance(output, Tensor) or tuple(output.shape) != wanted:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise MibenchError(
            f"method {generator.spec.name}: synthesize() must return (batch, 12, samples) = {wanted} and returned "
            f"{shape}: all twelve leads, lead I among them, in the order {', '.join(LEADS)}"
        )
