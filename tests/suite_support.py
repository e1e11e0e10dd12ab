"""What the tests of engines share: a small suite, its records without what differs from run to run, and processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SUITE = """
title: A small suite
data: [demo]
seeds: 2
rows:
  - name: trained
    method: simclr
    steps:
      - {protocol: pretrain, sets: [epochs=EPOCHS, batch_size=16]}
      - &probe {protocol: linear_probe, ratios: [50, 100], sets: [epochs=2, resamples=20]}
groups:
  - {methods: [prevalence], steps: [*probe]}
  - {methods: [clocs, 3kg], steps: [{protocol: linear_probe, weights: random, sets: [epochs=2, resamples=20]}]}
"""
STEPS = 5
RECORDS = 1 + 4 + 4 + 2 + 2
"""One pre-training, two shares of two seeds twice, two seeds twice."""

MEASURED = ("records_per_second", "data_wait_share", "seconds")
"""Of a pre-training, beside what is of when and where."""


def write_suite(folder: Path, epochs: int = 1) -> Path:
    """The suite as a file."""
    file = folder / "small.yaml"
    file.write_text(SUITE.replace("EPOCHS", str(epochs)))
    return file


def contents(results: Path) -> dict[str, Any]:
    """Every file of a results folder by its path; records without date, provenance and measured speed."""
    found: dict[str, Any] = {}
    for file in sorted(results.rglob("*")):
        name = file.relative_to(results)
        if not file.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        found[name.as_posix()] = file.read_bytes()
        if file.suffix == ".json":
            record = json.loads(file.read_bytes())
            record = {key: value for key, value in record.items() if key not in ("created", "provenance")}
            block = record["pretraining"] or {}
            record["pretraining"] = {key: value for key, value in block.items() if key not in MEASURED}
            found[name.as_posix()] = record
    return found


def records_of(results: Path) -> list[str]:
    """The keys of all records that are done."""
    done = []
    for file in sorted(results.rglob("*.json")):
        if not any(part.startswith(".") for part in file.relative_to(results).parts):
            record = json.loads(file.read_bytes())
            done += [record["key"]] if record["status"] == "done" else []
    return done


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mibench.benchmark.cli", *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(happened: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for something, and give it."""
    began = time.monotonic()
    while not (found := happened()):
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.02)
    return found


def children(process: int) -> dict[int, str]:
    """Process ids below a process, at any depth, with their command lines."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            parents[int(folder.name)] = int(stat[1])
        except (OSError, IndexError, ValueError):
            continue
    found: dict[int, str] = {}
    for pid in parents:
        above = pid
        while above in parents and above != process:
            above = parents[above]
        if above == process and pid != process:
            found[pid] = commands[pid]
    return found
