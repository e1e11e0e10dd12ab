"""The quick check of records and the published schema: what one takes the other takes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import jsonschema
import pytest

from mibench.benchmark import tables
from mibench.benchmark.record_check import fault

MakeRecord = Callable[..., dict[str, Any]]
Validator = jsonschema.Draft202012Validator
PAPER = tables.load_paper()
VALUES: list[Any] = [None, "x", [1], {"a": "b"}]


@pytest.fixture(scope="module")
def validator() -> Validator:
    text = (resources.files("mibench.benchmark") / "run_record.schema.json").read_text(encoding="utf-8")
    return Validator(json.loads(text))


def changed(record: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    record = copy.deepcopy(record)
    block = record
    for step in path[:-1]:
        block = block[step]
    block[path[-1]] = value
    return record


def without(record: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    record = changed(record, path, None)
    block = record
    for step in path[:-1]:
        block = block[step]
    del block[path[-1]]
    return record


def latent_fid(record: dict[str, Any]) -> dict[str, Any]:
    """What `mibench fid` keeps of the same generator."""
    kept = {name: record["generation"][name] for name in ("classifier", "latent")}
    protocol = {**record["protocol"], "name": "latent_fid"}
    return {**record, "protocol": protocol, "metrics": None, "training": None, "generation": kept}


def test_whole_records_are_whole(make_record: MakeRecord, make_generative: MakeRecord, validator: Validator) -> None:
    whole = make_generative()
    stopped = {"status": "failed", "error": "out of memory", "metrics": None}
    for record in (
        make_record(),
        {**make_record(), "generation": None},
        whole,
        make_generative(latent=False, sees="another-record", trained_on="generated", classifier_source="random"),
        changed(whole, ("generation", "signal", "missing", "pearson"), None),
        changed(whole, ("generation", "signal", "missing", "pearson_interval"), None),
        changed(whole, ("generation", "signal", "r_amplitude", "V1"), None),
        changed(whole, ("generation", "signal", "heart_rate"), None),
        changed(whole, ("generation", "signal", "further"), {"any": ["thing"]}),
        latent_fid(whole),
        {**whole, **stopped},
        {**whole, **stopped, "generation": None},
        changed({**whole, **stopped}, ("generation", "signal"), None),
    ):
        assert fault(record) is None
        validator.validate(record)


def retrieved(record: dict[str, Any]) -> dict[str, Any]:
    """What `mibench run --protocol retrieval` keeps."""
    depths = ("1", "5", "10")
    block = {
        **{"queries": 5000, "patients": 1187, "gallery": 5000, "loss_batch": 128, "loss_batches": 39},
        "recall": dict(zip(depths, (0.46, 0.74, 0.83), strict=True)),
        "interval": {"1": [0.44, 0.48], "5": None},
        "chance": dict(zip(depths, (0.0002, 0.001, 0.002), strict=True)),
        "losses": {"siglip_sum": 1.2, "infonce": 0.63},
        **{"median_rank": 2.0, "infonce_chance": 4.852},
    }
    kept = {name: value for name, value in record.items() if name != "generation"}
    protocol = {**record["protocol"], "name": "retrieval"}
    return {**kept, "protocol": protocol, "metrics": None, "training": None, "ratio": None, "retrieval": block}


def test_a_retrieval_is_whole_or_refused_by_both(make_record: MakeRecord, validator: Validator) -> None:
    record = retrieved(make_record())
    stopped = {"status": "failed", "error": "out of memory"}
    for whole in (record, {**record, **stopped, "retrieval": None}, {**make_record(), "retrieval": None}):
        assert fault(whole) is None
        validator.validate(whole)
    damages: list[tuple[tuple[str, ...], Any]] = [
        ((), None),
        (("queries",), "many"),
        (("recall",), [0.1]),
        (("recall", "5"), None),
        (("chance", "10"), "none"),
        (("interval", "1"), [0.1]),
        (("losses", "infonce"), None),
        (("median_rank",), None),
    ]
    for path, value in damages:
        damaged = changed(record, ("retrieval", *path), value)
        assert "retrieval" in (fault(damaged) or ""), path
        assert not validator.is_valid(damaged), path
    for path in (("retrieval",), *(("retrieval", name) for name in record["retrieval"])):
        assert "retrieval" in (fault(without(record, path)) or ""), path
        assert not validator.is_valid(without(record, path)), path


DAMAGES: list[tuple[tuple[str, ...], Any]] = [
    ((), None),
    ((), []),
    (("classifier",), None),
    (("classifier", "method"), 3),
    (("classifier", "trained_on"), "both"),
    (("classifier", "weights"), "random"),
    (("classifier", "weights", "source"), None),
    (("classifier", "weights", "seed"), 0.5),
    (("pass_through",), 1),
    (("sees",), "everything"),
    (("signal",), None),
    (("signal", "records"), "many"),
    (("signal", "missing"), []),
    (("signal", "missing", "mse"), "low"),
    (("signal", "twelve", "mae_interval"), [0.1]),
    (("signal", "twelve", "pearson_interval"), [0.1, None]),
    (("signal", "per_lead", "variance_ratio"), [1.0] * 11),
    (("signal", "per_lead", "mse"), ["low"] * 12),
    (("signal", "frontal_plane", "III"), "none"),
    (("signal", "frontal_plane_real"), [0.1]),
    (("signal", "r_amplitude", "V3"), 0.5),
    (("signal", "r_amplitude", "V3", "slope"), "flat"),
    (("signal", "heart_rate", "mae"), 3.0),
    (("signal", "heart_rate", "undetected"), ["none"]),
    (("latent",), 3.0),
    (("latent", "fid"), "low"),
    (("latent", "floor"), []),
    (("latent", "notes"), "few records"),
    (("latent", "cosine_interval"), [0.5]),
]


@pytest.mark.parametrize(("path", "value"), DAMAGES, ids=lambda value: ".".join(value) if type(value) is tuple else "")
def test_both_refuse_a_damaged_generation(
    path: tuple[str, ...], value: Any, make_generative: MakeRecord, validator: Validator
) -> None:
    record = changed(make_generative(), ("generation", *path), value)
    assert "generation" in (fault(record) or "")
    assert not validator.is_valid(record)


NEEDED = [
    ("classifier",),
    ("classifier", "method"),
    ("classifier", "trained_on"),
    ("classifier", "weights", "source"),
    ("pass_through",),
    ("sees",),
    ("signal",),
    ("signal", "records"),
    ("signal", "missing"),
    ("signal", "twelve", "pearson"),
    ("latent", "fid"),
]


@pytest.mark.parametrize("path", NEEDED, ids=".".join)
def test_both_refuse_a_finished_run_that_lacks_what_boards_need(
    path: tuple[str, ...], make_generative: MakeRecord, validator: Validator
) -> None:
    record = without(make_generative(), ("generation", *path))
    assert "generation" in (fault(record) or "")
    assert not validator.is_valid(record)


def test_a_finished_latent_fid_needs_its_distances(make_generative: MakeRecord, validator: Validator) -> None:
    record = latent_fid(make_generative())
    for damaged in (without(record, ("generation",)), without(record, ("generation", "latent"))):
        assert fault(damaged)
        assert not validator.is_valid(damaged)


def test_what_the_quick_check_refuses_the_schema_refuses_and_boards_bear_the_rest(
    make_generative: MakeRecord, validator: Validator
) -> None:
    record = make_generative()
    record["generation"]["signal"]["r_amplitude"] = {"V1": record["generation"]["signal"]["r_amplitude"]["V1"]}
    refused = borne = 0
    for path in every_path(record["generation"], "generation"):
        for value in VALUES:
            damaged = changed(record, path, value)
            if fault(damaged):
                refused += 1
                assert not validator.is_valid(damaged), (path, value)
            else:
                borne += 1
                found = tables.leaderboards([damaged], PAPER)
                assert tables.render_all(found, "text")
                assert tables.render_all(found, "csv")
    assert refused > 100
    assert borne > 50


def every_path(block: dict[str, Any], *above: str) -> list[tuple[str, ...]]:
    inner = [every_path(value, *above, name) for name, value in block.items() if isinstance(value, dict)]
    return [*((*above, name) for name in block), *(path for found in inner for path in found)]


def test_every_field_of_generation_is_described(validator: Validator) -> None:
    definitions = validator.schema["$defs"]

    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        missing = []
        for name, inner in schema.get("properties", {}).items():
            if "description" not in inner:
                missing.append(f"{path}.{name}")
            target = definitions.get(inner.get("$ref", "").rpartition("/")[2], inner)
            missing += undescribed(target, f"{path}.{name}")
        return missing

    assert undescribed(definitions["generation"], "generation") == []
    assert undescribed(definitions["regression"], "regression") == []
    assert undescribed(definitions["retrieval"], "retrieval") == []
