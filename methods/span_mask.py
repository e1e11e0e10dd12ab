"""Span masking of Wav2Vec 2.0: which tokens of each sequence are hidden."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SpanMaskConfig:
    """How much is hidden; the defaults are the published ones.

    Attributes:
        probability: number of spans times their length, as a part of the sequence; overlaps make the hidden part less.
        length: tokens in a span.
        min_spans: spans in a sequence at least.
    """

    probability: float = 0.65
    length: int = 10
    min_spans: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability must be above 0 and at most 1; got {self.probability}")
        if self.length < 1 or self.min_spans < 1:
            raise ValueError(f"length and min_spans must be at least 1; got {self.length} and {self.min_spans}")


def span_positions(batch: int, tokens: int, config: SpanMaskConfig, device: torch.device) -> Tensor:
    """(batch, masked) indices of hidden tokens, ascending, the same number in every row.

    All rows get the same number of spans, probability * tokens / length rounded up or down at random, at different
    starts; spans may overlap. Rows that hide more than the row that hides least then show tokens again, drawn at
    random: the larger the batch, the less is hidden.

    Raises:
        ValueError: the sequence is too short for a span.
    """
    starts = tokens - config.length + 1
    if starts < 1:
        raise ValueError(f"a span of {config.length} tokens does not fit into {tokens}")
    # On the CPU, as the number is needed there.
    wanted = int(config.probability * tokens / config.length + torch.rand(()).item())
    spans = min(max(config.min_spans, wanted), starts)
    first = torch.rand(batch, starts, device=device).topk(spans, dim=1).indices
    places = first.unsqueeze(-1) + torch.arange(config.length, device=device)
    hidden = torch.zeros(batch, tokens, dtype=torch.bool, device=device).scatter_(1, places.flatten(1), True)
    fewest = int(hidden.sum(1).min())
    order = torch.rand(batch, tokens, device=device).masked_fill(~hidden, -1.0)
    return order.topk(fewest, dim=1).indices.sort(dim=1).values
