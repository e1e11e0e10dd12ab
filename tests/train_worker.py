"""Trainings of a small demo heart, for torchrun or for one process: `train_worker.py DEMO RESULTS CASE...`.

Every case prints nothing and leaves `CASE.json` in RESULTS, with the folder of its weights and what was said.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from mibench.benchmark.data.dataset import load_dataset
from mibench.benchmark.processes import rank, world
from mibench.benchmark.protocols import pretrain
from support import TINY, request_of

SETTINGS = pretrain.Settings(epochs=1, batch_size=16, learning_rate=1e-3, precision="32-true")
LOCAL = replace(SETTINGS, negatives="local", micro_batch=8)
SMALL = ("method.net.filters=[4, 8]",)
CASES = {
    "cached": ("selfmis", SETTINGS, pretrain.Ways(), TINY),
    "plain": ("selfmis", SETTINGS, pretrain.Ways(teacher_cache=False), (*TINY, "method.loss.t=0.1")),
    "passes": ("selfmis", replace(SETTINGS, micro_batch=4), pretrain.Ways(), (*TINY, "method.loss.t=0.2")),
    "local": ("selfmis", LOCAL, pretrain.Ways(), TINY),
    "players": ("mcma", replace(LOCAL, batch_size=8, micro_batch=4, clip=0.0), pretrain.Ways(), SMALL),
}


def main(demo: Path, results: Path, *names: str) -> None:
    data = load_dataset(demo)
    for name in names:
        method, settings, ways, sets = CASES[name]
        said: list[str] = []
        preset = "tiny" if method == "mcma" else None
        request = replace(request_of(method, data, results, preset=preset, sets=sets), say=said.append)
        if world() == 1:
            # What one process does in passes several do at once.
            settings = replace(settings, micro_batch=None if settings.negatives == "global" else settings.micro_batch)
        folder = pretrain.run(request, settings, 1, ways=ways)
        if not rank():
            (results / f"{name}.json").write_text(json.dumps({"folder": str(folder), "said": said}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
