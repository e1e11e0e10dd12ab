"""Invented run records for the tests of records and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mibench.benchmark.ecg import FREQUENT_MI_STATEMENTS, MI_STATEMENTS
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
