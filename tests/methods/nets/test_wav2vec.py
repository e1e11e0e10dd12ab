"""The shared encoder against figures of the published program, its published names, and its published costs."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mibench.adapters.wav2vec import UNCOUNTED
from mibench.benchmark.costs import ptflops_macs, true_macs
from mibench.methods.nets.wav2vec import Wav2VecConfig, Wav2VecEncoder, pool_nonzero

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "wav2vec.json").read_text())
TINY = Wav2VecConfig(
    conv_channels=8, width=16, layers=2, heads=4, ffn=32, position_kernel=8, position_groups=4, feature_grad_mult=1.0
)
STILL = replace(
    TINY, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, input_dropout=0.0, feature_dropout=0.0
)
GAINS = {"feature_extractor.": 2.0, "post_extract_proj.": 1.4, "encoder.layers.": 0.7}
GAIN, TAPS = (f"conv_pos.pos_conv.0.parametrizations.weight.original{index}" for index in (0, 1))


@pytest.fixture(scope="module")
def published() -> Wav2VecEncoder:
    """The published size, every tensor filled by the golden file's formula."""
    with torch.device("meta"):
        net = Wav2VecEncoder(12)
    net.load_state_dict({name: _fill(name, tensor.shape) for name, tensor in net.state_dict().items()}, assign=True)
    return net.eval()


@pytest.mark.parametrize("leads", ["12_leads", "lead_I_only"])
@pytest.mark.parametrize("samples", [5000, 2500])
def test_equals_the_published_program(published: Wav2VecEncoder, samples: int, leads: str) -> None:
    seen: dict[str, Tensor] = {}
    parts: dict[str, nn.Module] = {
        "after_conv_extractor": published.feature_extractor,
        "after_post_extract_proj": published.post_extract_proj,
        "after_encoder_layer_norm": published.encoder.layer_norm,
        **{f"after_layer_{index}": published.encoder.layers[index] for index in (0, 5, 11)},
    }
    handles = [
        part.register_forward_hook(lambda _module, _input, output, name=name: seen.update({name: output}))
        for name, part in parts.items()
    ]
    with torch.inference_mode():
        seen["pooled"] = published(_signal(samples, leads))
    for handle in handles:
        handle.remove()

    golden = GOLDEN[f"ecg_transformer_{samples}_{leads}"]
    assert set(golden) == (set(seen) if samples == 2500 else {"pooled"})
    for name, figures in golden.items():
        assert list(seen[name].shape) == figures["shape"], name
        assert _departure(seen[name], figures) < 1e-4, name
    # Without time masking wav2vec2 and wav2vec2_cmsc are this encoder: by their names, and by their figures.
    assert _departure(seen["pooled"], GOLDEN[f"wav2vec2_cmsc_{samples}_{leads}"]["pooled"]) < 1e-4


def test_what_others_misread_departs_from_the_published_program(published: Wav2VecEncoder) -> None:
    """Each of these loads the same tensors without a complaint."""
    golden = GOLDEN["ecg_transformer_2500_12_leads"]
    layer = published.encoder.layers[0]

    def first_layer(tokens: Tensor) -> Tensor:
        tokens = published.encoder.layer_norm(tokens)
        return layer(tokens)

    def pre_norm(tokens: Tensor) -> Tensor:
        tokens = published.encoder.layer_norm(tokens)
        tokens = tokens + layer.self_attn(layer.self_attn_layer_norm(tokens))
        hidden = torch.nn.functional.gelu(layer.fc1(layer.final_layer_norm(tokens)))
        return tokens + layer.fc2(hidden)

    def one_group(ecg: Tensor) -> Tensor:
        conv, _, norm, gelu = published.feature_extractor.conv_layers[0]
        whole = nn.GroupNorm(1, 256)
        whole.load_state_dict(norm.state_dict())
        out = gelu(whole(conv(ecg)))
        for part in published.feature_extractor.conv_layers[1:]:
            out = part(out)
        return out.transpose(1, 2)

    def after_first(extract: Callable[[Tensor], Tensor], transform: Callable[[Tensor], Tensor]) -> float:
        tokens = published.project(published.normalize(extract(_signal(2500, "12_leads"))))
        return _departure(transform(tokens + published.conv_pos(tokens)), golden["after_layer_0"])

    with torch.inference_mode():
        assert after_first(published.extract, first_layer) < 1e-4
        assert after_first(one_group, first_layer) > 0.1
        assert after_first(published.extract, pre_norm) > 0.1
        assert after_first(published.extract, layer) > 0.01


def test_tensors_are_named_and_shaped_as_in_the_published_files() -> None:
    with torch.device("meta"):
        state = Wav2VecEncoder(12).state_dict()
    both = ("weight", "bias")
    names = {f"feature_extractor.conv_layers.{index}.0.weight" for index in range(4)}
    names |= {f"feature_extractor.conv_layers.0.2.{kind}" for kind in both}
    names |= {f"{part}.{kind}" for part in ("layer_norm", "post_extract_proj", "encoder.layer_norm") for kind in both}
    names |= {"conv_pos.pos_conv.0.bias", GAIN, TAPS}
    parts = [f"self_attn.{name}_proj" for name in "qkv"]
    parts += ["self_attn.out_proj", "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"]
    names |= {f"encoder.layers.{layer}.{part}.{kind}" for layer in range(12) for part in parts for kind in both}
    assert set(state) == names
    shapes = {
        "feature_extractor.conv_layers.0.0.weight": (256, 12, 2),
        "feature_extractor.conv_layers.3.0.weight": (256, 256, 2),
        "feature_extractor.conv_layers.0.2.weight": (256,),
        "post_extract_proj.weight": (768, 256),
        GAIN: (1, 1, 128),
        TAPS: (768, 48, 128),
        "encoder.layers.11.fc1.weight": (3072, 768),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_parameters_of_every_part() -> None:
    with torch.device("meta"):
        net, single = Wav2VecEncoder(12), Wav2VecEncoder(1)
    parts = {
        "feature_extractor": 399_872,
        "layer_norm": 512,
        "post_extract_proj": 197_376,
        "conv_pos": 4_719_488,
        "encoder.layer_norm": 1_536,
        "encoder.layers": 85_054_464,
    }
    assert {name: _count(net.get_submodule(name)) for name in parts} == parts
    assert _count(net) == sum(parts.values()) == 90_373_248
    assert _count(single) == 90_367_616
    assert f"{_count(net) / 1e6:.2f} M" == "90.37 M", "Table 4: SimCLR, 3KG, CLOCS"


@pytest.mark.parametrize(
    ("leads", "samples", "attention", "macs"),
    [
        (12, 5000, "sdpa", 30_134_132_736),
        (12, 5000, "plain", 30_134_132_736),
        (12, 2500, "sdpa", 14_620_798_976),
        (1, 5000, "sdpa", 30_120_052_736),
        (1, 2500, "sdpa", 14_613_758_976),
    ],
)
def test_true_macs(leads: int, samples: int, attention: Any, macs: int) -> None:
    with torch.device("meta"):
        net = Wav2VecEncoder(leads, Wav2VecConfig(attention=attention)).eval()
        assert true_macs(lambda: net(torch.empty(1, leads, samples))) == macs


@pytest.mark.parametrize(("samples", "macs"), [(5000, 18_064_832_000), (2500, 9_032_350_208)])
def test_macs_as_the_paper_counts_them(published: Wav2VecEncoder, samples: int, macs: int) -> None:
    counted = ptflops_macs(published, lambda: {"ecg": torch.zeros(1, 12, samples)}, without=UNCOUNTED)
    assert counted == (macs, 90_373_248)
    assert f"{macs / 1e9:.4f}" == {5000: "18.0648", 2500: "9.0324"}[samples]


@pytest.mark.parametrize(
    ("samples", "macs"), [pytest.param(5000, 18_050_752_000, marks=pytest.mark.slow), (2500, 9_025_310_208)]
)
def test_macs_of_one_lead_as_the_paper_counts_them(published: Wav2VecEncoder, samples: int, macs: int) -> None:
    with torch.device("meta"):
        net = Wav2VecEncoder(1).eval()
    kept = {name: tensor[:, :1] if tensor.shape[1:] == (12, 2) else tensor for name, tensor in _tensors(published)}
    net.load_state_dict(kept, assign=True)
    counted = ptflops_macs(net, lambda: {"ecg": torch.zeros(1, 1, samples)}, without=UNCOUNTED)
    assert counted == (macs, 90_367_616)
    assert f"{macs / 1e9:.4f}" == {5000: "18.0508", 2500: "9.0253"}[samples]


def test_what_the_count_of_the_paper_leaves_out(published: Wav2VecEncoder) -> None:
    """A plain count has half as much again: the projections of attention; and two per value of the first norm."""
    tokens, width, layers, first = 156, 768, 12, 1250
    plain, _ = ptflops_macs(published, lambda: {"ecg": torch.zeros(1, 12, 2500)})
    projections = layers * 4 * tokens * width * (width + 1)
    assert plain - 9_032_350_208 == projections + 2 * 256 * first


def test_time_steps() -> None:
    config = Wav2VecConfig()
    assert config.stride == 16
    assert [config.tokens(samples) for samples in (5000, 2500, 17, 16, 15, 0)] == [312, 156, 1, 1, 0, 0]
    odd = replace(TINY, conv_kernel=5, conv_stride=3, conv_layers=2)
    assert odd.stride == 9
    for config in (TINY, odd):
        net = Wav2VecEncoder(1, config)
        for samples in (40, 41, 300, 305):
            assert net.extract(torch.zeros(1, 1, samples)).shape == (1, config.tokens(samples), 8)


@pytest.mark.parametrize("kernel", [1, 7, 8])
def test_positions_keep_the_number_of_tokens_and_lean_to_the_past_for_an_even_kernel(kernel: int) -> None:
    net = Wav2VecEncoder(1, replace(STILL, position_kernel=kernel))
    tokens = torch.zeros(1, 30, 16)
    tokens[0, 15] = 1.0
    moved = (net.conv_pos(tokens) - net.conv_pos(torch.zeros(1, 30, 16)))[0].abs().sum(-1)
    reached = moved.nonzero().flatten().tolist()
    # Token t sees t - kernel/2 ... t + kernel/2 - 1.
    assert (reached[0], reached[-1]) == (15 - (kernel - 1) // 2, 15 + kernel // 2)


def test_the_steps_are_the_forward_pass() -> None:
    torch.manual_seed(0)
    net, ecg = Wav2VecEncoder(3, TINY).eval(), torch.randn(2, 3, 200)
    features = net.extract(ecg)
    tokens = net.project(net.normalize(features))
    context = net.contextualize(tokens)
    assert (features.shape, tokens.shape, context.shape) == ((2, 12, 8), (2, 12, 16), (2, 12, 16))
    assert torch.equal(net(ecg), pool_nonzero(context))
    assert torch.equal(net.normalize(features), net.layer_norm(features))


def test_initial_weights() -> None:
    torch.manual_seed(0)
    net = Wav2VecEncoder(12, Wav2VecConfig(layers=1))
    state = net.state_dict()

    def deviation(name: str) -> float:
        return float(state[name].std())

    for index, fan_in in enumerate((12 * 2, 256 * 2, 256 * 2, 256 * 2)):
        wanted = math.sqrt(2 / fan_in)
        assert deviation(f"feature_extractor.conv_layers.{index}.0.weight") == pytest.approx(wanted, rel=0.05)
    assert deviation(TAPS) == pytest.approx(math.sqrt(4 / (128 * 768)), rel=0.01)
    assert torch.allclose(state[GAIN], state[TAPS].norm(dim=(0, 1), keepdim=True))
    layer = "encoder.layers.0."
    for name in [f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")] + ["fc1", "fc2"]:
        assert deviation(f"{layer}{name}.weight") == pytest.approx(0.02, rel=0.01)
        assert not state[f"{layer}{name}.bias"].any()
    assert not state["conv_pos.pos_conv.0.bias"].any()
    # torch's own: uniform up to 1 / sqrt(256).
    assert deviation("post_extract_proj.weight") == pytest.approx(1 / 16 / math.sqrt(3), rel=0.01)
    assert state["post_extract_proj.bias"].any()


def test_attention_one_by_one_equals_the_fused() -> None:
    torch.manual_seed(0)
    fused = Wav2VecEncoder(3, STILL)
    plain = Wav2VecEncoder(3, replace(STILL, attention="plain"))
    plain.load_state_dict(fused.state_dict())
    ecg = torch.randn(4, 3, 320)
    outputs = [net(ecg) for net in (fused, plain)]
    assert torch.allclose(*outputs, atol=1e-5, rtol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    for (name, one), other in zip(fused.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(_gradient(one), _gradient(other), atol=1e-4, rtol=1e-4), name


def test_computing_layers_again_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    config = replace(TINY, activation_dropout=0.1)
    kept = Wav2VecEncoder(3, config)
    again = Wav2VecEncoder(3, replace(config, checkpoint_activations=True))
    again.load_state_dict(kept.state_dict())
    calls = {"kept": 0, "again": 0}
    ecg = torch.randn(4, 3, 320)
    outputs = []
    for name, net in (("kept", kept), ("again", again)):
        for layer in net.encoder.layers:
            layer.register_forward_pre_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
        torch.manual_seed(1)
        outputs.append(net.train()(ecg))
        outputs[-1].square().sum().backward()
    assert torch.equal(*outputs)
    assert calls == {"kept": 2, "again": 4}
    for (name, one), other in zip(kept.named_parameters(), again.parameters(), strict=True):
        assert torch.allclose(_gradient(one), _gradient(other), atol=1e-6), name
    with torch.no_grad():
        again(ecg)
    assert calls["again"] == 6, "nothing is computed again where there is no backward pass"


@pytest.mark.parametrize("factor", [1.0, 0.1, 0.0])
def test_the_gradient_that_reaches_the_extractor_is_scaled(factor: float) -> None:
    torch.manual_seed(0)
    reference = Wav2VecEncoder(3, STILL)
    net = Wav2VecEncoder(3, replace(STILL, feature_grad_mult=factor))
    net.load_state_dict(reference.state_dict())
    ecg = torch.randn(4, 3, 320)
    assert torch.equal(net(ecg), reference(ecg))
    for each in (reference, net):
        (each(ecg).square().sum() + 10 * each.extract(ecg).square().mean()).backward()
    for (name, one), other in zip(reference.named_parameters(), net.parameters(), strict=True):
        scale = factor if name.startswith("feature_extractor.") else 1.0
        if scale:
            assert torch.allclose(_gradient(one) * scale, _gradient(other), rtol=1e-4, atol=1e-6), name
        assert other.requires_grad is (scale > 0)
        assert (other.grad is not None) is (scale > 0), name


def test_every_dropout_acts_where_it_belongs_and_in_training_only() -> None:
    torch.manual_seed(0)
    net, ecg = Wav2VecEncoder(3, STILL), torch.randn(2, 3, 320)
    quiet = net.eval()(ecg)
    assert torch.allclose(net.train()(ecg), quiet, atol=1e-6)
    for name in ("dropout", "attention_dropout", "activation_dropout", "input_dropout"):
        for attention in ("sdpa", "plain"):
            noisy = Wav2VecEncoder(3, replace(STILL, **{name: 0.5, "attention": attention}))
            noisy.load_state_dict(net.state_dict())
            assert not torch.allclose(noisy.train()(ecg), quiet, atol=1e-3), name
            assert torch.allclose(noisy.eval()(ecg), quiet, atol=1e-5), name
    # Dropout scales what it keeps: attention stays right on average.
    noisy = Wav2VecEncoder(3, replace(STILL, attention_dropout=0.5, attention="plain")).train()
    weights = noisy.encoder.layers[0].self_attn
    heads = [torch.randn(64, 4, 50, 4) for _ in range(3)]
    attended = weights._attend(*heads)
    weights.eval()
    assert abs(float((attended / weights._attend(*heads)).median()) - 1) < 0.05


def test_layers_are_skipped_at_the_rate_of_layerdrop_in_training_only() -> None:
    torch.manual_seed(0)
    net, ecg = Wav2VecEncoder(3, replace(STILL, layers=4, layerdrop=0.25)), torch.randn(1, 3, 64)
    calls: list[int] = []
    for index, layer in enumerate(net.encoder.layers):
        layer.register_forward_hook(lambda *_, index=index: calls.append(index))
    with torch.no_grad():
        for _ in range(100):
            net.train()(ecg)
    assert len(calls) == pytest.approx(300, abs=35)
    calls.clear()
    net.eval()(ecg)
    assert calls == [0, 1, 2, 3]


def test_every_parameter_that_asks_for_a_gradient_gets_one() -> None:
    torch.manual_seed(0)
    net = Wav2VecEncoder(3, TINY)
    net(torch.randn(4, 3, 320)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert _gradient(parameter).abs().sum() > 0 or name.endswith("k_proj.bias"), name


def test_pooling_is_the_mean_of_what_is_not_exactly_zero() -> None:
    tokens = torch.tensor([[[1.0, 0.0, 0.0], [2.0, 4.0, 0.0], [3.0, 0.0, 0.0]]])
    assert pool_nonzero(tokens).tolist() == [[2.0, 4.0, 0.0]]
    dense = torch.randn(3, 50, 8)
    assert torch.allclose(pool_nonzero(dense), dense.mean(1), atol=1e-6)
    padded = torch.cat([dense, torch.zeros(3, 20, 8)], dim=1)
    assert torch.allclose(pool_nonzero(padded), dense.mean(1), atol=1e-6)
    balanced = torch.tensor([[[1.0], [-1.0]]], requires_grad=True)
    pool_nonzero(balanced).sum().backward()
    assert _gradient(balanced).tolist() == [[[0.5], [0.5]]]
    silent = torch.zeros(1, 4, 2, requires_grad=True)
    assert pool_nonzero(silent).tolist() == [[0.0, 0.0]]
    pool_nonzero(silent).sum().backward()
    assert torch.isfinite(_gradient(silent)).all()


def test_an_offset_of_a_lead_changes_nothing_and_silence_is_finite() -> None:
    torch.manual_seed(0)
    net = Wav2VecEncoder(12, TINY).eval()
    ecg = torch.randn(2, 12, 400)
    with torch.inference_mode():
        assert torch.allclose(net(ecg + 3.0), net(ecg), atol=1e-4)
        assert torch.isfinite(net(torch.zeros(2, 12, 400))).all()


def test_half_precision_stays_close_to_full() -> None:
    torch.manual_seed(0)
    net, ecg = Wav2VecEncoder(3, TINY).eval(), torch.randn(2, 3, 400)
    with torch.inference_mode():
        full = net(ecg)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = net(ecg)
    assert torch.allclose(half.float(), full, atol=0.1)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((2, 3, 400), r"takes \(batch, 12, samples\); got \(2, 3, 400\)"),
        ((12, 400), r"takes \(batch, 12, samples\)"),
        ((2, 12, 15), "15 samples are too few"),
    ],
)
def test_refuses_what_is_no_signal_for_it(shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Wav2VecEncoder(12, TINY)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"heads": 7}, "heads 7 does not divide width 768"),
        ({"position_groups": 5}, "position_groups 5 does not divide width 768"),
        ({"layers": 0}, "layers must be at least 1; got 0"),
        ({"conv_stride": 0}, "conv_stride must be at least 1; got 0"),
        ({"dropout": 1.0}, r"dropout must be at least 0 and below 1; got 1\.0"),
        ({"layerdrop": -0.1}, r"layerdrop must be .* got -0\.1"),
        ({"feature_grad_mult": 2.0}, r"feature_grad_mult must lie between 0 and 1; got 2\.0"),
        ({"attention": "flash"}, "attention must be .* got 'flash'"),
    ],
)
def test_refuses_a_size_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Wav2VecConfig(**wrong)


def test_refuses_no_leads() -> None:
    with pytest.raises(ValueError, match="leads must be at least 1; got 0"):
        Wav2VecEncoder(0, TINY)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _tensors(net: nn.Module) -> list[tuple[str, Tensor]]:
    return list(net.state_dict().items())


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def _departure(output: Tensor, figures: dict[str, Any]) -> float:
    """Largest difference from the published figures, each by its own size or 1, whichever is larger."""
    flat = output.double().flatten(1)
    pairs = [
        (flat[0, :8], figures["first8_row0"]),
        (flat[-1, -4:], figures["last4_row1"]),
        (flat.norm(dim=1), figures["l2_rows"]),
        # Of thousands of values of either sign: held against the sum of their sizes.
        (flat.sum()[None] / flat.abs().sum(), [figures["sum"] / float(flat.abs().sum())]),
    ]
    return max(
        float(((found - torch.tensor(wanted)) / torch.tensor(wanted).abs().clamp_min(1)).abs().max())
        for found, wanted in pairs
    )


@functools.cache
def _wave(phase: float) -> np.ndarray[Any, Any]:
    index = np.arange(65521, dtype=np.int64)
    steps = (37 * (index * index % 65521) + 101 * index) % 65521
    return np.sin(2 * np.pi * steps / 65521 + phase)


def _fill(name: str, shape: torch.Size) -> Tensor:
    name = {GAIN: "conv_pos.pos_conv.0.weight_g", TAPS: "conv_pos.pos_conv.0.weight_v"}.get(name, name)
    wave = _wave(2 * np.pi * (sum(map(ord, name)) % 97) / 97)
    if name.endswith("weight_g"):
        wave = 1.2 + 0.3 * wave
    elif len(shape) >= 2:
        gain = next((gain for start, gain in GAINS.items() if name.startswith(start)), 1.0)
        wave = gain * wave / math.sqrt(math.prod(shape[1:]))
    else:
        wave = 1 + 0.1 * wave if name.endswith("weight") else 0.05 * wave
    count = shape.numel()
    return torch.from_numpy(wave.astype(np.float32)).repeat(-(-count // len(wave)))[:count].view(shape)


def _signal(samples: int, leads: str) -> Tensor:
    record = np.arange(2)[:, None, None]
    lead = np.arange(12)[None, :, None]
    seconds = np.arange(samples)[None, None, :] / 500
    wave = np.sin(2 * np.pi * 1.2 * seconds + 0.3 * lead + 0.7 * record)
    wave = wave + 0.25 * np.sin(2 * np.pi * 7.5 * seconds + 0.11 * lead)
    wave = wave + 0.05 * np.sin(2 * np.pi * 33 * seconds + 0.5 * record)
    if leads == "lead_I_only":
        wave[:, 1:] = 0.0
    return torch.from_numpy(wave.astype(np.float32))
