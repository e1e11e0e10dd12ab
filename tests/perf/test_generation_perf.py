"""Generating and measuring a fold: memory stays where it is, however many records there are.

pytest -m perf -s tests/perf/test_generation_perf.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.perf

PROGRAM = """
import json, re, sys, threading, time
from dataclasses import replace
from pathlib import Path
import numpy as np
from mibench.benchmark.data.dataset import load_dataset
from mibench.benchmark.generated import Classifier, generated_of
from mibench.benchmark.weights import Weights
from support import request_of

data = load_dataset(Path(sys.argv[1]))
test = int(sys.argv[2])
labelled = np.flatnonzero(data.labels.any(axis=1))
folds = np.full_like(data.folds, 1)
folds[labelled[:2]] = 9
folds[labelled[2 : 2 + test]] = 10
data = replace(data, folds=folds)
random = Weights("random", "random", seed=0)
classifier = Classifier(request_of("ecgfounder-12lead", data, Path("."), preset="tiny"), random)
request = request_of(sys.argv[3], data, Path("."), preset=sys.argv[4] or None)
weights = random if request.adapter.spec.needs_weights else Weights("none", "none")
peak, over = 0, threading.Event()

def watch():
    # Memory of its own: the pages of the mapped store are the system's, which takes them back when it needs them.
    global peak
    while not over.wait(0.01):
        peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))

watcher = threading.Thread(target=watch)
watcher.start()
started = time.monotonic()
made = generated_of(request, weights, classifier, "test", pass_through=True)
kept = made.features.nbytes + sum(array.nbytes for array in made.statistics.values())
over.set()
watcher.join()
seconds = time.monotonic() - started
print(json.dumps({"records": len(made.rows), "mib": peak / 1024, "kept": kept / 2**20, "s": seconds}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo heart of 640 records."""
    home = tmp_path_factory.mktemp("perf-home")
    environment = {**os.environ, "MIBENCH_HOME": str(home)}
    command = [sys.executable, "-m", "mibench.benchmark.cli", "data", "show", "demo"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return home / "data" / "demo"


@pytest.mark.parametrize(("method", "preset"), [("real-leads", ""), ("mcma", "tiny")])
def test_peak_memory_does_not_grow_with_the_records(method: str, preset: str, folder: Path, tmp_path: Path) -> None:
    found = []
    # From three batches on, which is when the arrays of two of them have met.
    for test in (192, 576):
        environment = {**os.environ, "MIBENCH_HOME": str(tmp_path / f"home-{test}")}
        # Freed arrays go back to the system at once: what remains is held, and not kept by the allocator for later.
        environment["MALLOC_MMAP_THRESHOLD_"] = "65536"
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
        command = [sys.executable, "-c", PROGRAM, str(folder), str(test), method, preset]
        answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found.append(json.loads(answer.stdout.splitlines()[-1]))
    few, many = found
    print(
        f"\n{method}: {few['mib']:.0f} MiB for {few['records']} records, {many['mib']:.0f} MiB for {many['records']} "
        f"({many['s']:.1f} s); features and statistics {few['kept']:.2f} and {many['kept']:.2f} MiB"
    )
    signals = (many["records"] - few["records"]) * 12 * 5000 * 4 / 2**20
    growth = many["mib"] - few["mib"]
    assert growth < 0.1 * signals, "a tenth of what the signals alone would take"
