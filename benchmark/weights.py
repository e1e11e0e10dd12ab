"""Which weights a run uses: published, pre-trained here, or random; and how one choice is told from another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from ..adapters import registry
from ..adapters.base import Adapter, LoadReport, MethodCard, MethodSpec
from ..adapters.errors import MibenchError
from .data.catalog import DEMO
from .files import safe_name, sha256_file, write_json
from .home import home
from .seeds import derive

Source = Literal["published", "pretrained", "random", "none", "own"]


@dataclass(frozen=True)
class Weights:
    """One choice of weights.

    Attributes:
        source: "published" (a file that was imported), "pretrained" (made by `mibench pretrain`), "random", "none" for
            an anchor without weights, or "own" for what a plug-in brings itself.
        name: the file's name, or what stands in tables.
        path, sha256: of the file.
        seed: of random weights.
        pretraining: key, data and settings of the pre-training, when it was ours.
    """

    source: Source
    name: str = ""
    path: Path | None = None
    sha256: str | None = None
    seed: int | None = None
    pretraining: Mapping[str, Any] | None = field(default=None, hash=False)

    def identity(self) -> dict[str, Any]:
        """What determines the network: part of every key; a file is its content, whatever it is called."""
        return {"sha256": self.sha256, "random_seed": self.seed}

    def to_record(self, notes: Sequence[str] = ()) -> dict[str, Any]:
        """The `weights` part of a run record, with what loading them found."""
        return {
            "source": self.source,
            "name": self.name,
            "sha256": self.sha256,
            "seed": self.seed,
            "notes": list(notes),
            "pretraining": self.pretraining,
        }

    def load(self, adapter: Adapter, device: torch.device) -> LoadReport:
        """Build the adapter's network with these weights.

        Random weights come from torch's generator, seeded by the method's name, so that they are the same each time.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed or 0, "weights", adapter.spec.name))
            return adapter.load(self.path, device) or LoadReport()


def resolve(
    choice: str,
    spec: MethodSpec,
    *,
    demo: bool = False,
    plug_in: bool = False,
    options: Mapping[str, Any] = MethodCard.EMPTY,
) -> Weights | None:
    """What `--weights` means for a method.

    Args:
        choice: "auto", "random", "random:SEED", "published", "pretrained", or the path of a file.
        spec: of the method.
        demo: it is for demo data: what was pre-trained on such data only ever serves such data.
        plug_in: the method is somebody's own; "auto" then falls back on what it brings itself.
        options: of the method: pre-trainings of a network of another size do not count.

    Returns:
        The weights; None when "auto" or "pretrained" finds nothing.

    Raises:
        MibenchError: no such file, or nothing of that kind.
    """
    if not spec.needs_weights:
        return Weights("none", "none")
    if matched := re.fullmatch(r"random(?::(\d+))?", choice):
        seed = int(matched.group(1) or 0)
        return Weights("random", f"random:{seed}" if seed else "random", seed=seed)
    if choice == "auto":
        found = _published(spec) or _newest_pretrained(spec, options, demo=demo)
        # Only its author knows whether what a plug-in makes of `load(None)` is trained.
        return Weights("own", "its own") if found is None and plug_in and not spec.pretrainable else found
    if choice == "published":
        published = _published(spec)
        if published is None:
            raise MibenchError(
                f"no published weights of {spec.name} are registered: mibench weights add {spec.name} FILE"
            )
        return published
    if choice == "pretrained":
        return _newest_pretrained(spec, options, demo=demo)
    path = Path(choice).expanduser()
    if not path.is_file():
        raise MibenchError(
            f"--weights {choice}: there is no such file; give a file, or auto, published, pretrained or random"
        )
    return _from_file(path)


def how_to_get(name: str, spec: MethodSpec, data: str) -> str:
    """The commands that help when a method, typed as `name`, has no weights."""
    lines = [f"no weights of {spec.name} are at hand. One of these helps:"]
    card = registry.cards()[0].get(spec.weights_of or name)
    if card is not None and card.published.get("hub"):
        lines.append(f"  mibench weights download {name}   # {spec.published_weights}")
    where = f"   # {spec.published_weights}" if spec.published_weights else ""
    lines.append(f"  mibench run --method {name} --data {data} --weights FILE{where}")
    if spec.pretrainable or spec.weights_of:
        lines.append(f"  mibench pretrain --method {spec.weights_of or name} --data {data}")
    else:
        lines.append(f"  mibench weights add {name} FILE   # once; then --weights auto finds it")
    lines.append(f"  mibench run --method {name} --data {data} --weights random   # the anchor")
    return "\n".join(lines)


def register(spec: MethodSpec, path: Path, source: Mapping[str, str] | None = None) -> Weights:
    """Remember where the published weights of a method are; they are told by their sha256 from then on.

    Args:
        spec: of the method.
        path: the file.
        source: where it was fetched from, and under which licence, to be kept beside.
    """
    path = path.expanduser().resolve()
    weights = _from_file(path)
    origin = {"source": dict(source)} if source else {}
    write_json(_register_file(spec), {"method": spec.name, "path": str(path), "sha256": weights.sha256, **origin})
    return weights


def registered() -> dict[str, dict[str, Any]]:
    """Registered published files by method."""
    entries = (json.loads(file.read_text(encoding="utf-8")) for file in sorted((home() / "weights").glob("*.json")))
    return {entry["method"]: entry for entry in entries}


def pretrained_folder(method: str) -> Path:
    """Where the pre-trainings of a method live, one folder each."""
    return home() / "pretrained" / safe_name(method)


def pretrained_methods() -> list[str]:
    """Methods with a finished pre-training, plug-ins and variants among them."""
    return sorted({file.parents[1].name for file in (home() / "pretrained").glob("*/*/finished.json")})


def pretrainings(method: str) -> list[dict[str, Any]]:
    """Finished pre-trainings of a method, oldest first, as described in their `finished.json`."""
    found = []
    for file in pretrained_folder(method).glob("*/finished.json"):
        try:
            entry = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found.append({**entry, "path": file.parent / "weights.safetensors"})
    return sorted(found, key=lambda entry: str(entry["created"]))


def _published(spec: MethodSpec) -> Weights | None:
    file = _register_file(spec)
    if not file.is_file():
        return None
    entry = json.loads(file.read_text(encoding="utf-8"))
    path = Path(entry["path"])
    if not path.is_file() or sha256_file(path) != entry["sha256"]:
        raise MibenchError(
            f"the registered weights of {spec.name}, {path}, are gone or changed: mibench weights add {spec.name} FILE"
        )
    return Weights("published", path.name, path, entry["sha256"])


def _newest_pretrained(spec: MethodSpec, options: Mapping[str, Any], *, demo: bool) -> Weights | None:
    found = pretrainings(spec.weights_of or spec.name)
    fitting = [entry for entry in found if _of_demo_data(entry["data"]) == demo]
    fitting = [entry for entry in fitting if _sizes(entry["options"]) == _sizes(options)]
    if not fitting:
        return None
    newest = fitting[-1]
    if not newest["path"].is_file() or sha256_file(newest["path"]) != newest["sha256"]:
        raise MibenchError(
            f"the weights of pre-training {newest['key'][:8]} of {spec.name}, {newest['path']}, are gone or changed: "
            f"remove that folder, or pre-train again with --force"
        )
    return _pretrained(newest)


def _of_demo_data(data: Mapping[str, Any]) -> bool:
    """Whether a pre-training is of demo data; older ones do not keep the notice, and knew of no such data but one."""
    return data["notice"] is not None if "notice" in data else data["name"] == DEMO


def _sizes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The whole numbers in a method's `net` options, by the convention that these are what shapes its tensors.

    Beside them a `variant`: weights of a repaired network are of no use to the published one.
    """
    net = {**options.get("net", {}), "variant": [options.get("variant")]}
    return {
        name: list(value) if isinstance(value, (list, tuple)) else value
        for name, value in net.items()
        if isinstance(value, (int, list, tuple)) and not isinstance(value, bool)
    }


def _from_file(path: Path) -> Weights:
    digest = sha256_file(path)
    # A file that `mibench pretrain` wrote stays what it is when it is named by its path.
    beside = path.parent / "finished.json"
    if beside.is_file():
        entry = json.loads(beside.read_text(encoding="utf-8"))
        if entry.get("sha256") == digest:
            return _pretrained({**entry, "path": path})
    return Weights("published", path.name, path, digest)


def _pretrained(entry: Mapping[str, Any]) -> Weights:
    about = {name: entry[name] for name in ("key", "data", "settings", "init")}
    how = "fitted" if entry["settings"].get("closed_form") else "pretrained"
    return Weights("pretrained", f"{how} {entry['key'][:8]}", entry["path"], entry["sha256"], pretraining=about)


def _register_file(spec: MethodSpec) -> Path:
    return home() / "weights" / f"{safe_name(spec.weights_of or spec.name)}.json"
