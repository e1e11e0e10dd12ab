"""Generators without anything to learn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mibench.adapters.base import LEADS, Generator
from mibench.adapters.errors import MibenchError
from mibench.adapters.registry import create, find

CPU = torch.device("cpu")
NAMES = ("zero-mask", "copy-lead", "real-leads", "shuffled-record")


def loaded(name: str) -> Generator:
    adapter = create(find(name))
    assert isinstance(adapter, Generator)
    adapter.load(None, CPU)
    return adapter


@pytest.mark.parametrize("name", NAMES)
def test_what_they_say_of_themselves(name: str) -> None:
    spec = loaded(name).spec
    seen = {"real-leads": "record", "shuffled-record": "another-record"}.get(name, "observed")
    assert (spec.name, spec.kind, spec.sees) == (name, "generator", seen)
    assert spec.leads == (("I",) if seen == "observed" else LEADS)
    assert (spec.samples, spec.sampling_rate, spec.windows, spec.normalization) == (5000, 500.0, "whole", "none")
    assert not spec.needs_weights
    assert not spec.pretrainable
    assert "macs" not in find(name).facts
    with pytest.raises(MibenchError, match=rf"{name} has no weights, and w\.pth is given: leave --weights out"):
        create(find(name)).load(Path("w.pth"), CPU)


def test_zero_mask_keeps_lead_one_among_silence() -> None:
    lead = torch.randn(2, 1, 5000)
    made = loaded("zero-mask").synthesize(lead)
    assert torch.equal(made[:, :1], lead)
    assert made.shape == (2, 12, 5000)
    assert not made[:, 1:].any()


def test_copy_lead_is_lead_one_everywhere() -> None:
    lead = torch.randn(2, 1, 5000)
    made = loaded("copy-lead").synthesize(lead)
    assert made.shape == (2, 12, 5000)
    assert all(torch.equal(made[:, [channel]], lead) for channel in range(12))


@pytest.mark.parametrize("name", ["real-leads", "shuffled-record"])
def test_real_leads_come_back_as_they_are(name: str) -> None:
    record = torch.randn(2, 12, 5000)
    made = loaded(name).synthesize(record)
    assert torch.equal(made, record)
    made += 1
    assert not torch.equal(made, record)


@pytest.mark.parametrize("name", NAMES)
def test_the_output_is_in_single_precision(name: str) -> None:
    adapter = loaded(name)
    assert adapter.synthesize(torch.randn(1, len(adapter.spec.leads), 50, dtype=torch.float64)).dtype == torch.float32
