"""The `generation` block of a run record: what read the generated leads, and how near they came to the real ones."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Record = Mapping[str, Any]

UNTRAINED = ("random", "none")
"""Sources of weights that nothing was learnt into."""

CHEST = ("V1", "V2", "V3", "V4", "V5", "V6")
ERRORS = ("mse", "mae", "pearson")
LATENT: Mapping[str, str] = {
    "fid": "fid",
    "fid_mean": "fid_mean",
    "fid_covariance": "fid_covariance",
    "fid_infinite": "fid_infinite",
    "fid_floor": "floor",
    "fid_floor_sd": "floor_sd",
    "fid_floor_records": "floor_records",
    "fid_relative": "relative",
    "latent_variance": "total_variance",
    "paired_distance": "paired_distance",
    "cosine": "cosine",
    "kid": "kid",
    "latent_records": "records",
    "latent_features": "features",
}
"""Names of figures of the latent space, and where the block holds them."""

PAIRED = ("paired_distance", "cosine")
"""Those that have an interval."""

FIGURES: tuple[str, ...] = (
    *(f"{part}_{name}{end}" for part in ("missing", "twelve") for name in ERRORS for end in ("", "_low", "_high")),
    "variance_ratio",
    "frontal_plane",
    "frontal_plane_real",
    "r_amplitude_slope",
    "r_amplitude_r2",
    "heart_rate_mae",
    "heart_rate_within_5_bpm",
    "heart_rate_undetected",
    "signal_records",
    *LATENT,
    *(f"{name}{end}" for name in PAIRED for end in ("_low", "_high")),
)
"""Everything that `figures_of` can find."""


@dataclass(frozen=True)
class Classifier:
    """What reads the generated leads of a board; two are the same when all but their titles and file names is."""

    method: str
    preset: str
    trained_on: str
    source: str
    sha256: str
    seed: int | None
    title: str = field(compare=False)
    file: str = field(compare=False)

    @property
    def trained(self) -> bool:
        """Whether its weights are more than a draw."""
        return self.source not in UNTRAINED

    @property
    def words(self) -> str:
        """Its name and its weights."""
        preset = f", preset {self.preset}" if self.preset else ""
        if self.source == "random":
            return f"{self.title}{preset}, random weights (seed {self.seed})"
        details = ", ".join(part for part in (self.file, self.sha256[:8]) if part)
        return f"{self.title}{preset}, {self.source} weights" + (f" ({details})" if details else "")


def classifier_of(record: Record) -> Classifier | None:
    """The classifier of a generative run; None for other runs, and where a failed one names none."""
    block = (record.get("generation") or {}).get("classifier")
    if record["protocol"]["name"] != "generative" or not block or "trained_on" not in block:
        return None
    weights = block["weights"]
    return Classifier(
        method=block["method"],
        preset=block.get("preset") or "",
        trained_on=block["trained_on"],
        source=weights["source"],
        sha256=weights.get("sha256") or "",
        seed=weights.get("seed"),
        title=block.get("title") or block["method"],
        file=weights.get("name") or "",
    )


def sees_of(record: Record) -> str:
    """What the generator was given: "observed" is lead I and nothing else."""
    return str((record.get("generation") or {}).get("sees", "observed"))


def figures_of(record: Record) -> dict[str, float]:
    """The figures of `FIGURES` that a record knows, in the units of the run record; none for other protocols.

    Variance ratio: mean over the eleven missing leads. Frontal plane: mean of the four identities. R amplitude: mean
    over the six chest leads. Heart rate: mean over the generated leads that it was looked for in.
    """
    generation = record.get("generation") or {}
    signal, latent = generation.get("signal") or {}, generation.get("latent") or {}
    found: dict[str, Any] = {"signal_records": signal.get("records")}
    for part in ("missing", "twelve"):
        for name in ERRORS:
            found |= _with_ends(f"{part}_{name}", signal.get(part) or {}, name)
    found["variance_ratio"] = _mean(((signal.get("per_lead") or {}).get("variance_ratio") or [])[1:])
    for name in ("frontal_plane", "frontal_plane_real"):
        found[name] = _mean((signal.get(name) or {}).values())
    chest = [(signal.get("r_amplitude") or {}).get(lead) or {} for lead in CHEST]
    for name in ("slope", "r2"):
        found[f"r_amplitude_{name}"] = _mean(lead.get(name) for lead in chest)
    heart_rate = signal.get("heart_rate") or {}
    for name in ("mae", "within_5_bpm", "undetected"):
        found[f"heart_rate_{name}"] = _mean(heart_rate.get(name) or ())
    found |= {name: latent.get(key) for name, key in LATENT.items()}
    for name in PAIRED:
        found |= _with_ends(name, latent, name)
    return {name: found[name] for name in FIGURES if found[name] is not None}


def notes_of(record: Record) -> tuple[str, ...]:
    """What must be said of the figures of the latent space."""
    latent = (record.get("generation") or {}).get("latent") or {}
    return tuple(map(str, latent.get("notes") or ()))


def _with_ends(name: str, block: Record, key: str) -> dict[str, Any]:
    low, high = block.get(f"{key}_interval") or (None, None)
    return {name: block.get(key), f"{name}_low": low, f"{name}_high": high}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
