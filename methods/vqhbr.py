"""VQ-HBR: heartbeats as entries of a learned codebook, the vocabulary of HeartLang (arXiv 2502.10707)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from .nets.ecgformer import Attention, ECGFormer, ECGFormerConfig, Initialization, initialize


@dataclass(frozen=True)
class VQHBRConfig:
    """Size and switches of a `VQHBR`; the defaults are those of the published network.

    Attributes:
        words, samples_per_word: length of a sentence, padding included, and of a word.
        width, heads, head_dim, mlp, dropout, attention, checkpoint_activations, init: of both transformers, as in
            `ECGFormerConfig`.
        encoder_layers, decoder_layers: of each transformer.
        codes: entries of the codebook.
        code_dim: numbers per entry.
        decay: of the moving average that the codebook is.
        beta: weight of the commitment loss.
        kmeans_iterations: in which the first batch becomes the codebook; 0 leaves its random directions.
    """

    words: int = 256
    samples_per_word: int = 96
    width: int = 768
    encoder_layers: int = 4
    decoder_layers: int = 2
    heads: int = 2
    head_dim: int = 64
    mlp: int = 2048
    dropout: float = 0.1
    codes: int = 8192
    code_dim: int = 128
    decay: float = 0.99
    beta: float = 1.0
    kmeans_iterations: int = 10
    attention: Attention = "sdpa"
    checkpoint_activations: bool = False
    init: Initialization = "truncated_normal"

    def __post_init__(self) -> None:
        if min(self.samples_per_word, self.codes, self.code_dim) < 1 or self.kmeans_iterations < 0:
            raise ValueError(f"sizes must be at least 1 and kmeans_iterations at least 0; got {self}")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1); got {self.decay}")
        if self.beta < 0:
            raise ValueError(f"beta must not be negative; got {self.beta}")
        self.transformer(self.encoder_layers)
        self.transformer(self.decoder_layers)

    def transformer(self, layers: int) -> ECGFormerConfig:
        """The encoder's or the decoder's own configuration."""
        return ECGFormerConfig(
            words=self.words,
            width=self.width,
            layers=layers,
            heads=self.heads,
            head_dim=self.head_dim,
            mlp=self.mlp,
            dropout=self.dropout,
            attention=self.attention,
            checkpoint_activations=self.checkpoint_activations,
            init=self.init,
        )


class Codebook(nn.Module):
    """The entries, and whether they have been set. `embed_avg` is never used: published files hold it."""

    weight: Tensor
    cluster_size: Tensor
    embed_avg: Tensor
    initted: Tensor

    def __init__(self, config: VQHBRConfig) -> None:
        super().__init__()
        directions = F.normalize(torch.randn(config.codes, config.code_dim), dim=-1)
        self.register_buffer("weight", directions)
        self.register_buffer("cluster_size", torch.zeros(config.codes))
        self.register_buffer("embed_avg", directions.clone())
        self.register_buffer("initted", torch.tensor([float(config.kmeans_iterations == 0)]))

    @torch.no_grad()
    def start_from(self, vectors: Tensor, iterations: int) -> None:
        """Make the clusters of (n, code_dim) unit vectors the entries; with several processes, those of the first."""
        means, sizes = cosine_kmeans(vectors, len(self.weight), iterations)
        if dist.is_available() and dist.is_initialized():
            dist.broadcast(means, 0)
            dist.broadcast(sizes, 0)
        self.weight.copy_(means)
        self.cluster_size.copy_(sizes)
        self.initted.fill_(1.0)


class NormEMAQuantizer(nn.Module):
    """The nearest entry of a codebook on the unit sphere, which follows what is assigned to it.

    No gradient reaches the codebook. In training every entry in use moves towards the mean direction of its vectors,
    `entry <- normalize(decay * entry + (1 - decay) * mean)`, after the batch has been quantised; entries out of use
    stay. The first training batch sets them by k-means. In evaluation nothing changes.

    Attributes:
        cluster_size: moving average of how often each entry is used.
    """

    cluster_size: Tensor

    def __init__(self, config: VQHBRConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Codebook(config)
        self.register_buffer("cluster_size", torch.zeros(config.codes))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise vectors of any length other than zero.

        Args:
            vectors: (..., code_dim) float32.

        Returns:
            The entries, shaped as `vectors`, with the gradient passed straight through; the commitment loss, beta
            times the mean squared distance of unit vectors from their entries; the indices of the entries (...).
        """
        unit = F.normalize(vectors, dim=-1)
        flat = unit.detach().flatten(0, -2)
        if self.training and not bool(self.embedding.initted):
            self.embedding.start_from(flat, self.config.kmeans_iterations)
        indices = nearest(flat, self.embedding.weight)
        entries = F.embedding(indices, self.embedding.weight).view_as(unit)
        if self.training:
            self._follow(flat, indices)
        loss = self.config.beta * F.mse_loss(unit, entries)
        return unit + (entries - unit).detach(), loss, indices.view(unit.shape[:-1])

    @torch.no_grad()
    def _follow(self, vectors: Tensor, indices: Tensor) -> None:
        uses, sums = cluster_sums(vectors, indices, len(self.cluster_size))
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(uses)
            dist.all_reduce(sums)
        decay = self.config.decay
        self.cluster_size.lerp_(uses, 1 - decay)
        weight = self.embedding.weight
        target = torch.where((uses > 0)[:, None], F.normalize(sums, dim=-1), weight)
        weight.copy_(F.normalize(torch.lerp(weight, target, 1 - decay), dim=-1))


class VQHBR(nn.Module):
    """Vector-quantised heartbeat reconstruction, with the published names of tensors; also its own training objective.

    The mask tokens of its transformers are never used and never learn; published files hold them.
    """

    def __init__(self, config: VQHBRConfig | None = None) -> None:
        super().__init__()
        config = config or VQHBRConfig()
        self.config = config
        self.encoder = ECGFormer(config.samples_per_word, config.transformer(config.encoder_layers))
        self.decoder = ECGFormer(config.code_dim, config.transformer(config.decoder_layers))
        self.quantize = NormEMAQuantizer(config)
        self.encode_task_layer = _two_layers(config.width, config.code_dim)
        self.decode_task_layer = _two_layers(config.width, config.samples_per_word)
        for head in (self.encode_task_layer, self.decode_task_layer):
            initialize(head, config.init)
        for transformer in (self.encoder, self.decoder):
            transformer.mask_token.requires_grad_(False)

    def encode(self, words: Tensor, leads: Tensor | None = None, seconds: Tensor | None = None) -> Tensor:
        """(batch, words, samples_per_word) -> (batch, words, code_dim) float32, before quantisation.

        Words of zeros, padding and silent leads, are all encoded alike. Without `leads` and `seconds` their embeddings
        are left out.
        """
        features = self.encoder(words, leads, seconds)[:, 1:]
        with torch.autocast(features.device.type, enabled=False):
            heard = words.ne(0).any(dim=-1, keepdim=True)
            vectors: Tensor = self.encode_task_layer(features.float() * heard)
        return vectors

    @torch.no_grad()
    def codes(self, words: Tensor, leads: Tensor | None = None, seconds: Tensor | None = None) -> Tensor:
        """(batch, words) indices of the codebook; nothing is learned from it, whatever the mode."""
        vectors = F.normalize(self.encode(words, leads, seconds), dim=-1)
        with torch.autocast(vectors.device.type, enabled=False):
            return nearest(vectors.flatten(0, -2), self.quantize.embedding.weight).view(words.shape[:2])

    def reconstruct(self, words: Tensor, leads: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Words behind the bottleneck.

        Returns:
            (batch, words, samples_per_word); the commitment loss; (batch, words) indices of the codebook.
        """
        vectors = self.encode(words, leads, seconds)
        with torch.autocast(vectors.device.type, enabled=False):
            entries, commitment, indices = self.quantize(vectors)
        features = self.decoder(entries, leads, seconds)[:, 1:]
        return self.decode_task_layer(features), commitment, indices

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Reconstruction of all words, padding included, plus commitment.

        Args:
            batch: "words" (batch, words, samples_per_word), "leads" and "seconds" (batch, words).

        Returns:
            "loss"; its two parts "reconstruction" and "commitment"; "codes_used", the different codes in the batch.
        """
        output, commitment, indices = self.reconstruct(batch["words"], batch["leads"], batch["seconds"])
        reconstruction = F.mse_loss(output.float(), batch["words"].float())
        used = torch.zeros(self.config.codes, device=indices.device).index_fill_(0, indices.flatten(), 1.0)
        return {
            "loss": reconstruction + commitment,
            "reconstruction": reconstruction.detach(),
            "commitment": commitment.detach(),
            "codes_used": used.sum(),
        }


def nearest(vectors: Tensor, entries: Tensor) -> Tensor:
    """(n,) index of the entry at the smallest Euclidean distance from each of (n, dim) vectors."""
    # All three terms of the square, as published: entries closer than float32 can tell fall to the first of them.
    squared = vectors.square().sum(1, keepdim=True) + entries.square().sum(1) - 2 * F.linear(vectors, entries)
    return squared.argmin(dim=1)


def cluster_sums(vectors: Tensor, indices: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """(clusters,) how many of the (n, dim) vectors belong to each, and (clusters, dim) their sums."""
    sizes = vectors.new_zeros(clusters).index_add_(0, indices, vectors.new_ones(len(indices)))
    return sizes, vectors.new_zeros(clusters, vectors.shape[1]).index_add_(0, indices, vectors)


def cosine_kmeans(vectors: Tensor, clusters: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Spherical k-means from randomly chosen vectors; a cluster that loses all its vectors keeps its mean.

    Args:
        vectors: (n, dim), of unit length.
        clusters: how many; with fewer vectors than clusters, some start as the same vector.
        iterations: at least 1.

    Returns:
        (clusters, dim) means of unit length, and (clusters,) the sizes before the last of them were taken.
    """
    if len(vectors) < clusters:
        chosen = torch.randint(len(vectors), (clusters,), device=vectors.device)
    else:
        chosen = torch.randperm(len(vectors), device=vectors.device)[:clusters]
    means = vectors[chosen]
    sizes = vectors.new_zeros(clusters)
    for _ in range(iterations):
        sizes, sums = cluster_sums(vectors, F.linear(vectors, means).argmax(dim=1), clusters)
        means = torch.where((sizes > 0)[:, None], F.normalize(sums, dim=-1), means)
    return means, sizes


def _two_layers(width: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, out_features))
