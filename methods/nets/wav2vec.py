"""The wav2vec-style encoder of SimCLR, 3KG, CLOCS, Wav2Vec 2.0 and W2V-CMSC, with the published names of tensors.

Four strided convolutions make one token of every 32 ms, a wide convolution gives tokens their place, and a post-norm
transformer reads them (wav2vec 2.0, arXiv 2006.11477; for ECG W2V-CMSC, arXiv 2203.06889).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

# A module, not its names: ptflops counts the GELU of the layers by replacing `torch.nn.functional.gelu`.
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint

TRANSFORMER_STD = 0.02
"""Of the initial weights of every linear layer in the transformer, as in BERT."""


@dataclass(frozen=True)
class Wav2VecConfig:
    """Size and switches of a `Wav2VecEncoder`; the defaults are those of the published pre-trainings.

    Attributes:
        conv_channels, conv_layers, conv_kernel, conv_stride: the feature extractor, alike in every layer.
        width, layers, heads, ffn: the transformer.
        position_kernel, position_groups: the convolution that tells tokens their place.
        dropout: before the first layer, after attention, and after the feed-forward network.
        attention_dropout, activation_dropout: on attention weights, and inside the feed-forward network.
        input_dropout: on the tokens that enter the transformer.
        feature_dropout: on the features that Wav2Vec 2.0 quantises into targets; the encoder itself has no use for it.
        layerdrop: probability that a layer is skipped while training.
        feature_grad_mult: factor on the gradient that reaches the extractor; 0 freezes it.
        attention: "sdpa" for torch's fused attention, "plain" for its products one by one: to count and to compare.
        checkpoint_activations: compute each layer again in the backward pass instead of keeping what it computed.
    """

    conv_channels: int = 256
    conv_layers: int = 4
    conv_kernel: int = 2
    conv_stride: int = 2
    width: int = 768
    layers: int = 12
    heads: int = 12
    ffn: int = 3072
    position_kernel: int = 128
    position_groups: int = 16
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    input_dropout: float = 0.1
    feature_dropout: float = 0.1
    layerdrop: float = 0.0
    feature_grad_mult: float = 0.1
    attention: Literal["sdpa", "plain"] = "sdpa"
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        sizes = ("conv_channels", "conv_layers", "conv_kernel", "conv_stride", "width", "layers", "heads", "ffn")
        for name in (*sizes, "position_kernel", "position_groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("heads", "position_groups"):
            if self.width % getattr(self, name):
                raise ValueError(f"{name} {getattr(self, name)} does not divide width {self.width}")
        drops = ("dropout", "attention_dropout", "activation_dropout", "input_dropout", "feature_dropout", "layerdrop")
        for name in drops:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1; got {getattr(self, name)}")
        if not 0 <= self.feature_grad_mult <= 1:
            raise ValueError(f"feature_grad_mult must lie between 0 and 1; got {self.feature_grad_mult}")
        if self.attention not in ("sdpa", "plain"):
            raise ValueError(f'attention must be "sdpa" or "plain"; got {self.attention!r}')

    @property
    def stride(self) -> int:
        """Samples from one token to the next."""
        return int(self.conv_stride**self.conv_layers)

    def tokens(self, samples: int) -> int:
        """Number of tokens that a signal of so many samples becomes; 0 when it is too short for one."""
        for _ in range(self.conv_layers):
            samples = max(0, (samples - self.conv_kernel) // self.conv_stride + 1)
        return samples


class FeatureExtractor(nn.Module):
    """Strided convolutions without padding or bias; the first is normalised per channel over time."""

    def __init__(self, leads: int, config: Wav2VecConfig) -> None:
        super().__init__()
        channels = config.conv_channels
        self.conv_layers = nn.ModuleList()
        for index in range(config.conv_layers):
            conv = nn.Conv1d(
                leads if index == 0 else channels, channels, config.conv_kernel, config.conv_stride, bias=False
            )
            nn.init.kaiming_normal_(conv.weight)
            # As many groups as channels: every channel by itself. The dropout that does nothing keeps the published
            # index of the normalisation, 2.
            norm = [nn.GroupNorm(channels, channels)] if index == 0 else []
            self.conv_layers.append(nn.Sequential(conv, nn.Dropout(0.0), *norm, nn.GELU()))

    def forward(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) -> (batch, channels, tokens)."""
        for layer in self.conv_layers:
            ecg = layer(ecg)
        return ecg


class TrimEnd(nn.Module):
    """Takes off the one step too many that an even kernel leaves."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.surplus = 1 - kernel % 2

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : x.shape[-1] - self.surplus]


class ConvPosition(nn.Module):
    """What is added to a token for its place: a wide grouped convolution of its neighbours."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        kernel, width = config.position_kernel, config.width
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=config.position_groups)
        nn.init.normal_(conv.weight, std=math.sqrt(4 / (kernel * width)))
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        # dim=2: one gain for each tap.
        self.pos_conv = nn.Sequential(weight_norm(conv, dim=2), TrimEnd(kernel), nn.GELU())

    def forward(self, tokens: Tensor) -> Tensor:
        place: Tensor = self.pos_conv(tokens.transpose(1, 2))
        return place.transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head attention of every token to every token."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.drop = config.attention_dropout
        self.plain = config.attention == "plain"
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.q_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = (self._split(part(tokens)) for part in (self.q_proj, self.k_proj, self.v_proj))
        if self.plain:
            attended = self._attend(query, key, value)
        else:
            attended = F.scaled_dot_product_attention(query, key, value, dropout_p=self.drop if self.training else 0.0)
        out: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) -> (batch, heads, tokens, width / heads)."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = torch.matmul(query / math.sqrt(query.shape[-1]), key.transpose(-2, -1))
        weights = torch.dropout(scores.softmax(-1), self.drop, self.training)
        return torch.matmul(weights, value)


class TransformerLayer(nn.Module):
    """Attention, then a feed-forward network; each is added to its input and the sum is normalised (post-norm)."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, config.ffn)
        self.fc2 = nn.Linear(config.ffn, config.width)
        self.final_layer_norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.activation_dropout = nn.Dropout(config.activation_dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.self_attn_layer_norm(tokens + self.dropout(self.self_attn(tokens)))
        hidden = self.fc1(tokens)
        # In float32 under autocast too, as published.
        hidden = self.activation_dropout(F.gelu(hidden.float()).type_as(hidden))
        out: Tensor = self.final_layer_norm(tokens + self.dropout(self.fc2(hidden)))
        return out


class TransformerEncoder(nn.Module):
    """Normalisation, dropout, and the layers; post-norm layers leave nothing to normalise at the end."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.layerdrop = config.layerdrop
        self.checkpoint_activations = config.checkpoint_activations
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.layers))
        self.layer_norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=TRANSFORMER_STD)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.dropout(self.layer_norm(tokens))
        for layer in self.layers:
            if self.training and self.layerdrop and torch.rand(()).item() < self.layerdrop:
                continue
            if self.checkpoint_activations and torch.is_grad_enabled():
                tokens = checkpoint(layer, tokens, use_reentrant=False)
            else:
                tokens = layer(tokens)
        return tokens


class Wav2VecEncoder(nn.Module):
    """Convolutional tokens of 32 ms read by a post-norm transformer; as published, without any projection head.

    The steps are separate methods, because the objectives of Wav2Vec 2.0 take what lies between them.

    Args:
        leads: channels of the signal, at 500 Hz; the published networks take twelve.
        config: size and switches.

    Raises:
        ValueError: `leads` is not positive.
    """

    def __init__(self, leads: int, config: Wav2VecConfig | None = None) -> None:
        super().__init__()
        if leads < 1:
            raise ValueError(f"leads must be at least 1; got {leads}")
        self.leads = leads
        self.config = config = config or Wav2VecConfig()
        self.feature_extractor = FeatureExtractor(leads, config)
        self.layer_norm = nn.LayerNorm(config.conv_channels)
        self.post_extract_proj = nn.Linear(config.conv_channels, config.width)
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.conv_pos = ConvPosition(config)
        self.encoder = TransformerEncoder(config)
        if config.feature_grad_mult == 0:
            self.feature_extractor.requires_grad_(False)

    def extract(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) -> (batch, tokens, conv_channels), not yet normalised.

        The gradient is multiplied by `feature_grad_mult` here, also that of a penalty on these features.

        Raises:
            ValueError: another number of leads, or a signal too short for one token.
        """
        if ecg.ndim != 3 or ecg.shape[1] != self.leads:
            raise ValueError(f"the encoder takes (batch, {self.leads}, samples); got {tuple(ecg.shape)}")
        if not self.config.tokens(ecg.shape[-1]):
            raise ValueError(f"{ecg.shape[-1]} samples are too few for one token")
        scale = self.config.feature_grad_mult
        with torch.set_grad_enabled(torch.is_grad_enabled() and scale > 0):
            features: Tensor = self.feature_extractor(ecg)
        if features.requires_grad and scale != 1:
            features.register_hook(lambda gradient: gradient * scale)  # type: ignore[no-untyped-call]
        return features.transpose(1, 2)

    def normalize(self, features: Tensor) -> Tensor:
        """(batch, tokens, conv_channels) -> the same shape, each token with mean 0 and deviation 1, then scaled."""
        normalized: Tensor = self.layer_norm(features)
        return normalized

    def project(self, features: Tensor) -> Tensor:
        """Normalised (batch, tokens, conv_channels) -> (batch, tokens, width), with dropout while training."""
        tokens: Tensor = self.input_dropout(self.post_extract_proj(features))
        return tokens

    def contextualize(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width) -> (batch, tokens, width) after position and transformer."""
        context: Tensor = self.encoder(tokens + self.conv_pos(tokens))
        return context

    def forward(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) -> (batch, width): what is contrasted, classified and probed."""
        return pool_nonzero(self.contextualize(self.project(self.normalize(self.extract(ecg)))))


def pool_nonzero(tokens: Tensor) -> Tensor:
    """Mean over time of the entries that are not exactly zero, as the published code leaves padding out.

    Args:
        tokens: (batch, tokens, width).

    Returns:
        (batch, width); 0 for a feature that is zero at every step.
    """
    return tokens.sum(1) / (tokens != 0).sum(1).clamp_min(1)
