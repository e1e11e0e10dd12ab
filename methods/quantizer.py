"""The codebook of Wav2Vec 2.0 (arXiv 2006.11477): a feature becomes one learned vector out of each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class QuantizerConfig:
    """Size of the codebook and course of its temperature; the defaults are the published ones.

    Attributes:
        groups, codes: one of `codes` entries is chosen in each of `groups`.
        width: of the quantised vector, all groups together.
        temperature, final_temperature, decay: of the Gumbel softmax: multiplied by `decay` at every step of training
            until it reaches the final one.
    """

    groups: int = 2
    codes: int = 320
    width: int = 256
    temperature: float = 2.0
    final_temperature: float = 0.5
    decay: float = 0.999995

    def __post_init__(self) -> None:
        if min(self.groups, self.codes, self.width) < 1:
            raise ValueError(f"groups, codes and width must be at least 1; got {self}")
        if self.width % self.groups:
            raise ValueError(f"groups {self.groups} does not divide width {self.width}")
        if not (self.temperature >= self.final_temperature > 0 and 0 < self.decay <= 1):
            raise ValueError(f"the temperature must fall towards a positive one; got {self}")


class Quantized(NamedTuple):
    """What became of features.

    Attributes:
        vectors: (..., width).
        codes: (..., groups) int64, the entry chosen in each group.
        perplexity: scalar, the perplexity of the batch-averaged softmax, summed over groups: at most groups * codes.
    """

    vectors: Tensor
    codes: Tensor
    perplexity: Tensor


class GumbelQuantizer(nn.Module):
    """Chooses a code per group: by a hard Gumbel softmax with its straight-through gradient in training, else the best.

    Args:
        features: width of what is quantised.
        config: size and temperature.
    """

    updates: Tensor

    def __init__(self, features: int, config: QuantizerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or QuantizerConfig()
        entries = config.groups * config.codes
        self.vars = nn.Parameter(torch.rand(1, entries, config.width // config.groups))
        self.weight_proj = nn.Linear(features, entries)
        nn.init.normal_(self.weight_proj.weight)
        nn.init.zeros_(self.weight_proj.bias)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @property
    def temperature(self) -> Tensor:
        """Of the Gumbel softmax now, a scalar."""
        fallen = self.config.temperature * self.config.decay ** self.updates.double()
        return fallen.clamp_min(self.config.final_temperature)

    def forward(self, features: Tensor) -> Quantized:
        """(..., features) -> vectors, codes and perplexity, in float32; each call in training is one update."""
        config = self.config
        with torch.autocast(features.device.type, enabled=False):
            logits = self.weight_proj(features.float()).unflatten(-1, (config.groups, config.codes))
            book = self.vars.view(config.groups, config.codes, -1)
            if self.training:
                # Noise as of -log(Exponential(1)), which is Gumbel's.
                noise = -torch.empty_like(logits).exponential_().log()
                soft = ((logits + noise) / self.temperature.float()).softmax(-1)
                codes = soft.argmax(-1)
                hard = F.one_hot(codes, config.codes).to(soft)
                vectors = torch.einsum("...gc,gcd->...gd", hard + (soft - soft.detach()), book)
                self.updates += 1
            else:
                codes = logits.argmax(-1)
                vectors = book[torch.arange(config.groups, device=codes.device), codes]
            return Quantized(vectors.flatten(-2), codes, _perplexity(logits.softmax(-1)))


def _perplexity(probabilities: Tensor) -> Tensor:
    """(..., groups, codes) -> exp of the entropy of the mean over the batch, summed over groups."""
    mean = probabilities.flatten(0, -3).mean(0)
    return torch.exp(-(mean * torch.log(mean + 1e-7)).sum(-1)).sum()
