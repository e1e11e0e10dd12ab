"""SimCLR: what its two views are, and that nothing stands between encoder and loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mibench.methods.augment import NoiseConfig
from mibench.methods.contrastive import NTXentLoss
from mibench.methods.nets.wav2vec import Wav2VecConfig
from mibench.methods.simclr import SimCLR

TINY = Wav2VecConfig(conv_channels=8, width=16, layers=1, heads=2, ffn=32, position_kernel=8, position_groups=4)


def test_published_size_has_no_head() -> None:
    with torch.device("meta"):
        module = SimCLR()
    assert sum(parameter.numel() for parameter in module.parameters()) == 90_373_248
    assert all(name.startswith("encoder.") for name, _ in module.named_parameters())


def test_the_loss_is_between_two_silenced_views_of_each_record() -> None:
    torch.manual_seed(0)
    module = SimCLR(TINY).eval()
    record = torch.randn(6, 12, 400)
    seen: list[Tensor] = []
    module.encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    values = module({"record": record})
    views = seen[0].unflatten(0, (2, 6))
    kept = views.abs().sum(-1) > 0
    assert not torch.equal(kept[0], kept[1])
    assert torch.equal(views, record * kept.unsqueeze(-1))
    loss = NTXentLoss()(module.encoder(views[0]), module.encoder(views[1]))
    assert values["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert set(values) == {"loss", "positive_cosine", "negative_cosine"}


def test_noises_move_what_is_not_silenced() -> None:
    torch.manual_seed(0)
    module = SimCLR(TINY, augmentation="noises", noise=NoiseConfig(max_amplitude=0.5, shift="scaled"))
    seen: list[Tensor] = []
    module.encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    record = torch.randn(6, 12, 400)
    assert module({"record": record})["loss"].isfinite()
    first = seen[0][:6]
    kept = first.abs().sum(-1) > 0
    assert not torch.isclose(first, record)[kept].all(-1).any()


@pytest.mark.parametrize("kind", ["none", "crop"])
def test_refuses_augmentations_that_leave_views_alike(kind: str) -> None:
    with pytest.raises(ValueError, match=f"augmentation must be rlm or noises; got '{kind}'"):
        SimCLR(TINY, augmentation=kind)  # type: ignore[arg-type]
