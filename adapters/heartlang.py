"""HeartLang: an ECG language model over heartbeats (arXiv 2502.10707), as a frozen encoder and to be pre-trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..methods.heartlang import HeartLang, MaskedLanguageConfig, MaskedLanguageModel
from ..methods.nets.ecgformer import ECGFormer, ECGFormerConfig
from ..methods.vqhbr import VQHBR, VQHBRConfig
from .base import LEADS, InputSpec, LoadReport, MethodSpec, Normalization, PaperCount
from .checkpoints import load_into, read_weights
from .counting import Calling
from .errors import MibenchError
from .heartlang_vqhbr import HUB, LANGUAGE_MODEL, PAPER, Filter, heartbeat_view, load_vqhbr, refuse_other_methods
from .heartlang_vqhbr import NAME as VOCABULARY
from .qrs import BeatTokenizer

NAME = LANGUAGE_MODEL
PART = "vqhbr"
FILE = "checkpoints/pretrain/MIMIC-IV/checkpoint-200.pth"
SHA256 = "9dc89d72a3f1cacd941892103eaa523d44e373164cd4fadfb975907cc65864f6"
HEAD = "lm_head."
CLASSIFIER = "backbone."
CLASSIFIER_HEAD = "mlp_head."
VOCABULARY_ONLY = ("quantize.", "encode_task_layer.", "decode_task_layer.")


@dataclass(frozen=True)
class HeartLangOptions:
    """What the network is fed, which of its outputs is the feature, and how it is pre-trained.

    Attributes:
        leads: "native" reads the words of lead I alone; "twelve" those of twelve leads, of which the ones that were
            not recorded are words of silence.
        filter: of the signal, before it is cut into words.
        normalization: of the signal, before it is cut; afterwards, padding would no longer be zero.
        pooling: "cls" is the class token, which pre-training never supervises; "mean" is over the words, and zero for a
            record without any.
        samples_per_word: at 100 Hz.
        net: size and switches; the published file fits the defaults only.
        masking: switches of the pre-training.
        vqhbr: size of the vocabulary that pre-training starts from: that of `heartlang-vqhbr`.
    """

    leads: Literal["native", "twelve"] = "native"
    filter: Filter = "heartlang"
    normalization: Normalization = "none"
    pooling: Literal["cls", "mean"] = "cls"
    samples_per_word: int = 96
    net: ECGFormerConfig = field(default_factory=ECGFormerConfig)
    masking: MaskedLanguageConfig = field(default_factory=MaskedLanguageConfig)
    vqhbr: VQHBRConfig = field(default_factory=VQHBRConfig)

    def __post_init__(self) -> None:
        own, named = (self.net.words, self.samples_per_word), (self.vqhbr.words, self.vqhbr.samples_per_word)
        if own != named:
            raise ValueError(f"net.words and samples_per_word must be those of vqhbr; got {own} and {named}")


class HeartLangAdapter(BeatTokenizer):
    """ST-ECGFormer as a frozen encoder of sentences, and the language model around it as what is pre-trained.

    Attributes:
        init_reports: what the last `objective` found in the files of `init`, by part.
    """

    Options = HeartLangOptions
    init_parts = (PART,)

    def __init__(self, options: HeartLangOptions | None = None) -> None:
        self.options = options or HeartLangOptions()
        super().__init__(self.options.net.words, self.options.samples_per_word)
        self.net: ECGFormer | None = None
        self.init_reports: dict[str, LoadReport] = {}
        native = self.options.leads == "native"
        view = heartbeat_view(self.options.filter, self.options.normalization)
        self.views: Mapping[str, InputSpec] = {"twelve_lead": view}
        given = asdict(replace(view, leads=("I",) if native else LEADS))
        self.spec = MethodSpec(
            **given,
            name=NAME if native else f"{NAME}-12lead",
            title="HeartLang" if native else "HeartLang (12-lead)",
            embedding_dim=self.options.net.width,
            pretraining_data=("MIMIC-IV-ECG",),
            pretrainable=native,
            weights_of="" if native else NAME,
            paper=PAPER,
            license="MIT",
            published_weights=f"{HUB}: {FILE}; sha256, as others noted it: {SHA256}",
        )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Build the network on `device`: from a published file or one of `mibench pretrain`, or at random for None.

        Raises:
            MibenchError: the file is no weights file, or one of another network or method.
        """
        net = ECGFormer(self.options.samples_per_word, self.options.net)
        report = LoadReport() if weights is None else load_heartlang(net, weights)
        self.net = net.to(device).eval()
        return report

    def embed(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) as `spec` describes -> (batch, embedding_dim) float32, without gradient."""
        return self.embed_tokens(self.tokenize(ecg))

    def embed_tokens(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """Sentences as `tokenize` gives them, on any device -> (batch, embedding_dim) float32, without gradient."""
        if self.net is None:
            raise RuntimeError(f"{self.spec.name}: load() comes before embed()")
        device = self.net.cls_token.device
        words, leads, seconds = (tokens[name].to(device) for name in ("words", "leads", "seconds"))
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            features: Tensor = self.net.eval()(words.float(), leads, seconds)
            if self.options.pooling == "cls":
                return features[:, 0]
            real = (leads > 0).unsqueeze(-1)
            return (features[:, 1:] * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)

    def objective(self, init: Mapping[str, Path]) -> MaskedLanguageModel:
        """The language model at random, with the frozen vocabulary from the file that `init` names.

        Raises:
            MibenchError: no file for the vocabulary, one that does not fit, or an unknown part; or this is the variant
                that is not pre-trained.
        """
        if not self.spec.pretrainable:
            raise MibenchError(
                f"{self.spec.name} uses the weights of {NAME}: pre-train that, with mibench pretrain --method {NAME}"
            )
        unknown = sorted(set(init) - set(self.init_parts))
        if unknown:
            raise MibenchError(f"{NAME} has no part {', '.join(unknown)}; it has {PART}")
        if PART not in init:
            raise MibenchError(
                f"{NAME} guesses the codes of a vocabulary and was given none: pre-train one with mibench pretrain "
                f"--method {VOCABULARY}, then add --init {PART}=FILE, with its file or the published one ({HUB})"
            )
        vocabulary = VQHBR(self.options.vqhbr)
        self.init_reports = {PART: load_vqhbr(vocabulary, init[PART])}
        model = HeartLang(self.options.samples_per_word, self.options.net, self.options.vqhbr.codes)
        return MaskedLanguageModel(model, vocabulary, self.options.masking)

    def paper_count(self) -> PaperCount:
        """The language model on one sentence of which no word is hidden, so without its head."""
        options, words = self.options, self.options.net.words
        model = HeartLang(options.samples_per_word, replace(options.net, attention="plain"), options.vqhbr.codes)
        places = torch.ones(1, words, dtype=torch.int64)
        inputs = {
            "words": torch.zeros(1, words, options.samples_per_word),
            "leads": places,
            "seconds": places,
            "masked": torch.zeros(1, words, dtype=torch.bool),
        }
        return PaperCount(Calling(model, "guesses"), lambda: inputs)

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        """The language model with its head, named as in the published file; the vocabulary is a file of its own."""
        if not isinstance(objective, MaskedLanguageModel):
            raise TypeError(f"the objective of {NAME} is a MaskedLanguageModel; got {type(objective).__name__}")
        return dict(objective.model.state_dict())


def load_heartlang(net: ECGFormer, path: Path) -> LoadReport:
    """Fill the network from a file of the language model or of a classifier around it; their heads are left out.

    Raises:
        MibenchError: the file is no weights file, or one of another network or method.
    """
    state, container = read_weights(path)
    refuse_other_methods(path, NAME)
    if any(name.startswith(VOCABULARY_ONLY) for name in state):
        raise MibenchError(
            f"{path} is VQ-HBR, the vocabulary, and HeartLang's language model is wanted here: give {HUB}/{FILE}, or "
            f"what mibench pretrain --method {NAME} wrote"
        )
    tuned = any(name.startswith(CLASSIFIER) for name in state)
    heads = (CLASSIFIER + HEAD, CLASSIFIER_HEAD) if tuned else (HEAD,)
    module: nn.Module = net
    if tuned:
        module = nn.Module()
        module.add_module(CLASSIFIER.rstrip("."), net)
    report = load_into(
        module,
        state,
        source=path,
        ignore_extra=heads,
        expected=f"the layout of HeartLang's {FILE}, for the size of this net",
    )
    return replace(report, dropped=container.dropped + report.dropped)
