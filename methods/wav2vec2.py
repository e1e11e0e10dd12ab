"""Wav2Vec 2.0 (arXiv 2006.11477) and W2V-CMSC (arXiv 2203.06889) on ECG, as fairseq-signals pre-trains them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .augment import Augmentation, NoiseConfig, augment
from .clocs import halves
from .contrastive import Positives, SegmentLoss, checked_positives, groups_of, shared_groups, shared_pair
from .gather import Negatives
from .nets.wav2vec import Wav2VecConfig, Wav2VecEncoder, pool_nonzero
from .quantizer import GumbelQuantizer, Quantized, QuantizerConfig
from .span_mask import SpanMaskConfig, span_positions


@dataclass(frozen=True)
class Wav2Vec2Config:
    """What is predicted and how; the defaults are the published ones.

    Attributes:
        quantizer: the codebook of targets.
        mask: which tokens are hidden.
        final_dim: width in which predictions and targets are compared.
        negatives: wrong targets for every hidden token, drawn with replacement from the other hidden tokens of its
            sequence.
        temperature: what cosines are divided by.
        diversity_weight: of the share of the codebook that is not used.
        penalty_weight: of the mean square of the convolutional features.
    """

    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    mask: SpanMaskConfig = field(default_factory=SpanMaskConfig)
    final_dim: int = 256
    negatives: int = 100
    temperature: float = 0.1
    diversity_weight: float = 0.1
    penalty_weight: float = 10.0

    def __post_init__(self) -> None:
        if self.final_dim < 1 or self.negatives < 1:
            raise ValueError(f"final_dim and negatives must be at least 1; got {self.final_dim} and {self.negatives}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be a positive number; got {self.temperature}")
        if not (self.diversity_weight >= 0 and self.penalty_weight >= 0):
            raise ValueError(f"weights must not be negative; got {self.diversity_weight} and {self.penalty_weight}")


class Prediction(NamedTuple):
    """One masked pass.

    Attributes:
        predicted, targets: (batch, masked, final_dim) of the hidden tokens.
        quantized: what the targets were made of.
        features: (batch, tokens, conv_channels), convolutional features before normalisation.
        context: (batch, tokens, width), what the transformer makes of the masked sequence.
    """

    predicted: Tensor
    targets: Tensor
    quantized: Quantized
    features: Tensor
    context: Tensor


class Wav2Vec2(nn.Module):
    """Hidden tokens are to be told from others of the same record, by what stands around them.

    Per hidden token the loss is the InfoNCE of its target among the negatives, plus the weighted diversity and
    feature penalty.

    Args:
        net: size of the encoder.
        config: masking, codebook and weights.
        leads: of the signal.
        augmentation: of the signal before anything else: "none" as published, "rlm" or "noises" as its variants.
        noise: of "noises".

    Raises:
        ValueError: an augmentation for twelve leads meets another number of leads.
    """

    def __init__(
        self,
        net: Wav2VecConfig | None = None,
        config: Wav2Vec2Config | None = None,
        *,
        leads: int = 12,
        augmentation: Augmentation = "none",
        noise: NoiseConfig | None = None,
    ) -> None:
        super().__init__()
        if leads == 1 and augmentation != "none":
            raise ValueError(
                f"augmentation {augmentation} silences leads at random; with one lead nothing would be left"
            )
        self.config = config = config or Wav2Vec2Config()
        self.augmentation: Augmentation = augmentation
        self.noise = noise or NoiseConfig()
        self.encoder = Wav2VecEncoder(leads, net)
        net = self.encoder.config
        self.mask_emb = nn.Parameter(torch.rand(net.width))
        self.quantizer = GumbelQuantizer(net.conv_channels, config.quantizer)
        self.project_q = nn.Linear(config.quantizer.width, config.final_dim)
        self.final_proj = nn.Linear(net.width, config.final_dim)

    def predict(self, ecg: Tensor) -> Prediction:
        """(batch, leads, samples) -> what is predicted of tokens hidden at random, and what they were."""
        net = self.encoder.config
        features = self.encoder.extract(ecg)
        normalized = self.encoder.normalize(features)
        tokens = self.encoder.project(normalized)
        batch, length = tokens.shape[:2]
        hidden = span_positions(batch, length, self.config.mask, tokens.device)
        rows = torch.arange(batch, device=tokens.device).unsqueeze(1)
        # A copy is dropped out for the targets: it is never what the transformer reads.
        source = F.dropout(normalized, net.feature_dropout, self.training)[rows, hidden]
        covered = torch.zeros(batch, length, 1, dtype=torch.bool, device=tokens.device)
        covered[rows, hidden] = True
        context = self.encoder.contextualize(torch.where(covered, self.mask_emb.to(tokens.dtype), tokens))
        quantized: Quantized = self.quantizer(source)
        return Prediction(
            predicted=self.final_proj(context[rows, hidden]),
            targets=self.project_q(quantized.vectors),
            quantized=quantized,
            features=features,
            context=context,
        )

    def losses(self, made: Prediction) -> dict[str, Tensor]:
        """The loss of a masked pass, and its parts: "contrastive" (nats), "diversity", "feature_penalty", ..."""
        config = self.config
        entries = config.quantizer.groups * config.quantizer.codes
        logits = candidate_logits(made, config.negatives) / config.temperature
        contrastive = -logits.log_softmax(-1)[..., 0].mean()
        diversity = (entries - made.quantized.perplexity) / entries
        penalty = made.features.float().square().mean()
        return {
            "loss": contrastive + config.diversity_weight * diversity + config.penalty_weight * penalty,
            "contrastive": contrastive.detach(),
            "diversity": diversity.detach(),
            "feature_penalty": penalty.detach(),
            "accuracy": (logits.argmax(-1) == 0).float().mean(),
            "masked": logits.new_tensor(logits.shape[1] / made.features.shape[1]),
            "temperature": self.quantizer.temperature,
        }

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss per hidden token, and what is worth logging.

        Args:
            batch: "record" (batch, leads, samples).
        """
        return self.losses(self.predict(augment(batch["record"], self.augmentation, self.noise)))

    def published_state(self) -> dict[str, Tensor]:
        """All tensors, named as in published files: the encoder's without a prefix, and no count of updates."""
        heads = ("mask_emb", "quantizer.vars", "quantizer.weight_proj.", "project_q.", "final_proj.")
        own = {name: tensor for name, tensor in self.state_dict().items() if name.startswith(heads)}
        return {**self.encoder.state_dict(), **own}


class W2VCMSC(Wav2Vec2):
    """Wav2Vec 2.0 on both halves of every record, and CMSC between the halves as the same masked pass pools them.

    As published, the negatives of CMSC are the records of the same process. Those of a hidden token are always hidden
    tokens of its own sequence, on whatever process it is.

    Args:
        net: size of the encoder.
        config: masking, codebook and weights.
        leads: of the signal.
        rlm: silence each lead of each half with probability 1/2 first.
        positives: "record", or "patient" where records of one patient are positives too.
        cmsc_weight: of the CMSC loss, beside the loss per hidden token.

    Attributes:
        negatives: of CMSC: "local", or "global" for those of all processes while training, as `Contrastive` objectives
            are told.
    """

    def __init__(
        self,
        net: Wav2VecConfig | None = None,
        config: Wav2Vec2Config | None = None,
        *,
        leads: int = 12,
        rlm: bool = True,
        positives: Positives = "record",
        cmsc_weight: float = 1.0,
    ) -> None:
        super().__init__(net, config, leads=leads, augmentation="rlm" if rlm else "none")
        if not cmsc_weight >= 0:
            raise ValueError(f"cmsc_weight must not be negative; got {cmsc_weight}")
        self.positives = checked_positives(positives)
        self.cmsc_weight = cmsc_weight
        self.negatives: Negatives = "local"
        self.cmsc = SegmentLoss()

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss, and what is worth logging.

        Args:
            batch: "record" (batch, leads, samples), and "patient" (batch,) where positives are by patient.
        """
        record = batch["record"]
        groups = groups_of(self.positives, len(record), batch.get("patient"), record.device)
        segments = augment(torch.cat(halves(record)), self.augmentation, self.noise)
        made = self.predict(segments)
        values = self.losses(made)
        first, second = pool_nonzero(made.context).chunk(2)
        cmsc = self.contrast(first, second, groups)
        return values | {"loss": values["loss"] + self.cmsc_weight * cmsc, "cmsc": cmsc.detach()}

    def contrast(self, first: Tensor, second: Tensor, groups: Tensor) -> Tensor:
        """CMSC between pooled halves, (batch, width) each, of records in the groups, (batch,)."""
        negatives = self.negatives if self.training else "local"
        pair = shared_pair(negatives, first, second)
        loss: Tensor = self.cmsc(*pair, shared_groups(negatives, self.positives, groups))
        return loss


def candidate_logits(made: Prediction, negatives: int) -> Tensor:
    """(batch, masked, 1 + negatives) cosines: of the target first, then of targets of other hidden tokens.

    Negatives with the same codes as the target cannot be told from it and become -inf. Cosines are computed between all
    hidden tokens of a sequence and the negatives picked out of them, which needs far less memory than picking vectors.

    Raises:
        ValueError: a sequence hides a single token, and has no negatives.
    """
    masked = made.targets.shape[1]
    if masked < 2:
        raise ValueError("a single hidden token has no negatives: hide more, or give longer records")
    with torch.autocast(made.targets.device.type, enabled=False):
        cosines = F.normalize(made.predicted.float(), dim=-1, eps=1e-8) @ F.normalize(
            made.targets.float(), dim=-1, eps=1e-8
        ).transpose(1, 2)
        codes = made.quantized.codes
        alike = (codes.unsqueeze(2) == codes.unsqueeze(1)).all(-1)
        own = torch.arange(masked, device=codes.device).view(1, masked, 1)
        picked = torch.randint(masked - 1, (len(codes), masked, negatives), device=codes.device)
        picked = picked + (picked >= own)
        wrong = cosines.masked_fill(alike, -math.inf).gather(2, picked)
        return torch.cat([cosines.diagonal(dim1=1, dim2=2).unsqueeze(2), wrong], dim=2)
