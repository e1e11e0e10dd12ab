"""ST-ECGFormer: a transformer over heartbeats as words, the backbone of HeartLang and of its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Attention = Literal["sdpa", "plain"]
Initialization = Literal["truncated_normal", "uniform"]

EMBEDDINGS = 16
"""Rows of the tables for leads (0 for padding, 1 to 12) and seconds (0 for padding, 1 to 10), as published."""

KERNEL = 3
SPREAD = 0.02
UNIFORM_BOUND = 0.1


@dataclass(frozen=True)
class ECGFormerConfig:
    """Size and switches of an `ECGFormer`; the defaults are those of the published language model.

    Attributes:
        words: length of a sentence, padding included.
        width: of the embedding of a word.
        layers: transformer layers.
        heads: of each attention.
        head_dim: width of a head; heads * head_dim need not be `width`, and is not in the published networks.
        mlp: hidden width of the feed-forward part.
        dropout: while training, on attention weights and behind every linear layer of a block but the first.
        attention: "sdpa" runs torch's fused attention, "plain" the products it consists of, one by one.
        checkpoint_activations: compute layers again in the backward pass in place of keeping what they computed.
        init: of a network without weights. "truncated_normal" with a spread of 0.02; "uniform" draws every tensor,
            norms included, between -0.1 and 0.1, as the original program does.
    """

    words: int = 256
    width: int = 768
    layers: int = 12
    heads: int = 8
    head_dim: int = 64
    mlp: int = 1024
    dropout: float = 0.1
    attention: Attention = "sdpa"
    checkpoint_activations: bool = False
    init: Initialization = "truncated_normal"

    def __post_init__(self) -> None:
        sizes = (self.words, self.width, self.layers, self.heads, self.head_dim, self.mlp)
        if min(sizes) < 1:
            raise ValueError(f"every size of an ECGFormer must be at least 1; got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")
        for name, kinds in (("attention", Attention), ("init", Initialization)):
            if getattr(self, name) not in get_args(kinds):
                raise ValueError(f"{name} must be {' or '.join(get_args(kinds))}; got {getattr(self, name)!r}")


class WordEmbedding(nn.Module):
    """Words to the width of the transformer, each mixed with its two neighbours in the sentence.

    The sentence is a ring: the first word sees the last. So a word that is masked afterwards has already told its
    neighbours about itself, over the borders between leads too: the published network is like that.
    """

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.tokenConv = nn.Conv1d(in_features, width, KERNEL, padding=1, padding_mode="circular", bias=False)

    def forward(self, words: Tensor) -> Tensor:
        embedded: Tensor = self.tokenConv(words.transpose(1, 2))
        return embedded.transpose(1, 2)


class PlaceEmbedding(nn.Module):
    """A learned vector for each lead, or for each second."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(EMBEDDINGS, width)

    def forward(self, places: Tensor) -> Tensor:
        embedded: Tensor = self.embed(places.long())
        return embedded


class SelfAttention(nn.Module):
    """Pre-norm attention of all words to all words, padding included; no bias on queries, keys and values."""

    def __init__(self, config: ECGFormerConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads = config.heads
        self.plain = config.attention == "plain"
        self.norm = nn.LayerNorm(config.width)
        self.softmax = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(config.dropout)
        self.to_qkv = nn.Linear(config.width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, config.width), nn.Dropout(config.dropout))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.to_qkv(self.norm(x)).chunk(3, dim=-1)
        )
        if self.plain:
            likeness = torch.matmul(query, key.transpose(-1, -2)) * query.shape[-1] ** -0.5
            mixed = torch.matmul(self.dropout(self.softmax(likeness)), value)
        else:
            rate = self.dropout.p if self.training else 0.0
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        out: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Pre-norm two-layer perceptron with GELU."""

    def __init__(self, config: ECGFormerConfig) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, config.mlp),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.mlp, config.width),
            nn.Dropout(config.dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class Layer(nn.ModuleList):
    """Attention (entry 0) and feed-forward (entry 1), each around a shortcut."""

    def __init__(self, config: ECGFormerConfig) -> None:
        super().__init__([SelfAttention(config), FeedForward(config)])

    def forward(self, x: Tensor) -> Tensor:
        for part in self:
            x = part(x) + x
        return x


class Transformer(nn.Module):
    """Layers in a row."""

    def __init__(self, config: ECGFormerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.checkpoint_activations = config.checkpoint_activations

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self._spare(x) else layer(x)
        return x

    def _spare(self, x: Tensor) -> bool:
        return self.checkpoint_activations and self.training and x.requires_grad


class ECGFormer(nn.Module):
    """ST-ECGFormer (HeartLang, arXiv 2502.10707), with the published names of tensors.

    Args:
        in_features: samples of a word, or numbers of a code where the sentence is one of codes.
        config: size and switches.
    """

    def __init__(self, in_features: int, config: ECGFormerConfig | None = None) -> None:
        super().__init__()
        config = config or ECGFormerConfig()
        if in_features < 1:
            raise ValueError(f"in_features must be at least 1; got {in_features}")
        self.config = config
        self.in_features = in_features
        width = config.width
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_token = nn.Parameter(torch.zeros(width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.words + 1, width))
        self.token_embed = WordEmbedding(in_features, width)
        self.spa_embed = PlaceEmbedding(width)
        self.tem_embed = PlaceEmbedding(width)
        self.transformer = Transformer(config)
        self.norm_layer = nn.LayerNorm(width)
        initialize(self, config.init)

    def forward(
        self,
        words: Tensor,
        leads: Tensor | None = None,
        seconds: Tensor | None = None,
        masked: Tensor | None = None,
    ) -> Tensor:
        """Sentences to the class token and one vector per word, behind the final norm.

        Args:
            words: (batch, words, in_features), zero where the sentence is padded.
            leads: (batch, words) integers, 1 to 12, 0 for padding; None leaves these embeddings out.
            seconds: (batch, words) integers, 1 to 10, 0 for padding; None leaves these embeddings out.
            masked: (batch, words) bool; these words are replaced by the mask token, keeping lead, second and place.

        Returns:
            (batch, 1 + words, width), the class token first.

        Raises:
            ValueError: the sentence has another length, or its words another size.
        """
        if words.ndim != 3 or words.shape[1:] != (self.config.words, self.in_features):
            raise ValueError(
                f"sentences must be (batch, {self.config.words}, {self.in_features}); got {tuple(words.shape)}"
            )
        x: Tensor = self.token_embed(words)
        if masked is not None:
            x = torch.where(masked.unsqueeze(-1), self.mask_token.to(x.dtype), x)
        if leads is not None:
            x = x + self.spa_embed(leads)
        if seconds is not None:
            x = x + self.tem_embed(seconds)
        x = torch.cat([self.cls_token.to(x.dtype).expand(len(x), 1, -1), x], dim=1) + self.pos_embed
        out: Tensor = self.norm_layer(self.transformer(x))
        return out


def initialize(module: nn.Module, init: Initialization) -> None:
    """Draw every parameter of a network from torch's generator, as `ECGFormerConfig.init` says."""
    if init == "uniform":
        for parameter in module.parameters():
            nn.init.uniform_(parameter, -UNIFORM_BOUND, UNIFORM_BOUND)
        return
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv1d)):
            nn.init.trunc_normal_(part.weight, std=SPREAD)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.trunc_normal_(part.weight, std=SPREAD)
        elif isinstance(part, ECGFormer):
            for parameter in (part.mask_token, part.cls_token, part.pos_embed):
                nn.init.trunc_normal_(parameter, std=SPREAD)
