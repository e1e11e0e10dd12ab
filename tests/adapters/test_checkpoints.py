"""Weights files: containers, names, shapes, and writing them whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from mibench.adapters import atomic
from mibench.adapters.checkpoints import load_into, read_container, read_metadata, read_weights, save_weights
from mibench.adapters.errors import MibenchError


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.mark.parametrize("container", ["state_dict", "model", "model_state_dict", None])
@pytest.mark.parametrize("wrapper", ["", "module.", "module._orig_mod."])
def test_takes_every_usual_container(tmp_path: Path, net: nn.Module, container: str | None, wrapper: str) -> None:
    state = {wrapper + name: tensor for name, tensor in net.state_dict().items()}
    path = tmp_path / "w.pth"
    torch.save({container: state, "epoch": 3, "optimizer": {"state": {0: torch.ones(9)}}} if container else state, path)
    tensors, report = read_weights(path)
    assert tensors.keys() == net.state_dict().keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in net.state_dict().items())
    assert report.loaded == len(tensors)
    assert report.dropped == (("epoch", "optimizer") if container else ())


def test_only_tensors_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": nn.Parameter(torch.ones(2)), "arch": "net1d"}, path)
    tensors, report = read_weights(path)
    assert list(tensors) == ["w"]
    assert not tensors["w"].requires_grad
    assert report.dropped == ("arch",)


def test_what_stands_beside_the_weights_is_at_hand(tmp_path: Path, net: nn.Module) -> None:
    beside = {"cfg": {"model": {"_name": "net", "layers": 2}, "seeds": [1, 2]}, "best": None}
    torch.save({"model": net.state_dict(), **beside}, tmp_path / "w.pt")
    tensors, report, found = read_container(tmp_path / "w.pt")
    assert (tensors.keys(), found) == (net.state_dict().keys(), beside)
    assert report.dropped == ("cfg", "best")
    save_weights(tmp_path / "w.safetensors", net.state_dict(), {"method": "net"})
    assert read_container(tmp_path / "w.safetensors")[2] == {}


def test_safetensors_are_told_by_content_or_name(tmp_path: Path, net: nn.Module) -> None:
    for name in ("w.safetensors", "w.bin", "w"):
        safetensors.torch.save_file(net.state_dict(), tmp_path / name)
        assert read_weights(tmp_path / name)[0].keys() == net.state_dict().keys()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_absent_empty_and_foreign_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(MibenchError, match=f"there is no weights file {path}"):
        read_weights(path)
    with pytest.raises(MibenchError, match="there is no weights file"):
        read_weights(tmp_path)
    path.touch()
    with pytest.raises(MibenchError, match="is empty"):
        read_weights(path)
    path.write_text("hello world\n" * 10)
    with pytest.raises(MibenchError, match=f"{path} is (damaged|cut short) or no"):
        read_weights(path)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": {}}])
def test_a_file_without_tensors(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(MibenchError, match="holds no tensors"):
        read_weights(path)


def test_safetensors_cut_short(tmp_path: Path, net: nn.Module) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, net.state_dict(), {})
    whole = path.read_bytes()
    for size in (4, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(MibenchError, match=r"w\.safetensors is cut short"):
            read_weights(path)


def test_load_into_takes_all_or_says_what_is_wrong(net: nn.Sequential) -> None:
    source = Path("w.pth")
    state = {name: torch.full_like(tensor, 2) for name, tensor in net.state_dict().items()}
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    faulty = {
        r"it lacks 0\.weight, 0\.bias": {name: t for name, t in state.items() if not name.startswith("0.")},
        r"it has the unknown head\.weight": {**state, "head.weight": torch.ones(1)},
        r"it has 2\.weight as 2x5 in place of 2x4": {**state, "2.weight": torch.ones(2, 5)},
        r"lacks 0\.weight, 0\.bias, 1\.weight and 6 more, has the unknown enc\.0\.weight, .* 6 more; expected is X": {
            f"enc.{name}": tensor for name, tensor in state.items()
        },
        r"1\.running_var holds NaN": {**state, "1.running_var": torch.full((4,), torch.nan)},
    }
    for told, wrong in faulty.items():
        with pytest.raises(MibenchError, match=rf"^w\.pth .*{told}"):
            load_into(net, wrong, source=source, expected="X")
        assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    report = load_into(net, state, source=source)
    assert (report.loaded, report.dropped) == (len(state), ())
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_what_may_be_left_out_is_said_by_prefix(net: nn.Sequential) -> None:
    state = {name: tensor + 1 for name, tensor in net.state_dict().items() if not name.startswith("2.")}
    state["dense.weight"] = torch.full((7,), torch.nan)
    head = net[2].weight.clone()
    report = load_into(net, state, source=Path("w"), ignore_extra=("dense.",), allow_missing=("2.",))
    assert (report.loaded, report.dropped) == (len(state) - 1, ("dense.weight",))
    assert torch.equal(net[2].weight, head)
    with pytest.raises(MibenchError, match="unknown dense"):
        load_into(net, state, source=Path("w"), ignore_extra=("head.",), allow_missing=("2.",))


def test_saved_weights_come_back_with_their_metadata(tmp_path: Path, net: nn.Sequential) -> None:
    path = tmp_path / "new" / "w.safetensors"
    tied = {**net.state_dict(), "tied": net[0].weight, "turned": net[0].weight.T}
    save_weights(path, tied, {"method": "selfmis", "epochs": 2, "loss": {"t": 0.07}})
    tensors, _ = read_weights(path)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in tied.items())
    assert tensors.keys() == tied.keys()
    assert read_metadata(path) == {"method": "selfmis", "epochs": 2, "loss": {"t": 0.07}}
    assert list(path.parent.iterdir()) == [path]


def test_the_same_weights_give_the_same_bytes(tmp_path: Path, net: nn.Module) -> None:
    contents = set()
    for number in range(8):
        path = tmp_path / f"{number}.safetensors"
        state = dict(sorted(net.state_dict().items(), reverse=bool(number % 2)))
        save_weights(path, state, dict(sorted({"a": 1, "b": 2, "c": 3}.items(), reverse=bool(number % 2))))
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_a_foreign_file_has_no_metadata(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pth")
    safetensors.torch.save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors", metadata={"format": "pt"})
    assert read_metadata(tmp_path / "w.pth") == {}
    assert read_metadata(tmp_path / "w.safetensors") == {}


def test_a_failed_write_leaves_the_old_file_alone(
    tmp_path: Path, net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, net.state_dict(), {"age": "old"})

    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_sync", full)
    with pytest.raises(MibenchError, match=r"w\.safetensors cannot be written: .*No space left"):
        save_weights(path, net.state_dict(), {"age": "new"})
    assert read_metadata(path) == {"age": "old"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written(tmp_path: Path, net: nn.Module) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MibenchError, match="cannot be written"):
        save_weights(tmp_path / "file" / "w.safetensors", net.state_dict(), {})
