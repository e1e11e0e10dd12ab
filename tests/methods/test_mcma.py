"""MCMA against figures of the published program, and what its two variants make of size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from mibench.adapters.base import Players
from mibench.benchmark.costs import true_macs
from mibench.methods.mcma import MCMA, as_input, frozen_draw
from mibench.methods.nets.mcma_net import LEADS, InstanceNorm, MCMAConfig, MCMANet
from mibench.methods.nets.same_padding import same_crop

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "mcma.json").read_text())
TINY = MCMAConfig(samples=64, kernel=5, filters=(4, 6, 8, 8, 8, 8))


@pytest.mark.parametrize(
    ("kernel", "parameters", "macs"), [(13, 18_186_836, 1_071_988_736), (5, 7_003_604, 412_303_360)]
)
def test_published_sizes(kernel: int, parameters: int, macs: int) -> None:
    with torch.device("meta"):
        net, signal = MCMANet(MCMAConfig(kernel=kernel)), torch.zeros(1, 12, 1024)
        own = MCMANet(MCMAConfig(kernel=kernel), "own")
    assert sum(value.numel() for value in net.parameters()) == parameters
    assert len(net.state_dict()) == 170
    assert not list(net.buffers())
    assert true_macs(lambda: net(signal)) == macs
    # A 1x1 convolution of twelve channels in place of twelve gammas and betas.
    assert sum(value.numel() for value in own.parameters()) == parameters + 12 * 12 + 12 - 2 * 12
    assert true_macs(lambda: own(signal)) == macs + 12 * 12 * 1024


@pytest.mark.parametrize("name", ["mcma_kernel13", "mcma_kernel5"])
def test_equals_the_published_program(name: str) -> None:
    shapes = GOLDEN["shapes"][name]
    kernel = shapes["e1.a"][-1]
    net = MCMANet(MCMAConfig(kernel=kernel)).eval()
    assert {key.rpartition(".")[0] for key in net.state_dict()} == set(shapes)
    numbers = {layer: number for number, layer in enumerate(shapes, start=1)}
    state = {}
    for key, tensor in net.state_dict().items():
        layer, _, kind = key.rpartition(".")
        assert kind == "bias" or list(tensor.shape) == shapes[layer]
        state[key] = _fill(4 * numbers[layer] + (kind == "bias"), tensor.shape, kind)
    net.load_state_dict(state)
    for case, golden in GOLDEN["networks"][name].items():
        signal = _signal()
        signal[:, 0 if case == "all_twelve_leads" else 1 :] *= case == "all_twelve_leads"
        seen = _intermediates(net, signal, kernel)
        for part, figures in golden.items():
            output = seen[part].double().flatten(1)
            assert list(seen[part].shape) == figures["shape"], part
            assert output[0, :8].numpy() == pytest.approx(figures["first8_row0"], rel=1e-4, abs=5e-5), part
            assert output[1, -4:].numpy() == pytest.approx(figures["last4_row1"], rel=1e-4, abs=5e-5), part
            spread = [(7919 * index + 13) % output.shape[1] for index in range(16)]
            assert output[0, spread].numpy() == pytest.approx(figures["spread16_row0"], rel=1e-4, abs=5e-5), part
            assert output.norm(dim=1).numpy() == pytest.approx(figures["l2_rows"], rel=1e-5), part
            assert output.sum().item() == pytest.approx(figures["sum"], abs=1e-5 * output.abs().sum().item()), part


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.001, 1000.0), seed=st.integers(0, 1000))
def test_published_size_of_a_lead_is_a_constant_of_the_network(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = MCMANet(TINY).eval()
    with torch.inference_mode():
        net.head.get_parameter("in.weight").copy_(torch.randn(LEADS, generator=generator))
        net.head.get_parameter("in.bias").copy_(torch.randn(LEADS, generator=generator))
        lead = scale * torch.randn(2, 1, 64, generator=generator)
        made = net(as_input(lead, torch.zeros(2, dtype=torch.int64), "zeros"))
    gamma, beta = (net.head.get_parameter(f"in.{kind}").detach() for kind in ("weight", "bias"))
    assert made.std(dim=-1, correction=0).numpy() == pytest.approx(gamma.abs().expand(2, -1).numpy(), rel=1e-3)
    assert made.mean(dim=-1).numpy() == pytest.approx(beta.expand(2, -1).numpy(), abs=1e-3)


def test_published_network_draws_a_waveform_of_full_size_for_a_flat_lead() -> None:
    torch.manual_seed(0)
    made = MCMANet(TINY)(torch.zeros(1, 12, 64))
    assert made.std(dim=-1, correction=0).detach().numpy() == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("masking", ["zeros", "copy"])
def test_fixed_variant_gives_back_the_size_it_was_given(masking: Any) -> None:
    torch.manual_seed(0)
    model = MCMA(TINY, amplitude="own", masking=masking).eval()
    lead = torch.randn(3, 1, 64)
    lead[2] = 0.7
    with torch.inference_mode():
        made, smaller = model.synthesize(lead), model.synthesize(0.3 * lead)
    assert smaller.numpy() == pytest.approx(0.3 * made.numpy(), rel=1e-4, abs=1e-6)
    assert made[:2].abs().amax(dim=-1).min() > 0.01
    assert not made[2].any()
    sizes = made[:2].std(dim=-1)
    assert (sizes[0] / sizes[1] - 1).abs().max() > 0.05


def test_one_sample_is_normalised_as_keras_does_it() -> None:
    norm = InstanceNorm(3)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    assert norm(torch.randn(2, 3, 1)).squeeze(-1).tolist() == [[1.0, 2.0, 3.0]] * 2
    signal = torch.randn(2, 3, 50)
    expected = functional.instance_norm(signal, weight=norm.weight, bias=norm.bias, eps=1e-9)
    assert norm(signal).detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)
    assert MCMANet(TINY)(torch.randn(2, 12, 32)).isfinite().all()


def test_refuses_lengths_whose_levels_do_not_fit() -> None:
    with pytest.raises(ValueError, match="multiple of 32; got 1000"):
        MCMANet(TINY)(torch.zeros(1, 12, 1000))
    with pytest.raises(ValueError, match="samples must be a multiple of 32 with 6 levels; got 5000"):
        MCMAConfig(samples=5000)
    with pytest.raises(ValueError, match="kernel must be at least 2"):
        MCMAConfig(kernel=1)


def test_a_record_is_translated_alike_in_any_batch() -> None:
    torch.manual_seed(0)
    net = MCMANet(TINY).eval()
    signal = torch.randn(5, 12, 64)
    with torch.inference_mode():
        assert net(signal)[3:4].numpy() == pytest.approx(net(signal[3:4]).numpy(), abs=1e-4)


def test_maskings() -> None:
    lead = torch.randn(2, 1, 8)
    position = torch.tensor([1, 11])
    silenced = as_input(lead, position, "zeros")
    assert silenced.abs().sum(-1).nonzero().tolist() == [[0, 1], [1, 11]]
    assert torch.equal(silenced.sum(1, keepdim=True), lead)
    assert torch.equal(as_input(lead, position, "copy"), lead.expand(-1, 12, -1))


def test_a_frozen_draw_is_the_segments_own() -> None:
    torch.manual_seed(0)
    segments = torch.randn(6000, 12, 16)
    drawn = frozen_draw(segments)
    order = torch.randperm(6000)
    assert torch.equal(frozen_draw(segments[order]), drawn[order])
    assert torch.equal(frozen_draw(segments[17:18]), drawn[17:18])
    counts = torch.bincount(drawn, minlength=LEADS).double()
    # Chi-squared with 11 degrees of freedom; 31.3 is passed once in a thousand.
    assert len(counts) == LEADS
    assert ((counts - 500) ** 2 / 500).sum() < 31.3
    nudged = segments.clone()
    nudged[:, 5, 3] += 0.001
    assert 0.85 < (frozen_draw(nudged) != drawn).double().mean() < 0.97


@pytest.mark.parametrize("sampling", ["per_step", "frozen", "lead_I_only"])
def test_which_lead_is_given_in_training(sampling: Any) -> None:
    torch.manual_seed(0)
    model = MCMA(TINY, lead_sampling=sampling).train()
    record = torch.randn(4, 3, 12, 64)
    given: list[Tensor] = []
    model.net.register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0]))
    values = [model({"twelve": record}) for _ in range(2)]
    positions = [seen.abs().sum(-1).argmax(-1) for seen in given]
    segments = record.flatten(0, 1)
    for seen, position in zip(given, positions, strict=True):
        assert torch.equal(seen[torch.arange(12), position], segments[torch.arange(12), position])
        assert (seen.abs().sum(-1) > 0).sum(-1).tolist() == [1] * 12
    assert torch.equal(*positions) == (sampling != "per_step")
    assert (set(positions[0].tolist()) == {0}) == (sampling == "lead_I_only")
    expected = (model.net(given[0]) - segments).square().mean()
    assert values[0]["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("amplitude", ["constant", "own"])
def test_criterion_is_the_error_of_the_missing_leads_from_lead_one(amplitude: Any) -> None:
    torch.manual_seed(0)
    model = MCMA(TINY, amplitude=amplitude, lead_sampling="per_step").eval()
    record = torch.randn(2, 3, 12, 64)
    values = model({"twelve": record})
    made = model.synthesize(record[:, :, :1].flatten(0, 1)).view_as(record)
    assert set(values) == {"loss"}
    assert values["loss"].item() == pytest.approx((made - record)[:, :, 1:].square().mean().item(), rel=1e-5)
    other = record.clone()
    other[:, :, 1:] = 0.0
    assert torch.equal(model.synthesize(other[:, :, :1].flatten(0, 1)), made.flatten(0, 1))
    assert "mV^2" in model.criterion
    assert not isinstance(model, Players)


@pytest.mark.parametrize("amplitude", ["constant", "own"])
def test_learns(amplitude: Any) -> None:
    torch.manual_seed(0)
    model = MCMA(MCMAConfig(samples=64, kernel=5, filters=(8, 8)), amplitude=amplitude, lead_sampling="lead_I_only")
    lead = torch.randn(4, 2, 1, 64).cumsum(-1)
    lead = (lead - lead.mean(-1, keepdim=True)) / lead.std(-1, keepdim=True)
    record = {"twelve": lead * torch.linspace(-1.0, 1.0, 12).view(1, 1, 12, 1)}
    before = model.eval()(record)["loss"].item()
    optimizer = torch.optim.Adam(model.train().parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        model(record)["loss"].backward()
        optimizer.step()
    assert model.eval()(record)["loss"].item() < 0.2 * before


def _fill(number: int, shape: tuple[int, ...], kind: str) -> Tensor:
    """The formula of the golden file, tensor by tensor."""
    place = torch.arange(math.prod(shape), dtype=torch.int64)
    drawn = 2 * ((place + 1) * (place + 1 + 1009 * number) % 65521).double() / 65521 - 1
    if kind == "bias":
        drawn = 0.05 * drawn
    else:
        drawn = 1 + 0.1 * drawn if len(shape) == 1 else 2.5 * drawn / math.sqrt(math.prod(shape[1:]))
    return drawn.view(shape).float()


def _signal() -> Tensor:
    time = torch.arange(1024, dtype=torch.float64) / 500
    record, lead = torch.arange(2.0).double().view(2, 1, 1), torch.arange(12.0).double().view(1, 12, 1)
    slow = torch.sin(2 * math.pi * 1.2 * time + 0.3 * lead + 0.7 * record)
    quick = 0.25 * torch.sin(2 * math.pi * 7.5 * time + 0.11 * lead)
    return (slow + quick + 0.05 * torch.sin(2 * math.pi * 33 * time + 0.5 * record)).float()


def _intermediates(net: MCMANet, signal: Tensor, kernel: int) -> dict[str, Tensor]:
    """What the golden file tells of: blocks, sums of the decoder, and branches behind their activations."""
    seen: dict[str, Tensor] = {}
    hooks = [
        part.register_forward_hook(lambda _module, _inputs, output, name=name: seen.update({name: output}))
        for name, part in net.named_modules()
        if name
    ]
    with torch.inference_mode():
        seen["output"] = net(signal)
    for hook in hooks:
        hook.remove()
    for level in range(5, 0, -1):
        seen[f"d{level}"] = seen[f"up{level}"] + seen[f"skip{level}"]
    for block in ("e2", "up5"):
        first = seen[f"{block}.a"]
        if block == "up5":
            first = same_crop(first, seen["e6"].shape[2:], (kernel,), (2,))
        seen[f"{block}.a"] = functional.gelu(first)
        seen[f"{block}.b"] = functional.gelu(seen[f"{block}.ln"].transpose(1, 2), approximate="tanh")
        seen[f"{block}.c"] = functional.gelu(seen[f"{block}.c"])
    return seen
