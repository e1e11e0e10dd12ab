"""Methods that mibench trains or fits, for the tests of the conformance kit: good ones, and ones that fail it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nonconforming import Small, Tiled
from safetensors.torch import load_file
from torch import Tensor, nn

from mibench.adapters.base import LEADS, Batches, Fitted, InputSpec, LoadReport, MethodSpec


class Pooled(nn.Module):
    """The network of `Small` and the mean over time, in one."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, ecg: Tensor) -> Tensor:
        out: Tensor = self.net(ecg).mean(dim=2)
        return out


class Tuned(Small):
    """Its network can be trained end to end."""

    pooled: type[nn.Module] = Pooled

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        report = super().load(weights, device)
        self.whole = self.pooled(self.net).eval()
        return report

    def network(self) -> nn.Module:
        return self.whole


class Duel(nn.Module):
    """A generator and a discriminator in the smallest size."""

    criterion = "mean squared error of the eleven missing leads, mV^2"

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Conv1d(1, 12, 5, padding=2)
        self.discriminator = nn.Conv1d(12, 1, 5)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        return {"generator": self.generator.parameters(), "discriminator": self.discriminator.parameters()}

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        real = batch["twelve"].flatten(0, 1)
        made = self.generator(real[:, :1])
        error = (made - real)[:, 1:].square().mean()
        if not self.training:
            return {"loss": error}
        deceived, told = nn.functional.softplus(-self.discriminator(made)), self.discriminator(made.detach())
        losses = {"generator_loss": error + deceived.mean(), "discriminator_loss": nn.functional.softplus(told).mean()}
        return {"loss": error.detach(), **losses}


class Duelling(Tiled):
    """Trained by mibench, two networks against each other."""

    spec = replace(Tiled.spec, name="duelling", pretrainable=True)
    init_parts: tuple[str, ...] = ()
    views: Mapping[str, InputSpec] = {
        "twelve": InputSpec(leads=LEADS, samples=1000, normalization="none", windows="tiled")
    }
    makes: type[nn.Module] = Duel

    def objective(self, init: Mapping[str, Path]) -> nn.Module:
        return self.makes()

    def trained_state(self, objective: nn.Module) -> dict[str, Tensor]:
        return dict(objective.generator.state_dict())  # type: ignore[union-attr, operator]


class MeanLeads(Small):
    """A closed form: every lead is what it is on the average, whatever lead I says."""

    spec = MethodSpec(name="mean-leads", kind="generator", normalization="none", pretrainable=True)
    init_parts: tuple[str, ...] = ()

    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        self.means = torch.rand(12) if weights is None else load_file(weights)["means"]
        return None

    def fit(self, training: Batches, validation: Batches, init: Mapping[str, Path], device: torch.device) -> Fitted:
        return Fitted({"means": torch.cat([ecg.mean(dim=2) for ecg in training()]).mean(dim=0)}, validation_loss=0.1)

    def synthesize(self, lead: Tensor) -> Tensor:
        return self.means[:, None].expand(len(lead), 12, lead.shape[-1])

    embed = None  # type: ignore[assignment]


class TunesBeforePooling(Tuned):
    def network(self) -> nn.Module:
        return self.net


class TunesAnotherScale(Tuned):
    class pooled(Pooled):  # noqa: N801
        def forward(self, ecg: Tensor) -> Tensor:
            return 2 * super().forward(ecg)


class TunesACopy(Tuned):
    def network(self) -> nn.Module:
        return copy.deepcopy(self.whole)


class TunesNothing(Tuned):
    class pooled(Pooled):  # noqa: N801
        @torch.no_grad()
        def forward(self, ecg: Tensor) -> Tensor:
            return super().forward(ecg)


class TunesItsInputAlone(Tuned):
    """What learns is added, and taken away again."""

    class pooled(Pooled):  # noqa: N801
        def forward(self, ecg: Tensor) -> Tensor:
            weight = next(self.parameters())
            return super().forward(ecg).detach() + (weight - weight).sum()


class TunesToNoNumber(Tuned):
    """The root of a square: its value is right, and its slope at zero is not finite."""

    class pooled(Pooled):  # noqa: N801
        def forward(self, ecg: Tensor) -> Tensor:
            out = super().forward(ecg)
            return out + (0 * out).square().sqrt()


class LosesADuel(Duelling):
    """Its discriminator has no loss."""

    class makes(Duel):  # noqa: N801
        def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: value for name, value in super().forward(batch).items() if name != "discriminator_loss"}


class NobodyLearns(Duelling):
    class makes(Duel):  # noqa: N801
        def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
            parts = super().forward(batch)
            return {**parts, "generator_loss": parts["generator_loss"].detach() + 0 * self.generator.weight.sum()}


class SharesAParameter(Duelling):
    class makes(Duel):  # noqa: N801
        def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
            return {"generator": self.parameters(), "discriminator": self.discriminator.parameters()}


class ForgetsAPlayer(Duelling):
    class makes(Duel):  # noqa: N801
        def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
            return {"generator": self.generator.parameters()}


class DivergesAtOnce(Duelling):
    class makes(Duel):  # noqa: N801
        def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {**super().forward(batch), "generator_loss": self.generator.weight.sum() / 0.0}


class InfiniteSlope(Duelling):
    """A root at zero: its value is finite, and its slope is not."""

    class makes(Duel):  # noqa: N801
        def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
            parts = super().forward(batch)
            slope = (0 * self.generator.weight).sum().sqrt()
            return {name: value + slope if name == "generator_loss" else value for name, value in parts.items()}


class JudgesByTheDuel(Duelling):
    """Its epochs would be chosen beside what the networks tell each other."""

    class makes(Duel):  # noqa: N801
        def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
            parts = super().forward(batch)
            return parts if self.training else {**parts, "generator_loss": parts["loss"]}


class NamesNoCriterion(Duelling):
    class makes(Duel):  # noqa: N801
        criterion = None  # type: ignore[assignment]


class ReadsNothingBack(Duelling):
    def load(self, weights: Path | None, device: torch.device) -> LoadReport | None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return super().load(None, device)


class FitsByChance(MeanLeads):
    def fit(self, training: Batches, validation: Batches, init: Mapping[str, Path], device: torch.device) -> Fitted:
        return Fitted({"means": torch.from_numpy(np.random.default_rng().random(12))})


class FitsToNothing(MeanLeads):
    def fit(self, training: Batches, validation: Batches, init: Mapping[str, Path], device: torch.device) -> Fitted:
        return Fitted({"means": torch.full((12,), torch.nan)})


class ErrsLessThanNothing(MeanLeads):
    def fit(self, training: Batches, validation: Batches, init: Mapping[str, Path], device: torch.device) -> Fitted:
        return replace(super().fit(training, validation, init, device), validation_loss=-1.0)


BROKEN_TRAINING: list[tuple[str, type[Any], str]] = [
    ("tune", TunesBeforePooling, r"\(2, 8, 199\) of torch.float32 and \(2, 8\) of torch.float32: let it pool"),
    ("tune", TunesAnotherScale, r"differs from embed\(\): by .* at most"),
    ("tune", TunesACopy, "gives another network each time"),
    ("tune", TunesNothing, r"network\(\) gives no gradient"),
    ("tune", TunesItsInputAlone, "no gradient reaches the parameters"),
    ("tune", TunesToNoNumber, r"the gradient in network\(\) is not finite"),
    ("training", LosesADuel, "and no `discriminator_loss`"),
    ("training", NobodyLearns, "generator_loss does not reach the parameters of player generator"),
    ("training", SharesAParameter, "gives a parameter to two players"),
    ("training", ForgetsAPlayer, r"leaves out discriminator\.weight"),
    ("training", DivergesAtOnce, "in training mode `generator_loss` is no finite single number"),
    ("training", InfiniteSlope, "the gradient of generator_loss is not finite"),
    ("training", JudgesByTheDuel, "gives generator_loss as well: give the criterion alone"),
    ("training", NamesNoCriterion, "no `criterion`"),
    ("training", ReadsNothingBack, r"with what trained_state\(\) gave, it makes what it made before"),
    ("fit", FitsByChance, "fitted twice to the same records, it differs"),
    ("fit", FitsToNothing, r"fit\(\) gave numbers in means that are not finite"),
    ("fit", ErrsLessThanNothing, r"validation loss is -1\.0"),
]
