"""CLOCS: which segments and leads are contrasted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mibench.methods.clocs import CLOCS, halves
from mibench.methods.contrastive import LeadLoss, SegmentLoss
from mibench.methods.nets.wav2vec import Wav2VecConfig

TINY = Wav2VecConfig(conv_channels=8, width=16, layers=1, heads=2, ffn=32, position_kernel=8, position_groups=4)


@pytest.mark.parametrize(("mode", "parameters"), [("cmsc", 90_373_248), ("cmlc", 90_367_616), ("cmsmlc", 90_367_616)])
def test_published_size_has_no_head(mode: Any, parameters: int) -> None:
    with torch.device("meta"):
        module = CLOCS(mode=mode)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
    assert all(name.startswith("encoder.") for name, _ in module.named_parameters())


@pytest.mark.parametrize("positives", ["record", "patient"])
def test_cmsc_contrasts_halves(positives: Any) -> None:
    torch.manual_seed(0)
    module = CLOCS(TINY, positives=positives).eval()
    record, patient = torch.randn(4, 12, 401), torch.tensor([2, 7, 2, 1])
    groups = torch.arange(4) if positives == "record" else patient
    loss = SegmentLoss()(module.encoder(record[..., :200]), module.encoder(record[..., 200:400]), groups)
    values = module({"record": record, "patient": patient})
    assert values["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert set(values) == {"loss", "positive_cosine", "negative_cosine"}


@pytest.mark.parametrize("mode", ["cmlc", "cmsmlc"])
def test_every_lead_is_a_sequence_of_its_own_record(mode: Any) -> None:
    torch.manual_seed(0)
    module = CLOCS(TINY, mode=mode).eval()
    record = torch.randn(3, 12, 400)
    parts = (record, record) if mode == "cmlc" else halves(record)
    first, second = (
        torch.stack([module.encoder(part[:, lead : lead + 1]) for lead in range(12)], dim=1) for part in parts
    )
    values = module({"record": record})
    assert values["loss"].item() == pytest.approx(LeadLoss()(first, second, torch.arange(3)).item(), rel=1e-4)


def test_leads_are_silenced_in_each_half_by_itself() -> None:
    torch.manual_seed(0)
    module = CLOCS(TINY, rlm=True)
    seen: list[Tensor] = []
    module.encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    record = torch.randn(8, 12, 400)
    module({"record": record})
    kept = seen[0].abs().sum(-1) > 0
    assert torch.equal(seen[0], torch.cat(halves(record)) * kept.unsqueeze(-1))
    first, second = kept.chunk(2)
    assert not torch.equal(first, second)
    assert 0.3 < kept.float().mean() < 0.7


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"mode": "cmtc"}, "mode must be cmsc, cmlc or cmsmlc; got 'cmtc'"),
        ({"mode": "cmlc", "rlm": True}, "in mode cmlc every lead is a sequence"),
        ({"positives": "lead"}, "positives must be record or patient; got 'lead'"),
    ],
)
def test_refuses_switches_that_cannot_be(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        CLOCS(TINY, **wrong)


@pytest.mark.parametrize("mode", ["cmsc", "cmlc", "cmsmlc"])
def test_refuses_other_than_twelve_leads(mode: Any) -> None:
    with pytest.raises(ValueError, match=r"trained on \(batch, 12, samples\); got \(2, 1, 400\)"):
        CLOCS(TINY, mode=mode)({"record": torch.randn(2, 1, 400)})
