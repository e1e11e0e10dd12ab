"""What tells real ECG images from generated ones: by patches (Pix2Pix, CycleGAN), or along time alone (EKGAN)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .ecg_image import GROWTH, SLOPE, ImageConfig, Norm, UNet, initialize, make_norm
from .same_padding import same_pad

KERNEL = (2, 4)


class PatchDiscriminator(nn.Module):
    """A logit for each of 5 x 65 overlapping patches of an image of 16 x 512.

    The last layers stand at stride 1 and between paddings by one, as in the original for photographs. The programs
    that were published for ECG put a sigmoid behind it; here, whether there is one is a matter of the loss.

    Args:
        channels: images that it is shown together.
        config: size of the generator that it judges.
        norm: "batch" in Pix2Pix, "instance" in CycleGAN.
    """

    def __init__(self, channels: int, config: ImageConfig, norm: Norm) -> None:
        super().__init__()
        width = config.width
        self.conv1 = nn.Conv2d(channels, width, KERNEL, 2, bias=False)
        self.conv2 = nn.Conv2d(width, 2 * width, KERNEL, 2, bias=False)
        self.norm2 = make_norm(norm, 2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, KERNEL, 2, bias=False)
        self.norm3 = make_norm(norm, 4 * width)
        self.conv4 = nn.Conv2d(4 * width, 8 * width, KERNEL, bias=False)
        self.norm4 = make_norm(norm, 8 * width)
        self.conv5 = nn.Conv2d(8 * width, 1, KERNEL)
        initialize(self)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, channels, 16, time) -> (batch, 1, 5, time / 8 + 1) logits."""
        return self.levels(image)[-1]

    def levels(self, image: Tensor) -> list[Tensor]:
        """What each of the five convolutions gives, normalised and activated; the last one is the logits."""
        found = [_activated(self.conv1(same_pad(image, KERNEL, (2, 2))))]
        for conv, norm in ((self.conv2, self.norm2), (self.conv3, self.norm3)):
            found.append(_activated(norm(conv(same_pad(found[-1], KERNEL, (2, 2))))))
        framed = functional.pad(found[-1], (1, 1, 1, 1))
        found.append(_activated(self.norm4(self.conv4(same_pad(framed, KERNEL, (1, 1))))))
        found.append(self.conv5(functional.pad(found[-1], (1, 1, 1, 1))))
        return found


def make_time_discriminator(config: ImageConfig) -> UNet:
    """EKGAN's discriminator: a U-Net along time that gives a logit for every pixel of two images shown together.

    Its kernels are one row high, so that rows never meet, and it cannot see how leads belong together.
    """
    widths = [config.width // 2 * factor for factor in GROWTH]
    times = ((64, 4), (32, 4), (16, 4), (8, 2), (4, 2))
    return UNet(2, widths, [(1, kernel) for kernel, _ in times], [(1, stride) for _, stride in times])


def _activated(image: Tensor) -> Tensor:
    return functional.leaky_relu(image, SLOPE)
