"""EKGAN (Joo et al., MICCAI 2023): two generators whose latents are to agree, and a discriminator along time.

The label generator gives lead I back; its name is the authors', what it is shown is the same image that the inference
generator gets. Neither network nor loss is defective as published, so that there is one variant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from .adversarial import Adversary, ImageTranslation, image_pairs, verdict_loss
from .nets.ecg_image import ImageConfig, make_generator
from .nets.image_discriminators import make_time_discriminator

L1_WEIGHT = 50.0
ADVERSARY: Adversary = "cross-entropy"


class EKGAN(ImageTranslation):
    """Absolute error fifty times, the adversary and the distance of the latents once each.

    The latents draw the inference generator towards the label generator, never the other way round. The discriminator
    judges every pixel; its loss is the sum over real and generated images, not halved.

    Args:
        config: size of the networks.
    """

    def __init__(self, config: ImageConfig | None = None) -> None:
        super().__init__()
        config = config or ImageConfig()
        self.generator = make_generator(config)
        self.label_generator = make_generator(config, skips=False)
        self.discriminator = make_time_discriminator(config)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Three, each with its own optimiser; the inference generator is what is kept."""
        return {
            "inference_generator": self.generator.parameters(),
            "label_generator": self.label_generator.parameters(),
            "discriminator": self.discriminator.parameters(),
        }

    def losses(self, strips: Tensor) -> dict[str, Tensor]:
        """(records, windows, 12, time) in mV -> the losses of all three, and the inference generator's three parts."""
        lead, twelve = image_pairs(strips)
        made, latent = self.generator.with_latent(lead)
        copied, label_latent = self.label_generator.with_latent(lead)
        of_real = self.discriminator(torch.cat([lead, twelve], dim=1))
        of_made = self.discriminator(torch.cat([lead, made], dim=1))
        adversarial = verdict_loss(of_made, real=True, adversary=ADVERSARY)
        l1 = functional.l1_loss(made, twelve)
        apart = functional.l1_loss(latent, label_latent.detach())
        total = L1_WEIGHT * l1 + adversarial + apart
        judged = verdict_loss(of_real, real=True, adversary=ADVERSARY)
        judged = judged + verdict_loss(of_made, real=False, adversary=ADVERSARY)
        return {
            "loss": total,
            "inference_generator_loss": total,
            "label_generator_loss": functional.l1_loss(copied, lead),
            "discriminator_loss": judged,
            "adversarial": adversarial,
            "l1": l1,
            "latent": apart,
        }
