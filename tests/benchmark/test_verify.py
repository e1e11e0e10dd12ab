"""Verifying: whole results are right, and every kind of damage is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import arrays_of, record_of, scored_run, truth

from mibench.adapters.errors import MibenchError
from mibench.benchmark import results, verify
from mibench.benchmark.data.catalog import silent
from mibench.benchmark.files import sha256_file

MakeRecord = Callable[..., dict[str, Any]]
Command = Callable[..., Any]


def faults(root: Path, **options: Any) -> list[str]:
    return [fault for verdict in verify.verify(root, silent, **options) for fault in verdict.faults]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def rescore(path: Path, **arrays: Any) -> None:
    """Other predictions beside a record, and the hash that fits them."""
    file = path.with_suffix(".npz")
    with np.load(file) as kept:
        whole = {**kept, **arrays}
    np.savez(file, **{name: array for name, array in whole.items() if array is not None})
    edit(path, lambda record: record["predictions"].update(sha256=sha256_file(file)))


def test_what_the_protocols_write_is_right(make_record: MakeRecord, tmp_path: Path) -> None:
    scored_run(make_record, tmp_path)
    scored_run(make_record, tmp_path, method="clocs", seed=1, scored_by=5)
    results.write(tmp_path, make_record(protocol="pretrain"), None)
    results.write_failure(tmp_path, make_record(seed=4), "out of memory")
    verdicts = verify.verify(tmp_path, silent)
    assert [verdict.faults for verdict in verdicts] == [()] * 4
    assert sum(verdict.scored for verdict in verdicts) == 2
    assert [verdict.remarks for verdict in verdicts] == [()] * 4


def test_a_class_without_positives_is_right_when_it_was_left_out(make_record: MakeRecord, tmp_path: Path) -> None:
    labels = truth()
    labels[:, -1] = 0
    arrays = arrays_of(1.0, 0, labels)
    results.write(tmp_path, record_of(make_record, arrays), arrays)
    assert faults(tmp_path) == []
    (path,) = tmp_path.rglob("*.json")
    edit(path, lambda record: record["metrics"].update(left_out=[]))
    assert "`metrics.left_out` is []" in " ".join(faults(tmp_path))


FIGURES: list[tuple[str, Any, str]] = [
    ("metrics.auc.IMI", 0.123, "`metrics.auc.IMI` is 0.123 and the scores give"),
    ("metrics.auc.PMI", None, "`metrics.auc.PMI` is None"),
    ("metrics.avg", 0.5, "`metrics.avg` is 0.5"),
    ("metrics.avg6", 0.5, "`metrics.avg6` is 0.5"),
    ("metrics.macro_trained", 0.5, "`metrics.macro_trained` is 0.5"),
    ("metrics.positives.ASMI", 7, "`metrics.positives.ASMI` is 7 and the scores give 30"),
    ("metrics.interval.AMI.0", 0.01, "`metrics.interval.AMI` is 0.01 to"),
    ("metrics.avg_interval.1", 0.99, "`metrics.avg_interval` is"),
    ("data.records.test", 5, "`data.records.test` is 5"),
    ("key", "0" * 16, "is not the hash of `determinants`"),
    ("determinants.seed", 9, "is not the hash of `determinants`"),
    ("seed", 3, "`seed` 3 is not that of `determinants` (0)"),
    ("data.manifest", "f" * 64, "`data.manifest` is not that of `determinants`"),
    ("surprise", 1, "against the schema: `the record`"),
    ("provenance", None, "is damaged"),
    ("schema", 99, "update mibench"),
    ("predictions.file", "gone.npz", "are missing"),
    ("predictions.sha256", "0" * 64, "its sha256 differs"),
]


@pytest.mark.parametrize(("path", "value", "says"), FIGURES, ids=[path for path, _, _ in FIGURES])
def test_what_was_changed_is_found(path: str, value: Any, says: str, make_record: MakeRecord, tmp_path: Path) -> None:
    file = scored_run(make_record, tmp_path)

    def change(record: dict[str, Any]) -> None:
        block: Any = record
        *steps, last = path.split(".")
        for step in steps:
            block = block[step]
        block[int(last) if isinstance(block, list) else last] = value

    edit(file, change)
    assert says in " ".join(faults(tmp_path))


def test_scores_that_are_no_scores_are_found(make_record: MakeRecord, tmp_path: Path) -> None:
    file = scored_run(make_record, tmp_path)
    whole = arrays_of(1.0, 0)
    scores = whole["scores"].copy()
    scores[3, 2] = np.nan
    for arrays, says in (
        ({"scores": scores}, "the scores of 1 of 160 test records are not finite"),
        ({"scores": whole["scores"][:5]}, "do not belong together"),
        ({"scores": whole["scores"], "labels": whole["labels"] * 2}, "labels are not 0 and 1"),
        ({"labels": whole["labels"], "records": np.full(160, "x")}, "hold a record twice"),
        ({"records": whole["records"], "statements": np.array([f"s{i}" for i in range(10)])}, "lack the statements"),
        ({"patients": None}, "lack patients"),
    ):
        rescore(file, **arrays)
        assert says in " ".join(faults(tmp_path)), says
    file.with_suffix(".npz").write_bytes(b"torn")
    edit(file, lambda record: record["predictions"].update(sha256=sha256_file(file.with_suffix(".npz"))))
    assert len(faults(tmp_path)) == 1


def test_a_record_that_was_moved_is_told_where_it_belongs(make_record: MakeRecord, tmp_path: Path) -> None:
    file = scored_run(make_record, tmp_path / "r")
    shutil.move(file.parent, tmp_path / "r" / "elsewhere")
    assert f"it belongs at {Path(*file.parts[-4:])}" in " ".join(faults(tmp_path / "r"))


def test_ranks_of_a_retrieval_are_counted_again(make_record: MakeRecord, tmp_path: Path) -> None:
    block = {
        **{"queries": 4, "patients": 4, "gallery": 4, "loss_batch": 4, "loss_batches": 1},
        "recall": {"1": 0.5, "5": 0.75, "10": 1.0},
        "interval": {"1": None},
        "chance": {"1": 0.25, "5": 1.0, "10": 1.0},
        "losses": {"infonce": 0.6},
        **{"median_rank": 1.5, "infonce_chance": 1.4},
    }
    record = {**make_record(protocol="retrieval"), "metrics": None, "training": None, "retrieval": block}
    path = results.write(tmp_path, record, {"records": np.array(list("abcd")), "ranks": np.array([0, 0, 3, 7])})
    assert faults(tmp_path) == []
    edit(path, lambda kept: kept["retrieval"]["recall"].update({"5": 0.8}))
    assert faults(tmp_path) == ["`retrieval.recall.5` is 0.8 and the scores give 0.75"]


def test_without_intervals_it_is_quicker_and_overlooks_them(make_record: MakeRecord, tmp_path: Path) -> None:
    file = scored_run(make_record, tmp_path)
    edit(file, lambda record: record["metrics"]["interval"].update(AMI=[0.0, 0.1, "patient bootstrap"]))
    assert faults(tmp_path, intervals=False) == []
    assert len(faults(tmp_path)) == 1


def test_an_interval_of_another_kind_is_remarked_not_condemned(make_record: MakeRecord, tmp_path: Path) -> None:
    file = scored_run(make_record, tmp_path)
    edit(file, lambda record: record["metrics"]["interval"].update(AMI=[0.0, 0.1, "an older way"]))
    (verdict,) = verify.verify(tmp_path, silent)
    assert verdict.faults == ()
    assert "was made as `an older way`" in verdict.remarks[0]


def test_without_jsonschema_the_own_check_is_left(
    make_record: MakeRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = scored_run(make_record, tmp_path)
    edit(file, lambda record: record.update(surprise=1))
    assert len(faults(tmp_path)) == 1
    monkeypatch.setattr(verify, "schema_validator", lambda: None)
    assert faults(tmp_path) == []


def test_nothing_to_verify_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="holds no run records"):
        verify.verify(tmp_path / "nowhere", silent)


def test_the_command_lists_what_is_wrong(mibench: Command, make_record: MakeRecord, tmp_path: Path) -> None:
    good, bad = (scored_run(make_record, tmp_path, seed=seed, scored_by=seed) for seed in range(2))
    (good.parent / "left-over.npz").write_bytes(b"")
    right = mibench("results", "verify", tmp_path)
    assert right.code == 0
    assert "2 records, 2 right, 0 wrong. AUCs, means, positives and intervals of 2 were made again" in right.out
    assert "left-over.npz: no record vouches for it" in right.err
    edit(bad, lambda record: record["metrics"].update(avg=0.99))
    wrong = mibench("results", "verify", "--results", tmp_path)
    assert wrong.code == 2
    assert f"wrong: {bad}: `metrics.avg` is 0.99 and the scores give" in wrong.out
    assert "1 right, 1 wrong" in wrong.out
    assert mibench("results", "verify", tmp_path / "nowhere").code == 2


def test_the_schema_is_printed(mibench: Command) -> None:
    printed = mibench("results", "schema")
    assert json.loads(printed.out)["properties"]["schema"]["const"] == results.SCHEMA_VERSION
