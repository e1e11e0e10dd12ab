"""The anchor that knows nothing but how frequent things are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mibench.adapters.base import Encoder
from mibench.adapters.errors import MibenchError
from mibench.adapters.prevalence import PrevalenceAdapter


def test_every_record_has_the_same_single_feature() -> None:
    adapter = PrevalenceAdapter()
    assert isinstance(adapter, Encoder)
    adapter.load(None, torch.device("cpu"))
    assert adapter.embed(torch.randn(3, 1, 5000)).tolist() == [[1.0]] * 3
    assert (adapter.spec.embedding_dim, adapter.spec.needs_weights) == (1, False)


def test_takes_no_weights() -> None:
    with pytest.raises(MibenchError, match=r"w\.pth is given: leave --weights out"):
        PrevalenceAdapter().load(Path("w.pth"), torch.device("cpu"))
