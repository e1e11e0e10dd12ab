"""Net1D against figures of the published program, its published names, and its published costs."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ptflops import get_model_complexity_info
from torch import Tensor, nn

from mibench.methods.nets.net1d import Block, Net1D, Net1DConfig, SameConv1d
from mibench.methods.selfmis import SelfMIS

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "net1d.json").read_text())
TINY = Net1DConfig(base_filters=16, filter_list=(16, 32), m_blocks_list=(1, 2))


@pytest.fixture(scope="module", params=[1, 12])
def filled(request: pytest.FixtureRequest) -> tuple[int, dict[str, Tensor]]:
    """The published size with 150 classes, every tensor filled by the golden file's formula."""
    with torch.device("meta"):
        net = Net1D(request.param, n_classes=150)
    return request.param, {name: _fill(name, tensor.shape, tensor.dtype) for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("use_bn", [False, True])
def test_equals_the_published_program(filled: tuple[int, dict[str, Tensor]], use_bn: bool) -> None:
    leads, state = filled
    with torch.device("meta"):
        net = Net1D(leads, Net1DConfig(use_bn=use_bn), n_classes=150)
    net.load_state_dict(state, assign=True)
    net.eval()
    seen: dict[str, Tensor] = {}
    parts = {"first_conv": net.first_conv} | {f"stage_list.{index}": net.stage_list[index] for index in (0, 2, 4)}
    for name, part in parts.items():
        part.register_forward_hook(lambda _module, _input, output, name=name: seen.update({name: output.flatten(1)}))
    with torch.inference_mode():
        seen["features"] = net(_signal(leads))
        seen["logits"] = net.classify(seen["features"])

    golden = GOLDEN[f"{leads} lead, {'with' if use_bn else 'without'} batch normalisation"]
    assert set(golden) == set(seen)
    for name, figures in golden.items():
        output = seen[name].double()
        assert list(output.shape) == figures["shape"], name
        assert output[0, :8].numpy() == pytest.approx(figures["first8_row0"], rel=1e-4, abs=1e-5), name
        assert output[1, -4:].numpy() == pytest.approx(figures["last4_row1"], rel=1e-4, abs=1e-5), name
        assert output.norm(dim=1).numpy() == pytest.approx(figures["l2_rows"], rel=1e-5), name
        assert output.sum().item() == pytest.approx(figures["sum"], abs=1e-5 * output.abs().sum().item()), name


def test_tensors_are_named_and_shaped_as_in_the_published_files() -> None:
    with torch.device("meta"):
        state = Net1D(1, n_classes=150).state_dict()
    blocks = [
        f"stage_list.{stage}.block_list.{block}."
        for stage, count in enumerate((2, 2, 2, 3, 3, 4, 4))
        for block in range(count)
    ]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {f"first_conv.conv.{kind}" for kind in ("weight", "bias")} | {f"first_bn.{kind}" for kind in norm}
    for block in blocks:
        names |= {f"{block}bn{index}.{kind}" for index in (1, 2, 3) for kind in norm}
        names |= {f"{block}conv{index}.conv.{kind}" for index in (1, 2, 3) for kind in ("weight", "bias")}
        names |= {f"{block}se_fc{index}.{kind}" for index in (1, 2) for kind in ("weight", "bias")}
    names |= {"dense.weight", "dense.bias"}
    assert set(state) == names
    assert len(state) == 509
    shapes = {
        "first_conv.conv.weight": (64, 1, 16),
        "stage_list.6.block_list.3.conv2.conv.weight": (1024, 16, 16),
        "stage_list.6.block_list.3.se_fc1.weight": (512, 1024),
        "stage_list.1.block_list.0.bn1.weight": (64,),
        "dense.weight": (150, 1024),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_one_and_twelve_leads_differ_in_the_stem_alone() -> None:
    with torch.device("meta"):
        one, twelve = Net1D(1).state_dict(), Net1D(12).state_dict()
    assert one.keys() == twelve.keys()
    assert [name for name in one if one[name].shape != twelve[name].shape] == ["first_conv.conv.weight"]


@pytest.mark.parametrize(
    ("leads", "classes", "use_bn", "parameters", "macs"),
    [
        (1, 150, False, 30_807_750, 1_145_065_190),
        (1, 150, True, 30_807_750, 1_152_046_822),
        (12, 150, False, 30_819_014, 1_173_225_190),
        (12, 150, True, 30_819_014, 1_180_206_822),
        (1, None, False, 30_654_000, 1_144_911_440),
        (1, None, True, 30_654_000, 1_151_893_072),
        (12, None, False, 30_665_264, 1_173_071_440),
        (12, None, True, 30_665_264, 1_180_053_072),
    ],
)
def test_parameters_and_macs(leads: int, classes: int | None, use_bn: bool, parameters: int, macs: int) -> None:
    with torch.device("meta"):
        net = Net1D(leads, Net1DConfig(use_bn=use_bn), classes)
    assert _cost(_WithHead(net), leads) == (macs, parameters)
    if (leads, classes) == (1, 150):
        assert (f"{parameters / 1e6:.2f} M", f"{macs / 1e9:.2f} GMac") == ("30.81 M", "1.15 GMac"), (
            "Table 4, ECGFounder"
        )


@pytest.mark.parametrize(("use_bn", "macs"), [(True, 2_331_946_144), (False, 2_317_982_880)])
def test_the_selfmis_row_of_table_4_has_batch_normalisation_on(use_bn: bool, macs: int) -> None:
    with torch.device("meta"):
        objective = SelfMIS(Net1DConfig(use_bn=use_bn))
    assert sum(parameter.numel() for parameter in objective.parameters()) == 61_319_264
    assert _cost(_BothNets(objective), 12) == (macs, 61_319_264)
    printed = ("61.32 M", f"{macs / 1e9:.2f} GMac")
    assert (printed == ("61.32 M", "2.33 GMac")) is use_bn


def test_time_steps_of_every_stage() -> None:
    net = Net1D(1, Net1DConfig(base_filters=16, filter_list=(16,) * 7))
    out = net.first_conv(torch.zeros(1, 1, 5000))
    lengths = [out.shape[-1]]
    for stage in net.stage_list:
        out = stage(out)
        lengths.append(out.shape[-1])
    assert lengths == [2500, 1250, 625, 313, 157, 79, 40, 20]


def test_an_even_kernel_pads_seven_before_and_eight_after() -> None:
    conv = SameConv1d(1, 1, 16)
    nn.init.ones_(conv.conv.weight)
    nn.init.zeros_(conv.conv.bias)
    impulse = torch.zeros(1, 1, 64)
    impulse[..., 30] = 1.0
    reached = conv(impulse)[0, 0].nonzero().flatten().tolist()
    assert (reached[0], reached[-1]) == (30 - 8, 30 + 7)


def test_the_shortcut_pools_against_zero_and_pads_channels_on_both_sides() -> None:
    block = Block(16, 48, Net1DConfig(), stride=2, first=False)
    shortcut = block._shortcut(torch.full((1, 16, 5), -1.0))
    assert shortcut.shape == (1, 48, 3)
    assert shortcut[0, 16:32].tolist() == [[-1.0, -1.0, 0.0]] * 16
    assert not shortcut[0, :16].any()
    assert not shortcut[0, 32:].any()
    uneven = Block(16, 32, Net1DConfig(groups_width=1), stride=1, first=False)
    uneven.extra = 3
    assert uneven._shortcut(torch.ones(1, 1, 2))[0, :, 0].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_published_switches_are_off_by_default_and_then_training_changes_nothing() -> None:
    assert (Net1DConfig().use_bn, Net1DConfig().use_do) == (False, False)
    torch.manual_seed(0)
    net = Net1D(1, TINY)
    ecg = torch.randn(2, 1, 300)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert torch.equal(net.train()(ecg), net.eval()(ecg))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    net = Net1D(1, Net1DConfig(base_filters=16, filter_list=(16,), m_blocks_list=(2,), use_do=True))
    ecg = torch.randn(2, 1, 300)
    assert not torch.equal(net.train()(ecg), net(ecg))
    assert torch.equal(net.eval()(ecg), net(ecg))


def test_batch_normalisation_learns_only_where_it_is_run() -> None:
    def frozen(config: Net1DConfig) -> set[str]:
        return {name for name, parameter in Net1D(1, config).named_parameters() if not parameter.requires_grad}

    everywhere = {name for name, _ in Net1D(1, TINY).named_parameters() if "bn" in name}
    assert frozen(TINY) == everywhere
    with_bn = Net1DConfig(base_filters=16, filter_list=(16, 32), m_blocks_list=(1, 2), use_bn=True)
    assert frozen(with_bn) == {f"stage_list.0.block_list.0.bn1.{kind}" for kind in ("weight", "bias")}


@pytest.mark.parametrize("use_bn", [False, True])
def test_every_parameter_that_asks_for_a_gradient_gets_one(use_bn: bool) -> None:
    torch.manual_seed(0)
    net = Net1D(1, Net1DConfig(base_filters=16, filter_list=(16, 32), m_blocks_list=(1, 2), use_bn=use_bn), 3)
    net.logits(torch.randn(4, 1, 300)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is not None) is parameter.requires_grad, name


@pytest.mark.parametrize("shape", [(2, 12, 300), (1, 300), (2, 0, 300)])
def test_refuses_another_number_of_leads(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes \(batch, 1, samples\)"):
        Net1D(1, TINY)(torch.zeros(shape))


def test_a_net_without_head_gives_features_and_no_logits() -> None:
    net = Net1D(1, TINY)
    assert net(torch.zeros(2, 1, 300)).shape == (2, 32)
    with pytest.raises(ValueError, match="without a dense head"):
        net.logits(torch.zeros(2, 1, 300))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"filter_list": (16, 32), "m_blocks_list": (1,)}, "got 2 and 1 entries"),
        ({"filter_list": (16, 40), "m_blocks_list": (1, 1)}, "groups_width 16 does not divide"),
        ({"filter_list": (64, 32), "m_blocks_list": (1, 1)}, "may only grow"),
        ({"kernel_size": 0}, "at least 1"),
        ({"filter_list": (), "m_blocks_list": ()}, "same stages"),
    ],
)
def test_refuses_a_size_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Net1DConfig(**wrong)


class _WithHead(nn.Module):
    def __init__(self, net: Net1D) -> None:
        super().__init__()
        self.net = net

    def forward(self, ecg: Tensor) -> Tensor:
        return self.net(ecg) if self.net.dense is None else self.net.logits(ecg)


class _BothNets(nn.Module):
    def __init__(self, objective: SelfMIS) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, ecg: Tensor) -> tuple[Tensor, Tensor]:
        return self.objective.learn({"single_lead": ecg[:, :1]}), self.objective.teach(ecg)


def _cost(module: nn.Module, leads: int) -> tuple[int, int]:
    """(MACs, parameters) by ptflops' pytorch backend; it counts only parameters that ask for a gradient."""
    module.to_empty(device="cpu").requires_grad_(True)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    return get_model_complexity_info(
        module, (leads, 5000), as_strings=False, print_per_layer_stat=False, backend="pytorch"
    )


@functools.cache
def _fill(name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        return torch.zeros(shape, dtype=dtype)
    phase = 2 * math.pi * (sum(map(ord, name)) % 97) / 97
    wave = np.sin(0.37 * np.arange(shape.numel()) + phase)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        wave = 1 + 0.1 * wave
    elif len(shape) >= 2:
        wave = wave / math.sqrt(math.prod(shape[1:]))
    else:
        wave = 0.05 * wave
    return torch.from_numpy(wave.astype(np.float32)).view(shape)


def _signal(leads: int) -> Tensor:
    record = np.arange(2)[:, None, None]
    lead = np.arange(leads)[None, :, None]
    seconds = np.arange(5000)[None, None, :] / 500
    wave = np.sin(2 * np.pi * 1.2 * seconds + 0.3 * lead + 0.7 * record)
    wave = wave + 0.25 * np.sin(2 * np.pi * 7.5 * seconds + 0.11 * lead)
    wave = wave + 0.05 * np.sin(2 * np.pi * 33 * seconds + 0.5 * record)
    return torch.from_numpy(wave.astype(np.float32))
