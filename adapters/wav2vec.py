"""What the adapters around one `Wav2VecEncoder` share: their preprocessing, reading published files, embedding.

A subclass (SimCLR, 3KG, CLOCS, Wav2Vec 2.0, W2V-CMSC) says what it is and hands its spec and the network's size up:

    class SimCLRAdapter(Wav2VecAdapter):
        name, title = "simclr", "SimCLR"
        criteria = ("simclr",)     # cfg["criterion"]["_name"] of the published files that are its own
        heads = ()                 # names or beginnings of names of its pre-training head, as HEADS below

        def __init__(self, options: SimCLROptions | None = None) -> None:
            ...
            super().__init__(MethodSpec(name=self.name, title=self.title, ...), options.net)

and has `spec`, `config`, `net` (None before `load`), `load`, `embed`, `network()`, and `encoder()`, a fresh
network at random. What its `trained_state` returns may hold the head beside the encoder's own `state_dict()`:
`load` leaves `heads` out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ..methods.nets.wav2vec import Wav2VecConfig, Wav2VecEncoder
from .base import LoadReport, MethodSpec, Normalization
from .checkpoints import load_into, read_container, read_metadata
from .errors import MibenchError

HEADS = ("mask_emb", "quantizer.", "project_q.", "final_proj.")
"""Beginnings of the names of what wav2vec's masked prediction needs beside the encoder."""

UNCOUNTED = ("q_proj", "k_proj", "v_proj", "out_proj", "feature_extractor.conv_layers.0.2")
"""What ptflops misses in the original program, which uses the weights of these parts without calling them or derives
their class from torch's: with these left out, `ptflops_macs` gives the figures of the paper's Table 4."""

METHODS_BY_CRITERION = {
    "simclr": "simclr",
    "3kg": "3kg",
    "cmsc": "clocs",
    "clocs": "clocs",
    "wav2vec2": "wav2vec2",
    "wav2vec2_with_cmsc": "w2v-cmsc",
}
METHODS_BY_MODEL = {
    "ecg_transformer": ("simclr", "3kg", "clocs"),
    "wav2vec2": ("wav2vec2",),
    "wav2vec2_cmsc": ("w2v-cmsc",),
}
TUNED = "encoder."
TUNED_HEAD = "proj."
OLD_WEIGHT_NORM = {
    "conv_pos.pos_conv.0.weight_g": "conv_pos.pos_conv.0.parametrizations.weight.original0",
    "conv_pos.pos_conv.0.weight_v": "conv_pos.pos_conv.0.parametrizations.weight.original1",
}


@dataclass(frozen=True)
class Wav2VecPreprocessing:
    """What the network is fed.

    Attributes:
        norm: z-score of every lead over the whole record ("lead"), as the newest published pipeline prepares its
            files, of all leads together ("record"), or millivolts as the older one ("none").
        filter: "none" as both published pipelines, or a bandpass.
    """

    norm: Literal["lead", "record", "none"] = "lead"
    filter: Literal["none", "bandpass"] = "none"

    @property
    def normalization(self) -> Normalization:
        """`norm` in the words of `InputSpec`."""
        names: dict[str, Normalization] = {"lead": "zscore-lead", "record": "zscore-record", "none": "none"}
        return names[self.norm]


class Wav2VecAdapter:
    """A `Wav2VecEncoder` as a frozen encoder: the mean over time of its last layer, as it is published.

    Attributes:
        name, title: of the method.
        criteria: names that published configurations give its objective.
        heads: beginnings of the names of its pre-training head, left out of what is loaded.
        spec, config: what the network takes, and its size.
        net: the network once `load` was called.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    criteria: ClassVar[tuple[str, ...]]
    heads: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: MethodSpec, config: Wav2VecConfig) -> None:
        self.spec = spec
        self.config = config
        self.net: Wav2VecEncoder | None = None

    def encoder(self) -> Wav2VecEncoder:
        """A network for the leads of `spec`, from torch's current random state."""
        return Wav2VecEncoder(len(self.spec.leads), self.config)

    def load(self, weights: Path | None, device: torch.device) -> LoadReport:
        """Build the network on `device`: from a published or own file of this method, or at random for None.

        Raises:
            MibenchError: the file is no weights file, one of another method, or one of another size.
        """
        net = self.encoder()
        report = LoadReport()
        if weights is not None:
            method = self.spec.weights_of or self.spec.name
            report = load_wav2vec(net, weights, heads=self.heads, criteria=self.criteria, method=method)
        self.net = net.to(device).eval()
        return report

    def network(self) -> Wav2VecEncoder:
        """The network itself: (batch, leads, samples) -> (batch, embedding_dim), with gradient."""
        if self.net is None:
            raise RuntimeError(f"{self.spec.name}: load() comes first")
        return self.net

    def embed(self, ecg: Tensor) -> Tensor:
        """(batch, leads, samples) as `spec` describes -> (batch, embedding_dim) float32, without gradient."""
        net = self.network()
        with torch.inference_mode(), torch.autocast(ecg.device.type, enabled=False):
            embedding: Tensor = net.eval()(ecg.float())
        return embedding


def load_wav2vec(
    net: Wav2VecEncoder, path: Path, *, heads: Sequence[str], criteria: Sequence[str], method: str
) -> LoadReport:
    """Fill an encoder from a published pre-training, from one that was fine-tuned, or from a file of our own.

    Siblings are refused, although SimCLR, 3KG and CLOCS have the same tensors, and so have Wav2Vec 2.0 and W2V-CMSC:
    they are told by what stands beside the tensors, and where nothing does, a note says so.

    Args:
        net: the network; untouched when an error is raised.
        path: the file.
        heads: beginnings of the names of the method's pre-training head, which are left out.
        criteria: names that published configurations give the method's objective.
        method: the method's name in the metadata of our own files.

    Raises:
        MibenchError: the file is no weights file, one of another method, or one of another size.
    """
    state, container, beside = read_container(path)
    tuned = any(name.startswith(f"{TUNED}feature_extractor.") for name in state)
    if tuned:
        state = {name.removeprefix(TUNED): tensor for name, tensor in state.items()}
    state = {OLD_WEIGHT_NORM.get(name, name): tensor for name, tensor in state.items()}
    config = _pretraining_config(beside, tuned=tuned)
    possible = _possible_methods(state, config, read_metadata(path), tuned=tuned)
    own = {method, *(METHODS_BY_CRITERION.get(name, name) for name in criteria)}
    if possible and own.isdisjoint(possible):
        raise MibenchError(
            f"{path} was pre-trained by {' or '.join(possible)}, not by {method}: give it to the method that it "
            f"belongs to, or give {method} a file of its own"
        )
    _refuse_other_network(net, state, _group(config, "model"), path)
    report = load_into(
        net,
        state,
        source=path,
        ignore_extra=(*heads, TUNED_HEAD) if tuned else heads,
        expected=f"the encoder of a published pre-training by {method}, or a file of `mibench pretrain`",
    )
    notes = ["the encoder was fine-tuned for a classification, whose head is left out"] if tuned else []
    if len(possible) != 1:
        notes.append(f"nothing in the file says what it was pre-trained by; it is taken for {method}")
    return replace(report, dropped=container.dropped + report.dropped, notes=tuple(notes))


def _pretraining_config(beside: Mapping[str, Any], *, tuned: bool) -> Mapping[str, Any]:
    """The configuration of the pre-training; a fine-tuned file keeps it inside its own, if at all."""
    config = _group(beside, "cfg")
    return _group(_group(config, "model"), "args") if tuned else config


def _possible_methods(
    state: Mapping[str, Tensor], config: Mapping[str, Any], metadata: Mapping[str, Any], *, tuned: bool
) -> tuple[str, ...]:
    """Methods whose pre-training a file can come from, by the surest sign there is; empty where nothing tells."""
    if "method" in metadata:
        return (str(metadata["method"]),)
    criterion = _group(config, "criterion").get("_name")
    if criterion in METHODS_BY_CRITERION:
        return (METHODS_BY_CRITERION[criterion],)
    model = _group(config, "model").get("_name")
    if model in METHODS_BY_MODEL:
        return METHODS_BY_MODEL[model]
    if any(name.startswith(HEADS) for name in state):
        return (*METHODS_BY_MODEL["wav2vec2"], *METHODS_BY_MODEL["wav2vec2_cmsc"])
    # Fine-tuned files have lost the head that would tell.
    return () if tuned else METHODS_BY_MODEL["ecg_transformer"]


def _refuse_other_network(
    net: Wav2VecEncoder, state: Mapping[str, Tensor], model: Mapping[str, Any], path: Path
) -> None:
    """One sentence for files of another size, and for those whose tensors fit a network that computes otherwise."""
    config = net.config
    leads = _length(state, "feature_extractor.conv_layers.0.0.weight", 1)
    if leads not in (None, net.leads):
        raise MibenchError(
            f"{path} is made for {_leads(leads)}, and this network takes {_leads(net.leads)}: give a file for "
            f"{_leads(net.leads)}, or choose the network for {_leads(leads)}"
        )
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.layers.")}
    found = {
        "layers": len(layers) or None,
        "width": _length(state, "post_extract_proj.weight", 0),
        "ffn": _length(state, "encoder.layers.0.fc1.weight", 0),
        # No tensor tells the number of heads.
        "heads": model.get("encoder_attention_heads"),
    }
    other = {name: value for name, value in found.items() if value not in (None, getattr(config, name))}
    if other:
        has = ", ".join(f"{name} {value}" for name, value in other.items())
        wanted = ", ".join(f"{name} {getattr(config, name)}" for name in other)
        remedy = " ".join(f"--set method.net.{name}={value}" for name, value in other.items())
        raise MibenchError(f"{path} has {has}, and this network {wanted}: add {remedy}, or give another file")
    unusual = {"layer_norm_first": False, "extractor_mode": "default"}
    for name, usual in unusual.items():
        if model.get(name, usual) != usual:
            raise MibenchError(
                f"{path} was trained with {name}={model[name]}, which this network cannot compute although the tensors "
                f"fit: give a file with {name}={usual}"
            )


def _group(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = values.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _length(state: Mapping[str, Tensor], name: str, axis: int) -> int | None:
    tensor = state.get(name)
    return None if tensor is None or tensor.ndim <= axis else tensor.shape[axis]


def _leads(count: int | None) -> str:
    return {1: "one lead", 12: "twelve leads"}.get(count or 0, f"{count} leads")
