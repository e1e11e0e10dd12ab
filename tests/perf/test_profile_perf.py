"""All methods, counted and timed at full size without a GPU: minutes on two cores.

pytest -m perf -s tests/perf/test_profile_perf.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.perf

SECONDS = 300


def test_a_profile_of_all_methods(mibench: Callable[..., Any]) -> None:
    started = time.monotonic()
    answer = mibench("profile", "--device", "cpu")
    seconds = time.monotonic() - started
    print(f"\n{answer.out}\nmibench profile: {seconds:.0f} s")
    assert answer.code == 0, answer.err
    assert seconds < SECONDS
