"""Fixtures shared by all tests: an own home for every test, and the reference material where it is at hand."""

from __future__ import annotations

import os
import sys

# Tiny networks on many threads spend their time waiting for each other, in subprocesses of tests as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mibench.benchmark import results
from mibench.benchmark.cli import main
from mibench.benchmark.data import catalog
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.data.demo import DemoOptions, write_demo
from support import assert_valid

MOST_PROCESSES = 4
"""Networks of full size need a few gigabytes in each."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes on two cores; none of its own for a single file, or for what is timed."""
    timed = config.option.markexpr == "perf"
    single = any(".py" in argument for argument in config.args)
    return 0 if timed or single else min(os.cpu_count() or 1, MOST_PROCESSES)


CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's stores, weights or results."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MIBENCH_HOME", str(folder / "home"))
    monkeypatch.setenv("MIBENCH_RESULTS", str(folder / "results"))


@pytest.fixture(autouse=True)
def _records_fit_the_schema(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run record that any test has written satisfies the published schema; what is timed is left alone."""
    if request.node.get_closest_marker("perf"):
        return
    kept = results.write_json

    def checked(path: Path, record: dict[str, Any]) -> None:
        assert_valid(record)
        kept(path, record)

    monkeypatch.setattr(results, "write_json", checked)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The reference material beside the checkout (golden figures, real records); it is not part of the project."""
    folder = Path(os.environ.get("MIBENCH_SHARED", CHECKOUT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("the shared reference material is not here")
    return folder


@pytest.fixture(scope="session")
def ptb_xl_500(shared_data: Path) -> Path:
    """Real PTB-XL, records 1-500, in its original layout."""
    return shared_data / "data" / "ptb-xl-500"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def demo_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo heart (120 records) in PTB-XL's layout."""
    root = tmp_path_factory.mktemp("demo") / "tree"
    write_demo(root, DemoOptions(records=120))
    return root


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The small demo heart, registered as `demo` in a home of its own."""
    home = tmp_path_factory.mktemp("demo-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIBENCH_HOME", str(home))
        return catalog.make_demo(DemoOptions(records=120))


@pytest.fixture
def with_demo(demo: Dataset) -> Dataset:
    """The small demo heart, known as `demo` to the commands of this test."""
    home = Path(os.environ["MIBENCH_HOME"])
    (home / "data").mkdir(parents=True)
    (home / "data" / "demo").symlink_to(demo.store.path.parent)
    return demo


@pytest.fixture
def mibench(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """The command line, called in this process as the shell would call it."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["mibench", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return Answer(int(end.value.code or 0), out, err)

    return call
