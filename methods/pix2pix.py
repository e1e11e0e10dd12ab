"""Pix2Pix (Isola et al., CVPR 2017) for ECG images: a generator, and a discriminator that sees what it started from.

The ECG version is that of EKGAN's comparison: linear at the end and without dropout, so that lead I alone decides what
comes out. Its discriminator's sigmoid meets a loss that expects logits, and the adversary hardly counts; that is
`variant="faithful"`. The method itself has no such fault, and `variant="fixed"` is without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from .adversarial import Adversary, ImageTranslation, Variant, image_pairs, verdict_loss
from .nets.ecg_image import ImageConfig, make_generator
from .nets.image_discriminators import PatchDiscriminator


class Pix2Pix(ImageTranslation):
    """Cross-entropy against the discriminator, and the mean absolute error of the whole image, many times over.

    The discriminator's loss is the sum over real and generated images, not halved.

    Args:
        config: size of the networks.
        variant: "fixed" judges logits, "faithful" takes the discriminator's sigmoid for a logit.
        l1_weight: of the absolute error.
    """

    def __init__(
        self, config: ImageConfig | None = None, *, variant: Variant = "fixed", l1_weight: float = 100.0
    ) -> None:
        super().__init__()
        config = config or ImageConfig()
        self.generator = make_generator(config)
        self.discriminator = PatchDiscriminator(2, config, "batch")
        self.l1_weight = l1_weight
        self.adversary: Adversary = "double-sigmoid" if variant == "faithful" else "cross-entropy"

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Two, each with its own optimiser."""
        return {"generator": self.generator.parameters(), "discriminator": self.discriminator.parameters()}

    def losses(self, strips: Tensor) -> dict[str, Tensor]:
        """(records, windows, 12, time) in mV -> the losses of both, and the generator's two parts."""
        lead, twelve = image_pairs(strips)
        made = self.generator(lead)
        of_real = self.discriminator(torch.cat([lead, twelve], dim=1))
        of_made = self.discriminator(torch.cat([lead, made], dim=1))
        adversarial = verdict_loss(of_made, real=True, adversary=self.adversary)
        l1 = functional.l1_loss(made, twelve)
        total = adversarial + self.l1_weight * l1
        judged = verdict_loss(of_real, real=True, adversary=self.adversary)
        judged = judged + verdict_loss(of_made, real=False, adversary=self.adversary)
        return {
            "loss": total,
            "generator_loss": total,
            "discriminator_loss": judged,
            "adversarial": adversarial,
            "l1": l1,
        }
