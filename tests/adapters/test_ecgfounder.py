"""ECGFounder behind the contract: its published container, its two networks, and wrong files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mibench.adapters.base import LEADS, Encoder
from mibench.adapters.ecgfounder import ECGFounderAdapter, ECGFounderOptions, norm_is_fresh
from mibench.adapters.errors import MibenchError
from mibench.methods.nets.net1d import Net1D, Net1DConfig

TINY = Net1DConfig(base_filters=16, filter_list=(16, 32), m_blocks_list=(1, 2))
CPU = torch.device("cpu")


@pytest.mark.parametrize("leads", [1, 12])
def test_imports_a_file_as_it_was_published(tmp_path: Path, leads: int) -> None:
    net, path = published(tmp_path, leads)
    adapter = _adapter(leads)
    report = adapter.load(path, CPU)
    ecg = torch.randn(3, leads, 5000)
    with torch.inference_mode():
        expected = net(ecg)
    assert torch.equal(adapter.embed(ecg), expected)
    assert report.loaded == len(Net1D(leads, TINY).state_dict())
    assert set(report.dropped) == {"epoch", "step", "optimizer", "val_auroc", "dense.weight", "dense.bias"}
    assert report.notes == ("batch normalisation in the file is untrained, as published; it is not run",)


def test_trained_batch_normalisation_in_a_file_is_reported(tmp_path: Path) -> None:
    net, path = published(tmp_path, 1)
    for buffer, value in (("running_mean", 0.1), ("running_var", 2.0), ("weight", 0.9), ("bias", 0.1)):
        state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        assert norm_is_fresh(state)
        state[f"stage_list.1.block_list.1.bn3.{buffer}"][5] = value
        assert not norm_is_fresh(state)
    torch.save({"state_dict": state}, path)
    assert _adapter(1).load(path, CPU).notes[0].startswith("warning: batch normalisation in the file is trained")
    running = ECGFounderAdapter(ECGFounderOptions(net=Net1DConfig(16, (16, 32), (1, 2), use_bn=True)))
    assert running.load(path, CPU).notes == ("batch normalisation in the file is trained; it is run",)


def test_fresh_batch_normalisation_is_the_identity(tmp_path: Path) -> None:
    _, path = published(tmp_path, 1)
    plain = _adapter(1)
    running = ECGFounderAdapter(ECGFounderOptions(net=Net1DConfig(16, (16, 32), (1, 2), use_bn=True)))
    plain.load(path, CPU)
    assert running.load(path, CPU).notes[0].endswith("it runs and changes nothing in evaluation")
    ecg = torch.randn(2, 1, 5000)
    torch.testing.assert_close(plain.embed(ecg), running.embed(ecg), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("given", "wanted"), [(12, 1), (1, 12)])
def test_the_file_for_the_other_number_of_leads(tmp_path: Path, given: int, wanted: int) -> None:
    _, path = published(tmp_path, given)
    names = {1: "one lead", 12: "twelve leads"}
    told = f"is made for {names[given]}, and this network takes {names[wanted]}: .*{wanted}_lead_ECGFounder.pth"
    with pytest.raises(MibenchError, match=told):
        _adapter(wanted).load(path, CPU)


def test_a_file_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "vit.pth"
    torch.save({"model": {f"block{index}.attn.to_qkv.weight": torch.ones(3, 3) for index in range(12)}}, path)
    with pytest.raises(MibenchError) as caught:
        _adapter(1).load(path, CPU)
    told = str(caught.value)
    assert told.startswith(f"{path} does not fit the network: it lacks first_conv.conv.weight, first_conv.conv.bias")
    assert "has the unknown block0.attn.to_qkv.weight" in told
    assert told.endswith("expected is the layout of ECGFounder's 1_lead_ECGFounder.pth")


def test_a_prefix_that_nobody_asked_for_is_an_error_not_a_random_encoder(tmp_path: Path) -> None:
    net, path = published(tmp_path, 1)
    torch.save({"state_dict": {f"encoder.{name}": tensor for name, tensor in net.state_dict().items()}}, path)
    with pytest.raises(MibenchError, match=r"has the unknown encoder\.first_conv"):
        _adapter(1).load(path, CPU)


def test_random_weights_come_from_torch_s_generator() -> None:
    ecg = torch.randn(2, 1, 5000)

    def embedding(seed: int) -> torch.Tensor:
        adapter = _adapter(1)
        torch.manual_seed(seed)
        adapter.load(None, CPU)
        return adapter.embed(ecg)

    assert torch.equal(embedding(1), embedding(1))
    assert not torch.equal(embedding(1), embedding(2))


def test_embedding_is_the_same_twice_even_if_someone_left_training_on() -> None:
    adapter = ECGFounderAdapter(ECGFounderOptions(net=Net1DConfig(16, (16, 32), (1, 2), use_bn=True, use_do=True)))
    adapter.load(None, CPU)
    ecg = torch.randn(4, 1, 5000, dtype=torch.float64)
    first = adapter.embed(ecg)
    assert adapter.net is not None
    adapter.net.train()
    second = adapter.embed(ecg)
    assert torch.equal(first, second)
    assert (first.dtype, first.shape, first.requires_grad) == (torch.float32, (4, 32), False)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(adapter.embed(ecg), first)


def test_what_the_two_say_of_themselves() -> None:
    native, twelve = ECGFounderAdapter(), ECGFounderAdapter(ECGFounderOptions(leads="twelve", filter="ecgfounder"))
    assert isinstance(native, Encoder)
    assert (native.spec.name, twelve.spec.name) == ("ecgfounder", "ecgfounder-12lead")
    assert (native.spec.leads, twelve.spec.leads) == (("I",), LEADS)
    assert (native.spec.filter, twelve.spec.filter) == ("none", "ecgfounder")
    for spec in (native.spec, twelve.spec):
        # One z-score over the whole record, 10 s at 500 Hz: a network that takes any length cannot tell.
        assert (spec.normalization, spec.sampling_rate, spec.samples) == ("zscore-record", 500.0, 5000)
        assert (spec.embedding_dim, spec.pretraining_data) == (1024, ("HEEDB",))
    assert native.spec.published_weights.endswith("1_lead_ECGFounder.pth")
    assert twelve.spec.published_weights.endswith("12_lead_ECGFounder.pth")


def test_embedding_before_loading_is_a_mistake_of_the_program() -> None:
    with pytest.raises(RuntimeError, match="load"):
        _adapter(1).embed(torch.zeros(1, 1, 5000))


def _adapter(leads: int) -> ECGFounderAdapter:
    return ECGFounderAdapter(ECGFounderOptions(leads="native" if leads == 1 else "twelve", net=TINY))


def published(folder: Path, leads: int) -> tuple[Net1D, Path]:
    """A small network, and a file of it as ECGFounder's trainer writes them."""
    torch.manual_seed(leads)
    net = Net1D(leads, TINY, n_classes=150)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    net.logits(torch.randn(2, leads, 300)).sum().backward()
    optimizer.step()
    content: dict[str, Any] = {
        "epoch": 4,
        "step": 1000,
        "state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "val_auroc": np.float64(0.93),
    }
    path = folder / f"{leads}_lead_ECGFounder.pth"
    torch.save(content, path)
    return net.eval(), path
