"""Records of all kinds, for the tests of the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from board_texts import failed

from mibench.benchmark.ecg import DEMO_NOTICE

ERROR = "embed gave (2, 7) | expected (2, 8)"


@pytest.fixture
def records(make_record: Callable[..., Any], make_generative: Callable[..., Any]) -> list[dict[str, Any]]:
    """Two methods with the paper's lines, their anchors, two ratios, generators, the demo heart, and a failure."""
    ours = {"title": "SelfMIS", "source": "pretrained", "pretrained_on": "mimic-iv-ecg"}
    foundation = {"method": "ecgfounder", "title": "ECGFounder"}
    return [
        *(make_record(0.801 + 0.003 * seed, seed=seed, **ours) for seed in range(2)),
        make_record(0.742, **foundation),
        make_record(0.604, source="random", **foundation),
        make_record(0.72, ratio=0.25, **ours),
        make_record(0.69, ratio=0.25, **foundation),
        failed(make_record(method="./my_net.py:My_Net"), ERROR),
        make_generative(0.7, title="MCMA"),
        make_generative(0.5, method="zero-mask", title="Zero mask", source="none", error=1.0),
        make_record(0.6, data="demo", release="v1-640-records-seed-0", notice=DEMO_NOTICE, manifest="d" * 64, **ours),
    ]
