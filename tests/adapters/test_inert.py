"""Files that name code: their tensors come out whole, and nothing that they name is imported or run."""

from __future__ import annotations

import argparse
import collections
import enum
import os
import pickle
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mibench.adapters import inert_worker
from mibench.adapters.checkpoints import CONTAINERS, read_container
from mibench.adapters.errors import MibenchError
from mibench.adapters.inert import plain_copy
from mibench.adapters.torchfile import NamesCodeError, read_torch

FORMATS = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


class Calls:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A configuration library as files remember it; it is gone when they are read, and its import would be noticed."""
    module = types.ModuleType("far_config")

    class DictConfig:
        def __init__(self, content: dict[str, Any]) -> None:
            self._content = {name: AnyNode(value, self) for name, value in content.items()}
            self._metadata, self._parent = {"ref_type": dict}, None

    class AnyNode:
        def __init__(self, value: Any, parent: Any) -> None:
            self._val = DictConfig(value) if isinstance(value, dict) else value
            self._parent = parent

    class Choice(enum.Enum):
        HARD = "hard"

    class Meter(collections.OrderedDict):  # type: ignore[type-arg]
        pass

    for cls in (DictConfig, AnyNode, Choice, Meter):
        cls.__module__, cls.__qualname__ = "far_config", cls.__name__
        setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "far_config", module)
    return module


def save(content: Any, path: Path, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def rewrite(path: Path, out: Path) -> list[str]:
    """What the process of its own does, in this process: starting one for every case would take most of the time."""
    return inert_worker.rewrite(path, out, CONTAINERS)


def state() -> dict[str, torch.Tensor]:
    """Every number type, odd shapes and strides, tensors that share memory, and one without elements."""
    torch.manual_seed(0)
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64)
    whole = torch.arange(24.0).reshape(4, 6)
    return {
        **{str(kind): torch.randint(0, 2, (3,)).to(kind) for kind in kinds},
        "whole": whole,
        "part": whole[1:3, ::2],
        "turned": whole.T,
        "spread": torch.ones(1).expand(5),
        "number": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "parameter": nn.Parameter(torch.randn(2, 2)),
    }


@FORMATS
def test_tensors_come_out_as_they_went_in(tmp_path: Path, foreign: types.ModuleType, legacy: bool) -> None:
    given = state()
    path = save({"state_dict": given, "cfg": foreign.DictConfig({"a": 1})}, tmp_path / "w.pt", legacy=legacy)
    with pytest.raises(NamesCodeError, match=r"far_config\.DictConfig.*mibench weights convert METHOD"):
        read_torch(path)
    assert {"far_config.DictConfig", "far_config.AnyNode"} <= set(rewrite(path, tmp_path / "plain.pt"))
    found, _, beside = read_container(tmp_path / "plain.pt")
    assert found.keys() == given.keys()
    for name, tensor in given.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor.detach()), name
    assert beside == {"cfg": {"a": 1}}


@FORMATS
def test_plain_values_beside_the_tensors_survive(tmp_path: Path, foreign: types.ModuleType, legacy: bool) -> None:
    config = {"model": {"_name": "wav2vec2_cmsc", "layers": 12, "rate": 0.1}, "none": None, "on": True}
    beside = {
        "cfg": foreign.DictConfig(config),
        "args": argparse.Namespace(lr=1e-4, nested={"a": [1, (2, 3)]}),
        "mode": foreign.Choice.HARD,
        "best": np.float64(0.5),
        "meters": foreign.Meter(loss=0.25),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(1000)}}, "lr": 0.1},
        "epoch": 7,
    }
    path = save({"model": {"w": torch.ones(2)}, **beside}, tmp_path / "w.pt", legacy=legacy)
    rewrite(path, tmp_path / "plain.pt")
    tensors, report, found = read_container(tmp_path / "plain.pt")
    assert list(tensors) == ["w"]
    assert set(report.dropped) == set(beside)
    assert found["cfg"] == config
    assert found["args"] == {"lr": 1e-4, "nested": {"a": [1, [2, 3]]}}
    assert found["mode"] == "hard"
    assert found["meters"] == {"loss": 0.25}
    assert found["optimizer"] == {"state": {0: {"exp_avg": None}}, "lr": 0.1}
    assert found["epoch"] == 7
    assert (tmp_path / "plain.pt").stat().st_size < 3000, "the optimiser's tensors are left behind"


@FORMATS
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_network_that_was_pickled_whole(tmp_path: Path, legacy: bool, wrapped: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ModuleDict({"head": nn.Linear(3, 1, bias=False)}))
    net.register_buffer("unsaved", torch.ones(4), persistent=False)
    path = save({"epoch": 1, "model": net} if wrapped else net, tmp_path / "net.pt", legacy=legacy)
    ignored = rewrite(path, tmp_path / "plain.pt")
    assert "torch.nn.modules.linear.Linear" in ignored
    tensors, _, _ = read_container(tmp_path / "plain.pt")
    assert tensors.keys() == net.state_dict().keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in net.state_dict().items())


@FORMATS
@pytest.mark.parametrize("where", ["beside", "inside", "as a key", "as a tensor's function"])
def test_code_in_a_file_is_not_run(tmp_path: Path, legacy: bool, where: str) -> None:
    """The same file does leave its trace under a reader that runs what it is told, so this can fail."""
    trace = tmp_path / "trace"
    command = f"echo run > {trace}"
    good = {"w": torch.arange(3.0)}
    content: dict[Any, Any] = {
        "beside": {"state_dict": good, "extra": Calls(os.system, command)},
        "inside": {"state_dict": {**good, "bad": Calls(exec, f"open({str(trace)!r}, 'w').close()")}},
        "as a key": {"state_dict": good, Calls(os.system, command): 1},
        "as a tensor's function": {"state_dict": good, "extra": Calls(eval, f"__import__('os').system({command!r})")},
    }[where]
    path = save(content, tmp_path / "evil.pt", legacy=legacy)
    ignored = rewrite(path, tmp_path / "plain.pt")
    assert not trace.exists()
    assert any(name.rpartition(".")[2] in ("system", "exec", "eval") for name in ignored)
    assert torch.equal(read_container(tmp_path / "plain.pt")[0]["w"], torch.arange(3.0))
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_a_named_module_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither from the working folder, nor from the user's path, nor from beside the file."""
    trace = tmp_path / "trace"
    (tmp_path / "lurking.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Config: pass\n")
    (tmp_path / "json.py").write_text(f"open({str(trace)!r}, 'w').close()\nraise ImportError\n")
    module = types.ModuleType("lurking")
    config = type("Config", (), {"__module__": "lurking"})
    module.Config = config  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "lurking", module)
        path = save({"state_dict": {"w": torch.ones(1)}, "cfg": config()}, tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert plain_copy(path, tmp_path / "plain.pt") == ("lurking.Config",)
    assert not trace.exists()
    code = f"import torch; torch.load({str(path)!r}, weights_only=False)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert trace.exists()


def test_every_way_of_a_pickle_to_call_something_meets_a_placeholder(tmp_path: Path) -> None:
    """REDUCE, INST, OBJ, NEWOBJ, BUILD with slots and STACK_GLOBAL, written by hand."""
    trace = tmp_path / "trace"
    text = f"V{trace}\n".encode()
    calls = {
        "reduce": b"cos\nmkdir\n(" + text + b"tR",
        "inst": b"(" + text + b"ios\nmkdir\n",
        "obj": b"(cos\nmkdir\n" + text + b"o",
        "newobj": b"cpathlib\nPath\n(" + text + b"t\x81",
        "stack global": b"\x8c\x02os\x8c\x05mkdir\x93(" + text + b"tR",
        "build": b"cfoo\nBar\n)\x81(}V__class__\ncos\nmkdir\nstb",
        "dotted": b"ccollections\nOrderedDict.fromkeys\n(" + text + b"tR",
    }
    for name, call in calls.items():
        with (tmp_path / "call").open("wb") as file:
            file.write(b"\x80\x04" + call + b".")
        with (tmp_path / "call").open("rb") as file:
            names = inert_worker.Names()
            found = inert_worker.InertUnpickler(file, names).load()
        assert isinstance(found, inert_worker.Inert), name
        assert names.ignored, name
        assert not trace.exists(), name


@FORMATS
def test_a_damaged_file_leaves_nothing(tmp_path: Path, foreign: types.ModuleType, legacy: bool) -> None:
    path = save({"model": {"w": torch.ones(1000)}, "cfg": foreign.DictConfig({})}, tmp_path / "w.pt", legacy=legacy)
    path.write_bytes(path.read_bytes()[:-2000])
    # However it fails, the process of its own ends with it, and the next test sees to what is said then.
    with pytest.raises((inert_worker.UnreadableError, pickle.UnpicklingError)):
        rewrite(path, tmp_path / "plain.pt")
    assert not (tmp_path / "plain.pt").exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": {}}, argparse.Namespace(a=1)])
def test_a_file_without_tensors(tmp_path: Path, content: Any) -> None:
    with pytest.raises(inert_worker.UnreadableError, match="there are no tensors in it"):
        rewrite(save(content, tmp_path / "w.pt"), tmp_path / "plain.pt")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"w": np.ones(3)}))
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    with zipfile.ZipFile(tmp_path / "letter.zip", "w") as archive:
        archive.writestr("letter.txt", "hello")
    with pytest.raises(inert_worker.UnreadableError, match=r"no file of torch\.save"):
        rewrite(tmp_path / "plain.pkl", tmp_path / "out.pt")
    with pytest.raises(MibenchError, match=f"no weights can be read from {tmp_path / 'noise'}: it is damaged"):
        plain_copy(tmp_path / "noise", tmp_path / "out.pt")
    with pytest.raises(MibenchError, match=r"letter\.zip: it is a zip file without a pickle of torch"):
        plain_copy(tmp_path / "letter.zip", tmp_path / "out.pt")


def described(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> inert_worker.Described:
    storage = inert_worker.Storage("0", torch.float32, 10)
    return inert_worker.Described(storage, offset, size, stride, torch.float32)


@pytest.mark.parametrize(
    "tensor", [described((11,), (1,)), described((2, 5), (6, 1)), described((1,), (1,), 10), described((3,), (-1,), 5)]
)
def test_no_tensor_reaches_beyond_its_numbers(tensor: inert_worker.Described) -> None:
    with pytest.raises(inert_worker.UnreadableError):
        inert_worker.materialise(tensor, lambda storage: bytes(40))


def test_lists_of_lists_do_not_explode(tmp_path: Path, foreign: types.ModuleType) -> None:
    bomb: Any = [0]
    for _ in range(60):
        bomb = [bomb, bomb]
    content = {"model": {"w": torch.ones(2)}, "bomb": bomb, "cfg": foreign.DictConfig({})}
    rewrite(save(content, tmp_path / "w.pt"), tmp_path / "plain.pt")
    assert (tmp_path / "plain.pt").stat().st_size < 5_000_000
