"""One step of every objective whose records are each other's negatives: `gather_worker.py FOLDER`.

Four processes, then two of them, each with its share of the same batch, under DDP. Each process writes what it found to
`WORLD-RANK.pt`: for every case the losses and the gradients, averaged over the processes.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mibench.methods.clocs import CLOCS
from mibench.methods.contrastive import groups_of
from mibench.methods.gather import gather_rows, gather_with_gradient
from mibench.methods.nets.net1d import Net1DConfig
from mibench.methods.nets.wav2vec import Wav2VecConfig
from mibench.methods.selfmis import SelfMIS
from mibench.methods.siglip import SigLIPConfig, SigLIPLoss
from mibench.methods.simclr import SimCLR
from mibench.methods.threekg import ThreeKG
from mibench.methods.wav2vec2 import W2VCMSC

WORLDS = (4, 2)
PATIENTS = (5, 1, 5, 8, 1, 9, 5, 8)
"""Of the batch: some have records on several processes, however many there are."""

NET1D = Net1DConfig(base_filters=16, filter_list=(16, 32), m_blocks_list=(1, 1))
WAV2VEC = Wav2VecConfig(
    conv_channels=8,
    width=16,
    layers=1,
    heads=2,
    ffn=32,
    position_kernel=8,
    position_groups=4,
    dropout=0.0,
    attention_dropout=0.0,
    input_dropout=0.0,
)
Case = tuple[nn.Module, dict[str, Tensor]]


class Aligned(nn.Module):
    """A linear student under the loss of SelfMIS."""

    def __init__(self, config: SigLIPConfig) -> None:
        super().__init__()
        self.student = nn.Linear(4, 5)
        self.loss = SigLIPLoss(config)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": self.loss(self.student(batch["inputs"]), batch["targets"], batch["places"])}


class OfFeatures(nn.Module):
    """What an objective makes of the features of two views, where the views themselves are drawn at random."""

    def __init__(self, objective: SimCLR | ThreeKG | W2VCMSC) -> None:
        super().__init__()
        self.objective = objective.requires_grad_(False)
        self.student = nn.Linear(4, 5)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        first, second = self.student(batch["first"]), self.student(batch["second"])
        if isinstance(self.objective, SimCLR):
            return self.objective.losses(first, second)
        groups = groups_of(self.objective.positives, len(first), batch["patient"], first.device)
        if isinstance(self.objective, ThreeKG):
            return self.objective.losses(first, second, groups)
        return {"loss": self.objective.contrast(first, second, groups)}


def _aligned(similarity: Any, scale_mode: Any, reduction: Any, learned: bool) -> Case:
    config = SigLIPConfig(
        similarity=similarity,
        scale_mode=scale_mode,
        t=0.3,
        learn_scale=learned,
        bias="learn" if learned else -0.5,
        reduction=reduction,
    )
    return Aligned(config), {"inputs": torch.randn(8, 4), "targets": torch.randn(8, 5)}


def _selfmis() -> Case:
    twelve = torch.randn(8, 12, 400).cumsum(-1) / 10
    objective = SelfMIS(NET1D, SigLIPConfig(learn_scale=True, bias="learn"))
    return objective, {"single_lead": 2 * twelve[:, :1], "twelve_lead": twelve}


def _of_features(objective: SimCLR | ThreeKG | W2VCMSC) -> Case:
    objective.negatives = "global"
    views = {"first": torch.randn(8, 4), "second": torch.randn(8, 4)}
    return OfFeatures(objective), {**views, "patient": torch.tensor(PATIENTS)}


def _clocs(negatives: Any, **switches: Any) -> Case:
    objective = CLOCS(WAV2VEC, **switches)
    objective.negatives = negatives
    return objective, {"record": torch.randn(8, 12, 200), "patient": torch.tensor(PATIENTS)}


CASES: dict[str, Callable[[], Case]] = {
    **{
        f"siglip {choice[0]} {choice[1]} {choice[2]} {'learned' if choice[3] else 'fixed'}": partial(_aligned, *choice)
        for choice in product(("cosine", "dot"), ("divide", "multiply"), ("sum_over_b", "mean"), (False, True))
    },
    "selfmis": _selfmis,
    "simclr": lambda: _of_features(SimCLR(WAV2VEC)),
    "3kg by record": lambda: _of_features(ThreeKG(WAV2VEC)),
    "3kg by patient": lambda: _of_features(ThreeKG(WAV2VEC, positives="patient")),
    "w2v-cmsc by record": lambda: _of_features(W2VCMSC(WAV2VEC)),
    "w2v-cmsc by patient": lambda: _of_features(W2VCMSC(WAV2VEC, positives="patient")),
    "clocs cmsc by record": lambda: _clocs("global"),
    "clocs cmsc by patient": lambda: _clocs("global", positives="patient"),
    "clocs cmlc by record": lambda: _clocs("global", mode="cmlc"),
    "clocs cmsmlc by patient": lambda: _clocs("global", mode="cmsmlc", positives="patient"),
    "clocs local": lambda: _clocs("local"),
}


def step(name: str, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
    """The losses and gradients of one case, with one share of its batch, averaged over the running processes."""
    torch.manual_seed(0)
    objective, batch = CASES[name]()
    objective = objective.double()
    own = {
        key: (value.double() if value.is_floating_point() else value).chunk(world)[rank] for key, value in batch.items()
    }
    if isinstance(objective, SelfMIS):
        own["targets"] = objective.teach(own.pop("twelve_lead"))
    if "targets" in own:
        own["places"] = torch.arange(len(own["targets"]))
        if dist.is_initialized():
            own["places"] += rank * len(own["targets"])
            parts = [torch.empty_like(own["targets"]) for _ in range(world)]
            dist.all_gather(parts, own["targets"])
            own["targets"] = torch.cat(parts)
    module = DistributedDataParallel(objective) if dist.is_initialized() else objective
    values = module(own)
    values["loss"].backward()
    found = {key: values[key].detach() for key in ("loss", "siglip_sum", "siglip_mean", "infonce") if key in values}
    if dist.is_initialized():
        for value in found.values():
            dist.all_reduce(value)
            value /= world
    return found | {key: value.grad for key, value in objective.named_parameters() if value.grad is not None}


def particulars(rank: int) -> dict[str, Any]:
    """What holds of gathering itself: order and type of rows, their gradient, and who is refused."""
    found: dict[str, Any] = {"order": gather_rows(torch.full((2, 1), rank)).flatten().tolist()}
    for dtype in (torch.float16, torch.bfloat16):
        rows = torch.full((2, 3), rank + 1.0, dtype=dtype, requires_grad=True)
        gathered = gather_with_gradient(rows)
        (gathered * (rank + 1)).sum().backward()
        found[str(dtype)] = [gathered.detach(), rows.grad]
    found["without"] = gather_rows(torch.zeros(1, 1, requires_grad=True)).requires_grad
    for gather in (gather_with_gradient, gather_rows):
        try:
            gather(torch.zeros(2 + rank, 3))
        except ValueError as problem:
            found[gather.__name__] = str(problem)
    return found


def main(rank: int, folder: Path) -> None:
    for world in WORLDS:
        if rank < world:
            meeting = (folder / f"meeting-of-{world}").as_uri()
            dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
            found: dict[str, Any] = {name: step(name, rank, world) for name in CASES}
            torch.save(found | {"particulars": particulars(rank)}, folder / f"{world}-{rank}.pt")
            dist.destroy_process_group()


if __name__ == "__main__":
    # Forked, so that torch, and what DDP imports of it when first used, is imported once and not by each.
    importlib.import_module("torch._dynamo")
    mp.start_processes(main, (Path(sys.argv[1]),), nprocs=max(WORLDS), start_method="fork")
