"""`mibench weights convert`: replicas of published containers become plain safetensors that their method loads."""

from __future__ import annotations

import argparse
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mibench.adapters.base import Pretrainable
from mibench.adapters.checkpoints import read_metadata
from mibench.benchmark.choices import make
from mibench.benchmark.config import parse_sets
from mibench.benchmark.files import sha256_file
from support import TINY_ARGUMENTS

Command = Callable[..., Any]

FOUNDER_SETS = TINY_ARGUMENTS
HEAD = {"dense.weight": torch.zeros(150, 32), "dense.bias": torch.zeros(150)}


class RunsCode:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"echo run > {self.trace}",)


def foreign(name: str, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """An object of a class that is not installed here, with these attributes."""
    place, _, cls_name = name.rpartition(".")
    cls = type(cls_name, (), {"__module__": place})
    module = types.ModuleType(place)
    setattr(module, cls_name, cls)
    monkeypatch.setitem(sys.modules, place.partition(".")[0], types.ModuleType("outer"))
    monkeypatch.setitem(sys.modules, place, module)
    made = cls()
    made.__dict__.update(state)
    return made


def state_of(method: str, preset: str | None = None, sets: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors of an untrained network, named as published."""
    _, adapter = make(method, preset, parse_sets(sets[1::2])["method"])
    torch.manual_seed(1)
    if isinstance(adapter, Pretrainable) and adapter.spec.pretrainable and not adapter.init_parts:
        return adapter.trained_state(adapter.objective({}))
    adapter.load(None, torch.device("cpu"))
    return dict(adapter.net.state_dict())  # type: ignore[union-attr]


def features(method: str, path: Path, preset: str | None = None, sets: tuple[str, ...] = ()) -> Tensor:
    """What a method makes of noise with the weights of a file."""
    _, adapter = make(method, preset, parse_sets(sets[1::2])["method"])
    adapter.load(path, torch.device("cpu"))
    spec = adapter.spec
    noise = torch.randn(2, len(spec.leads), spec.samples, generator=torch.Generator().manual_seed(0))
    found: Tensor = adapter.embed(noise)  # type: ignore[union-attr]
    return found


def test_a_normal_file_loses_its_head_and_its_optimiser(mibench: Command, tmp_path: Path) -> None:
    state = state_of("ecgfounder", sets=FOUNDER_SETS)
    file, out = tmp_path / "1_lead.pth", tmp_path / "1_lead.safetensors"
    beside = {"optimizer": {"state": {0: torch.ones(1000)}}, "val_auroc": np.float64(0.9)}
    torch.save({"epoch": 7, "state_dict": {f"module.{k}": v for k, v in {**state, **HEAD}.items()}, **beside}, file)
    answer = mibench("weights", "convert", "ecgfounder", file, *FOUNDER_SETS)
    assert answer.code == 0, answer.err
    assert load_file(out).keys() == state.keys()
    assert torch.equal(features("ecgfounder", out, sets=FOUNDER_SETS), features("ecgfounder", file, sets=FOUNDER_SETS))
    for digest, path in ((sha256_file(file), file), (sha256_file(out), out)):
        assert f"sha256 {digest}  {path}" in answer.out
    assert "left out: dense.bias, dense.weight, epoch, optimizer, val_auroc" in answer.out
    assert "ignored" not in answer.out
    assert "batch normalisation in the file is untrained" in answer.out
    assert f"Next: mibench weights add ecgfounder {out}" in answer.out
    metadata = read_metadata(out)
    assert metadata["method"] == "ecgfounder"
    assert metadata["source"] == {"file": "1_lead.pth", "sha256": sha256_file(file)}
    assert metadata["dropped"] == ["dense.bias", "dense.weight", "epoch", "optimizer", "val_auroc"]


def test_a_file_with_foreign_objects_and_code(
    mibench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`weights add` refuses it and names the way; `convert` takes its tensors; nothing of it runs."""
    trace, file = tmp_path / "trace", tmp_path / "12_lead.pth"
    config = foreign("omegaconf.dictconfig.DictConfig", {"_content": {"lr": 0.1}}, monkeypatch)
    state = {**state_of("ecgfounder-12lead", sets=FOUNDER_SETS), **HEAD}
    torch.save({"state_dict": state, "cfg": config, "hook": RunsCode(trace)}, file)
    refused = mibench("weights", "add", "ecgfounder-12lead", file)
    assert refused.code == 2
    assert f"mibench weights convert METHOD {file} OUT.safetensors" in refused.err
    assert "omegaconf.dictconfig.DictConfig" in refused.err
    out = tmp_path / "sub" / "plain.safetensors"
    answer = mibench("weights", "convert", "ecgfounder-12lead", file, out, *FOUNDER_SETS)
    assert answer.code == 0, answer.err
    named = f"omegaconf.dictconfig.DictConfig, {os.system.__module__}.system"
    assert f"named in the file, ignored and not run: {named}" in answer.out
    assert not trace.exists()
    assert torch.isfinite(features("ecgfounder-12lead", out, sets=FOUNDER_SETS)).all()
    assert read_metadata(out)["ignored"] == named.split(", ")
    torch.load(file, weights_only=False)
    assert trace.exists(), "the file does run code for whoever lets it"


def cfg(criterion: str, model: str) -> dict[str, Any]:
    return {"criterion": {"_name": criterion}, "model": {"_name": model}}


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "omegaconf"])
def test_siblings_are_told_apart_before_their_files_look_alike(
    mibench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    """What stands beside the tensors decides, also where it is an object of a foreign library."""
    config: Any = cfg("wav2vec2_with_cmsc", "wav2vec2_cmsc")
    if not plain:
        config = foreign("omegaconf.dictconfig.DictConfig", {"_content": config, "_parent": None}, monkeypatch)
    file, out = tmp_path / "w2v.pt", tmp_path / "w2v.safetensors"
    state = state_of("w2v-cmsc", "tiny")
    torch.save({"args": None, "cfg": config, "model": state, "last_optimizer_state": {}}, file)
    wrong = mibench("weights", "convert", "wav2vec2", file, "--preset", "tiny")
    assert wrong.code == 2
    assert f"{file} was pre-trained by w2v-cmsc, not by wav2vec2" in wrong.err
    assert not out.exists()
    answer = mibench("weights", "convert", "w2v-cmsc", file, "--preset", "tiny")
    assert answer.code == 0, answer.err
    assert {"mask_emb", "quantizer.vars"} <= set(read_metadata(out)["dropped"])
    assert set(load_file(out)) == {name for name in state if not name.startswith(("mask_", "quant", "proj", "final_p"))}
    again = mibench("weights", "convert", "wav2vec2", out, tmp_path / "x.safetensors", "--preset", "tiny")
    assert again.code == 2
    assert "was pre-trained by w2v-cmsc" in again.err


def test_a_fine_tuned_file_keeps_its_layout(mibench: Command, tmp_path: Path) -> None:
    state = {f"encoder.{name}": tensor for name, tensor in state_of("simclr", "tiny").items()}
    head = {"proj.weight": torch.zeros(2, 32), "proj.bias": torch.zeros(2)}
    file, out = tmp_path / "tuned.pt", tmp_path / "tuned.safetensors"
    model = {"_name": "ecg_transformer_classifier", "args": cfg("simclr", "ecg_transformer")}
    torch.save({"cfg": {"model": model}, "model": {**state, **head}}, file)
    answer = mibench("weights", "convert", "simclr", file, "--preset", "tiny")
    assert answer.code == 0, answer.err
    assert load_file(out).keys() == state.keys()
    assert torch.equal(features("simclr", out, "tiny"), features("simclr", file, "tiny"))


@pytest.mark.parametrize(("one", "other"), [("stmem", "stmem-12lead"), ("stmem-12lead", "stmem")])
def test_what_a_variant_needs_is_kept(mibench: Command, tmp_path: Path, one: str, other: str) -> None:
    """The network for lead I uses one lead embedding of twelve, and its twelve-lead variant reads the same file."""
    file, out = tmp_path / "full.pth", tmp_path / "full.safetensors"
    state = {**state_of("stmem", "tiny"), "head.weight": torch.zeros(2, 2)}
    torch.save({"model": state, "config": argparse.Namespace(lr=1e-4), "epoch": 1}, file)
    answer = mibench("weights", "convert", one, file, "--preset", "tiny")
    assert answer.code == 0, answer.err
    assert load_file(out).keys() == state.keys() - {"head.weight"}
    for method in (one, other):
        assert torch.equal(features(method, out, "tiny"), features(method, file, "tiny"))


def test_a_language_model_with_the_arguments_of_its_training(mibench: Command, tmp_path: Path) -> None:
    file, out = tmp_path / "checkpoint-200.pth", tmp_path / "heartlang.safetensors"
    state = {**state_of("heartlang", "tiny"), "lm_head.weight": torch.zeros(16, 32), "lm_head.bias": torch.zeros(16)}
    torch.save({"model": state, "args": argparse.Namespace(lr=5e-4), "scaler": {}, "epoch": 200}, file)
    answer = mibench("weights", "convert", "heartlang", file, out, "--preset", "tiny")
    assert answer.code == 0, answer.err
    assert load_file(out).keys() == {name for name in state if not name.startswith("lm_head.")}
    vocabulary = {**state_of("heartlang-vqhbr", "tiny"), "quantize.embedding.initted": torch.ones(1)}
    torch.save({"model": vocabulary, "args": argparse.Namespace()}, tmp_path / "vqhbr.pth")
    assert mibench("weights", "convert", "heartlang-vqhbr", tmp_path / "vqhbr.pth", "--preset", "tiny").code == 0
    assert load_file(tmp_path / "vqhbr.safetensors").keys() == vocabulary.keys()


def test_the_same_file_gives_the_same_bytes(mibench: Command, tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    torch.save(state_of("ecgfounder", sets=FOUNDER_SETS), file)
    digests = set()
    for number in range(2):
        out = tmp_path / f"{number}.safetensors"
        assert mibench("weights", "convert", "ecgfounder", file, out, *FOUNDER_SETS).code == 0
        digests.add(sha256_file(out))
    assert len(digests) == 1


def test_nothing_is_overwritten_unasked(mibench: Command, tmp_path: Path) -> None:
    file, out = tmp_path / "w.pth", tmp_path / "w.safetensors"
    torch.save(state_of("ecgfounder", sets=FOUNDER_SETS), file)
    out.write_text("mine")
    kept = mibench("weights", "convert", "ecgfounder", file, *FOUNDER_SETS)
    assert kept.code == 2
    assert f"{out} exists" in kept.err
    assert out.read_text() == "mine"
    assert mibench("weights", "convert", "ecgfounder", file, "--force", *FOUNDER_SETS).code == 0
    onto_itself = mibench("weights", "convert", "ecgfounder", out, "--force", *FOUNDER_SETS)
    assert onto_itself.code == 2
    assert "would be overwritten" in onto_itself.err


def test_what_does_not_fit_is_refused_by_its_own_name(
    mibench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a plain copy was read in its place."""
    file, out = tmp_path / "other.pth", tmp_path / "other.safetensors"
    config = foreign("omegaconf.dictconfig.DictConfig", {"_content": {}}, monkeypatch)
    torch.save({"state_dict": {"w": torch.ones(3)}, "cfg": config}, file)
    answer = mibench("weights", "convert", "ecgfounder", file, *FOUNDER_SETS)
    assert answer.code == 2
    assert answer.err.startswith(f"Error: {file} does not fit the network")
    assert not out.exists()
    absent = mibench("weights", "convert", "ecgfounder", tmp_path / "absent.pth", *FOUNDER_SETS)
    assert absent.code == 2
    assert "there is no weights file" in absent.err


PLUGIN = """
import torch
from mibench.adapters.base import MethodSpec
{imports}

class MyNet:
    spec = MethodSpec(name="my-net", embedding_dim=4)

    def load(self, weights, device):
        self.net = torch.nn.Linear(self.spec.samples, 4).eval()
        self.net.load_state_dict({read})

    def embed(self, ecg):
        return self.net(ecg[:, 0])
"""


def test_a_plug_in(mibench: Command, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(5000, 4).state_dict(), tmp_path / "w.pt")
    own = "torch.load(weights, weights_only=True)"
    (tmp_path / "own.py").write_text(PLUGIN.format(imports="", read=own))
    unread = mibench("weights", "convert", f"{tmp_path}/own.py:MyNet", tmp_path / "w.pt")
    assert unread.code == 2
    assert "my-net cannot load" in unread.err
    assert "read_weights takes torch files and .safetensors alike" in unread.err
    assert not (tmp_path / "w.safetensors").exists()
    ours = "from mibench.adapters.checkpoints import read_weights"
    (tmp_path / "ours.py").write_text(PLUGIN.format(imports=ours, read="read_weights(weights)[0]"))
    answer = mibench("weights", "convert", f"{tmp_path}/ours.py:MyNet", tmp_path / "w.pt")
    assert answer.code == 0, answer.err
    assert load_file(tmp_path / "w.safetensors").keys() == {"weight", "bias"}
