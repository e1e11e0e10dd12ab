"""ST-MEM against figures of the original program, its published names and costs, and naive references."""

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

from mibench.benchmark.costs import ptflops_macs
from mibench.methods.stmem import STMEM, STMEMConfig, STMEMEncoder, masked_mean_square, visible_patches

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "stmem.json").read_text())
# Softmax and products spelled out: what the published costs were counted on.
PLAIN = STMEMConfig(attention="plain")
TINY = STMEMConfig(
    samples=40,
    patch=4,
    width=16,
    layers=2,
    heads=2,
    mlp=24,
    decoder_width=8,
    decoder_layers=2,
    decoder_heads=2,
    decoder_mlp=12,
)


@pytest.fixture(scope="module")
def twelve() -> STMEMEncoder:
    """The published encoder, every tensor filled by the golden file's formula."""
    return _filled(lambda: STMEMEncoder(12, PLAIN))


@pytest.fixture(scope="module")
def native(twelve: STMEMEncoder) -> STMEMEncoder:
    """The same tensors, of which the embedding of lead I alone is kept."""
    with torch.device("meta"):
        net = STMEMEncoder(1, PLAIN)
    state = twelve.state_dict()
    net.load_state_dict({name: state[name] for name in net.state_dict()}, assign=True)
    return net.eval()


@pytest.fixture(scope="module")
def whole() -> STMEM:
    """Encoder and decoder of the published size, filled likewise."""
    return _filled(lambda: STMEM(PLAIN))


def test_twelve_leads_equal_the_published_program_and_cost_the_same(twelve: STMEMEncoder) -> None:
    features, macs, learning = _run_and_count(twelve, _signal())
    _assert_golden(features, GOLDEN["encoder, twelve leads"])
    assert macs == 35_442_607_224
    assert sum(parameter.numel() for parameter in twelve.parameters()) == 85_150_614 == learning + 32 * 768


def test_silent_leads_equal_the_published_program(twelve: STMEMEncoder) -> None:
    ecg = torch.zeros(2, 12, 2250)
    ecg[:, 0] = _signal()[:, 0]
    with torch.inference_mode():
        _assert_golden(twelve(ecg), GOLDEN["encoder, twelve leads of which lead I alone is not zero"])


def test_lead_i_alone_equals_the_published_program_and_costs_the_same(native: STMEMEncoder) -> None:
    features, macs, learning = _run_and_count(native, _signal()[:, :1])
    _assert_golden(features, GOLDEN["encoder, lead I alone"])
    assert macs == 2_744_311_242
    assert sum(parameter.numel() for parameter in native.parameters()) == 85_142_166 == learning + 32 * 768


def test_what_the_published_program_makes_of_one_lead_in_twelve_must_be_asked_for(twelve: STMEMEncoder) -> None:
    """It spreads the lead over all twelve embeddings, and takes the inner separators for patches in the mean."""
    lead = _signal()[:, :1]
    with pytest.raises(ValueError, match=r"takes \(batch, 12, 2250\); got \(2, 1, 2250\)"):
        twelve(lead)
    with torch.inference_mode():
        tokens = twelve.encode(lead[:1].expand(-1, 12, -1)).flatten(1, 2)
        features = twelve.norm(tokens[:, 1:-1].mean(dim=1))[0]
    golden = GOLDEN["encoder of twelve leads fed one"]
    assert features[:8].numpy() == pytest.approx(golden["first8_row0"], abs=2e-5)
    assert features.norm().item() == pytest.approx(golden["l2_rows"][0], rel=1e-5)


def test_pre_training_equals_the_published_program(whole: STMEM) -> None:
    golden = GOLDEN["pre-training"]
    visible = visible_patches(_golden_noise(), PLAIN.visible)
    kept: dict[str, Tensor] = {}
    handle = whole.decoder_head.register_forward_hook(lambda _module, _input, output: kept.update(predicted=output))
    with torch.inference_mode():
        values = whole.losses(_signal(), visible)
    handle.remove()
    assert values["loss"].item() == pytest.approx(golden["loss"], abs=2e-6)
    assert values["masked_fraction"].item() * 2 * 12 * 30 == pytest.approx(golden["masked"])
    predicted = kept["predicted"].view(2, 12, 32, 75)[:, :, 1:-1].flatten(1)
    _assert_golden(predicted, golden["predicted"])


def test_tensors_are_named_and_shaped_as_in_the_published_files() -> None:
    with torch.device("meta"):
        encoder, full = STMEMEncoder(12).state_dict(), STMEM().state_dict()
    block = {f"attn.norm.{kind}" for kind in ("weight", "bias")} | {f"ff.norm.{kind}" for kind in ("weight", "bias")}
    layers = ("attn.fn.to_qkv", "attn.fn.to_out.0", "ff.fn.net.0", "ff.fn.net.3")
    block |= {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    names = {"pos_embedding", "sep_embedding", "norm.weight", "norm.bias"}
    names |= {f"lead_embeddings.{lead}" for lead in range(12)}
    patching = {f"to_patch_embedding.{index}.{kind}" for index in (1, 2, 3) for kind in ("weight", "bias")}
    names |= patching | {f"block{index}.{name}" for index in range(12) for name in block}
    assert set(encoder) == names
    assert len(encoder) == 166

    decoder = {"mask_embedding", "decoder_pos_embed"}
    decoder |= {f"decoder_blocks.{index}.{name}" for index in range(4) for name in block}
    parts = ("to_decoder_embedding", "decoder_norm", "decoder_head")
    decoder |= {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
    assert set(full) == {f"encoder.{name}" for name in names} | patching | decoder
    assert len(full) == 228

    shapes = {
        "pos_embedding": (1, 32, 768),
        "sep_embedding": (768,),
        "to_patch_embedding.1.weight": (75,),
        "to_patch_embedding.2.weight": (768, 75),
        "to_patch_embedding.3.bias": (768,),
        "lead_embeddings.11": (768,),
        "block11.attn.fn.to_qkv.weight": (2304, 768),
        "block0.ff.fn.net.0.weight": (3072, 768),
    }
    assert {name: tuple(encoder[name].shape) for name in shapes} == shapes
    shapes = {"mask_embedding": (1, 1, 256), "decoder_pos_embed": (1, 32, 256), "decoder_head.weight": (75, 256)}
    assert {name: tuple(full[name].shape) for name in shapes} == shapes


def test_one_lead_lacks_the_embeddings_of_the_other_eleven_and_nothing_else() -> None:
    with torch.device("meta"):
        one, twelve = STMEMEncoder(1).state_dict(), STMEMEncoder(12).state_dict()
    assert twelve.keys() - one.keys() == {f"lead_embeddings.{lead}" for lead in range(1, 12)}
    assert all(twelve[name].shape == tensor.shape for name, tensor in one.items())


def test_norms_divide_by_what_the_published_ones_divide_by() -> None:
    norms = {name: part.eps for name, part in STMEM(TINY).named_modules() if isinstance(part, nn.LayerNorm)}
    assert {name for name, eps in norms.items() if eps != 1e-5} == {"decoder_norm"}
    assert norms["decoder_norm"] == 1e-6


@pytest.mark.parametrize(("visible", "macs"), [(30, 36_788_106_096), (7, 10_720_793_712)])
def test_parameters_and_macs_of_pre_training(whole: STMEM, visible: int, macs: int) -> None:
    patches = torch.arange(visible).expand(1, 12, -1)
    cost = ptflops_macs(_Reconstruction(whole), lambda: {"ecg": torch.zeros(1, 12, 2250), "visible": patches})
    assert cost == (macs, 88_501_985)
    assert sum(parameter.numel() for parameter in whole.parameters()) == 88_534_753
    if visible == 30:
        printed = (f"{cost[1] / 1e6:.1f} M", f"{cost[0] / 1e9:.2f} GMac")
        assert printed == ("88.5 M", "36.79 GMac"), "Table 4, ST-MEM"


def test_features_are_the_normalised_mean_of_patches_without_separators() -> None:
    net, ecg = _tiny_encoder(3), torch.randn(2, 3, 40)
    tokens = net.encode(ecg)
    assert tokens.shape == (2, 3, 12, 16)
    for record in range(2):
        total = torch.zeros(16)
        for lead in range(3):
            for patch in range(10):
                total += tokens[record, lead, 1 + patch]
        torch.testing.assert_close(net(ecg)[record], net.norm(total / 30))


def test_masking_and_putting_back_equal_a_naive_loop() -> None:
    torch.manual_seed(0)
    model = STMEM(TINY).eval()
    _stir(model)
    ecg = torch.randn(2, 12, 40)
    visible = visible_patches(torch.rand(2, 12, 10), TINY.visible)
    torch.testing.assert_close(model.reconstruct(ecg, visible), _naive_reconstruction(model, ecg, visible))


def test_what_is_hidden_is_not_seen() -> None:
    torch.manual_seed(0)
    model = STMEM(TINY)
    ecg = torch.randn(1, 12, 40)
    visible = visible_patches(torch.rand(1, 12, 10), TINY.visible)
    before = model.reconstruct(ecg, visible)
    other = torch.randn(1, 12, 10, 4)
    shown = visible.unsqueeze(-1).expand(-1, -1, -1, 4)
    other = other.scatter(2, shown, ecg.view(1, 12, 10, 4).gather(2, shown))
    assert torch.equal(model.reconstruct(other.view(1, 12, 40), visible), before)
    # The encoder's attention crosses leads: what is visible of one lead tells in all others.
    changed = ecg.clone()
    changed[0, 5] *= -1
    difference = (model.reconstruct(changed, visible) - before).abs().amax(dim=(0, 2, 3))
    assert (difference > 0).all()


@pytest.mark.parametrize("normalized", [True, False])
def test_the_loss_equals_a_naive_loop(normalized: bool) -> None:
    torch.manual_seed(0)
    model = STMEM(replace(TINY, norm_pix_loss=normalized))
    ecg = 3 * torch.randn(2, 12, 40) + 1
    visible = visible_patches(torch.rand(2, 12, 10), TINY.visible)
    values, predicted = model.losses(ecg, visible), model.reconstruct(ecg, visible).detach()
    losses, errors = [], []
    for record in range(2):
        for lead in range(12):
            for patch in sorted(set(range(10)) - set(visible[record, lead].tolist())):
                real = [float(sample) for sample in ecg[record, lead, 4 * patch : 4 * patch + 4]]
                mean, scale = sum(real) / 4, 1.0
                if normalized:
                    scale = math.sqrt(sum((sample - mean) ** 2 for sample in real) / 3 + 1e-6)
                mean = mean if normalized else 0.0
                guess = [float(sample) for sample in predicted[record, lead, patch]]
                losses += [(g - (r - mean) / scale) ** 2 for g, r in zip(guess, real, strict=True)]
                errors += [(g * scale + mean - r) ** 2 for g, r in zip(guess, real, strict=True)]
    assert values["loss"].item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert values["input_mse"].item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    assert values["masked_fraction"].item() == pytest.approx(0.8)
    assert values["loss"].requires_grad
    assert not values["input_mse"].requires_grad


def test_only_masked_patches_count() -> None:
    error = torch.tensor([[[[3.0, 3.0], [100.0, 100.0], [1.0, 2.0]]]])
    assert masked_mean_square(error, torch.tensor([[[1.0, 0.0, 1.0]]])).item() == pytest.approx((9 + 2.5) / 2)


def test_the_mask_is_drawn_for_every_record_and_lead() -> None:
    torch.manual_seed(0)
    noise = torch.rand(8, 12, 30)
    visible = visible_patches(noise, STMEMConfig().visible)
    assert visible.shape == (8, 12, 7)
    drawn = [tuple(sorted(patches.tolist())) for patches in visible.flatten(0, 1)]
    assert all(len(set(patches)) == 7 for patches in drawn)
    assert len(set(drawn)) == 96
    for row, patches in zip(noise.flatten(0, 1), drawn, strict=True):
        hidden = sorted(set(range(30)) - set(patches))
        assert row[list(patches)].max() < row[hidden].min()
    # Every patch has the same chance.
    often = torch.bincount(visible_patches(torch.rand(2000, 12, 30), 7).flatten(), minlength=30) / 24_000
    assert often.numpy() == pytest.approx(7 / 30, abs=0.02)


@pytest.mark.parametrize("mode", [True, False])
def test_the_seed_decides_the_mask_and_nothing_else_is_random(mode: bool) -> None:
    torch.manual_seed(0)
    model, batch = STMEM(TINY).train(mode), {"twelve_lead": torch.randn(4, 12, 40), "patient": torch.arange(4)}

    def loss(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return model(batch)["loss"]

    assert torch.equal(loss(1), loss(1))
    assert not torch.equal(loss(1), loss(2))


def test_training_learns_and_reaches_every_parameter_but_the_positions() -> None:
    torch.manual_seed(0)
    model = STMEM(TINY).train()
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert fixed == {"encoder.pos_embedding", "decoder_pos_embed"}
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    seconds = torch.arange(40) / 8
    phase = torch.rand(8, 12, 1) * 6
    batch = {"twelve_lead": torch.sin(seconds + phase)}
    losses = []
    for _ in range(20):
        torch.manual_seed(7)
        loss = model(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            assert (parameter.grad is not None) is (name not in fixed), name
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) is (name in fixed), name


def test_computing_activations_again_changes_no_gradient() -> None:
    torch.manual_seed(0)
    model = STMEM(TINY)
    again = STMEM(replace(TINY, checkpoint_activations=True))
    again.load_state_dict(model.state_dict())
    ecg, visible = torch.randn(2, 12, 40), visible_patches(torch.rand(2, 12, 10), TINY.visible)
    for net in (model, again):
        net.losses(ecg, visible)["loss"].backward()
    for (name, one), (_, other) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert (one.grad is None) is (other.grad is None), name
        if one.grad is not None and other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_half_precision_is_close_and_the_loss_is_not_in_it() -> None:
    torch.manual_seed(0)
    model = STMEM(TINY)
    ecg, visible = torch.randn(4, 12, 40), visible_patches(torch.rand(4, 12, 10), TINY.visible)
    exact = model.losses(ecg, visible)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        close = model.losses(ecg, visible)["loss"]
    assert close.dtype == torch.float32
    assert not torch.equal(close, exact)
    assert close.item() == pytest.approx(exact.item(), rel=0.02)


def test_each_lead_has_its_own_embedding() -> None:
    net, ecg = _tiny_encoder(2), torch.randn(1, 1, 40).expand(1, 2, 40)
    tokens = net.encode(ecg)
    assert not torch.allclose(tokens[0, 0], tokens[0, 1], atol=1e-3)
    with torch.no_grad():
        net.lead_embeddings[1].copy_(net.lead_embeddings[0])
    tokens = net.encode(ecg)
    torch.testing.assert_close(tokens[0, 0], tokens[0, 1])


def test_positions_are_zero_at_separators_and_sines_then_cosines_between() -> None:
    rows = STMEMEncoder(1, TINY).pos_embedding[0]
    assert not rows[[0, -1]].any()
    for patch in range(10):
        for index in range(8):
            angle = patch / 10_000 ** (index / 8)
            assert rows[1 + patch, index].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert rows[1 + patch, 8 + index].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_all_patches_may_be_visible_in_a_reconstruction_and_not_in_a_loss() -> None:
    model, ecg = STMEM(TINY), torch.randn(1, 12, 40)
    everything = torch.arange(10).expand(1, 12, -1)
    assert model.reconstruct(ecg, everything).shape == (1, 12, 10, 4)
    with pytest.raises(ValueError, match="all 10 patches of a lead are visible"):
        model.losses(ecg, everything)
    with pytest.raises(ValueError, match=r"of 10 patches between 1 and all can stay visible; got 11"):
        visible_patches(torch.rand(1, 12, 10), 11)


@pytest.mark.parametrize("shape", [(2, 12, 40), (2, 1, 40), (2, 3, 44), (3, 40)])
def test_refuses_other_leads_and_lengths(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes \(batch, 3, 40\)"):
        STMEMEncoder(3, TINY)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"patch": 76}, "divide samples 2250; got 76"),
        ({"patch": 1}, "at least 2"),
        ({"mask_ratio": 0.0}, "hide some of the 30 patches of a lead, and not all; got 0.0"),
        ({"mask_ratio": 0.99}, "and not all; got 0.99"),
        ({"mask_ratio": 1.5}, "and not all; got 1.5"),
        ({"layers": 0}, "at least 1"),
        ({"heads": 7}, "width 768 and 7 heads"),
        ({"decoder_heads": 0}, "width 256 and 0 heads"),
        ({"mlp": 0}, "hidden width of a feed-forward layer must be at least 1; got 0"),
        ({"attention": "flash"}, "attention must be sdpa or plain; got 'flash'"),
    ],
)
def test_refuses_a_size_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told), torch.device("meta"):
        STMEM(STMEMConfig(**wrong))


def test_refuses_no_lead() -> None:
    with pytest.raises(ValueError, match="leads must be at least 1; got 0"):
        STMEMEncoder(0, TINY)


@pytest.mark.parametrize(("ratio", "visible"), [(0.75, 7), (0.9, 3), (0.5, 15), (0.1, 27)])
def test_a_mask_ratio_leaves_whole_patches(ratio: float, visible: int) -> None:
    assert STMEMConfig(mask_ratio=ratio).visible == visible


class _Reconstruction(nn.Module):
    def __init__(self, model: STMEM) -> None:
        super().__init__()
        self.model = model

    def forward(self, ecg: Tensor, visible: Tensor) -> Tensor:
        return self.model.reconstruct(ecg, visible)


def _run_and_count(net: STMEMEncoder, ecg: Tensor) -> tuple[Tensor, int, int]:
    """What comes out for a batch, MACs of one record, and parameters that learn."""
    outputs: list[Tensor] = []
    handle = net.register_forward_hook(lambda _module, _input, output: outputs.append(output))
    with torch.inference_mode():
        macs, learning = ptflops_macs(net, lambda: {"ecg": ecg})
    handle.remove()
    each, rest = divmod(macs, len(ecg))
    assert rest == 0
    return outputs[0], each, learning


def _tiny_encoder(leads: int) -> STMEMEncoder:
    torch.manual_seed(0)
    net = STMEMEncoder(leads, TINY)
    _stir(net)
    return net


def _stir(net: nn.Module) -> None:
    """Move every learnable tensor off the zeros and ones that it begins with, which would hide mistakes."""
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))


def _naive_reconstruction(model: STMEM, ecg: Tensor, visible: Tensor) -> Tensor:
    """One record, one lead and one patch after the other."""
    encoder, out = model.encoder, torch.zeros(*ecg.shape[:2], 10, 4)
    for record in range(len(ecg)):
        tokens = []
        for lead in range(12):
            row = [encoder.sep_embedding + encoder.pos_embedding[0, 0]]
            for patch in visible[record, lead].tolist():
                samples = ecg[record, lead, 4 * patch : 4 * patch + 4].view(1, 1, 4)
                row.append(encoder.to_patch_embedding(samples)[0, 0, 0] + encoder.pos_embedding[0, 1 + patch])
            row.append(encoder.sep_embedding + encoder.pos_embedding[0, 11])
            tokens += [token + encoder.lead_embeddings[lead] for token in row]
        hidden = torch.stack(tokens).unsqueeze(0)
        for index in range(2):
            hidden = encoder.get_submodule(f"block{index}")(hidden)
        seen = model.to_decoder_embedding(encoder.norm(hidden))[0].split(2 + TINY.visible)
        for lead in range(12):
            row = [model.mask_embedding[0, 0]] * 12
            row[0], row[-1] = seen[lead][0], seen[lead][-1]
            for place, patch in enumerate(visible[record, lead].tolist()):
                row[1 + patch] = seen[lead][1 + place]
            decoded = (torch.stack(row) + model.decoder_pos_embed[0]).unsqueeze(0)
            for block in model.decoder_blocks:
                decoded = block(decoded)
            out[record, lead] = model.decoder_head(model.decoder_norm(decoded))[0, 1:-1]
    return out


def _assert_golden(output: Tensor, golden: dict[str, Any]) -> None:
    output = output.double()
    assert list(output.shape) == golden["shape"]
    assert output[0, :8].numpy() == pytest.approx(golden["first8_row0"], abs=2e-5)
    assert output[1, -4:].numpy() == pytest.approx(golden["last4_row1"], abs=2e-5)
    assert output.norm(dim=1).numpy() == pytest.approx(golden["l2_rows"], rel=1e-5)
    assert output.sum().item() == pytest.approx(golden["sum"], abs=1e-5 * output.abs().sum().item())


def _filled(build: Callable[[], Any]) -> Any:
    with torch.device("meta"):
        net = build()
    state = {name: _fill(name, tensor.shape) for name, tensor in net.state_dict().items()}
    # The file names these tensors twice; the figures were taken with what the first name says.
    state |= {name.removeprefix("encoder."): state[name] for name in state if name.startswith("encoder.to_patch")}
    net.load_state_dict(state, assign=True)
    return net.eval()


def _fill(name: str, shape: torch.Size) -> Tensor:
    phase = 2 * math.pi * (sum(map(ord, name)) % 97) / 97
    sine, cosine = _waves()
    # sin(a + b) by the sum of products: 88 million sines take their time.
    wave = sine[: shape.numel()] * math.cos(phase) + cosine[: shape.numel()] * math.sin(phase)
    if len(shape) >= 2:
        wave /= math.sqrt(math.prod(shape[1:]))
    else:
        wave = 1 + 0.1 * wave if name.endswith("weight") else 0.05 * wave
    return wave.view(shape)


@functools.cache
def _waves() -> tuple[Tensor, Tensor]:
    angle = 0.37 * torch.arange(3072 * 768, dtype=torch.float64)
    return angle.sin().float(), angle.cos().float()


def _signal() -> Tensor:
    record = np.arange(2)[:, None, None]
    lead = np.arange(12)[None, :, None]
    seconds = np.arange(2250)[None, None, :] / 250
    wave = np.sin(2 * np.pi * 1.2 * seconds + 0.3 * lead + 0.7 * record)
    wave = wave + 0.25 * np.sin(2 * np.pi * 7.5 * seconds + 0.11 * lead)
    wave = wave + 0.05 * np.sin(2 * np.pi * 33 * seconds + 0.5 * record)
    return torch.from_numpy(wave.astype(np.float32))


def _golden_noise() -> Tensor:
    record, lead, patch = np.ogrid[:2, :12, :30]
    return torch.from_numpy(((7 * patch + 3 * lead + 5 * record) % 31) / 31 + 1e-4 * patch)
