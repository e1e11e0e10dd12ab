"""A method as one file: the same numbers from raw lead I on, said in its metadata, and never left behind when wrong."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mibench.adapters.base import Encoder
from mibench.adapters.errors import MibenchError
from mibench.benchmark.choices import make
from mibench.benchmark.config import parse_sets
from mibench.benchmark.deployment import onnx_file
from mibench.benchmark.deployment.chain import Chain
from mibench.benchmark.deployment.onnx_file import INPUT, Shape, write
from mibench.benchmark.deployment.parity import check_signals, compare
from mibench.benchmark.profiling.inputs import load_at_random
from support import TINY, TINY_ARGUMENTS

CPU = torch.device("cpu")
SMALL: dict[str, Any] = parse_sets(TINY)["method"]
Mibench = Callable[..., Any]


def loaded(name: str, preset: str | None = None, sets: dict[str, Any] | None = None) -> Any:
    _, adapter = make(name, preset, sets or {})
    load_at_random(adapter, CPU)
    return adapter


@pytest.mark.slow
@pytest.mark.parametrize("rate", [500.0, 512.0])
@pytest.mark.parametrize(
    ("name", "preset", "sets"),
    [
        ("selfmis", None, SMALL),
        ("selfmis", None, {**SMALL, "preprocessing": {"filter": "bandpass"}}),
        ("ecgfounder-12lead", None, SMALL),
        ("stmem", "tiny", {}),  # another rate, a filter, three windows
        ("simclr", "tiny", {}),
        ("mcma", "tiny", {}),  # tiled, and put together again
        ("ekgan", "tiny", {}),
    ],
)
def test_the_chain_gives_what_the_benchmark_measures(
    name: str, preset: str | None, sets: dict[str, Any], rate: float
) -> None:
    method, samples = loaded(name, preset, sets), round(10 * rate)
    chain = Chain(method, rate, samples).eval()

    def run(signals: Any) -> Any:
        with torch.inference_mode():
            return chain(torch.from_numpy(signals)).numpy()

    found = compare(method, run, rate, samples, 1e-4, together=True)
    assert found.worst <= 1
    assert found.records == 7


def test_another_number_is_noticed() -> None:
    method = loaded("selfmis", None, SMALL)
    chain = Chain(method, 500.0, 5000).eval()

    def run(signals: Any) -> Any:
        with torch.inference_mode():
            return chain(torch.from_numpy(signals)).numpy() * 1.001

    assert compare(method, run, 500.0, 5000, 1e-4, together=False).worst > 5
    assert compare(method, lambda x: run(x) * np.nan, 500.0, 5000, 1e-4, together=False).worst > 1e6


def test_signals_that_are_hard() -> None:
    signals = check_signals(512.0, 6000)
    assert signals.shape == (7, 1, 6000)
    assert np.ptp(signals[-1]) == 0 != signals[-1, 0, 0]
    assert np.abs(signals[-2]).max() < 0.006
    assert np.isfinite(signals).all()


@pytest.mark.parametrize(
    ("name", "preset", "sets", "told"),
    [
        ("heartlang", "tiny", {}, "reads tokens that a program cuts"),
        ("zero-mask", None, {}, "it has no network"),
        ("prevalence", None, {}, "it has no network"),
        ("ecgfounder", "official", SMALL, "the filter ecgfounder is no linear map"),
    ],
)
def test_what_cannot_be_exported_says_why(name: str, preset: str | None, sets: dict[str, Any], told: str) -> None:
    with pytest.raises(MibenchError, match=told):
        Chain(loaded(name, preset, sets), 500.0, 5000)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        onnx_file.importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name)
    )
    with pytest.raises(MibenchError, match=r"exporting needs .*onnxruntime, of the extra `export`: pip install"):
        write(loaded("selfmis", None, SMALL), tmp_path / "x.onnx", Shape(), {})


def test_a_file_on_the_command_line(mibench: Mibench, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    file = tmp_path / "small.onnx"
    call = ("export", "--method", "selfmis", *TINY_ARGUMENTS, "--weights", "random", "--out", file, "--dynamic-batch")
    answer = mibench(*call)
    assert answer.code == 0, answer.err
    for words in (
        "5000 samples at 500 Hz, any number",
        "gives:   32 features",
        "parity:  over 7 records",
        "are random",
    ):
        assert words in answer.out

    session = onnxruntime.InferenceSession(str(file))
    about = session.get_modelmeta().custom_metadata_map
    assert (about["method"], about["sampling_rate"], about["units"], about["lead"]) == ("selfmis", "500", "mV", "I")
    assert about["trained_on"] == "nothing"
    assert json.loads(about["options"])["net"]["base_filters"] == 8
    signals = check_signals(500.0, 5000)
    method = loaded("selfmis", None, SMALL)
    assert isinstance(method, Encoder)
    assert session.run(None, {INPUT: signals})[0].shape == (7, 32)

    again = mibench(*call)
    assert again.code == 2
    assert "exists already" in again.err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stmem", "mcma", "ekgan", "cyclegan", "pix2pix", "simclr"])
def test_other_methods_in_onnxruntime(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    written = write(loaded(name, "tiny"), tmp_path / f"{name}.onnx", Shape(), {"method": name})
    assert written.parity.worst <= 1
    assert [file.name for file in tmp_path.iterdir()] == [f"{name}.onnx"], "one file, weights inside"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tolerance", "1e-12"), "onnxruntime differs from torch by"),
        (("--seconds", "3"), "cut them to that length first"),
    ],
)
def test_a_file_that_is_wrong_is_not_left_behind(
    arguments: tuple[str, ...], told: str, mibench: Mibench, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "small.onnx"
    answer = mibench("export", "--method", "selfmis", *TINY_ARGUMENTS, "--weights", "random", "--out", file, *arguments)
    assert answer.code == 2
    assert told in answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_network_that_fixes_the_batch_says_so(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(MibenchError, match="leave --dynamic-batch out"):
        write(loaded("mcma", "tiny"), tmp_path / "x.onnx", Shape(dynamic_batch=True), {})


@pytest.mark.slow
def test_weights_of_demo_data_say_so(mibench: Mibench, with_demo: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    assert mibench("pretrain", "--method", "selfmis", *TINY_ARGUMENTS, "--epochs", "1", "--batch-size", "16").code == 0
    file = tmp_path / "small.onnx"
    answer = mibench("export", "--method", "selfmis", *TINY_ARGUMENTS, "--out", file)
    assert answer.code == 0, answer.err
    assert all("[demo data: not a result]" in line for line in answer.out.strip().splitlines())
    about = onnxruntime.InferenceSession(str(file)).get_modelmeta().custom_metadata_map
    assert about["notice"] == "demo data: not a result"
    assert len(about["weights_sha256"]) == 64
