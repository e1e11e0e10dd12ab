"""The image U-Net against figures of the published programs, its published names and its published costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from image_figures import GOLDEN, assert_golden, filled, golden_leads
from torch import Tensor, nn

from mibench.benchmark.costs import true_macs
from mibench.methods.nets.ecg_image import BatchNorm, ImageConfig, UNet, make_generator, to_image, to_leads
from mibench.methods.nets.image_discriminators import PatchDiscriminator, make_time_discriminator

FULL = ImageConfig()
UNETS: dict[str, Callable[[], UNet]] = {
    "ekgan_inference_generator": lambda: make_generator(FULL),
    "ekgan_label_generator": lambda: make_generator(FULL, skips=False),
    "ekgan_discriminator": lambda: make_time_discriminator(FULL),
    "cyclegan_generator": lambda: make_generator(FULL, norm="instance"),
}
PATCHES: dict[str, Callable[[], PatchDiscriminator]] = {
    "pix2pix_discriminator": lambda: PatchDiscriminator(2, FULL, "batch"),
    "cyclegan_discriminator": lambda: PatchDiscriminator(1, FULL, "instance"),
}
COSTS = {  # parameters, buffers, multiply-accumulates of a strip
    "ekgan_inference_generator": (12_524_672, 5_760, 439_353_344),
    "ekgan_label_generator": (11_147_904, 5_760, 337_641_472),
    "ekgan_discriminator": (2_435_904, 2_880, 251_658_240),
    "cyclegan_generator": (12_524_672, 0, 439_353_344),
    "pix2pix_discriminator": (1_383_169, 1_792, 347_361_280),
    "cyclegan_discriminator": (1_382_657, 0, 346_312_704),
}


def shown(case: str) -> Tensor:
    leads = golden_leads()
    images = {"lead_image": to_image(leads[:, :1]), "twelve_lead_image": to_image(leads)}
    return torch.cat([images[name] for name in case.split("+")], dim=1)


@pytest.mark.parametrize("name", UNETS)
def test_every_level_equals_the_published_program(name: str) -> None:
    net = filled(UNETS[name], name)
    seen: dict[str, Tensor] = {}
    for level, part in net.named_children():
        part.register_forward_hook(lambda _module, _input, output, level=level: seen.update({level: output}))
    for case, golden in GOLDEN["networks"][name].items():
        image, latent = net.with_latent(shown(case))
        assert torch.equal(latent, seen["enc5"])
        seen |= {"image": image, "logits": image}
        for level, figures in golden.items():
            assert_golden(seen[level], figures, f"{name}, {case}: {level}")


@pytest.mark.parametrize("name", PATCHES)
def test_every_level_of_a_patch_discriminator_equals_the_published_program(name: str) -> None:
    net = filled(PATCHES[name], name)
    ((case, golden),) = GOLDEN["networks"][name].items()
    *levels, logits = net.levels(shown(case))
    seen = {f"level{number}": level for number, level in enumerate(levels, start=1)}
    seen |= {"logits": logits, "output_after_sigmoid": logits.sigmoid()}
    assert set(seen) == set(golden)
    for level, figures in golden.items():
        assert_golden(seen[level], figures, f"{name}: {level}")
    assert torch.equal(net(shown(case)), logits)


@pytest.mark.parametrize("name", COSTS)
def test_names_shapes_and_costs_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        net: nn.Module = (UNETS | PATCHES)[name]()
        image = torch.empty(1, 2 if "+" in next(iter(GOLDEN["networks"][name])) else 1, 16, 512)
    weights = {key.removesuffix(".weight"): list(t.shape) for key, t in net.state_dict().items() if "weight" in key}
    assert weights == {layer["name"]: layer["shape"] for layer in GOLDEN["layers"][name]}
    parameters = sum(parameter.numel() for parameter in net.parameters())
    buffers = sum(buffer.numel() for buffer in net.buffers())
    assert (parameters, buffers, true_macs(lambda: net(image))) == COSTS[name]


def test_an_image_holds_the_leads_in_rows_2_to_13() -> None:
    leads = torch.randn(3, 12, 256)
    image = to_image(leads)
    assert image.shape == (3, 1, 16, 256)
    assert not image[:, :, [0, 1, 14, 15]].any()
    for row in range(12):
        assert torch.equal(image[:, 0, 2 + row], leads[:, row])
        assert torch.equal(to_image(leads[:, :1])[:, 0, 2 + row], leads[:, 0])
    assert torch.equal(to_leads(image), leads)


@pytest.mark.parametrize("samples", [256, 512, 1024])
@pytest.mark.parametrize("build", [make_generator, make_time_discriminator])
def test_an_image_keeps_its_size(build: Callable[[ImageConfig], UNet], samples: int) -> None:
    net = build(ImageConfig(samples=samples, width=2)).eval()
    channels = net.get_submodule("enc1.conv").in_channels
    image, latent = net.with_latent(torch.randn(2, channels, 16, samples))
    assert image.shape == (2, 1, 16, samples)
    assert torch.isfinite(image).all()
    assert latent.shape[0] == 2


@pytest.mark.parametrize(("sizes", "text"), [({"samples": 500}, "multiple of 256; got 500"), ({"width": 1}, "got 1")])
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ImageConfig(**sizes)


def test_batch_normalisation_has_keras_constants() -> None:
    norm, image = BatchNorm(3), torch.randn(4, 3, 2, 5) * 2 + 1
    assert set(norm.state_dict()) == {"weight", "bias", "running_mean", "running_var"}
    by_channel = image.transpose(0, 1).flatten(1)
    mean, variance = by_channel.mean(dim=1), by_channel.var(dim=1, correction=0)
    expected = (image - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
    torch.testing.assert_close(norm.train()(image), expected)
    torch.testing.assert_close(norm.running_mean, 0.01 * mean)
    torch.testing.assert_close(norm.running_var, 0.99 + 0.01 * by_channel.var(dim=1))
    before = norm.running_mean.clone()
    norm.eval()(image)
    assert torch.equal(norm.running_mean, before)


def test_convolutions_begin_small_and_normalisations_do_nothing() -> None:
    net = PatchDiscriminator(1, ImageConfig(width=16), "batch")
    for part in (net.conv2, net.conv3, net.conv4):
        assert part.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert net.conv5.bias is not None
    assert not net.conv5.bias.any()
    generator = make_generator(ImageConfig(width=8))
    for name, tensor in generator.state_dict().items():
        if name.endswith("conv.weight"):
            assert tensor.std().item() == pytest.approx(0.02, rel=0.25), name
        else:
            assert torch.equal(tensor, torch.full_like(tensor, float("weight" in name or "var" in name))), name


def test_rows_never_meet_in_the_time_discriminator() -> None:
    torch.manual_seed(0)
    net = make_time_discriminator(ImageConfig(samples=256, width=4)).eval()
    image = torch.randn(1, 2, 16, 256)
    changed = image.clone()
    changed[:, 0, 5] += 1
    rows = (net(image) != net(changed)).any(dim=-1).flatten().nonzero().flatten().tolist()
    assert rows == [5]
