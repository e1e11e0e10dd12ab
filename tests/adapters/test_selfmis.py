"""SelfMIS behind the contract: its views, where it starts from, and what it hands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mibench.adapters.base import LEADS, Encoder, InputSpec, Pretrainable
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.errors import MibenchError
from mibench.adapters.registry import create, find, resolve_options
from mibench.adapters.selfmis import NetOptions, PreprocessingOptions, SelfMISAdapter, SelfMISOptions
from mibench.adapters.signal import prepare
from mibench.methods.nets.net1d import Net1D, Net1DConfig
from mibench.methods.siglip import SigLIPConfig

SIZE: dict[str, Any] = {"base_filters": 16, "filter_list": (16, 32), "m_blocks_list": (1, 2)}
CPU = torch.device("cpu")


def test_what_it_says_of_itself() -> None:
    adapter = SelfMISAdapter()
    assert isinstance(adapter, Encoder)
    assert isinstance(adapter, Pretrainable)
    spec = adapter.spec
    assert (spec.name, spec.leads, spec.normalization, spec.filter) == ("selfmis", ("I",), "zscore-lead", "none")
    assert (spec.sampling_rate, spec.samples, spec.embedding_dim) == (500.0, 5000, 1024)
    assert spec.pretrainable
    assert adapter.init_parts == ("single_lead", "twelve_lead")


@pytest.mark.parametrize(
    ("preprocessing", "views", "alone"),
    [
        ({}, {"single_lead": "zscore-lead", "twelve_lead": "zscore-record"}, "zscore-lead"),
        ({"norm": "lead"}, {"single_lead": "zscore-lead", "twelve_lead": "zscore-lead"}, "zscore-lead"),
        ({"norm": "none"}, {"single_lead": "none", "twelve_lead": "none"}, "none"),
        ({"s_norm": "from_12lead"}, {"twelve_lead": "zscore-record"}, "zscore-lead"),
    ],
)
def test_views_and_their_scales(preprocessing: dict[str, Any], views: dict[str, str], alone: str) -> None:
    adapter = SelfMISAdapter(SelfMISOptions(preprocessing=PreprocessingOptions(**preprocessing, filter="bandpass")))
    assert {name: view.normalization for name, view in adapter.views.items()} == views
    assert adapter.views["twelve_lead"].leads == LEADS
    assert {view.filter for view in adapter.views.values()} == {"bandpass"} == {adapter.spec.filter}
    assert adapter.spec.normalization == alone


def test_the_student_sees_in_training_what_it_sees_in_the_probe() -> None:
    adapter = SelfMISAdapter()
    millivolt = torch.randn(4, 12, 5000) * torch.linspace(0.1, 2, 12)[:, None]
    training = prepare(millivolt, 500.0, LEADS, adapter.views["single_lead"])
    probing = prepare(millivolt[:, :1], 500.0, ("I",), adapter.spec)
    assert torch.equal(training, probing)


def test_starts_from_published_files(tmp_path: Path) -> None:
    adapter = _adapter()
    files = {part: _ecgfounder(tmp_path, leads) for part, leads in (("single_lead", 1), ("twelve_lead", 12))}
    objective = adapter.objective({part: path for part, (path, _) in files.items()})
    for part, (_, net) in files.items():
        state = getattr(objective, part).state_dict()
        assert state.keys() == {name for name in net.state_dict() if not name.startswith("dense.")}
        assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in state.items())
        assert adapter.init_reports[part].dropped == ("dense.weight", "dense.bias")
    assert not any(parameter.requires_grad for parameter in objective.twelve_lead.parameters())


def test_starts_at_random_where_nothing_is_given(tmp_path: Path) -> None:
    path, net = _ecgfounder(tmp_path, 12)
    torch.manual_seed(0)
    first = _adapter().objective({"twelve_lead": path})
    torch.manual_seed(1)
    second = _adapter().objective({"twelve_lead": path})
    assert torch.equal(first.twelve_lead.first_conv.conv.weight, net.first_conv.conv.weight)
    assert torch.equal(first.twelve_lead.first_conv.conv.weight, second.twelve_lead.first_conv.conv.weight)
    assert not torch.equal(first.single_lead.first_conv.conv.weight, second.single_lead.first_conv.conv.weight)


def test_an_unknown_part_and_a_file_in_the_wrong_place(tmp_path: Path) -> None:
    path, _ = _ecgfounder(tmp_path, 12)
    with pytest.raises(MibenchError, match="no part teacher; it has single_lead and twelve_lead"):
        _adapter().objective({"teacher": path})
    with pytest.raises(MibenchError, match="is made for twelve leads, and this network takes one lead"):
        _adapter().objective({"single_lead": path})


def test_what_is_trained_is_what_is_loaded(tmp_path: Path) -> None:
    adapter = _adapter(use_bn=True)
    objective = adapter.objective({}).train()
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-3)
    objective(_views())["loss"].backward()
    optimizer.step()
    state = adapter.trained_state(objective)
    assert state.keys() == Net1D(1, Net1DConfig(**SIZE)).state_dict().keys()
    save_weights(tmp_path / "w.safetensors", state, {})

    report = adapter.load(tmp_path / "w.safetensors", CPU)
    ecg = torch.randn(3, 1, 5000)
    with torch.inference_mode():
        assert torch.equal(adapter.embed(ecg), objective.eval().single_lead(ecg))
    assert (report.loaded, report.dropped) == (len(state), ())


def test_also_loads_a_file_of_ecgfounder(tmp_path: Path) -> None:
    path, net = _ecgfounder(tmp_path, 1)
    adapter = _adapter()
    assert adapter.load(path, CPU).dropped == ("dense.weight", "dense.bias")
    ecg = torch.randn(2, 1, 5000)
    with torch.inference_mode():
        assert torch.equal(adapter.embed(ecg), net.eval()(ecg))


def test_weights_trained_with_batch_normalisation_are_not_run_without(tmp_path: Path) -> None:
    trained = _adapter(use_bn=True)
    objective = trained.objective({}).train()
    objective(_views())
    save_weights(tmp_path / "w.safetensors", trained.trained_state(objective), {})
    with pytest.raises(MibenchError, match=r"w\.safetensors was trained with batch normalisation.*use_bn=true"):
        _adapter().load(tmp_path / "w.safetensors", CPU)


def test_random_weights_need_no_file() -> None:
    adapter = _adapter()
    adapter.load(None, CPU)
    assert adapter.embed(torch.randn(2, 1, 5000)).shape == (2, 32)


def test_options_reach_the_objective() -> None:
    options = SelfMISOptions(
        net=NetOptions(**SIZE, use_bn=True, use_do=True, m_mode="train"),
        loss=SigLIPConfig(t=0.1, learn_scale=True, bias="learn"),
        preprocessing=PreprocessingOptions(s_norm="from_12lead"),
    )
    objective = SelfMISAdapter(options).objective({})
    assert (objective.m_mode, objective.s_norm) == ("train", "from_12lead")
    assert objective.loss.config == options.loss
    assert objective.single_lead.config == Net1DConfig(**SIZE, use_bn=True, use_do=True)
    assert "loss" in objective({"twelve_lead": torch.randn(4, 12, 300)})


@pytest.mark.parametrize("preset", ["paper_default", "paper_resources", "lab_precedent", "literal_eq3"])
def test_presets(preset: str) -> None:
    default, chosen = (create(resolve_options(find("selfmis"), name)) for name in (None, preset))
    assert isinstance(default, SelfMISAdapter)
    assert isinstance(chosen, SelfMISAdapter)
    assert default.options == SelfMISOptions()
    assert (
        _differences(default.options, chosen.options)
        == {
            "paper_default": {},
            "paper_resources": {"use_bn": True},
            "lab_precedent": {"use_bn": True, "learn_scale": True},
            "literal_eq3": {"similarity": "dot", "scale_mode": "multiply"},
        }[preset]
    )


def test_the_objective_of_something_else_has_no_trained_state() -> None:
    with pytest.raises(TypeError, match="got Linear"):
        _adapter().trained_state(torch.nn.Linear(1, 1))


def test_views_are_what_the_network_takes() -> None:
    assert all(isinstance(view, InputSpec) and view.seconds == 10 for view in SelfMISAdapter().views.values())


def _adapter(*, use_bn: bool = False) -> SelfMISAdapter:
    return SelfMISAdapter(SelfMISOptions(net=NetOptions(**SIZE, use_bn=use_bn)))


def _views() -> dict[str, Tensor]:
    twelve = torch.randn(4, 12, 300)
    return {"single_lead": twelve[:, :1], "twelve_lead": twelve}


def _ecgfounder(folder: Path, leads: int) -> tuple[Path, Net1D]:
    net = Net1D(leads, Net1DConfig(**SIZE), n_classes=150)
    path = folder / f"{leads}_lead_ECGFounder.pth"
    torch.save({"state_dict": net.state_dict()}, path)
    return path, net


def _differences(one: SelfMISOptions, other: SelfMISOptions) -> dict[str, Any]:
    groups = ((one.net, other.net), (one.loss, other.loss), (one.preprocessing, other.preprocessing))
    return {
        name: value for before, after in groups for name, value in vars(after).items() if vars(before)[name] != value
    }
