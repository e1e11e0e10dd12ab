"""Invented run records for the tests of records and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mibench.benchmark.ecg import FREQUENT_MI_STATEMENTS, LEADS, MI_STATEMENTS
from mibench.benchmark.results import run_key
from mibench.benchmark.stats import hanley_mcneil_interval

POSITIVES = dict(zip(MI_STATEMENTS, (29, 35, 236, 48, 268, 5, 3, 20, 2), strict=True))

MakeRecord = Callable[..., dict[str, Any]]


def invented_metrics(area: float, positives: Mapping[str, int]) -> dict[str, Any]:
    """AUCs that step around `area` by statement, with intervals as wide as their positives make them."""
    areas = {name: round(area + 0.004 * (i - 4), 6) for i, name in enumerate(MI_STATEMENTS) if positives[name]}

    def interval(value: float, count: int) -> list[Any]:
        found = hanley_mcneil_interval(value, count, 2100)
        return [found.low, found.high, "patient bootstrap" if count >= 20 else found.method]

    def mean(names: tuple[str, ...]) -> float:
        known = [areas[name] for name in names if name in areas]
        return sum(known) / len(known)

    return {
        "auc": {name: areas.get(name) for name in MI_STATEMENTS},
        "interval": {name: interval(areas[name], positives[name]) if name in areas else None for name in MI_STATEMENTS},
        "positives": dict(positives),
        "avg": mean(MI_STATEMENTS),
        "avg6": mean(FREQUENT_MI_STATEMENTS),
        "avg_interval": [mean(MI_STATEMENTS) - 0.04, mean(MI_STATEMENTS) + 0.04, "bootstrap and theory"],
        "avg6_interval": [mean(FREQUENT_MI_STATEMENTS) - 0.02, mean(FREQUENT_MI_STATEMENTS) + 0.02, "bootstrap"],
        "left_out": [name for name in MI_STATEMENTS if name not in areas],
        "macro_trained": area,
    }


@pytest.fixture
def make_record() -> MakeRecord:
    """A finished run of an invented method, with an invented AUC; keyword arguments change what matters."""

    def make(
        area: float = 0.8,
        *,
        method: str = "selfmis",
        title: str = "",
        options: Mapping[str, Any] | None = None,
        source: str = "published",
        weights_name: str = "weights.pth",
        sha256: str | None = "a" * 64,
        pretrained_on: str | None = None,
        data: str = "ptb-xl",
        release: str = "1.0.3",
        manifest: str = "0123456789abcdef" * 4,
        notice: str | None = None,
        complete: bool = True,
        leads: tuple[str, ...] = ("I",),
        protocol: str = "linear_probe",
        version: int = 1,
        settings: Mapping[str, Any] | None = None,
        ratio: float = 1.0,
        seed: int = 0,
        created: str = "2025-11-20T10:00:00+00:00",
        positives: Mapping[str, int] = POSITIVES,
    ) -> dict[str, Any]:
        used = {"epochs": 20, "observed_leads": list(leads), **(settings or {})}
        digest = sha256 if source in ("published", "pretrained") else None
        determinants = {
            "protocol": {"name": protocol, "version": version, "settings": used},
            "method": {"spec": {"name": method, "version": 1}, "options": dict(options or {}), "code": None},
            "weights": {"sha256": digest, "random_seed": 0 if source == "random" else None},
            "data": manifest,
            "ratio": ratio,
            "seed": seed,
        }
        return {
            "schema": 1,
            "key": run_key(determinants),
            "status": "done",
            "created": created,
            "protocol": {"name": protocol, "version": version, "settings": used},
            "method": {
                "name": method,
                "title": title or method,
                "version": 1,
                "kind": "encoder",
                "target": "package.module:Class",
                "options": dict(options or {}),
                "input": {"leads": ["I"], "sampling_rate": 500.0, "samples": 5000},
                "pretraining_data": [],
            },
            "weights": {
                "source": source,
                "name": weights_name if digest else source,
                "sha256": digest,
                "seed": 0 if source == "random" else None,
                "notes": [],
                "pretraining": {"key": "c" * 16, "data": {"name": pretrained_on}} if pretrained_on else None,
            },
            "data": {
                "name": data,
                "release": release,
                "notice": notice,
                "complete": complete,
                "manifest": manifest,
                "sampling_rate": 500.0,
                "observed_leads": list(leads),
                "records": {"train": 17084, "validation": 2146, "test": 2158},
            },
            "ratio": ratio,
            "seed": seed,
            "determinants": determinants,
            "metrics": invented_metrics(area, positives),
            "training": {"records": 17084, "epochs": 12, "best_epoch": 7, "validation": [0.7, 0.8]},
            "pretraining": None,
            "predictions": None,
            "provenance": {"mibench": "0.1.0", "python": "3.11", "device": "cpu", "seconds": 12.5},
            "error": None,
        }

    return make


def invented_generation(
    error: float,
    *,
    classifier: Mapping[str, Any],
    pass_through: bool,
    sees: str,
    latent: bool,
) -> dict[str, Any]:
    """The block of a generator that misses by `error` of the zero predictor's error, 0 to 1."""
    mse, mae, pearson = 0.057 * error, 0.13 * error, 1 - error
    errors = {
        "mse": mse,
        "mse_interval": [0.9 * mse, 1.1 * mse],
        "mae": mae,
        "mae_interval": [0.9 * mae, 1.1 * mae],
        "pearson": pearson,
        "pearson_interval": [pearson - 0.01, min(pearson + 0.01, 1.0)],
    }
    chest = {
        "slope": 1 - error,
        "r2": (1 - error) ** 2,
        "error_slope": -error,
        "error_r2": error,
        "records": 2150,
    }
    return {
        "classifier": dict(classifier),
        "pass_through": pass_through,
        "sees": sees,
        "signal": {
            "records": 2158,
            "leads": list(LEADS),
            "missing": errors,
            "twelve": {**errors, "pearson": (11 * pearson + 1) / 12},
            "per_lead": {
                "mse": [0.0, *[mse] * 11],
                "mae": [0.0, *[mae] * 11],
                "pearson": [1.0, *[pearson] * 11],
                "variance_ratio": [1.0, *[(1 - error) ** 2] * 11],
                "flat": [0] * 12,
            },
            "frontal_plane": dict.fromkeys(("III", "aVR", "aVL", "aVF"), error / 2),
            "frontal_plane_real": dict.fromkeys(("III", "aVR", "aVL", "aVF"), 0.004),
            "r_amplitude": dict.fromkeys(LEADS[6:], chest),
            "heart_rate": {
                "leads": ["II", "V2", "V5"],
                "mae": [3 * error] * 3,
                "within_5_bpm": [1 - error / 5] * 3,
                "undetected": [0.0, 0.0, 0.03],
                "records": 2158,
            },
            "order": None,
        },
        "latent": {
            "records": 2158,
            "features": 1024,
            "fid": 40 * error,
            "fid_mean": 10 * error,
            "fid_covariance": 30 * error,
            "fid_infinite": 38 * error,
            "floor": 1.25,
            "floor_sd": 0.05,
            "floor_records": 1079,
            "total_variance": 250.0,
            "relative": 40 * error / 250,
            "paired_distance": 60 * error,
            "paired_distance_interval": [57 * error, 63 * error],
            "cosine": 1 - error / 4,
            "cosine_interval": [1 - error / 3, 1 - error / 5],
            "kid": 0.3 * error,
            "notes": [],
        }
        if latent
        else None,
    }


@pytest.fixture
def make_generative(make_record: MakeRecord) -> MakeRecord:
    """A finished run of an invented generator; keyword arguments change what matters, those of `make_record` too."""

    def make(
        area: float = 0.7,
        *,
        method: str = "mcma",
        error: float = 0.5,
        sees: str = "observed",
        pass_through: bool = True,
        trained_on: str = "real",
        classifier: str = "ecgfounder-12lead",
        preset: str = "",
        classifier_source: str = "published",
        classifier_sha256: str | None = "b" * 64,
        classifier_seed: int | None = None,
        latent: bool = True,
        **others: Any,
    ) -> dict[str, Any]:
        digest = classifier_sha256 if classifier_source in ("published", "pretrained") else None
        weights = {
            "source": classifier_source,
            "name": "12_lead_ECGFounder.pth" if digest else classifier_source,
            "sha256": digest,
            "seed": 0 if classifier_source == "random" and classifier_seed is None else classifier_seed,
        }
        encoder = {
            "method": classifier,
            "title": "ECGFounder (12-lead)" if classifier == "ecgfounder-12lead" else classifier,
            "preset": preset,
            "trained_on": trained_on,
            "weights": weights,
        }
        settings = {
            "classifier": classifier,
            "trained_on": trained_on,
            "pass_through": pass_through,
            **others.pop("settings", {}),
        }
        record = make_record(area, method=method, protocol="generative", settings=settings, **others)
        determinants = {**record["determinants"], "classifier": {"spec": classifier, "weights": weights}}
        generation = invented_generation(
            error,
            classifier=encoder,
            pass_through=pass_through and sees != "another-record",
            sees=sees,
            latent=latent,
        )
        return {
            **record,
            "key": run_key(determinants),
            "determinants": determinants,
            "method": {**record["method"], "kind": "generator"},
            "generation": generation,
        }

    return make
