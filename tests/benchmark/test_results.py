"""Run records: whole or not there, verified when read, and never lost to a later failure."""

from __future__ import annotations

import copy
import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from mibench.adapters import atomic
from mibench.adapters.errors import MibenchError
from mibench.benchmark import files, results

MakeRecord = Callable[..., dict[str, Any]]

SCORES = {
    "records": np.array(["00009_hr", "00010_hr"]),
    "statements": np.array(["IMI", "PMI"]),
    "scores": np.array([[0.25, -1.5], [3.0, 0.125]], dtype=np.float32),
}
PLACE = ("ptb-xl", "linear_probe-v1", "selfmis")


@pytest.fixture
def validator() -> jsonschema.Draft202012Validator:
    text = (resources.files("mibench.benchmark") / "run_record.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["schema"]["const"] == results.SCHEMA_VERSION
    return jsonschema.Draft202012Validator(schema)


def test_key_is_the_same_whatever_the_order_of_its_parts() -> None:
    assert results.run_key({"a": 1, "b": [1, 2]}) == results.run_key({"b": [1, 2], "a": 1})
    assert results.run_key({"a": 1}) != results.run_key({"a": 2})
    assert len(results.run_key({})) == 16


def test_what_is_written_is_read_back(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record()
    path = results.write(tmp_path, record, SCORES)
    assert path == tmp_path / "ptb-xl" / "linear_probe-v1" / "selfmis" / f"{record['key']}.json"
    assert path == results.record_path(tmp_path, *PLACE, record["key"])
    found = results.read(path)
    assert found["predictions"] == {
        "file": f"{record['key']}.npz",
        "sha256": files.sha256_file(path.with_suffix(".npz")),
    }
    assert {**found, "predictions": None} == record
    arrays = results.predictions(path)
    assert arrays.keys() == SCORES.keys()
    for name, array in SCORES.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, path.with_suffix(".npz").name]


def test_records_satisfy_the_published_schema(
    make_record: MakeRecord, tmp_path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    pretraining = {
        **make_record(protocol="pretrain"),
        "metrics": None,
        "training": None,
        "pretraining": {"steps": 10, "epochs": 2, "seconds": 3.5, "losses": [2.0, 1.0]},
    }
    paths = [
        results.write(tmp_path, make_record(), SCORES),
        results.write(tmp_path, make_record(source="random", positives={**_positives(make_record), "PMI": 0}), None),
        results.write(tmp_path, pretraining, None),
        results.write_failure(tmp_path, make_record(seed=9), "the disk is full"),
    ]
    for path in paths:
        validator.validate(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "change",
    [
        {"key": "short"},
        {"status": "running"},
        {"status": "failed"},
        {"error": "why?"},
        {"surprise": 1},
        {"metrics": {"auc": {"IMI": 1.2}}},
        {"ratio": 25},
    ],
)
def test_the_schema_refuses_what_is_no_record(
    change: dict[str, Any], make_record: MakeRecord, validator: jsonschema.Draft202012Validator
) -> None:
    assert validator.is_valid(make_record())
    assert not validator.is_valid({**make_record(), **change})


def test_every_field_of_the_schema_is_described(validator: jsonschema.Draft202012Validator) -> None:
    def undescribed(schema: dict[str, Any], path: str) -> list[str]:
        missing = [] if "description" in schema or "$ref" in schema else [path]
        for name, inner in schema.get("properties", {}).items():
            missing += undescribed(inner, f"{path}.{name}")
        return missing

    schema = validator.schema
    assert undescribed(schema, "record") == []
    metrics = schema["$defs"]["metrics"]["properties"]
    assert all("description" in entry for entry in metrics.values())


def test_a_run_exists_when_it_is_done(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record()
    place = (tmp_path, *PLACE, record["key"])
    assert not results.exists(*place)
    results.write_failure(tmp_path, record, "out of memory")
    assert not results.exists(*place)
    failed = results.read(results.record_path(*place))
    assert (failed["status"], failed["error"], failed["metrics"]) == ("failed", "out of memory", None)
    results.write(tmp_path, record, None)
    assert results.exists(*place)
    results.record_path(*place).write_text("{")
    assert not results.exists(*place)


def test_a_failure_never_replaces_a_finished_run(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record()
    path = results.write(tmp_path, record, SCORES)
    before = path.read_bytes()
    assert results.write_failure(tmp_path, record, "--force ended badly") == path
    assert path.read_bytes() == before
    assert results.predictions(path).keys() == SCORES.keys()


def test_a_run_made_again_leaves_the_old_scores_until_its_record_stands(
    make_record: MakeRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record(0.8)
    path = results.write(tmp_path, record, SCORES)
    again = {**SCORES, "scores": SCORES["scores"] + 1}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(results, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            results.write(tmp_path, record, again)
    np.testing.assert_array_equal(results.predictions(path)["scores"], SCORES["scores"])
    assert results.write(tmp_path, record, again) == path
    np.testing.assert_array_equal(results.predictions(path)["scores"], again["scores"])


def test_the_same_scores_are_the_same_bytes(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record()
    path = results.write(tmp_path, record, SCORES)
    first = results.read(path)["predictions"]
    results.write(tmp_path, record, SCORES)
    assert results.read(path)["predictions"] == first
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize(
    "method",
    ["./my_adapter.py:MyNet", "pkg.module:Class", "/a/b.py:Net", "..", ".hidden", "", "a b|c", "é", "x" * 300, "CON/a"],
)
def test_odd_method_names_become_safe_folders(method: str, make_record: MakeRecord, tmp_path: Path) -> None:
    root = tmp_path / "results"
    record = make_record(method=method)
    path = results.write(root, record, SCORES)
    assert path.parent.parent == root / "ptb-xl" / "linear_probe-v1"
    assert path.parent.name.isascii()
    assert not path.parent.name.startswith(".")
    assert len(path.parent.name) < 80
    assert results.exists(root, "ptb-xl", "linear_probe-v1", method, record["key"])
    assert [found["method"]["name"] for found in results.scan(root)[0]] == [method]


def test_different_names_never_share_a_folder(tmp_path: Path) -> None:
    names = ["a/b", "a_b", "a:b", "a b", "./a/b", "x" * 100, "x" * 101]
    assert len({results.record_path(tmp_path, "d", "p-v1", name, "k").parent for name in names}) == len(names)


def test_scan_returns_records_in_order_and_a_sentence_for_each_bad_file(
    make_record: MakeRecord, tmp_path: Path
) -> None:
    good = [results.write(tmp_path, make_record(seed=seed), SCORES) for seed in range(3)]
    folder = good[0].parent
    (folder / f".{'0' * 16}.json.123.tmp").write_text("half a rec")
    (folder / ".hidden.json").write_text("{")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.json").write_text("{")
    (folder / "notes.txt").write_text("not a record")
    bad = {
        "empty.json": "",
        "half.json": good[0].read_text()[:200],
        "foreign.json": '{"accuracy": 0.9}',
        "list.json": "[1, 2]",
        "nan.json": good[0].read_text().replace("0.8", "NaN", 1),
        "newer.json": json.dumps({**json.loads(good[0].read_text()), "schema": results.SCHEMA_VERSION + 1}),
    }
    for name, text in bad.items():
        (folder / name).write_text(text)
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00\x01")
    (folder / "folder.json").mkdir()
    (folder / "gone.json").symlink_to(folder / "nowhere")
    found, warnings = results.scan(tmp_path)
    assert sorted(record["seed"] for record in found) == [0, 1, 2]
    assert len(warnings) == len(bad) + 2
    for name in (*bad, "binary.json", "gone.json"):
        assert sum(str(folder / name) in sentence for sentence in warnings) == 1, name
    assert [sentence for sentence in warnings if "update mibench" in sentence] == [
        sentence for sentence in warnings if "newer.json" in sentence
    ]
    assert all("\n" not in sentence for sentence in warnings)


def test_scan_of_nothing_is_nothing(tmp_path: Path) -> None:
    assert results.scan(tmp_path / "nowhere") == ([], [])


def test_a_newer_record_is_neither_read_nor_replaced(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record()
    path = results.write(tmp_path, record, None)
    path.write_text(json.dumps({**record, "schema": 99}))
    with pytest.raises(MibenchError, match="update mibench"):
        results.read(path)
    with pytest.raises(MibenchError, match="update mibench"):
        results.exists(tmp_path, *PLACE, record["key"])
    with pytest.raises(MibenchError, match="update mibench"):
        results.write(tmp_path, record, None)
    with pytest.raises(MibenchError, match="update mibench"):
        results.write_failure(tmp_path, record, "whatever")
    assert json.loads(path.read_text())["schema"] == 99


DAMAGES: list[tuple[tuple[str, ...], Any]] = [
    (("key",), 3),
    (("protocol",), None),
    (("protocol", "version"), "one"),
    (("method", "name"), None),
    (("weights", "source"), 1),
    (("data", "manifest"), None),
    (("determinants",), []),
    (("status",), "running"),
    (("ratio",), "all"),
    (("seed",), {}),
    (("metrics",), []),
    (("metrics", "auc"), [0.5]),
    (("metrics", "auc", "IMI"), "high"),
    (("metrics", "avg"), "high"),
    (("metrics", "interval", "IMI"), [0.1]),
    (("metrics", "avg_interval"), ["a", "b", "c"]),
    (("predictions",), {"file": "x.npz"}),
]


@pytest.mark.parametrize(("path", "value"), DAMAGES, ids=lambda value: ".".join(value) if type(value) is tuple else "")
def test_a_record_with_a_damaged_field_is_refused(
    path: tuple[str, ...], value: Any, make_record: MakeRecord, tmp_path: Path
) -> None:
    record = copy.deepcopy(make_record())
    block = record
    for step in path[:-1]:
        block = block[step]
    block[path[-1]] = value
    file = tmp_path / "damaged.json"
    file.write_text(json.dumps(record))
    with pytest.raises(MibenchError, match=r"damaged\.json is damaged: .*; delete it and run again"):
        results.read(file)


def test_an_incomplete_record_is_not_written(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record()
    del record["weights"]
    with pytest.raises(ValueError, match="weights"):
        results.write(tmp_path, record, None)
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_objects_are_refused(make_record: MakeRecord, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="records would have to be pickled"):
        results.write(tmp_path, make_record(), {**SCORES, "records": np.array(["a", None], dtype=object)})
    assert results.scan(tmp_path) == ([], [])


def test_changed_or_missing_predictions_are_told(make_record: MakeRecord, tmp_path: Path) -> None:
    path = results.write(tmp_path, make_record(), SCORES)
    file = path.with_suffix(".npz")
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    with pytest.raises(MibenchError, match="sha256 differs; run it again with --force"):
        results.predictions(path)
    file.unlink()
    with pytest.raises(MibenchError, match="missing"):
        results.predictions(path)
    bare = results.write(tmp_path, make_record(seed=1), None)
    with pytest.raises(MibenchError, match="keeps no predictions"):
        results.predictions(bare)


def test_predictions_stay_in_the_folder_of_their_record(make_record: MakeRecord, tmp_path: Path) -> None:
    path = results.write(tmp_path, make_record(), SCORES)
    outside = tmp_path / "outside.npz"
    np.savez(outside, scores=np.zeros(3))
    record = json.loads(path.read_text())
    record["predictions"] = {"file": "../../../outside.npz", "sha256": files.sha256_file(outside)}
    path.write_text(json.dumps(record))
    with pytest.raises(MibenchError, match="missing"):
        results.predictions(path)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "MIBENCH_RESULTS"), (errno.EACCES, "--results")],
)
def test_a_folder_that_cannot_be_written_is_one_sentence(
    number: int, remedy: str, make_record: MakeRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, "replace", refuse)
    for attempt in (
        lambda: results.write(tmp_path, make_record(), SCORES),
        lambda: results.write_failure(tmp_path, make_record(), "failed"),
    ):
        with pytest.raises(MibenchError, match=remedy) as caught:
            attempt()
        assert str(tmp_path) in str(caught.value)
    assert results.scan(tmp_path) == ([], [])
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def _keep_writing(root: Path, record: dict[str, Any], shift: int) -> None:
    while True:
        results.write(root, record, {**SCORES, "scores": SCORES["scores"] + shift})


def test_a_killed_writer_leaves_every_record_whole(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record()
    path = results.write(tmp_path, record, SCORES)
    context = multiprocessing.get_context("fork")
    seen = set()
    for shift in range(5):
        writer = context.Process(target=_keep_writing, args=(tmp_path, record, shift))
        writer.start()
        time.sleep(0.03 + 0.011 * shift)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        found, warnings = results.scan(tmp_path)
        assert (len(found), warnings) == (1, [])
        seen.add(float(results.predictions(path)["scores"][0, 0]))
    assert len(seen) > 1


def _positives(make_record: MakeRecord) -> dict[str, int]:
    return dict(make_record()["metrics"]["positives"])
