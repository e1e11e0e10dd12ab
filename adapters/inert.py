"""Weights out of files that name code: in a process of its own, and without running any of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from .checkpoints import CONTAINERS
from .errors import MibenchError

WORKER = Path(__file__).with_name("inert_worker.py")


def plain_copy(path: Path, out: Path) -> tuple[str, ...]:
    """Rewrite a file of `torch.save` as one that `checkpoints.read_weights` takes.

    Tensors and the plain values beside them stay under their names; optimisers' tensors go. A network that was pickled
    whole gives the tensors of its state dict.

    Args:
        path: the file, from whomever; nothing that it names is imported or run.
        out: the file to write.

    Returns:
        What the file names and what was ignored, such as "omegaconf.dictconfig.DictConfig".

    Raises:
        MibenchError: it holds no tensors, or is damaged.
    """
    # Isolated: neither the user's folder and modules nor the environment decide what the process imports.
    command = [sys.executable, "-I", str(WORKER), str(path.absolute()), str(out.absolute()), *CONTAINERS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=out.absolute().parent, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        answer = {"error": f"it is damaged, or holds something that is not supported ({lines[-1]})"}
    if "error" in answer:
        raise MibenchError(f"no weights can be read from {path}: {answer['error']}")
    return tuple(answer["ignored"])
