"""ST-MEM: masked patches of twelve leads, reconstructed lead by lead (arXiv 2402.09450), and its encoder.

The networks follow the paper and carry the names of the published files; the code is mibench's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .nets.vit import AttentionKind, Block, initialize, run_blocks, sine_cosine_positions

LEADS = 12
VIEW = "twelve_lead"
TOKEN_STD = 0.02
VARIANCE_FLOOR = 1e-6


@dataclass(frozen=True)
class STMEMConfig:
    """Size and switches of ST-MEM; the defaults are those of the published ViT-Base.

    Attributes:
        samples: length of the input; 2250 is 9 s at 250 Hz.
        patch: samples in a patch; divides `samples`.
        width, layers, heads, mlp: of the encoder; `mlp` is the hidden width of its feed-forward layers.
        decoder_width, decoder_layers, decoder_heads, decoder_mlp: the same of the decoder.
        mask_ratio: share of patches that is hidden; of 30 patches, int(30 * 0.25) = 7 stay visible.
        norm_pix_loss: reconstruct each patch scaled to mean 0 and variance 1 in place of the patch as it is.
        attention: "sdpa" or "plain", the same function in two ways; see `nets.vit.Attention`.
        checkpoint_activations: pre-train in less memory and more time.
    """

    samples: int = 2250
    patch: int = 75
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp: int = 3072
    decoder_width: int = 256
    decoder_layers: int = 4
    decoder_heads: int = 4
    decoder_mlp: int = 1024
    mask_ratio: float = 0.75
    norm_pix_loss: bool = True
    attention: AttentionKind = "sdpa"
    checkpoint_activations: bool = False

    def __post_init__(self) -> None:
        if min(self.samples, self.layers, self.decoder_layers) < 1:
            raise ValueError(f"samples, layers and decoder_layers must be at least 1; got {self}")
        if self.patch < 2 or self.samples % self.patch:
            raise ValueError(f"patch must be at least 2 and divide samples {self.samples}; got {self.patch}")
        if not 0 < self.mask_ratio < 1 or not 0 < self.visible < self.patches:
            raise ValueError(
                f"mask_ratio must hide some of the {self.patches} patches of a lead, and not all; got {self.mask_ratio}"
            )

    @property
    def patches(self) -> int:
        """Patches of one lead."""
        return self.samples // self.patch

    @property
    def visible(self) -> int:
        """Patches of one lead that the encoder sees in pre-training."""
        # Rounded down; the small term keeps 0.9 of 30 patches from leaving 2 by way of 2.9999999999999996.
        return int(self.patches * (1 - self.mask_ratio) + 1e-9)


class Patches(nn.Module):
    """(batch, leads, samples) -> (batch, leads, patches, samples of a patch)."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, ecg: Tensor) -> Tensor:
        return ecg.reshape(*ecg.shape[:-1], -1, self.patch)


class STMEMEncoder(nn.Module):
    """A transformer over the patches of all leads at once, with the published names of tensors.

    Every lead is its patches between two separators, plus an embedding of the lead.

    Args:
        leads: that the network is built for; the published one has 12. Built for 1, it is the same network with the
            embedding of lead I alone, and 32 tokens in place of 384.
        config: size and switches.
    """

    def __init__(self, leads: int, config: STMEMConfig | None = None) -> None:
        super().__init__()
        config = config or STMEMConfig()
        if leads < 1:
            raise ValueError(f"leads must be at least 1; got {leads}")
        self.leads = leads
        self.config = config
        width = config.width
        self.pos_embedding = _positions(config.patches, width)
        self.sep_embedding = nn.Parameter(torch.empty(width))
        self.to_patch_embedding = nn.Sequential(
            Patches(config.patch), nn.LayerNorm(config.patch), nn.Linear(config.patch, width), nn.LayerNorm(width)
        )
        self.lead_embeddings = nn.ParameterList(nn.Parameter(torch.empty(width)) for _ in range(leads))
        for index in range(config.layers):
            self.add_module(f"block{index}", Block(width, config.heads, config.mlp, config.attention))
        self.norm = nn.LayerNorm(width)
        initialize(self)
        for token in (self.sep_embedding, *self.lead_embeddings):
            nn.init.normal_(token, std=TOKEN_STD)

    def forward(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) -> (batch, width): the mean over leads and patches, normalised after it."""
        patches = self.encode(ecg)[:, :, 1:-1]
        features: Tensor = self.norm(patches.mean(dim=(1, 2)))
        return features

    def encode(self, ecg: Tensor, visible: Tensor | None = None) -> Tensor:
        """Tokens of every lead behind the last block, not yet normalised.

        Args:
            ecg: (batch, leads, samples).
            visible: (batch, leads, kept) int64, the patches that the network sees; None for all.

        Returns:
            (batch, leads, 1 + kept + 1, width), the patches in the order of `visible`, a separator at either end.

        Raises:
            ValueError: another number of leads or samples than the network is built for. One lead is never spread
                over the embeddings of twelve.
        """
        wanted = (self.leads, self.config.samples)
        if ecg.ndim != 3 or tuple(ecg.shape[1:]) != wanted:
            raise ValueError(f"this ST-MEM takes (batch, {wanted[0]}, {wanted[1]}); got {tuple(ecg.shape)}")
        position = self.pos_embedding
        patches: Tensor = self.to_patch_embedding(ecg) + position[:, 1:-1]
        if visible is not None:
            patches = patches.gather(2, visible.unsqueeze(-1).expand(-1, -1, -1, patches.shape[-1]))
        ends = (self.sep_embedding + position[:, [0, -1]]).expand(*ecg.shape[:2], -1, -1)
        tokens = torch.cat([ends[:, :, :1], patches, ends[:, :, 1:]], dim=2)
        tokens = tokens + torch.stack(list(self.lead_embeddings)).unsqueeze(1)
        again = self.config.checkpoint_activations and torch.is_grad_enabled()
        hidden = run_blocks(self._blocks(), tokens.flatten(1, 2), checkpoint_activations=again)
        return hidden.view(tokens.shape)

    def _blocks(self) -> Iterator[nn.Module]:
        return (self.get_submodule(f"block{index}") for index in range(self.config.layers))


class STMEM(nn.Module):
    """Encoder and decoder in pre-training: what is hidden of each lead is reconstructed from what is left of all.

    The decoder has one set of weights and takes one lead at a time.

    Args:
        config: size and switches; the default is the published network.

    Attributes:
        encoder: all that is used downstream.
        to_patch_embedding: the encoder's, under the second name that the published file has for it.
    """

    def __init__(self, config: STMEMConfig | None = None) -> None:
        super().__init__()
        config = config or STMEMConfig()
        self.config = config
        width = config.decoder_width
        self.encoder = STMEMEncoder(LEADS, config)
        self.to_patch_embedding = self.encoder.to_patch_embedding
        self.to_decoder_embedding = nn.Linear(config.width, width)
        self.mask_embedding = nn.Parameter(torch.empty(1, 1, width))
        self.decoder_pos_embed = _positions(config.patches, width)
        self.decoder_blocks = nn.ModuleList(
            Block(width, config.decoder_heads, config.decoder_mlp, config.attention)
            for _ in range(config.decoder_layers)
        )
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_head = nn.Linear(width, config.patch)
        for part in (self.to_decoder_embedding, self.decoder_blocks, self.decoder_head):
            initialize(part)
        nn.init.normal_(self.mask_embedding, std=TOKEN_STD)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss under a mask drawn anew for every record and lead, and what is worth logging, all scalars.

        Args:
            batch: "twelve_lead" (batch, 12, samples).

        Returns:
            As `losses`.
        """
        ecg = batch[VIEW]
        noise = torch.rand(len(ecg), LEADS, self.config.patches, device=ecg.device)
        return self.losses(ecg, visible_patches(noise, self.config.visible))

    def losses(self, ecg: Tensor, visible: Tensor) -> dict[str, Tensor]:
        """The loss under a given mask.

        Args:
            ecg: (batch, 12, samples).
            visible: (batch, 12, kept) int64, the patches that the encoder sees.

        Returns:
            "loss", the only one with a gradient; "input_mse", the squared error of what was hidden in the units of the
            input; "masked_fraction", the share of patches that was hidden.

        Raises:
            ValueError: nothing is hidden, so that there is nothing to learn from.
        """
        if visible.shape[-1] >= self.config.patches:
            raise ValueError(f"all {self.config.patches} patches of a lead are visible: the loss needs hidden ones")
        predicted = self.reconstruct(ecg, visible).float()
        target = ecg.float().reshape(predicted.shape)
        masked = torch.ones(target.shape[:-1], device=ecg.device).scatter(2, visible, 0.0)
        scale, offset = torch.ones_like(target[..., :1]), torch.zeros_like(target[..., :1])
        if self.config.norm_pix_loss:
            offset = target.mean(dim=-1, keepdim=True)
            scale = (target.var(dim=-1, keepdim=True) + VARIANCE_FLOOR).sqrt()
        with torch.no_grad():
            input_mse = masked_mean_square(predicted.detach() * scale + offset - target, masked)
        return {
            "loss": masked_mean_square(predicted - (target - offset) / scale, masked),
            "input_mse": input_mse,
            "masked_fraction": masked.mean(),
        }

    def reconstruct(self, ecg: Tensor, visible: Tensor) -> Tensor:
        """What the decoder makes of every patch, hidden or not.

        Args:
            ecg: (batch, 12, samples).
            visible: (batch, 12, kept) int64, the patches that the encoder sees; all of them is allowed here.

        Returns:
            (batch, 12, patches, samples of a patch), each patch at its place.
        """
        seen: Tensor = self.to_decoder_embedding(self.encoder.norm(self.encoder.encode(ecg, visible)))
        width = seen.shape[-1]
        hidden = self.mask_embedding.to(seen.dtype).expand(*seen.shape[:2], self.config.patches, -1)
        patches = hidden.scatter(2, visible.unsqueeze(-1).expand(-1, -1, -1, width), seen[:, :, 1:-1])
        tokens = torch.cat([seen[:, :, :1], patches, seen[:, :, -1:]], dim=2) + self.decoder_pos_embed
        again = self.config.checkpoint_activations and torch.is_grad_enabled()
        decoded = run_blocks(self.decoder_blocks, tokens.flatten(0, 1), checkpoint_activations=again)
        out: Tensor = self.decoder_head(self.decoder_norm(decoded))
        return out.view(*tokens.shape[:3], -1)[:, :, 1:-1]


def visible_patches(noise: Tensor, kept: int) -> Tensor:
    """(batch, leads, patches) noise -> (batch, leads, kept) int64: the patches of smallest noise stay visible."""
    if not 0 < kept <= noise.shape[-1]:
        raise ValueError(f"of {noise.shape[-1]} patches between 1 and all can stay visible; got {kept}")
    return noise.argsort(dim=-1)[..., :kept]


def masked_mean_square(error: Tensor, masked: Tensor) -> Tensor:
    """Mean over the masked patches of their mean squared error.

    Args:
        error: (batch, leads, patches, samples of a patch).
        masked: (batch, leads, patches), 1 where hidden from the encoder and 0 elsewhere.
    """
    return (error.square().mean(dim=-1) * masked).sum() / masked.sum()


def _positions(patches: int, width: int) -> nn.Parameter:
    """(1, patches + 2, width), fixed; zero at the separators. A parameter, because the published files hold it."""
    rows = torch.zeros(1, patches + 2, width)
    rows[0, 1:-1] = sine_cosine_positions(patches, width)
    return nn.Parameter(rows, requires_grad=False)
