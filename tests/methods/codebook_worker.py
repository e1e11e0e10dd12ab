"""One of several processes with a share of the vectors: `python codebook_worker.py RANK WORLD FOLDER`.

Reads `vectors.pt`, lets codebooks follow them, and writes the codebooks to `rank-N.pt`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from mibench.methods.vqhbr import NormEMAQuantizer, VQHBRConfig

SETTINGS = {
    "from random directions": VQHBRConfig(codes=12, code_dim=4, kmeans_iterations=0),
    "from the first batch": VQHBRConfig(codes=12, code_dim=4, kmeans_iterations=3),
}


def follow(name: str, vectors: Tensor, seed: int) -> dict[str, Tensor]:
    """The codebook after two steps on the same vectors; where it starts at random, it starts from seed 0."""
    torch.manual_seed(0)
    quantizer = NormEMAQuantizer(SETTINGS[name]).train()
    torch.manual_seed(seed)
    for _ in range(2):
        quantizer(vectors)
    return dict(quantizer.state_dict())


def main(rank: int, world: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=(folder / "rendezvous").as_uri(), rank=rank, world_size=world)
    vectors = torch.load(folder / "vectors.pt", weights_only=True).chunk(world)[rank]
    torch.save({name: follow(name, vectors, rank) for name in SETTINGS}, folder / f"rank-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
