"""Pre-norm transformer blocks of vision transformers, as ST-MEM stacks them, and fixed sine-cosine positions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

AttentionKind = Literal["sdpa", "plain"]

BASE = 10_000.0


class Attention(nn.Module):
    """Multi-head self-attention, every token to every token, with biases in all projections.

    Args:
        width: of a token; the heads share it evenly.
        heads: number of heads.
        kind: "sdpa" runs torch's fused attention; "plain" spells the products out, which is slower, and what counters
            of operations see.
    """

    def __init__(self, width: int, heads: int, kind: AttentionKind = "sdpa") -> None:
        super().__init__()
        if width < 1 or heads < 1 or width % heads:
            raise ValueError(f"the heads must share the width evenly; got width {width} and {heads} heads")
        if kind not in get_args(AttentionKind):
            raise ValueError(f"attention must be sdpa or plain; got {kind!r}")
        self.heads = heads
        self.kind = kind
        self.scale = (width // heads) ** -0.5
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) -> the same shape."""
        query, key, value = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.kind == "sdpa":
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            weight = F.softmax(torch.matmul(query, key.mT) * self.scale, dim=-1)
            mixed = torch.matmul(weight, value)
        out: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, token by token."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"the hidden width of a feed-forward layer must be at least 1; got {hidden}")
        # The identity keeps a place for dropout, as in the published files, whose second layer is called net.3.
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        out: Tensor = self.net(x)
        return out


class PreNorm(nn.Module):
    """A layer that reads its input normalised."""

    def __init__(self, width: int, layer: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = layer

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> what the layer makes of it."""
        out: Tensor = self.fn(self.norm(x))
        return out


class Block(nn.Module):
    """Attention, then feed-forward, each pre-normalised and added to what went in; no dropout."""

    def __init__(self, width: int, heads: int, mlp: int, attention: AttentionKind = "sdpa") -> None:
        super().__init__()
        self.attn = PreNorm(width, Attention(width, heads, attention))
        self.ff = PreNorm(width, FeedForward(width, mlp))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) -> the same shape."""
        x = x + self.attn(x)
        out: Tensor = x + self.ff(x)
        return out


def run_blocks(blocks: Iterable[nn.Module], x: Tensor, *, checkpoint_activations: bool = False) -> Tensor:
    """One block after the other.

    Args:
        x: (batch, tokens, width).
        checkpoint_activations: keep only what goes into each block, and compute the rest again on the way back: less
            memory for a third more time, and the same gradients.
    """
    for block in blocks:
        x = checkpoint(block, x, use_reentrant=False) if checkpoint_activations else block(x)
    return x


def sine_cosine_positions(count: int, width: int) -> Tensor:
    """(count, width) fixed positions: sines in the first half, cosines in the second, of base 10,000.

    Raises:
        ValueError: the width is odd.
    """
    if width % 2:
        raise ValueError(f"sine-cosine positions need an even width; got {width}")
    frequency = BASE ** -(torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angle = torch.arange(count, dtype=torch.float64)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def initialize(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases in linear layers, as masked autoencoders begin (arXiv 2111.06377)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
