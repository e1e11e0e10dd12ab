"""HeartLang: an ECG language model that guesses masked heartbeats by their code (arXiv 2502.10707)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .nets.ecgformer import ECGFormer, ECGFormerConfig, initialize
from .vqhbr import VQHBR


@dataclass(frozen=True)
class MaskedLanguageConfig:
    """Switches of the pre-training; the defaults are those of the published program.

    Attributes:
        mask_ratio: share of the positions of a sentence that is masked.
        mask_padding: count padding as positions to mask and to guess, as published: that most of a short sentence is
            padding makes the loss small and the accuracy high. False masks words alone.
        targets_with_position: tell the vocabulary lead and second of the words it names, as in its own training. The
            published program leaves them out here.
    """

    mask_ratio: float = 0.5
    mask_padding: bool = True
    targets_with_position: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.mask_ratio <= 1:
            raise ValueError(f"mask_ratio must be in (0, 1]; got {self.mask_ratio}")


class HeartLang(ECGFormer):
    """ST-ECGFormer with the head that guesses codes, with the published names of tensors."""

    def __init__(self, in_features: int = 96, config: ECGFormerConfig | None = None, codes: int = 8192) -> None:
        super().__init__(in_features, config)
        if codes < 1:
            raise ValueError(f"codes must be at least 1; got {codes}")
        self.lm_head = nn.Linear(self.config.width, codes)
        initialize(self.lm_head, self.config.init)

    def guesses(self, words: Tensor, leads: Tensor, seconds: Tensor, masked: Tensor) -> Tensor:
        """Logits of the masked words alone, (masked words of the batch, codes), in the order of `masked`."""
        logits: Tensor = self.lm_head(self(words, leads, seconds, masked)[:, 1:][masked])
        return logits


class MaskedLanguageModel(nn.Module):
    """HeartLang's second stage: guess the codes that a frozen vocabulary gives to masked words.

    Masking replaces a word behind the embedding, which has already mixed it into its neighbours (see `WordEmbedding`):
    this leak is the published program's.

    Args:
        model: what is trained.
        vocabulary: names the words; frozen, and in evaluation mode always.
        config: switches.

    Raises:
        ValueError: model and vocabulary differ in sentences, words or codes.
    """

    def __init__(self, model: HeartLang, vocabulary: VQHBR, config: MaskedLanguageConfig | None = None) -> None:
        super().__init__()
        sizes = (model.config.words, model.in_features, model.lm_head.out_features)
        named = (vocabulary.config.words, vocabulary.config.samples_per_word, vocabulary.config.codes)
        if sizes != named:
            raise ValueError(
                f"words, samples per word and codes of model and vocabulary must agree; got {sizes} and {named}"
            )
        self.config = config or MaskedLanguageConfig()
        self.model = model
        self.vocabulary = vocabulary.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> MaskedLanguageModel:
        """Switch the model; the vocabulary stays as it is."""
        super().train(mode)
        self.vocabulary.eval()
        return self

    def targets(self, batch: Mapping[str, Tensor]) -> Tensor:
        """(batch, words) codes of all words, without gradient."""
        if self.config.targets_with_position:
            return self.vocabulary.codes(batch["words"], batch["leads"], batch["seconds"])
        return self.vocabulary.codes(batch["words"])

    def mask(self, leads: Tensor) -> Tensor:
        """(batch, words) bool: a random `mask_ratio` of the positions of each sentence, or of its words, rounded down.

        Args:
            leads: (batch, words) integers, 0 where a sentence is padded.
        """
        maskable = torch.ones_like(leads, dtype=torch.bool) if self.config.mask_padding else leads > 0
        counts = (maskable.sum(dim=1, keepdim=True).double() * self.config.mask_ratio).long()
        noise = torch.rand(leads.shape, device=leads.device).masked_fill(~maskable, 2.0)
        return noise.argsort(dim=1).argsort(dim=1) < counts

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy over the codes of masked words.

        Args:
            batch: "words" (batch, words, samples per word), "leads" and "seconds" (batch, words) integers.

        Returns:
            "loss", the mean over all masked positions, 0 where there are none; "accuracy" over the same; and
            "word_accuracy" over those that are no padding.
        """
        masked = self.mask(batch["leads"])
        targets = self.targets(batch)[masked]
        logits = self.model.guesses(batch["words"], batch["leads"], batch["seconds"], masked).float()
        loss = F.cross_entropy(logits, targets, reduction="sum") / max(1, len(targets))
        with torch.no_grad():
            right = (logits.argmax(dim=1) == targets).float()
            word = (batch["leads"] > 0)[masked].float()
            accuracy = right.sum() / max(1, len(targets))
            word_accuracy = (right * word).sum() / word.sum().clamp(min=1)
        return {"loss": loss, "accuracy": accuracy, "word_accuracy": word_accuracy}
