"""Table 4 out of invented profiles: machines apart, the paper beneath, and everything said that must be."""

from __future__ import annotations

import copy
import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from typing import Any

import jsonschema
import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark import tables
from mibench.benchmark.profile_overview import overview
from mibench.benchmark.profile_table import table
from mibench.benchmark.profiles import disagreements, machines
from mibench.benchmark.record_check import fault
from mibench.benchmark.render import FORMATS
from mibench.benchmark.results import run_key

PAPER = tables.load_paper()
CPU = {"cpu": "A CPU", "cores": 2, "gpu": None, "driver": None, "cuda": None, "torch": "2.13.0"}
GPU = {**CPU, "gpu": "A GPU", "driver": "600.1", "cuda": "13.0"}

Make = Callable[..., dict[str, Any]]


def cell(batch: int, precision: str, status: str, mib: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"batch": batch, "precision": precision, "status": status, "device": None}
    if status == "counted":
        found["counted_mib"] = mib
    if status == "measured" and mib is not None:
        found |= {"allocated_mib": mib - 900, "reserved_mib": mib - 500, "process_mib": mib}
        found |= {"step_seconds": 0.5, "records_per_second": batch / 0.5, "joules_per_record": 1.25}
    return found


@pytest.fixture
def make_profile(make_record: Callable[..., dict[str, Any]]) -> Make:
    """A profile of SimCLR as it is, or of another method with other figures."""

    def make(
        method: str = "simclr",
        title: str = "SimCLR",
        *,
        params: int = 90_373_248,
        paper: tuple[int, int] = (18_064_832_000, 30_134_132_736),
        machine: dict[str, Any] = CPU,
        memory: list[dict[str, Any]] | None = None,
        own: int | None = 64,
        created: str = "2026-11-20T10:00:00+00:00",
        error: str | None = None,
    ) -> dict[str, Any]:
        record = make_record(method=method, title=title, protocol="profile", source="random", created=created)
        cells = [cell(128, "fp32", "counted", 56_876.7), cell(128, "amp", "needs a GPU")] if memory is None else memory
        block = {
            "parameters": {"total": params, "trainable": params, "probed": params, "paper": params},
            "macs": {"paper": dict(zip(("ptflops", "counted"), paper, strict=True))},
            "memory": cells,
            "latency": [
                {"device": "cpu, one thread", "status": "measured", "median_ms": 80.0, "low_ms": 75.0, "high_ms": 90.0},
                {"device": "gpu", "status": "needs a GPU"},
            ],
            "export": None,
            "energy": None,
            "hardware": machine,
            "default_batch": own,
        }
        record |= {"metrics": None, "training": None, "predictions": None, "ratio": None, "seed": None}
        record["determinants"] = {"method": method, "hardware": machine, "created": created}
        record["key"] = run_key(record["determinants"])
        if error:
            return {**record, "status": "failed", "error": error}
        return {**record, "profile": block}

    return make


@pytest.mark.parametrize("form", FORMATS)
def test_ours_and_the_papers(make_profile: Make, form: str) -> None:
    text = table([make_profile()], PAPER, form)
    for figure in ("90.37", "18.06", "56,877", "59,548") if form != "csv" else ("90373248", "18064832000", "59548"):
        assert figure in text
    assert "needs a GPU" in text
    assert "-40" in text, "ptflops misses two fifths"
    assert "A CPU, 2 cores, no GPU" in text


def test_machines_stand_side_by_side(make_profile: Make) -> None:
    there = make_profile(
        machine=GPU, memory=[cell(128, "fp32", "measured", 59_000.0), cell(128, "amp", "out of memory")]
    )
    text = table([make_profile(), there], PAPER, "text")
    assert text.index("A GPU (driver 600.1, CUDA 13.0)") < text.index("A CPU, 2 cores, no GPU")
    assert "58,100-58,500" in text
    assert "out of memory" in text
    assert len(machines([make_profile(), there])) == 2


def test_the_fullest_then_newest_profile_of_a_method_is_shown(make_profile: Make) -> None:
    old = make_profile(created="2026-11-01T10:00:00+00:00")
    bare = make_profile(memory=[cell(128, "fp32", "failed")], created="2026-11-25T10:00:00+00:00")
    newest = make_profile(created="2026-11-24T10:00:00+00:00", error="it broke")
    ((kept,),) = [machine.records for machine in machines([bare, newest, old])]
    assert kept["key"] == old["key"]
    newest = make_profile(created="2026-11-25T10:00:00+00:00")
    busy = changed(newest, ("profile", "latency", 0, "load"), 9.5)
    ((calm,),) = [machine.records for machine in machines([busy, old])]
    assert calm["key"] == old["key"] != busy["key"]
    broken = make_profile(error="it broke")
    assert "failed: it broke" in table([broken], PAPER, "text")


def test_two_precisions_of_selfmis_have_two_rows_of_the_paper(make_profile: Make) -> None:
    memory = [cell(128, "fp32", "measured", 10_000.0), cell(128, "amp", "measured", 6_000.0)]
    counts = {"params": 61_319_264, "paper": (2_331_946_144, 2_308_815_360), "own": 128}
    lines = table([make_profile("selfmis", "SelfMIS", memory=memory, **counts)], PAPER, "text").splitlines()
    printed = [line for line in lines if line.strip().startswith("paper ")]
    assert ["10,404" in line for line in printed] == [True, False]
    assert ["5,926" in line for line in printed] == [False, True]
    assert not disagreements(make_profile("selfmis", "SelfMIS", **counts))


def test_another_network_is_not_held_against_the_paper(make_profile: Make) -> None:
    small = make_profile("simclr", "SimCLR (tiny)", params=40_000)
    assert "59,548" not in table([small], PAPER, "text")
    assert "paper_gmac" in table([small], PAPER, "csv").splitlines()[0]
    assert next(csv.DictReader(io.StringIO(table([small], PAPER, "csv"))))["paper_gmac"] == ""


def test_the_papers_order_and_then_the_others(make_profile: Make) -> None:
    found = [make_profile(name, name.upper()) for name in ("mcma", "selfmis", "simclr", "stmem", "ekgan")]
    rows = [row["method"] for row in csv.DictReader(io.StringIO(table(found, PAPER, "csv")))]
    assert list(dict.fromkeys(rows)) == ["simclr", "stmem", "selfmis", "ekgan", "mcma"]


def test_nothing_to_show(make_record: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(MibenchError, match="there is no profile to show: `mibench profile"):
        table([make_record()], PAPER, "text")


def test_profiles_are_no_rows_of_a_leaderboard(make_profile: Make, make_record: Callable[..., dict[str, Any]]) -> None:
    boards = tables.leaderboards([make_profile(), make_record()], PAPER)
    assert [row.method for board in boards for row in board.rows] == ["selfmis"]


def test_what_is_printed_after_a_profile(make_profile: Make) -> None:
    memory = [cell(128, "fp32", "measured", 59_000.0), cell(128, "amp", "out of memory")]
    text = overview([make_profile(machine=GPU, memory=memory), make_profile()])
    for words in ("128: 59,000 / out of memory", "256.0 / --", "128: ~56,877 / needs a GPU", "-40% in paper: simclr"):
        assert words in text
    assert "(75.0-90.0)" in text


def changed(record: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    record = copy.deepcopy(record)
    block: Any = record
    for step in path[:-1]:
        block = block[step]
    block[path[-1]] = value
    return record


def test_check_and_schema_take_and_refuse_the_same(make_profile: Make) -> None:
    text = (resources.files("mibench.benchmark") / "run_record.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(text))
    whole = make_profile(memory=[cell(128, "fp32", "measured", 59_000.0), cell(64, "amp", "out of memory")])
    for record in (whole, make_profile(), make_profile(error="it broke")):
        assert fault(record) is None
        validator.validate(record)
    paths: list[tuple[tuple[Any, ...], Any]] = [
        (("profile",), None),
        (("profile",), "x"),
        (("profile", "parameters"), {"total": 1}),
        (("profile", "parameters", "total"), 1.5),
        (("profile", "macs", "paper"), {"ptflops": 1}),
        (("profile", "macs", "paper", "counted"), "many"),
        (("profile", "memory"), None),
        (("profile", "memory", 0, "status"), "fine"),
        (("profile", "memory", 0, "batch"), "128"),
        (("profile", "memory", 0, "process_mib"), "much"),
        (("profile", "latency", 0, "median_ms"), "slow"),
        (("profile", "latency", 0, "device"), None),
        (("profile", "hardware"), None),
        (("profile", "export"), 3),
    ]
    for path, value in paths:
        record = changed(whole, path, value)
        assert fault(record) is not None, path
        assert not validator.is_valid(record), path


def test_the_table_needs_no_torch() -> None:
    code = "import sys; import mibench.benchmark.profile_table, mibench.benchmark.profile_overview; "
    subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=True, timeout=60)
