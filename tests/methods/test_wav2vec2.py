"""Wav2Vec 2.0 and W2V-CMSC: what is hidden, what is predicted, what it costs, and losses written out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mibench.adapters.wav2vec import UNCOUNTED
from mibench.benchmark.costs import ptflops_macs, true_macs
from mibench.methods.contrastive import SegmentLoss
from mibench.methods.nets.wav2vec import Wav2VecConfig
from mibench.methods.quantizer import Quantized, QuantizerConfig
from mibench.methods.span_mask import SpanMaskConfig, span_positions
from mibench.methods.wav2vec2 import W2VCMSC, Prediction, Wav2Vec2, Wav2Vec2Config, candidate_logits

TINY = Wav2VecConfig(conv_channels=8, width=16, layers=1, heads=2, ffn=32, position_kernel=8, position_groups=4)
STILL = replace(TINY, dropout=0.0, attention_dropout=0.0, input_dropout=0.0, feature_dropout=0.0)
SMALL = Wav2Vec2Config(quantizer=QuantizerConfig(codes=6, width=8), final_dim=8, negatives=12)

ENCODER_MACS = 30_134_132_736
ENCODER_PTFLOPS = 18_064_832_000
TOKEN_MACS = 256 * 640 + 256 * 256 + 768 * 256
"""Of one hidden token: codebook, target and prediction."""


class Recipe(nn.Module):
    """The pass that the published figure was taken of: masked, up to predictions and targets."""

    def __init__(self, objective: Wav2Vec2) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, ecg: Tensor) -> Prediction:
        return self.objective.predict(ecg)


@pytest.fixture(scope="module")
def published() -> Wav2Vec2:
    torch.manual_seed(0)
    return Wav2Vec2().eval()


@pytest.mark.parametrize(("leads", "parameters"), [(12, 90_883_072), (1, 90_877_440)])
@pytest.mark.parametrize("objective", [Wav2Vec2, W2VCMSC])
def test_published_size(objective: Any, leads: int, parameters: int) -> None:
    rlm = {} if objective is Wav2Vec2 else {"rlm": False}
    with torch.device("meta"):
        module = objective(leads=leads, **rlm)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters


def test_published_names(published: Wav2Vec2) -> None:
    state = published.published_state()
    own = {name: tuple(tensor.shape) for name, tensor in state.items() if name not in published.encoder.state_dict()}
    assert own == {
        "mask_emb": (768,),
        "quantizer.vars": (1, 640, 128),
        "quantizer.weight_proj.weight": (640, 256),
        "quantizer.weight_proj.bias": (640,),
        "project_q.weight": (256, 256),
        "project_q.bias": (256,),
        "final_proj.weight": (256, 768),
        "final_proj.bias": (256,),
    }
    assert state.keys() >= published.encoder.state_dict().keys()
    assert sum(tensor.numel() for tensor in state.values()) == 90_883_072


def test_true_cost(published: Wav2Vec2) -> None:
    masked = 0

    def run() -> None:
        nonlocal masked
        masked = published.predict(torch.zeros(1, 12, 5000)).predicted.shape[1]

    torch.manual_seed(0)
    assert true_macs(run) == ENCODER_MACS + masked * TOKEN_MACS
    assert 118 <= masked <= 183


def test_cost_by_the_recipe_of_the_paper(published: Wav2Vec2) -> None:
    torch.manual_seed(0)
    inputs = {"ecg": torch.zeros(1, 12, 5000)}
    macs, parameters = ptflops_macs(Recipe(published), lambda: inputs, without=UNCOUNTED)
    assert parameters == 90_883_072
    torch.manual_seed(0)
    masked = span_positions(1, 312, SpanMaskConfig(), torch.device("cpu")).shape[1]
    # The counter adds the biases and, here and there, what is done element by element.
    token = (macs - ENCODER_PTFLOPS) / masked
    assert token == pytest.approx(0.427e6, rel=0.01)
    counts = [span_positions(1, 312, SpanMaskConfig(), torch.device("cpu")).shape[1] for _ in range(2000)]
    mean = ENCODER_PTFLOPS + token * sum(counts) / len(counts)
    assert mean == pytest.approx(18.1297e9, abs=1e6)
    assert ENCODER_PTFLOPS + token * 118 < mean - 3e6 < mean + 3e6 < ENCODER_PTFLOPS + token * 183


def test_untrained_losses_are_as_published(published: Wav2Vec2) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        values = published.losses(published.predict(torch.randn(2, 12, 2500)))
    bits = 1 / math.log(2)
    assert values["contrastive"].item() * bits == pytest.approx(6.72, abs=0.1)
    assert 0.1 * values["diversity"].item() * bits == pytest.approx(0.10, abs=0.04)
    # 2.6 to 2.8 were seen; one draw of the convolutions differs from the next by more than that.
    assert 2 < 10 * values["feature_penalty"].item() * bits < 4.5


def test_hidden_tokens_are_replaced_and_others_left() -> None:
    torch.manual_seed(0)
    objective = Wav2Vec2(STILL, SMALL)
    seen: list[Tensor] = []
    objective.encoder.conv_pos.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    ecg = torch.randn(3, 12, 1600)
    torch.manual_seed(1)
    objective.predict(ecg)
    torch.manual_seed(1)
    hidden = span_positions(3, 100, SMALL.mask, torch.device("cpu"))
    tokens = objective.encoder.project(objective.encoder.normalize(objective.encoder.extract(ecg)))
    for row in range(3):
        for token in range(100):
            wanted = objective.mask_emb if token in hidden[row] else tokens[row, token]
            assert torch.allclose(seen[0][row, token], wanted, atol=1e-6)


def test_targets_are_made_of_what_was_hidden() -> None:
    torch.manual_seed(0)
    objective = Wav2Vec2(TINY, SMALL).eval()
    ecg = torch.randn(2, 12, 1600)
    torch.manual_seed(1)
    made = objective.predict(ecg)
    torch.manual_seed(1)
    hidden = span_positions(2, 100, SMALL.mask, torch.device("cpu"))
    features = objective.encoder.normalize(objective.encoder.extract(ecg))
    wanted = [objective.project_q(objective.quantizer(features[row, hidden[row]]).vectors) for row in range(2)]
    assert torch.allclose(made.targets, torch.stack(wanted), atol=1e-6)
    assert made.predicted.shape == made.targets.shape == (2, hidden.shape[1], 8)


def test_targets_are_dropped_out_apart_from_what_the_transformer_reads() -> None:
    torch.manual_seed(0)
    objective = Wav2Vec2(replace(STILL, feature_dropout=0.9), SMALL)
    read: list[Tensor] = []
    quantized: list[Tensor] = []
    objective.encoder.conv_pos.register_forward_pre_hook(lambda _module, inputs: read.append(inputs[0]))
    objective.quantizer.register_forward_pre_hook(lambda _module, inputs: quantized.append(inputs[0]))
    ecg = torch.randn(2, 12, 1600)
    for mode in (True, False):
        torch.manual_seed(1)
        objective.train(mode).predict(ecg)
    assert torch.equal(read[0], read[1])
    assert (quantized[0] == 0).float().mean().item() == pytest.approx(0.9, abs=0.05)
    assert (quantized[1] == 0).float().mean().item() < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_negatives_written_out(seed: int) -> None:
    torch.manual_seed(seed)
    masked, negatives = 7, 20
    made = _prediction(torch.randn(2, masked, 5), torch.randn(2, masked, 5), torch.randint(3, (2, masked, 2)))
    torch.manual_seed(seed + 10)
    logits = candidate_logits(made, negatives)
    torch.manual_seed(seed + 10)
    picked = torch.randint(masked - 1, (2, masked, negatives))
    for row in range(2):
        for token in range(masked):
            others = [place for place in range(masked) if place != token]
            own = nn.functional.cosine_similarity(made.predicted[row, token], made.targets[row, token], dim=0)
            assert logits[row, token, 0].item() == pytest.approx(own.item(), abs=1e-6)
            for index in range(negatives):
                other = others[int(picked[row, token, index])]
                wanted = nn.functional.cosine_similarity(made.predicted[row, token], made.targets[row, other], dim=0)
                if torch.equal(made.quantized.codes[row, token], made.quantized.codes[row, other]):
                    wanted = torch.tensor(-math.inf)
                assert logits[row, token, 1 + index].item() == pytest.approx(wanted.item(), abs=1e-6)


def test_targets_that_are_all_alike_lose_nothing_and_give_no_nan() -> None:
    predicted = torch.randn(1, 4, 5, requires_grad=True)
    made = _prediction(predicted, torch.ones(1, 4, 5), torch.zeros(1, 4, 2, dtype=torch.int64))
    objective = Wav2Vec2(TINY, SMALL)
    values = objective.losses(made)
    assert values["contrastive"].item() == 0.0
    values["loss"].backward()
    assert predicted.grad is not None
    assert not predicted.grad.any()


def test_a_single_hidden_token_has_no_negatives() -> None:
    with pytest.raises(ValueError, match="single hidden token has no negatives"):
        candidate_logits(_prediction(torch.ones(2, 1, 5), torch.ones(2, 1, 5), torch.zeros(2, 1, 2)), 10)


def test_the_loss_is_the_sum_of_its_parts_per_hidden_token() -> None:
    torch.manual_seed(0)
    objective = Wav2Vec2(TINY, SMALL).eval()
    ecg = torch.randn(3, 12, 1600)
    torch.manual_seed(1)
    values = objective({"record": ecg})
    torch.manual_seed(1)
    made = objective.predict(ecg)
    logits = (candidate_logits(made, 12) / 0.1).flatten(0, 1)
    contrastive = nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64), reduction="sum")
    tokens = len(logits)
    diversity = (12 - made.quantized.perplexity) / 12
    penalty = made.features.pow(2).mean()
    whole = contrastive + tokens * (0.1 * diversity + 10 * penalty)
    assert values["loss"].item() == pytest.approx(whole.item() / tokens, rel=1e-5)
    assert [values[name].item() for name in ("contrastive", "diversity", "feature_penalty")] == pytest.approx(
        [contrastive.item() / tokens, diversity.item(), penalty.item()], rel=1e-5
    )
    assert values["masked"].item() == pytest.approx(made.predicted.shape[1] / 100)
    assert not any(value.requires_grad for name, value in values.items() if name != "loss")


def test_the_penalty_reaches_the_convolutions_at_a_tenth() -> None:
    gradients = []
    for scale in (1.0, 0.1):
        torch.manual_seed(0)
        objective = Wav2Vec2(replace(STILL, feature_grad_mult=scale), SMALL)
        objective.encoder.extract(torch.randn(2, 12, 400)).square().mean().backward()
        gradient = objective.encoder.feature_extractor.conv_layers[1][0].weight.grad
        gradients.append(gradient)
    assert torch.allclose(gradients[1], 0.1 * gradients[0])


@pytest.mark.parametrize("augmentation", ["rlm", "noises"])
def test_augmented_variants_and_single_leads(augmentation: Any) -> None:
    torch.manual_seed(0)
    seen: list[Tensor] = []
    objective = Wav2Vec2(TINY, SMALL, augmentation=augmentation)
    objective.encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    assert objective({"record": torch.randn(4, 12, 800)})["loss"].isfinite()
    assert not seen[0].abs().sum(-1).all()
    assert Wav2Vec2(TINY, SMALL, leads=1)({"record": torch.randn(2, 1, 800)})["loss"].isfinite()
    with pytest.raises(ValueError, match=f"augmentation {augmentation} silences leads at random"):
        Wav2Vec2(TINY, SMALL, leads=1, augmentation=augmentation)


def test_w2v_cmsc_pools_the_masked_pass_of_both_halves() -> None:
    torch.manual_seed(0)
    objective = W2VCMSC(TINY, SMALL, rlm=False, cmsc_weight=0.5)
    record = torch.randn(4, 12, 1600)
    seen: dict[str, Tensor] = {}
    encoder = objective.encoder
    encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.update(ecg=inputs[0]))
    encoder.encoder.register_forward_hook(lambda _module, _inputs, output: seen.update(context=output))
    values = objective({"record": record})
    assert torch.equal(seen["ecg"], torch.cat([record[..., :800], record[..., 800:]]))
    pooled = seen["context"].mean(1)
    cmsc = SegmentLoss()(pooled[:4], pooled[4:], torch.arange(4))
    assert values["cmsc"].item() == pytest.approx(cmsc.item(), rel=1e-5)
    rest = values["contrastive"] + 0.1 * values["diversity"] + 10 * values["feature_penalty"]
    assert values["loss"].item() == pytest.approx((rest + 0.5 * cmsc).item(), rel=1e-5)


def test_untrained_w2v_cmsc_cannot_tell_four_pairs_apart() -> None:
    torch.manual_seed(0)
    values = W2VCMSC(TINY, SMALL, rlm=False).eval()({"record": torch.randn(4, 12, 5000)})
    assert values["cmsc"].item() / math.log(2) == pytest.approx(2.0, abs=0.1)


def test_leads_are_silenced_in_each_half_by_itself() -> None:
    torch.manual_seed(0)
    objective = W2VCMSC(TINY, SMALL)
    seen: list[Tensor] = []
    objective.encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    objective({"record": torch.randn(8, 12, 800)})
    first, second = (seen[0].abs().sum(-1) > 0).chunk(2)
    assert not torch.equal(first, second)
    assert 0.3 < first.float().mean() < 0.7
    with pytest.raises(ValueError, match="one lead"):
        W2VCMSC(TINY, SMALL, leads=1)
    assert W2VCMSC(TINY, SMALL, leads=1, rlm=False)({"record": torch.randn(2, 1, 800)})["loss"].isfinite()


def test_halves_of_one_patient_attract_each_other_where_asked() -> None:
    batch = {"record": torch.randn(4, 12, 800), "patient": torch.tensor([5, 5, 6, 7])}
    losses = []
    for positives in ("record", "patient"):
        torch.manual_seed(0)
        objective = W2VCMSC(TINY, SMALL, positives=positives)  # type: ignore[arg-type]
        losses.append(objective(batch)["cmsc"].item())
    assert losses[0] != losses[1]
    with pytest.raises(ValueError, match="need `patient`"):
        objective({"record": batch["record"]})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"final_dim": 0}, "at least 1; got 0 and 100"),
        ({"negatives": 0}, "at least 1; got 256 and 0"),
        ({"temperature": 0.0}, "temperature must be a positive number; got 0.0"),
        ({"penalty_weight": -1.0}, "weights must not be negative; got 0.1 and -1.0"),
    ],
)
def test_refuses_settings_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Wav2Vec2Config(**wrong)


def test_refuses_switches_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="positives must be record or patient; got 'lead'"):
        W2VCMSC(TINY, SMALL, positives="lead")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cmsc_weight must not be negative; got -1"):
        W2VCMSC(TINY, SMALL, cmsc_weight=-1)


def _prediction(predicted: Tensor, targets: Tensor, codes: Tensor) -> Prediction:
    quantized = Quantized(vectors=targets, codes=codes, perplexity=torch.tensor(1.0))
    return Prediction(predicted, targets, quantized, features=torch.zeros(2, 20, 8), context=torch.zeros(2, 20, 16))
