"""Files of `torch.save`: what is read of them, and what is refused without being run."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mibench.adapters.errors import MibenchError
from mibench.adapters.torchfile import read_torch


class RunsCode:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.trace)!r}, 'w').close()",)


class _Huge:
    """Pickled as an array of numpy that begins with an exabyte."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ones(1).__reduce__()[0], (np.ndarray, (1 << 57,), b"d")  # type: ignore[return-value]


@pytest.mark.parametrize("legacy", [False, True])
def test_reads_what_training_scripts_leave_beside_the_weights(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "w.pth"
    beside = {"val_auroc": np.float64(0.93), "step": np.int64(7), "args": argparse.Namespace(lr=1e-4), "epoch": 3}
    torch.save({"w": torch.arange(3.0), **beside}, path, _use_new_zipfile_serialization=not legacy)
    content = read_torch(path)
    assert torch.equal(content["w"], torch.arange(3.0))
    assert {name: content[name] for name in beside} == beside


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_reads_numbers_of_numpy_of_either_age(tmp_path: Path, core: bytes) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.ones(2), "best": np.float64(0.5)}, path)
    own = np.float64(0).__reduce__()[0].__module__.rpartition(".")[0].encode()  # type: ignore[union-attr]
    _replace_in_pickle(path, b"c" + own + b".multiarray", b"c" + core + b".multiarray")
    assert core + b".multiarray\nscalar" in path.read_bytes()
    assert read_torch(path)["best"] == 0.5


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_reads_arrays_of_numpy_of_either_age(tmp_path: Path, core: bytes, legacy: bool) -> None:
    path = tmp_path / "w.pth"
    arrays = [
        np.linspace(0, 1, 7),
        np.arange(6, dtype=np.int32).reshape(2, 3).T,
        np.array([True, False]),
        np.array(3.5),
    ]
    torch.save({"w": torch.ones(2), "scores": arrays}, path, _use_new_zipfile_serialization=not legacy)
    own = np.ones(1).__reduce__()[0].__module__.rpartition(".")[0].encode()  # type: ignore[union-attr]
    _replace_in_pickle(path, b"c" + own + b".multiarray", b"c" + core + b".multiarray")
    assert core + b".multiarray\n_reconstruct" in path.read_bytes()
    for read, written in zip(read_torch(path)["scores"], arrays, strict=True):
        assert (read.dtype, read.shape) == (written.dtype, written.shape)
        assert np.array_equal(read, written)


@pytest.mark.parametrize(
    "array",
    [
        np.array([{"any": "object"}], dtype=object),
        np.zeros(2, dtype=[("a", "f8")]),
        np.ma.masked_array([1.0, 2.0], mask=[True, False]),
    ],
)
def test_arrays_of_anything_but_numbers_are_refused(tmp_path: Path, array: Any) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.ones(2), "scores": array}, path)
    with pytest.raises(MibenchError, match=r"is (damaged or no weights file|not plain weights)"):
        read_torch(path)


def test_an_array_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.ones(2), "scores": _Huge()}, path)
    with pytest.raises(MibenchError, match="is damaged or no weights file"):
        read_torch(path)


def test_a_file_that_someone_compressed_again(tmp_path: Path) -> None:
    stored, deflated = tmp_path / "stored.pth", tmp_path / "deflated.pth"
    torch.save({"w": torch.arange(1000.0)}, stored)
    with zipfile.ZipFile(stored) as before, zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    assert deflated.stat().st_size < stored.stat().st_size
    assert torch.equal(read_torch(deflated)["w"], torch.arange(1000.0))


@pytest.mark.parametrize("how", ["zip", "legacy", "plain pickle", "plain pickle, protocol 4", "zip, protocol 4"])
def test_code_is_named_and_not_run(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    content = {"state_dict": {"w": torch.ones(2)}, "extra": RunsCode(trace)}
    if how.startswith("plain"):
        path.write_bytes(pickle.dumps({"extra": content["extra"]}, protocol=4 if "4" in how else 2))
    else:
        protocol = 4 if "4" in how else 2
        torch.save(content, path, _use_new_zipfile_serialization=how != "legacy", pickle_protocol=protocol)
    with pytest.raises(MibenchError, match=r"reading it would run (builtins|__builtin__)\.exec") as caught:
        read_torch(path)
    assert str(path) in str(caught.value)
    assert not trace.exists()


def test_a_whole_pickled_network_is_refused_by_its_class(tmp_path: Path) -> None:
    path = tmp_path / "module.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(MibenchError, match=r"would run torch\.nn\.modules\.linear\.Linear.*state_dict\(\) alone"):
        read_torch(path)


def test_a_file_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.ones(1000)}, path)
    whole = path.read_bytes()
    for size in (3, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:size])
        with pytest.raises(MibenchError, match=r"w\.pth is cut short"):
            read_torch(path)


def test_a_legacy_file_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.ones(1000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(MibenchError, match="is damaged or no weights file"):
        read_torch(path)


@pytest.mark.parametrize("content", [b"hello world\n" * 20, b"\x00" * 100, bytes(range(256)) * 4, b"\x80\x02}q\x00."])
def test_something_else_altogether(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(MibenchError, match="is damaged or no weights file"):
        read_torch(path)


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "hello")
    with pytest.raises(MibenchError, match="is damaged or no weights file"):
        read_torch(path)


def test_nothing_stays_allowed_after_reading(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"args": argparse.Namespace(lr=1.0)}, path)
    read_torch(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def _replace_in_pickle(path: Path, old: bytes, new: bytes) -> None:
    if not zipfile.is_zipfile(path):
        path.write_bytes(path.read_bytes().replace(old, new))
        return
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name).replace(old, new) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
