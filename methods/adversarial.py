"""What Pix2Pix, CycleGAN and EKGAN share: images of lead I become images of twelve leads, and somebody judges them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .nets.ecg_image import ROWS, UNet, to_image, to_leads

VIEW = "twelve"

Adversary = Literal["cross-entropy", "least-squares", "double-sigmoid"]
Variant = Literal["faithful", "fixed"]


def verdict_loss(logits: Tensor, *, real: bool, adversary: Adversary) -> Tensor:
    """How far a discriminator's verdict is from "real" or from "generated".

    Args:
        logits: what the discriminator gave, of any shape.
        real: the verdict that is wanted.
        adversary: "cross-entropy" with the logits, or "least-squares" with 1 and 0 (arXiv 1611.04076).
            "double-sigmoid" is the cross-entropy of the published ECG programs, whose discriminator ends in a sigmoid
            that is then taken for a logit: at best it is 0.3133 for "real" and 0.6931 for "generated".

    Returns:
        A single number.
    """
    wanted = torch.full_like(logits, float(real))
    if adversary == "least-squares":
        return functional.mse_loss(logits, wanted)
    if adversary == "double-sigmoid":
        logits = logits.sigmoid()
    return functional.binary_cross_entropy_with_logits(logits, wanted)


class ImagePool(nn.Module):
    """A memory of generated images, half of the time shown to a discriminator in place of new ones.

    Once it is full, an image is with even chance swapped for one of the pool, drawn from torch's CPU generator, so that
    the same seed draws alike on every device (Shrivastava et al., arXiv 1612.07828, as CycleGAN uses it). What it
    holds are buffers, which a checkpoint keeps.

    Args:
        size: images that it holds.
        samples: length of a strip.
    """

    images: Tensor
    held: Tensor

    def __init__(self, size: int, samples: int) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, 1, ROWS, samples))
        self.register_buffer("held", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchange(self, made: Tensor) -> Tensor:
        """(batch, 1, 16, time), each of them or an earlier one in its place, without gradient."""
        shown = made.detach().to(self.images.dtype, copy=True)
        size, held = len(self.images), int(self.held)
        swapped = (torch.rand(len(shown)) < 0.5).tolist()
        places = torch.randint(size, (len(shown),)).tolist()
        for image, swap, place in zip(shown, swapped, places, strict=True):
            if held < size:
                self.images[held] = image
                held += 1
            elif swap:
                earlier = self.images[place].clone()
                self.images[place] = image
                image.copy_(earlier)
        self.held.fill_(held)
        return shown


class ImageTranslation(nn.Module, ABC):
    """An objective around the generator that makes twelve leads out of lead I, and players beside it.

    Attributes:
        generator: what is kept of it all.
    """

    criterion = "mean squared error of the eleven missing leads from lead I, mV^2"
    generator: UNet

    @abstractmethod
    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """The parameters of each network, by its name."""

    @abstractmethod
    def losses(self, strips: Tensor) -> dict[str, Tensor]:
        """The losses of all players, "loss" and parts for the log.

        Args:
            strips: (records, windows, 12, time) in mV.
        """

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All losses from one pass; in evaluation mode the criterion alone.

        A generated image is judged once: the gradient of the discriminator's loss is asked for its own parameters, that
        of the generator's loss for the generator's, so that the one pass serves both.

        Args:
            batch: "twelve" (records, windows, 12, time) in mV.
        """
        if self.training:
            return self.losses(batch[VIEW])
        strips = batch[VIEW].flatten(0, 1)
        made = synthesize(self.generator, strips[:, :1])
        return {"loss": functional.mse_loss(made[:, 1:].float(), strips[:, 1:].float())}


def synthesize(generator: UNet, lead: Tensor) -> Tensor:
    """Lead I, (batch, 1, time) in mV -> (batch, 12, time) in mV."""
    return to_leads(generator(to_image(lead)))


def image_pairs(strips: Tensor) -> tuple[Tensor, Tensor]:
    """Images of lead I alone, and of the twelve leads.

    Args:
        strips: (records, windows, 12, time) in mV.

    Returns:
        Twice (records * windows, 1, 16, time).
    """
    leads = strips.flatten(0, 1)
    return to_image(leads[:, :1]), to_image(leads)
