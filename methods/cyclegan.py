"""CycleGAN (Zhu et al., ICCV 2017) for ECG images: from lead I to twelve leads, back again, and no pairs needed.

The ECG version is that of EKGAN's comparison: its images come in aligned pairs, it has no memory of earlier images, and
its discriminators' sigmoid meets a loss that expects logits. That is `variant="faithful"`. "fixed" is the method
as it was first published: images of different records, least squares, and a pool of fifty images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.nn import functional

from .adversarial import Adversary, ImagePool, ImageTranslation, Variant, image_pairs, verdict_loss
from .nets.ecg_image import ImageConfig, make_generator
from .nets.image_discriminators import PatchDiscriminator

CYCLE_WEIGHT = 10.0
IDENTITY_WEIGHT = 5.0
HALF = 0.5
"""Of the identity loss, which thus weighs 2.5, and of the discriminators' losses."""
POOL = 50


class CycleGAN(ImageTranslation):
    """Two generators, one back to lead I, and a discriminator for each kind of image; all with instance norm.

    Both generators are given the sum of both cycles' losses.

    Args:
        config: size of the networks.
        variant: "fixed" or "faithful", as above.
    """

    def __init__(self, config: ImageConfig | None = None, *, variant: Variant = "fixed") -> None:
        super().__init__()
        config = config or ImageConfig()
        self.generator = make_generator(config, norm="instance")
        self.generator_back = make_generator(config, norm="instance")
        self.discriminator_twelve = PatchDiscriminator(1, config, "instance")
        self.discriminator_lead = PatchDiscriminator(1, config, "instance")
        fixed = variant == "fixed"
        self.aligned = not fixed
        self.adversary: Adversary = "least-squares" if fixed else "double-sigmoid"
        self.pool_twelve = ImagePool(POOL, config.samples) if fixed else None
        self.pool_lead = ImagePool(POOL, config.samples) if fixed else None

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Four, each with its own optimiser; the generator of twelve leads is what is kept."""
        return {
            "generator_twelve": self.generator.parameters(),
            "generator_lead": self.generator_back.parameters(),
            "discriminator_twelve": self.discriminator_twelve.parameters(),
            "discriminator_lead": self.discriminator_lead.parameters(),
        }

    def losses(self, strips: Tensor) -> dict[str, Tensor]:
        """(records, windows, 12, time) in mV -> the losses of all four, and the generators' parts.

        Raises:
            ValueError: a single record, where images of different records are wanted.
        """
        lead, twelve = image_pairs(strips)
        if not self.aligned:
            if len(strips) < 2:
                raise ValueError("images of different records are wanted, and the batch has one record")
            twelve = image_pairs(strips.roll(1, dims=0))[1]
        made_twelve, made_lead = self.generator(lead), self.generator_back(twelve)
        cycle = functional.l1_loss(self.generator_back(made_twelve), lead)
        cycle = cycle + functional.l1_loss(self.generator(made_lead), twelve)
        identity_twelve = HALF * functional.l1_loss(self.generator(twelve), twelve)
        identity_lead = HALF * functional.l1_loss(self.generator_back(lead), lead)
        adversarial_twelve, judged_twelve = self._judge(
            self.discriminator_twelve, twelve, made_twelve, self.pool_twelve
        )
        adversarial_lead, judged_lead = self._judge(self.discriminator_lead, lead, made_lead, self.pool_lead)
        total = adversarial_twelve + CYCLE_WEIGHT * cycle + IDENTITY_WEIGHT * identity_twelve
        return {
            "loss": total,
            "generator_twelve_loss": total,
            "generator_lead_loss": adversarial_lead + CYCLE_WEIGHT * cycle + IDENTITY_WEIGHT * identity_lead,
            "discriminator_twelve_loss": judged_twelve,
            "discriminator_lead_loss": judged_lead,
            "adversarial_twelve": adversarial_twelve,
            "adversarial_lead": adversarial_lead,
            "cycle": cycle,
            "identity_twelve": identity_twelve,
            "identity_lead": identity_lead,
        }

    def _judge(
        self, discriminator: nn.Module, real: Tensor, made: Tensor, pool: ImagePool | None
    ) -> tuple[Tensor, Tensor]:
        """The generator's loss against a discriminator, and the discriminator's own."""
        of_made: Tensor = discriminator(made)
        adversarial = verdict_loss(of_made, real=True, adversary=self.adversary)
        # With a pool, the discriminator learns from images that may be older than what the generator learns from.
        of_shown = of_made if pool is None else discriminator(pool.exchange(made))
        judged = verdict_loss(discriminator(real), real=True, adversary=self.adversary)
        judged = judged + verdict_loss(of_shown, real=False, adversary=self.adversary)
        return adversarial, HALF * judged
