"""A published weights file as plain safetensors: every tensor that its method uses, and nothing that could run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..adapters import registry
from ..adapters.base import Adapter, LoadReport
from ..adapters.checkpoints import read_weights, save_weights
from ..adapters.errors import MibenchError
from ..adapters.inert import plain_copy
from ..adapters.torchfile import NamesCodeError
from .files import atomic_path, sha256_file

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Conversion:
    """What a conversion read and wrote.

    Attributes:
        source, source_sha256: the file that was read.
        out, out_sha256: the file that was written.
        tensors: number of tensors written.
        dropped: names in the source that were left out.
        ignored: what the source names beside tensors and plain values; none of it was imported or run.
        notes: what the method says of the weights.
    """

    source: Path
    source_sha256: str
    out: Path
    out_sha256: str
    tensors: int
    dropped: tuple[str, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]


def convert(adapter: Adapter, source: Path, out: Path, relatives: Sequence[Adapter] = ()) -> Conversion:
    """Load a file into a method, and write those of its tensors that are used under the names that they have.

    Args:
        adapter: the method, which refuses what does not fit it, files of its siblings included.
        source: what was published.
        out: a `.safetensors` file; what was there is replaced.
        relatives: methods that use the same file; what one of them needs is kept.

    Raises:
        MibenchError: the file cannot be read or does not fit, or the method cannot read what was written.
    """
    with tempfile.TemporaryDirectory(prefix="mibench-convert-") as folder:
        path = source
        ignored: tuple[str, ...] = ()
        try:
            tensors, _ = read_weights(path)
        except NamesCodeError:
            path = Path(folder) / source.name
            ignored = plain_copy(source, path)
            tensors, _ = read_weights(path)
        report = _load(adapter, path, source)
        unused = set(report.dropped)
        for other in relatives:
            unused &= _unused_by(other, path, unused)
        kept = {name: tensor for name, tensor in tensors.items() if name not in unused}
        digest = sha256_file(source)
        spec = adapter.spec
        about = {
            "method": spec.weights_of or spec.name,
            "source": {"file": source.name, "sha256": digest},
            "dropped": sorted(unused),
            "ignored": list(ignored),
            "notes": list(report.notes),
        }
        with atomic_path(out) as temporary:
            save_weights(temporary, kept, about)
            # The proof that names and layout survived: the method reads what was written as it read the source.
            again = _load(adapter, temporary, out)
            if again.loaded != report.loaded:
                raise MibenchError(f"{spec.name} takes {report.loaded} tensors of {source}, of {out} {again.loaded}")
    return Conversion(
        source, digest, out, sha256_file(out), len(kept), tuple(sorted(unused)), ignored, tuple(report.notes)
    )


def relatives(owner: str, method: str, preset: str | None, sets: dict[str, Any]) -> list[Adapter]:
    """The other methods that use the weights of `owner`, at the same size as far as they have it."""
    found = []
    for card in registry.cards()[0].values():
        if card.name == method:
            continue
        # A plug-in that is broken, or has no such options, is no reason to stop.
        with contextlib.suppress(MibenchError):
            own = preset if preset in card.presets else None
            adapter = registry.create(registry.resolve_options(card, own, sets))
            if owner in (adapter.spec.weights_of, adapter.spec.name):
                found.append(adapter)
    return found


def _load(adapter: Adapter, path: Path, shown: Path) -> LoadReport:
    """What loading a file finds; errors name the file that the user knows."""
    try:
        return adapter.load(path, CPU) or LoadReport()
    except MibenchError as problem:
        raise MibenchError(str(problem).replace(str(path), str(shown))) from problem
    # A stranger's load() fails in its own ways.
    except Exception as problem:
        raise MibenchError(
            f"method {adapter.spec.name} cannot load {shown}: {type(problem).__name__}: {problem}; a load() that uses "
            f"mibench.adapters.checkpoints.read_weights takes torch files and .safetensors alike"
        ) from problem


def _unused_by(adapter: Adapter, path: Path, candidates: set[str]) -> set[str]:
    """Those of the candidates that another method leaves out as well; all, when the file is not for its network."""
    try:
        return set(_load(adapter, path, path).dropped)
    except MibenchError:
        return candidates
