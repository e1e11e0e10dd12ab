"""One of several processes with a share of the batch: `python gather_worker.py RANK WORLD FOLDER`.

Reads `batch.pt` (student inputs, teacher rows), trains nothing, and writes `rank-N.pt`: for each setting the loss and
the gradients that DDP would leave, averaged over the processes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from mibench.methods.siglip import SigLIPConfig, SigLIPLoss, gather_rows

SETTINGS = {
    "sum": SigLIPConfig(gather=True),
    "mean": SigLIPConfig(gather=True, reduction="mean", learn_scale=True, bias="learn"),
    "literal": SigLIPConfig(gather=True, similarity="dot", scale_mode="multiply"),
}


def main(rank: int, world: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=(folder / "rendezvous").as_uri(), rank=rank, world_size=world)
    batch = torch.load(folder / "batch.pt", weights_only=True)
    inputs, teacher = (part.chunk(world)[rank] for part in (batch["inputs"], batch["teacher"]))
    results = {}
    for name, config in SETTINGS.items():
        weight = batch["weight"].clone().requires_grad_(True)
        loss = SigLIPLoss(config).double()
        value = loss(inputs @ weight, teacher)
        value.backward()
        learned = {"weight": weight, **dict(loss.named_parameters())}
        numbers = {"loss": value.detach(), **{key: parameter.grad for key, parameter in learned.items()}}
        for number in numbers.values():
            dist.all_reduce(number)
            number /= world
        results[name] = numbers
    results["errors"] = _refusals(rank)
    torch.save(results, folder / f"rank-{rank}.pt")
    dist.destroy_process_group()


def _refusals(rank: int) -> list[str]:
    errors = []
    for rows in (torch.zeros(2, 3, requires_grad=True), torch.zeros(2 + rank, 3)):
        try:
            gather_rows(rows)
        except ValueError as problem:
            errors.append(str(problem))
    return errors


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
