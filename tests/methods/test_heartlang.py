"""HeartLang against figures of the published program: names, costs, masking, and who learns from whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from heartlang_figures import GOLDEN, assert_figures, fill, filled, golden_sentences, sentences
from torch import Tensor, nn
from torch.nn import functional as F

from mibench.benchmark.costs import ptflops_macs, true_macs
from mibench.methods.heartlang import HeartLang, MaskedLanguageConfig, MaskedLanguageModel
from mibench.methods.nets.ecgformer import ECGFormer, ECGFormerConfig
from mibench.methods.vqhbr import VQHBR, VQHBRConfig

NET = ECGFormerConfig(words=12, width=16, layers=2, heads=2, head_dim=4, mlp=24)
WORDS = VQHBRConfig(
    words=12,
    samples_per_word=8,
    width=16,
    encoder_layers=1,
    decoder_layers=1,
    heads=2,
    head_dim=4,
    mlp=24,
    codes=10,
    code_dim=6,
    kmeans_iterations=0,
)


@pytest.fixture(scope="module")
def golden() -> HeartLang:
    with torch.device("meta"):
        net = HeartLang(config=ECGFormerConfig(attention="plain"))
    return filled(net)


def test_equals_the_published_program(golden: HeartLang) -> None:
    batch = golden_sentences()
    masked = torch.zeros(2, 256, dtype=torch.bool)
    masked[:, ::2] = True
    with torch.inference_mode():
        token = golden(**batch)[:, 0]
        logits = golden.guesses(**batch, masked=masked)
    assert_figures(token, GOLDEN["pretrain"]["cls_768"])
    assert_figures(logits, GOLDEN["pretrain"]["masked_even_positions_logits"])
    assert logits[:10].argmax(dim=1).tolist() == GOLDEN["pretrain"]["argmax_first10"]

    head = nn.Linear(768, 44)
    head.load_state_dict({name: fill(f"mlp_head.{name}", t.shape) for name, t in head.state_dict().items()})
    with torch.inference_mode():
        assert_figures(head(token), GOLDEN["finetune_44"])


def test_the_published_costs(golden: HeartLang) -> None:
    parameters = 44_562_176
    macs = {words: _cost(golden, words) for words in (0, 128, 256)}
    assert macs == {
        0: (10_595_144_544, parameters),
        128: (11_401_499_488, parameters),
        256: (12_207_854_432, parameters),
    }
    assert (f"{parameters / 1e6:.2f} M", f"{macs[0][0] / 1e9:.1f} GMac") == ("44.56 M", "10.6 GMac"), "Table 4"


def test_the_true_cost_is_that_of_either_attention(golden: HeartLang) -> None:
    batch = {name: value[:1] for name, value in golden_sentences().items()}
    with torch.device("meta"):
        fused = ECGFormer(96)
        away = {name: torch.empty_like(value, device="meta") for name, value in batch.items()}
        assert true_macs(lambda: fused(**away)) == 10_569_658_368
    assert true_macs(lambda: golden(**batch)) == 10_569_658_368


def test_parameters() -> None:
    with torch.device("meta"):
        model, net = HeartLang(), ECGFormer(96)

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    assert count(model) == 44_562_176
    assert count(net) == 38_262_528 == count(model) - count(model.lm_head)
    classifier = count(net) + 44 * (768 + 1)
    assert classifier == 38_296_364
    assert classifier + 1024 * (768 + 1) == 39_083_820, "the published classifier keeps a head of 1024 that is not used"


def test_tensors_are_named_and_shaped_as_in_the_published_file() -> None:
    with torch.device("meta"):
        state = HeartLang().state_dict()
    names = {"mask_token", "cls_token", "pos_embed", "token_embed.tokenConv.weight", "spa_embed.embed.weight"}
    names |= {"tem_embed.embed.weight"} | {
        f"{part}.{kind}" for part in ("norm_layer", "lm_head") for kind in ("weight", "bias")
    }
    layer = [f"0.{name}" for name in ("norm.weight", "norm.bias", "to_qkv.weight", "to_out.0.weight", "to_out.0.bias")]
    layer += [f"1.net.{index}.{kind}" for index in (0, 1, 4) for kind in ("weight", "bias")]
    names |= {f"transformer.layers.{index}.{name}" for index in range(12) for name in layer}
    assert set(state) == names
    assert len(state) == 142
    shapes = {
        "mask_token": (1, 1, 768),
        "cls_token": (768,),
        "pos_embed": (1, 257, 768),
        "token_embed.tokenConv.weight": (768, 96, 3),
        "spa_embed.embed.weight": (16, 768),
        "tem_embed.embed.weight": (16, 768),
        "transformer.layers.11.0.to_qkv.weight": (1536, 768),
        "transformer.layers.11.0.to_out.0.weight": (768, 512),
        "transformer.layers.11.1.net.1.weight": (1024, 768),
        "lm_head.weight": (8192, 768),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes


def test_words_are_mixed_with_their_neighbours_on_a_ring() -> None:
    torch.manual_seed(0)
    net = ECGFormer(8, NET)
    words = torch.randn(1, 12, 8)
    weight = net.token_embed.tokenConv.weight
    mixed = net.token_embed(words)
    for place in range(12):
        near = [words[0, (place + step) % 12] for step in (-1, 0, 1)]
        expected = sum(weight[:, :, tap] @ word for tap, word in enumerate(near))
        assert torch.allclose(mixed[0, place], expected, atol=1e-6)


def test_a_masked_word_has_already_told_its_neighbours() -> None:
    torch.manual_seed(0)
    net = HeartLang(8, NET, codes=10).eval()
    batch = sentences(1, 12, 8)
    masked = torch.zeros(1, 12, dtype=torch.bool)
    masked[0, 5] = True
    before = net.guesses(**batch, masked=masked)
    batch["words"][0, 5] += 1.0
    assert not torch.allclose(net.guesses(**batch, masked=masked), before), "as published: the word leaks"
    masked[0, 4:7] = True
    before = net.guesses(**batch, masked=masked)
    batch["words"][0, 5] += 1.0
    assert torch.equal(net.guesses(**batch, masked=masked), before), "and reaches no further than the next word"


def test_lead_second_and_place_matter_and_padding_is_attended_to() -> None:
    torch.manual_seed(0)
    net = ECGFormer(8, NET).eval()
    batch = sentences(4, 12, 8)
    token = net(**batch)[1, 0]
    for name in ("leads", "seconds"):
        assert not torch.allclose(net(**{**batch, name: batch[name] % 12 + 1})[1, 0], token)
        assert not torch.allclose(net(**{**batch, name: None})[1, 0], token)
    with torch.no_grad():
        net.pos_embed[0, -1] += torch.randn(16)
    assert not batch["leads"][1, -1]
    assert not torch.allclose(net(**batch)[1, 0], token)


def test_both_attentions_agree_and_so_do_checkpointed_gradients() -> None:
    def gradients(**switches: Any) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = HeartLang(8, replace(NET, **switches), codes=10).train()
        torch.manual_seed(1)
        net.guesses(**sentences(4, 12, 8), masked=torch.ones(4, 12, dtype=torch.bool)).square().sum().backward()
        return {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}

    for one, other in (
        (gradients(dropout=0.0), gradients(dropout=0.0, attention="plain")),
        (gradients(), gradients(checkpoint_activations=True)),
    ):
        assert len(one) == len(dict(HeartLang(8, NET, codes=10).named_parameters()))
        for name, gradient in one.items():
            torch.testing.assert_close(gradient, other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "plain"])
def test_dropout_acts_in_training_only(attention: Any) -> None:
    torch.manual_seed(0)
    net = ECGFormer(8, replace(NET, attention=attention))
    batch = sentences(2, 12, 8)
    assert not torch.equal(net.train()(**batch), net(**batch))
    assert torch.equal(net.eval()(**batch), net(**batch))


def test_how_networks_start() -> None:
    uniform = HeartLang(8, replace(NET, init="uniform"), codes=10)
    for name, parameter in uniform.named_parameters():
        assert parameter.abs().max() <= 0.1, name
        assert parameter.detach().std() == pytest.approx(0.1 / 3**0.5, rel=0.6), name
    normal = HeartLang(96, ECGFormerConfig(words=64, width=64, layers=1), codes=100)
    assert torch.equal(normal.norm_layer.weight, torch.ones(64))
    assert not normal.lm_head.bias.any()
    for name in ("lm_head.weight", "pos_embed", "transformer.layers.0.0.to_qkv.weight", "token_embed.tokenConv.weight"):
        assert normal.state_dict()[name].std() == pytest.approx(0.02, rel=0.1), name


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("ratio", [0.5, 0.3, 1.0])
def test_how_many_words_are_masked(padding: bool, ratio: float) -> None:
    model = _model(MaskedLanguageConfig(mask_ratio=ratio, mask_padding=padding))
    leads = sentences(7, 12, 8)["leads"]
    real = (leads > 0).sum(dim=1).tolist()
    torch.manual_seed(0)
    masked = model.mask(leads)
    assert masked.sum(dim=1).tolist() == [int(ratio * (12 if padding else count)) for count in real]
    assert padding or not (masked & (leads == 0)).any()
    torch.manual_seed(0)
    assert torch.equal(model.mask(leads), masked)
    assert ratio == 1.0 or not torch.equal(model.mask(leads), masked)


def test_every_position_is_masked_as_often() -> None:
    torch.manual_seed(0)
    often = _model().mask(torch.zeros(4000, 12, dtype=torch.long)).float().mean(dim=0)
    assert (often - 0.5).abs().max() < 0.04


def test_the_loss_is_a_mean_over_masked_positions() -> None:
    model = _model().eval()
    batch = sentences(5, 12, 8)
    torch.manual_seed(0)
    values = model(batch)
    torch.manual_seed(0)
    masked = model.mask(batch["leads"])
    targets = model.vocabulary.codes(batch["words"])
    features = model.model(**batch, masked=masked)[:, 1:]
    losses, right, real = [], [], []
    for record, place in masked.nonzero().tolist():
        logits = model.model.lm_head(features[record, place])
        losses.append(-F.log_softmax(logits, dim=0)[targets[record, place]].item())
        right.append(float(logits.argmax() == targets[record, place]))
        real.append(bool(batch["leads"][record, place]))
    assert len(losses) == 5 * 6
    assert values["loss"].item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert values["accuracy"].item() == pytest.approx(sum(right) / len(right))
    heard = [hit for hit, word in zip(right, real, strict=True) if word]
    assert values["word_accuracy"].item() == pytest.approx(sum(heard) / len(heard))
    assert [name for name, value in values.items() if value.requires_grad] == ["loss"]


def test_targets_are_named_without_lead_and_second_unless_asked() -> None:
    batch = sentences(4, 12, 8)
    published, told = _model(), _model(MaskedLanguageConfig(targets_with_position=True))
    assert torch.equal(published.targets(batch), published.vocabulary.codes(batch["words"]))
    assert torch.equal(told.targets(batch), told.vocabulary.codes(**batch))
    assert not torch.equal(published.targets(batch), told.targets(batch))


def test_sentences_without_words_are_no_trouble() -> None:
    model = _model(MaskedLanguageConfig(mask_padding=False)).train()
    batch = {name: torch.zeros_like(value) for name, value in sentences(3, 12, 8).items()}
    values = model(batch)
    values["loss"].backward()
    assert all(value.item() == 0 for value in values.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_loss_is_taken_in_full_precision() -> None:
    model = _model().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(sentences(4, 12, 8))["loss"]
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_vocabulary_is_frozen_and_everything_else_learns() -> None:
    model = _model().train()
    assert not any(module.training for module in model.vocabulary.modules())
    assert model.model.training
    before = {name: tensor.clone() for name, tensor in model.vocabulary.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(sentences(4, 12, 8))["loss"].backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        if name.startswith("vocabulary."):
            assert parameter.grad is None, name
            assert not parameter.requires_grad, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.vocabulary.state_dict().items())


def test_twenty_steps_reduce_the_loss_of_a_fixed_batch() -> None:
    values = _train(lambda: None)
    assert sum(values[-5:]) < 0.8 * sum(values[:5])


def test_the_same_seed_trains_the_same() -> None:
    assert _train(lambda: None, 4) == _train(lambda: None, 4)
    assert _train(lambda: None, 4) != _train(lambda: torch.manual_seed(9), 4)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: ECGFormerConfig(words=0), "every size"),
        (lambda: ECGFormerConfig(dropout=1.0), "dropout must be in"),
        (lambda: ECGFormerConfig(attention="flash"), "attention must be sdpa or plain; got 'flash'"),
        (lambda: ECGFormerConfig(init="zeros"), "init must be truncated_normal or uniform"),
        (lambda: MaskedLanguageConfig(mask_ratio=0.0), "mask_ratio must be in"),
        (lambda: ECGFormer(0, NET), "in_features must be at least 1"),
        (lambda: HeartLang(8, NET, codes=0), "codes must be at least 1"),
        (lambda: ECGFormer(8, NET)(torch.zeros(1, 11, 8)), r"must be \(batch, 12, 8\); got \(1, 11, 8\)"),
        (lambda: MaskedLanguageModel(HeartLang(8, NET, codes=11), VQHBR(WORDS)), r"agree; got .*11\) and .*10\)"),
    ],
)
def test_refuses_what_does_not_fit(build: Callable[[], object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        build()


class _Guessing(nn.Module):
    def __init__(self, model: HeartLang) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, Tensor], masked: Tensor) -> Tensor:
        return self.model.guesses(**batch, masked=masked)


def _cost(model: HeartLang, words: int) -> tuple[int, int]:
    batch = {name: value[:1] for name, value in golden_sentences().items()}
    masked = torch.arange(256)[None] < words
    return ptflops_macs(_Guessing(model), lambda: {"batch": batch, "masked": masked})


def _model(config: MaskedLanguageConfig | None = None) -> MaskedLanguageModel:
    torch.manual_seed(0)
    return MaskedLanguageModel(HeartLang(8, NET, codes=10), VQHBR(WORDS), config)


def _train(shuffle: Callable[[], object], steps: int = 20) -> list[float]:
    model = _model().train()
    shuffle()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    batch = sentences(8, 12, 8)
    values = []
    for _ in range(steps):
        loss = model(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values
