"""3KG: both views are turned and masked, and positives are records or patients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mibench.methods.augment import VCGConfig
from mibench.methods.contrastive import GroupedNTXentLoss
from mibench.methods.nets.wav2vec import Wav2VecConfig
from mibench.methods.threekg import ThreeKG

TINY = Wav2VecConfig(conv_channels=8, width=16, layers=1, heads=2, ffn=32, position_kernel=8, position_groups=4)


def test_published_size_has_no_head() -> None:
    with torch.device("meta"):
        module = ThreeKG()
    assert sum(parameter.numel() for parameter in module.parameters()) == 90_373_248
    assert all(name.startswith("encoder.") for name, _ in module.named_parameters())


@pytest.mark.parametrize("positives", ["record", "patient"])
def test_the_loss_is_between_two_turned_views(positives: str) -> None:
    torch.manual_seed(0)
    module = ThreeKG(TINY, positives=positives).eval()  # type: ignore[arg-type]
    record, patient = torch.randn(6, 12, 400), torch.tensor([3, 1, 3, 8, 9, 1])
    seen: list[Tensor] = []
    module.encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    values = module({"record": record, "patient": patient})
    assert ((seen[0] == 0).sum(-1) == 200).all()
    shown = seen[0] != 0
    # No view is the record itself, not even where it is not masked.
    assert (seen[0] - record.repeat(2, 1, 1))[shown].abs().median() > 0.1
    groups = (torch.arange(6) if positives == "record" else patient).repeat(2)
    loss = GroupedNTXentLoss()(module.encoder(seen[0]), groups)
    assert values["loss"].item() == pytest.approx(loss.item(), rel=1e-5)


def test_settings_reach_the_view() -> None:
    torch.manual_seed(0)
    module = ThreeKG(TINY, VCGConfig(masked=0.25))
    seen: list[Tensor] = []
    module.encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    module({"record": torch.randn(2, 12, 400)})
    assert ((seen[0] == 0).sum(-1) == 100).all()


def test_refuses_other_leads_other_positives_and_missing_patients() -> None:
    with pytest.raises(ValueError, match="positives must be record or patient; got 'lead'"):
        ThreeKG(TINY, positives="lead")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(batch, 12, samples\); got \(2, 1, 400\)"):
        ThreeKG(TINY)({"record": torch.randn(2, 1, 400)})
    with pytest.raises(ValueError, match="need `patient`"):
        ThreeKG(TINY, positives="patient")({"record": torch.randn(2, 12, 400)})
