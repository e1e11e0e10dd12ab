"""Adapters for the tests of the conformance kit: good ones of every kind, and for every check ones that fail it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mibench.adapters.base import LEADS, LoadReport, MethodSpec

SPEC = MethodSpec(name="small", embedding_dim=8, normalization="none")


class Small:
    """A good adapter: a convolution, a norm, dropout, a mean over time."""

    spec = SPEC

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        channels = len(self.spec.leads)
        net = nn.Sequential(nn.Conv1d(channels, 8, 50, stride=25), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.5))
        if weights is not None:
            net.load_state_dict(torch.load(weights, weights_only=True))
        self.net = net.to(device).eval()
        return LoadReport(loaded=4)

    def embed(self, ecg: Tensor) -> Tensor:
        out: Tensor = self.net(ecg).mean(dim=2)
        return out


@dataclass(frozen=True)
class Size:
    width: int = 8
    names: tuple[str, ...] = ("a",)


class WithOptions(Small):
    Options = Size

    def __init__(self, options: Size | None = None) -> None:
        self.options = options or Size()
        self.spec = replace(SPEC, embedding_dim=self.options.width)


class TwelveLeads(Small):
    spec = MethodSpec(
        name="twelve",
        leads=LEADS,
        samples=1000,
        embedding_dim=8,
        windows="mean-of-windows",
        window_count=3,
        normalization="none",
    )


class Tokens(Small):
    """Cuts ten pieces and reads them one by one; a piece below 0.05 mV is left out."""

    tokenizer: Mapping[str, Any] = {"pieces": 10}

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        self.net: nn.Module = nn.Linear(500, 8).to(device).eval()  # type: ignore[assignment]
        return None

    def tokenize(self, ecg: Tensor) -> dict[str, Tensor]:
        pieces = ecg[:, 0].reshape(-1, 10, 500).cpu()
        used = pieces.abs().amax(dim=2) > 0.05
        return {"pieces": pieces * used[..., None], "used": used}

    def embed_tokens(self, tokens: Mapping[str, Tensor]) -> Tensor:
        read: Tensor = self.net(tokens["pieces"]) * tokens["used"][..., None]
        return read.mean(dim=1)

    def embed(self, ecg: Tensor) -> Tensor:
        return self.embed_tokens({name: value.to(ecg.device) for name, value in self.tokenize(ecg).items()})


class Synthesizer(Small):
    """Lead I to twelve leads, with a draw in between as diffusion has it."""

    spec = MethodSpec(name="synth", kind="generator", normalization="none")

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        self.net: nn.Module = nn.Conv1d(1, 12, 5, padding=2).to(device).eval()  # type: ignore[assignment]
        return None

    def synthesize(self, lead: Tensor) -> Tensor:
        out: Tensor = self.net(lead + 0.1 * torch.randn_like(lead))
        return out

    embed = None  # type: ignore[assignment]


class Tiled(Small):
    """Windows of 2 s, each through a convolution, with no draw in between."""

    spec = MethodSpec(name="tiled", kind="generator", normalization="none", samples=1000, windows="tiled", overlap=100)

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        net = nn.Conv1d(1, 12, 5, padding=2)
        if weights is not None:
            net.load_state_dict(load_file(weights))
        self.net: nn.Module = net.to(device).eval()  # type: ignore[assignment]
        return None

    def synthesize(self, lead: Tensor) -> Tensor:
        out: Tensor = self.net(lead)
        return out

    embed = None  # type: ignore[assignment]


class RealRecord(Small):
    """Sees the real twelve leads."""

    spec = MethodSpec(
        name="real-record", kind="generator", leads=LEADS, normalization="none", needs_weights=False, sees="record"
    )

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        return None

    def synthesize(self, lead: Tensor) -> Tensor:
        return lead.clone()

    embed = None  # type: ignore[assignment]


class APart:
    spec = MethodSpec(name="a-part", kind="part")

    def load(self, weights: Path | None, device: torch.device) -> None:
        self.net = nn.Linear(2, 2).to(device)


class ListOfLeads(Small):
    spec = replace(SPEC, leads=["I"])  # type: ignore[arg-type]


class NoDimension(Small):
    spec = replace(SPEC, embedding_dim=None)


class CannotPretrain(Small):
    spec = replace(SPEC, pretrainable=True)


class RandomWindow(Small):
    spec = replace(SPEC, windows="random-window")


class TiledEncoder(Small):
    spec = replace(SPEC, windows="tiled", samples=1000)


class AveragedGenerator(Tiled):
    spec = replace(Tiled.spec, windows="mean-of-windows", window_count=2, overlap=0)


class ForgetfulOptions(Small):
    """Its options compare by identity, so nobody can tell whether two runs had the same."""

    @dataclass(frozen=True, eq=False)
    class Options:
        width: int = 8

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()


class UndecidedSpec(WithOptions):
    made = 0

    def __init__(self, options: Size | None = None) -> None:
        super().__init__(options)
        type(self).made += 1
        self.spec = replace(self.spec, version=self.made)


class NewSpec(Small):
    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        self.spec = replace(SPEC, version=2)
        return super().load(weights, device)


class TellsNothing(Small):
    def load(self, weights: Path | None, device: torch.device) -> Any:
        super().load(weights, device)
        return {"loaded": 4}


class NotPooled(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        out: Tensor = self.net(ecg)
        return out


class Half(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        return (super().embed(ecg) * 100).int()


class TwoLeads(Synthesizer):
    def synthesize(self, lead: Tensor) -> Tensor:
        return super().synthesize(lead)[:, :2]


class LogOfVoltage(Small):
    """Finite for what has no voltage below zero, and no recorded lead is like that."""

    def embed(self, ecg: Tensor) -> Tensor:
        return super().embed(ecg) * ecg.std(dim=(1, 2), keepdim=True)[:, 0].sub(0.01).div(10).neg().log()


class DividesByDeviation(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        return super().embed(ecg / ecg.std(dim=2, keepdim=True))


class Overflows(Small):
    """Exponentials of single samples: a heart stays under 15 mV, noise does not."""

    def embed(self, ecg: Tensor) -> Tensor:
        return super().embed(ecg) + 1e-30 * ecg.exp().sum(dim=2)


class DropoutInTraining(Small):
    """Its functional dropout asks no module for the mode."""

    def embed(self, ecg: Tensor) -> Tensor:
        return nn.functional.dropout(super().embed(ecg), 0.5, training=True)


class DrawsInSynthesis(Synthesizer):
    def synthesize(self, lead: Tensor) -> Tensor:
        noise = torch.from_numpy(np.random.default_rng().standard_normal(lead.shape, dtype=np.float32))
        return super().synthesize(lead + noise)


class Remembers(Small):
    """Centres on a running mean of everything it has seen, kept in a plain attribute."""

    seen: Tensor | None = None

    def embed(self, ecg: Tensor) -> Tensor:
        now = super().embed(ecg)
        fresh = now.mean(dim=0)
        # Two passes over the same records look alike; another batch gives it away.
        self.seen = fresh if self.seen is None or torch.allclose(fresh, self.seen) else 0.5 * (fresh + self.seen)
        return now - self.seen


class BatchStatistics(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        now = super().embed(ecg)
        return now / (now.square().mean(dim=0, keepdim=True).sqrt() + 1e-6)


class ScalesWithinTheBatch(Tiled):
    def synthesize(self, lead: Tensor) -> Tensor:
        return super().synthesize(lead / (lead.std() + 1e-6))


class OwnRandomness(Small):
    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        report = super().load(weights, device)
        fresh = torch.Generator().manual_seed(int.from_bytes(np.random.bytes(4), "big"))
        for parameter in self.net.parameters():
            parameter.data.normal_(generator=fresh)
        return report


class ElsewhereOutput(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        return super().embed(ecg).to("meta")


class WritesIntoItsInput(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        return super().embed(ecg.sub_(ecg.mean(dim=2, keepdim=True)))


class DriftingParameters(Small):
    """A bias that creeps on by less than any comparison of outputs would show."""

    def embed(self, ecg: Tensor) -> Tensor:
        self.net[0].bias.data += 1e-8
        return super().embed(ecg)


class CountingBuffer(Small):
    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        report = super().load(weights, device)
        self.nets = {"inner": [self.net]}
        self.net.register_buffer("calls", torch.zeros(1), persistent=False)
        return report

    def embed(self, ecg: Tensor) -> Tensor:
        self.net.calls += 1  # type: ignore[operator]
        return super().embed(ecg)


class HiddenNetwork(Small):
    """Its network lives in a closure, where no search through attributes finds it."""

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        report = super().load(weights, device)
        net = self.__dict__.pop("net")

        def run(ecg: Tensor) -> Tensor:
            net[1].running_mean += 1e-9
            out: Tensor = net(ecg).mean(dim=2)
            return out

        self.run = run
        return report

    def embed(self, ecg: Tensor) -> Tensor:
        return self.run(ecg)


class InTraining(Small):
    """Its one module behaves alike in both modes, today."""

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        net = nn.Sequential(nn.Conv1d(1, 8, 50, stride=25), nn.GELU())
        self.net = net.to(device)
        return None


class SwitchesToTraining(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        self.net.eval()
        out = super().embed(ecg)
        self.net.train()
        return out


class WithGradient(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            return super().embed(ecg.clone())


class KeepsGradient(Small):
    def embed(self, ecg: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            out = super().embed(ecg.clone())
            out.sum().backward()
        return out.detach()


class PairsOfRecords(Small):
    """Compares every record with every other and throws the answer away."""

    def embed(self, ecg: Tensor) -> Tensor:
        (ecg[:, None, 0] - ecg[None, :, 0]).square_()
        return super().embed(ecg)


class OtherTokens(Tokens):
    def embed(self, ecg: Tensor) -> Tensor:
        return super().embed(ecg * 2)


class CountsAgain(Tokens):
    """The tokens themselves are fine, and what is read of them is not what embed() reads."""

    def embed_tokens(self, tokens: Mapping[str, Tensor]) -> Tensor:
        return super().embed_tokens(tokens) + 1

    def embed(self, ecg: Tensor) -> Tensor:
        return super().embed(ecg) - 1


BROKEN_ADAPTERS: list[tuple[str, type[Any], str]] = [
    ("spec", ListOfLeads, "unhashable type: 'list'.*give its leads as a tuple"),
    ("spec", NoDimension, "embedding_dim is None"),
    ("spec", CannotPretrain, "pretrainable is set"),
    ("spec", RandomWindow, "which is for training"),
    ("spec", TiledEncoder, 'windows is "tiled", of which nothing can be joined'),
    ("spec", AveragedGenerator, 'have no mean: choose "whole" or "tiled"'),
    ("options", ForgetfulOptions, "its options come back"),
    ("options", UndecidedSpec, "another spec the second time"),
    ("load", NewSpec, "another one after load"),
    ("load", TellsNothing, "returned a dict: return a LoadReport"),
    ("shape", NotPooled, r"must give \(1, 8\) for a batch of 1 and gave \(1, 8, 199\)"),
    ("shape", Half, "gave torch.int32"),
    ("shape", TwoLeads, r"must give \(1, 12, 5000\)"),
    ("finite", LogOfVoltage, "embeddings of the first record or its neighbours are not finite"),
    ("flat", DividesByDeviation, "a flat lead is not finite"),
    ("noise", Overflows, "white noise .* is not finite"),
    ("repeat", DropoutInTraining, "two passes over the same records differ"),
    ("repeat", DrawsInSynthesis, "two passes over the same records differ"),
    ("history", Remembers, "depends on what came before it"),
    ("batch", BatchStatistics, "depends on the other records of its batch"),
    ("batch", ScalesWithinTheBatch, "synthetic ECG of a record depends on the other records"),
    ("device", OwnRandomness, "loaded twice with the same weights"),
    ("device", ElsewhereOutput, "given a signal on cpu, it answers on meta"),
    ("input", WritesIntoItsInput, "writes into the signal"),
    ("frozen", DriftingParameters, r"net\.0\.bias changed while it ran"),
    ("frozen", CountingBuffer, r"calls changed while it ran"),
    ("frozen", HiddenNetwork, r"\(Sequential\)\.1\.running_mean changed"),
    ("eval", InTraining, "Conv1d, GELU, Sequential ran in training mode"),
    ("eval", SwitchesToTraining, "net was put into training mode"),
    ("gradient", WithGradient, "carries a gradient"),
    ("gradient", KeepsGradient, r"net\.0\.weight.* has a gradient after it ran"),
    ("memory", PairsOfRecords, "times the memory of 8"),
    ("tokens", CountsAgain, "differs from embed"),
    ("tokens", OtherTokens, "differs from embed"),
]
