"""`mibench profile` as a user types it: records, what is done stays, one failure leaves the others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mibench.benchmark import profiler, results
from mibench.benchmark.protocols import profile
from support import TINY_ARGUMENTS, assert_valid

Mibench = Callable[..., Any]
QUICK = ("--set", "protocol.runs=2", "--set", "protocol.warmup=1", "--set", "protocol.seconds=0.1")
SMALL = ("profile", "--method", "selfmis", *TINY_ARGUMENTS, *QUICK, "--device", "cpu")


def stored() -> list[Any]:
    return results.scan(Path(os.environ["MIBENCH_RESULTS"]))[0]


def test_a_profile_and_its_table(mibench: Mibench) -> None:
    answer = mibench(*SMALL, "--batch", "4", "--set", "protocol.count_memory=false")
    assert answer.code == 0, answer.err
    assert "needs a GPU" in answer.out
    (record,) = stored()
    assert_valid(record)
    assert record.path.parent.parts[-3:] == ("no-data", "profile-v1", "selfmis")
    block = record["profile"]
    assert {cell["batch"] for cell in block["memory"]} == {4, 128}, "what was asked for, and the method's own"
    assert {cell["status"] for cell in block["memory"]} == {"needs a GPU"}
    assert [cell["status"] for cell in block["latency"]] == ["measured", "measured", "needs a GPU"]
    assert set(block["macs"]) == set(profile.RECIPES)
    assert record["determinants"]["hardware"] == block["hardware"]

    again = mibench(*SMALL, "--batch", "4", "--set", "protocol.count_memory=false")
    assert "profiled already on this machine" in again.err
    assert again.out == answer.out
    table = mibench("table", "4", "--format", "csv")
    assert table.code == 0, table.err
    assert table.out.splitlines()[1].startswith('"') is True
    # Another machine is another key.
    assert mibench("table", "4", "--format", "text").out.count("Resources, the paper's Table 4") == 1


def test_recipes(mibench: Mibench) -> None:
    assert mibench(*SMALL, "--recipe", "paper", "--set", "protocol.count_memory=false").code == 0
    (record,) = stored()
    assert list(record["profile"]["macs"]) == ["paper"]
    wrong = mibench(*SMALL, "--recipe", "papers")
    assert wrong.code == 2
    assert "did you mean `paper`?" in wrong.err


def test_one_that_fails_leaves_the_others(mibench: Mibench, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = profile.measure

    def break_one(method: Any, asked: Any) -> dict[str, Any]:
        if method.method == "ecgfounder":
            raise RuntimeError("the wire is loose")
        return measure(method, asked)

    monkeypatch.setattr(profile, "measure", break_one)
    call = ("profile", "--method", "ecgfounder", "selfmis", *TINY_ARGUMENTS, *QUICK, "--recipe", "paper")
    answer = mibench(*call, "--set", "protocol.count_memory=false", "--device", "cpu")
    assert answer.code == 1
    assert answer.err.strip().endswith("failed: ecgfounder: the wire is loose")
    assert {record["method"]["name"]: record["status"] for record in stored()} == {
        "ecgfounder": "failed",
        "selfmis": "done",
    }
    for record in stored():
        assert_valid(record)
    assert "failed: the wire is loose" in mibench("table", "4", "--format", "text").out
    alone = mibench(
        "profile", "--method", "ecgfounder", *TINY_ARGUMENTS, *QUICK, "--recipe", "paper", "--device", "cpu"
    )
    assert alone.code == 2
    assert "nothing was profiled: ecgfounder: the wire is loose" in alone.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--method", "nothing"), "there is no method `nothing`"),
        (("--method", "selfmis", "--set", "protocol.runs=0"), "must be at least 1"),
        (("--method", "selfmis", "--set", "protocol.run=3"), "unknown setting `run`; did you mean `runs`?"),
        (("--method", "selfmis", "--device", "cuda:9"), "--device cuda:9: not available here"),
        (("--method", "selfmis", "--batch", "1"), "1 is not in the range"),
    ],
)
def test_what_was_asked_wrongly(arguments: tuple[str, ...], told: str, mibench: Mibench) -> None:
    answer = mibench("profile", *arguments)
    assert answer.code == 2
    assert told in answer.err
    assert not stored()


def test_all_methods_are_those_with_a_network() -> None:
    names = {card.name for card in profiler.with_networks()}
    assert {"selfmis", "simclr", "heartlang-vqhbr", "mcma"} <= names
    assert names.isdisjoint({"zero-mask", "prevalence", "copy-lead", "fir-ridge"})


@pytest.mark.slow
def test_memory_of_a_cpu_and_a_file(mibench: Mibench) -> None:
    pytest.importorskip("onnxruntime")
    on_cpu = ("--set", "protocol.memory_on_cpu=true", "--set", "protocol.steps=1", "--batch", "2")
    sets = ("--set", "protocol.cell_seconds=300")
    assert mibench(*SMALL, *on_cpu, *sets, "--recipe", "paper").code == 0
    answer = mibench(*SMALL, *on_cpu, *sets, "--recipe", "paper", "--export")
    assert answer.code == 0, answer.err
    assert "a pre-training step" not in answer.err, "only the file was missing"
    (record,) = stored()
    assert_valid(record)
    assert {cell["status"] for cell in record["profile"]["memory"]} == {"measured"}
    assert all(cell["process_mib"] > 100 for cell in record["profile"]["memory"])
    assert record["profile"]["export"]["status"] == "measured"
    assert json.dumps(record["profile"]["export"]["mib"]) in json.dumps(record)
    assert "ONNX" in answer.out


@pytest.mark.slow
def test_every_method_is_profiled_and_table_4_equals_the_papers(mibench: Mibench) -> None:
    """Takes minutes at full width; a timed one is in tests/perf."""
    answer = mibench("profile", "--device", "cpu", *QUICK)
    assert answer.code == 0, answer.err
    found = {record["method"]["name"]: record["profile"] for record in stored()}
    assert len(found) == len(profiler.with_networks())
    from mibench.benchmark.published import load_paper

    rows = load_paper()["table4_resources"]["rows"]
    for name, title in load_paper()["methods"].items():
        row = rows.get(title) or rows.get(f"{title} (w/o AMP)")
        if row:
            assert round(found[name]["parameters"]["paper"] / 1e6, 2) == row["params_M"]
            assert round(found[name]["macs"]["paper"]["ptflops"] / 1e9, 2) == row["gmac"]
