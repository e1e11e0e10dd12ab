"""Latent FID (paper, Figure 1): how far generated test records lie from the real ones, in a twelve-lead encoder.

Generated and real records go through the same frozen encoder, and every distance of `latent` is taken between them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...adapters.options import plain
from .. import results
from ..frozen import RefusedWeightsError
from ..generated import Classifier, Generated, generated_of, real_features
from ..latent import summarize_latent
from ..latent_table import FORMATS, table
from ..provenance import now, provenance
from ..seeds import derive
from ..synthesis import OBSERVED
from ..weights import Weights
from .request import Request

__all__ = ["FORMATS", "NAME", "Settings", "run", "table"]

NAME = "latent_fid"


@dataclass(frozen=True)
class Settings:
    """Settings of the protocol.

    Attributes:
        classifier, classifier_preset: the encoder of twelve leads whose features are compared.
        classifier_normalization: how it scales millivolts, "own" as it is published. Under "zscore-lead" the size of
            a lead is nothing to it, and a lead that is a multiple of lead I is lead I.
        pass_through: the recorded lead I takes the place of the generated one.
        resamples: of the bootstrap.
    """

    classifier: str = "ecgfounder-12lead"
    classifier_preset: str = "full"
    classifier_normalization: Literal["own", "zscore-lead", "zscore-record"] = "own"
    pass_through: bool = True
    resamples: int = 2000

    def __post_init__(self) -> None:
        if self.resamples < 2:
            raise ValueError(f"resamples must be at least 2; got {self.resamples}")


def run(request: Request, weights: Weights, classifier: Classifier, settings: Settings, version: int) -> Path:
    """Compare one generator's test records with the real ones; what is done already stays.

    Args:
        request, weights: the generator.
        classifier: the encoder with its weights, on the same data.

    Returns:
        The run record.

    Raises:
        MibenchError: fewer than two test records, or the generator's output is wrong; the failure is recorded.
    """
    found = determinants(request, weights, classifier, settings, version)
    key = results.run_key(found)
    place = (request.results, request.data.name, f"{NAME}-v{version}", request.method, key)
    if not request.force and results.exists(*place):
        request.say(f"{request.method}, {weights.name}: its latent FID is done already")
        return results.record_path(*place)
    started = time.monotonic()
    envelope = _envelope(request, weights, found, key)
    try:
        generated = generated_of(request, weights, classifier, "test", pass_through=settings.pass_through)
        about = compare(request, classifier, settings, generated, real_features(classifier)[generated.rows])
    except RefusedWeightsError:
        raise
    except Exception as problem:
        results.write_failure(request.results, envelope, str(problem) or type(problem).__name__)
        raise
    record = {**envelope, "generation": about}
    record["weights"] = weights.to_record(generated.notes)
    record["provenance"] = provenance(str(request.batching.device), time.monotonic() - started)
    return results.write(request.results, record, None)


def determinants(
    request: Request, weights: Weights, classifier: Classifier, settings: Settings, version: int
) -> dict[str, Any]:
    """Whatever determines the figures."""
    return {
        "protocol": {"name": NAME, "version": version, "settings": plain(settings)},
        "method": request.method_identity(),
        "weights": weights.identity(),
        "classifier": classifier.identity(),
        "data": request.data.manifest,
    }


def compare(
    request: Request, classifier: Classifier, settings: Settings, generated: Generated, real: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """The record's `generation` block: the latent distances, and in whose features.

    Args:
        request: the generator's.
        generated: the test records that it made.
        real: (rows, embedding_dim), the features of the same rows' real records.
    """
    data = request.data
    return {
        "classifier": classifier.describe(),
        # Another record's leads have no lead I of this record among them.
        "pass_through": settings.pass_through and request.adapter.spec.sees != "another-record",
        "sees": request.adapter.spec.sees,
        "latent": summarize_latent(
            real,
            generated.features,
            data.patients[generated.rows],
            seed=derive(0, "latent", data.manifest),
            resamples=settings.resamples,
        ),
    }


def _envelope(request: Request, weights: Weights, found: dict[str, Any], key: str) -> dict[str, Any]:
    split = request.data.split()
    return {
        "schema": results.SCHEMA_VERSION,
        "key": key,
        "created": now(),
        "protocol": found["protocol"],
        "method": request.method_record(),
        "weights": weights.to_record(),
        "data": request.data_record(OBSERVED, {part: len(rows) for part, rows in split.items()}),
        "ratio": None,
        "seed": None,
        "determinants": found,
        "provenance": provenance(str(request.batching.device), 0.0),
    }
