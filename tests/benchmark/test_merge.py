"""Merging folders: every record whole, ours never worse than before, and what is left out is said."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_runs import arrays_of, record_of, scored_run

from mibench.adapters import atomic
from mibench.adapters.errors import MibenchError
from mibench.benchmark import results
from mibench.benchmark.data.catalog import silent
from mibench.benchmark.merge import Outcome, differing, merge
from mibench.benchmark.selection import Selection

MakeRecord = Callable[..., dict[str, Any]]
Command = Callable[..., Any]


def bring(root: Path, *folders: Path, only: Selection | None = None, **options: Any) -> list[Outcome]:
    return merge(root, folders, only or Selection(), silent, **options)


def counted(outcomes: list[Outcome]) -> dict[str, int]:
    return dict(Counter(outcome.what for outcome in outcomes))


def test_records_come_with_their_scores_byte_for_byte(make_record: MakeRecord, tmp_path: Path) -> None:
    theirs = [scored_run(make_record, tmp_path / "a", seed=seed, scored_by=seed) for seed in range(2)]
    theirs.append(scored_run(make_record, tmp_path / "b", method="clocs"))
    bare = results.write(tmp_path / "b", make_record(protocol="pretrain"), None)
    ours = tmp_path / "ours"
    assert counted(bring(ours, tmp_path / "a", tmp_path / "b")) == {"copied": 4}
    for path in (*theirs, bare):
        copy = ours / path.relative_to(path.parents[3])
        assert copy.read_bytes() == path.read_bytes()
        if path is not bare:
            assert copy.with_suffix(".npz").read_bytes() == path.with_suffix(".npz").read_bytes()
            results.predictions(copy)
    assert counted(bring(ours, tmp_path / "a", tmp_path / "b")) == {"kept": 4}


def test_a_dry_run_writes_nothing_and_says_the_same(make_record: MakeRecord, tmp_path: Path) -> None:
    scored_run(make_record, tmp_path / "a")
    assert counted(bring(tmp_path / "ours", tmp_path / "a", dry_run=True)) == {"copied": 1}
    assert not (tmp_path / "ours").exists()


def test_a_record_at_the_wrong_place_finds_its_own(make_record: MakeRecord, tmp_path: Path) -> None:
    path = scored_run(make_record, tmp_path / "a")
    stray = tmp_path / "mail"
    stray.mkdir()
    for file in (path, path.with_suffix(".npz")):
        shutil.move(file, stray / file.name)
    bring(tmp_path / "ours", stray)
    assert (tmp_path / "ours" / path.relative_to(tmp_path / "a")).is_file()


def test_only_what_is_chosen_comes(make_record: MakeRecord, tmp_path: Path) -> None:
    for ratio in (0.25, 1.0):
        for seed in (0, 1):
            scored_run(make_record, tmp_path / "a", ratio=ratio, seed=seed)
    scored_run(make_record, tmp_path / "a", data="demo", notice="demo data: not a result")
    only = Selection(data=("ptb-xl",), protocols=("linear_probe-v1",), ratios=(25.0,), seeds=(1,))
    assert counted(bring(tmp_path / "ours", tmp_path / "a", only=only)) == {"copied": 1}
    (kept,) = results.scan(tmp_path / "ours")[0]
    assert (kept["ratio"], kept["seed"], kept["data"]["name"]) == (0.25, 1, "ptb-xl")


@pytest.mark.parametrize(
    ("prefer", "stays", "what"),
    [(None, "ours", "conflict"), ("ours", "ours", "kept"), ("theirs", "theirs", "replaced"), ("newer", "newer", None)],
)
@pytest.mark.parametrize("newer", ["ours", "theirs"])
def test_figures_that_differ_are_a_conflict_or_settled(
    prefer: Any, stays: str, what: str | None, newer: str, make_record: MakeRecord, tmp_path: Path
) -> None:
    dates = {name: f"2025-11-{21 if name == newer else 20}T10:00:00+00:00" for name in ("ours", "theirs")}
    paths = {
        name: scored_run(make_record, tmp_path / name, skill, created=dates[name])
        for name, skill in (("ours", 1.0), ("theirs", 1.2))
    }
    before = {name: path.read_bytes() for name, path in paths.items()}
    (outcome,) = bring(tmp_path / "ours", tmp_path / "theirs", prefer=prefer)
    winner = newer if stays == "newer" else stays
    assert outcome.what == (what or ("replaced" if newer == "theirs" else "kept"))
    assert "figures differ (metrics.auc.ALMI 0." in outcome.why
    kept = results.read(paths["ours"])
    assert kept["metrics"] == json.loads(before[winner])["metrics"]
    results.predictions(paths["ours"])
    assert results.scan(tmp_path / "ours")[1] == []


def test_figures_a_hair_apart_are_the_same(make_record: MakeRecord, tmp_path: Path) -> None:
    arrays = arrays_of(1.0, 0)
    record = record_of(make_record, arrays)
    results.write(tmp_path / "ours", record, arrays)
    record["metrics"]["auc"]["IMI"] += 5e-7
    record["provenance"]["seconds"] = 99.0
    results.write(tmp_path / "theirs", record, arrays)
    assert counted(bring(tmp_path / "ours", tmp_path / "theirs")) == {"kept": 1}


def test_generation_and_retrieval_are_compared_too(make_generative: MakeRecord) -> None:
    one, other = make_generative(error=0.5), make_generative(error=0.6)
    assert "generation.latent.fid" in {path for path, _, _ in differing(one, other)}
    assert list(differing(one, one)) == []


def test_a_failure_never_replaces_a_finished_run_and_gives_way_to_one(make_record: MakeRecord, tmp_path: Path) -> None:
    record = make_record()
    done = scored_run(make_record, tmp_path / "done")
    record["key"], record["determinants"] = (results.read(done)[name] for name in ("key", "determinants"))
    results.write_failure(tmp_path / "failed", record, "out of memory")
    before = done.read_bytes()
    assert counted(bring(tmp_path / "done", tmp_path / "failed")) == {"kept": 1}
    assert done.read_bytes() == before
    assert counted(bring(tmp_path / "failed", tmp_path / "done")) == {"replaced": 1}
    (kept,) = results.scan(tmp_path / "failed")[0]
    assert kept["status"] == "done"


def test_what_cannot_be_taken_is_told_and_the_rest_goes_on(make_record: MakeRecord, tmp_path: Path) -> None:
    source, ours = tmp_path / "theirs", tmp_path / "ours"
    paths = [scored_run(make_record, source, seed=seed, scored_by=seed) for seed in range(5)]
    newer, forged, lacking, broken, _ = paths
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "schema": 99}))
    changed = json.loads(forged.read_text())
    changed["determinants"]["seed"] = 77
    forged.write_text(json.dumps(changed))
    lacking.with_suffix(".npz").unlink()
    broken.with_suffix(".npz").write_bytes(b"not the scores")
    outcomes = bring(ours, source)
    assert counted(outcomes) == {"refused": 4, "copied": 1}
    said = " | ".join(outcome.why for outcome in outcomes)
    for part in ("update mibench", "not the hash of its determinants", "are missing", "its sha256 differs"):
        assert part in said
    assert [record["seed"] for record in results.scan(ours)[0]] == [4]


def test_ours_of_a_newer_schema_stays_and_ours_that_is_damaged_is_mended(
    make_record: MakeRecord, tmp_path: Path
) -> None:
    for seed in (0, 1):
        scored_run(make_record, tmp_path / "theirs", seed=seed)
    shutil.copytree(tmp_path / "theirs", tmp_path / "ours")
    newer, damaged = sorted((tmp_path / "ours").rglob("*.json"))
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "schema": 99}))
    damaged.write_text("{")
    outcomes = bring(tmp_path / "ours", tmp_path / "theirs")
    assert counted(outcomes) == {"refused": 1, "replaced": 1}
    assert json.loads(newer.read_text())["schema"] == 99
    results.predictions(damaged)


@pytest.mark.parametrize("which", ["missing", "empty", "same", "inside"])
def test_folders_that_cannot_be_merged_are_refused_at_once(which: str, make_record: MakeRecord, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    scored_run(make_record, ours)
    (tmp_path / "empty").mkdir()
    folder = {"missing": tmp_path / "x", "empty": tmp_path / "empty", "same": ours, "inside": ours / "ptb-xl"}[which]
    says = {"missing": "is no folder", "empty": "holds no run records"}.get(which, "lie one in the other")
    with pytest.raises(MibenchError, match=says):
        bring(ours, folder)


def test_a_folder_set_apart_is_no_part_of_the_one_around_it(make_record: MakeRecord, tmp_path: Path) -> None:
    scored_run(make_record, tmp_path)
    example = tmp_path / "example"
    example.mkdir()
    (example / results.APART).touch()
    assert counted(bring(example, tmp_path)) == {"copied": 1}
    assert len(results.scan(tmp_path)[0]) == len(results.scan(example)[0]) == 1


def test_a_full_disk_stops_the_merge_with_a_sentence_and_loses_nothing(
    make_record: MakeRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        scored_run(make_record, tmp_path / "theirs", seed=seed)
    written = []
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        written.append(target)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", full)
    with pytest.raises(MibenchError, match="free some space"):
        bring(tmp_path / "ours", tmp_path / "theirs")
    monkeypatch.undo()
    assert len(results.scan(tmp_path / "ours")[0]) == 1
    assert counted(bring(tmp_path / "ours", tmp_path / "theirs")) == {"kept": 1, "copied": 2}


def _merge_slowly(root: Path, folder: Path, started: Any) -> None:
    sync = os.fsync

    def tell(handle: int) -> None:
        started.release()
        sync(handle)

    os.fsync = tell  # type: ignore[assignment]
    bring(root, folder)


def test_a_kill_in_the_middle_leaves_whole_records(make_record: MakeRecord, tmp_path: Path) -> None:
    for seed in range(4):
        scored_run(make_record, tmp_path / "theirs", seed=seed)
    context = multiprocessing.get_context("fork")
    for after in (1, 3, 6, 9):
        root = tmp_path / f"killed-{after}"
        steps = context.Semaphore(0)
        worker = context.Process(target=_merge_slowly, args=(root, tmp_path / "theirs", steps))
        worker.start()
        for _ in range(after):
            assert steps.acquire(timeout=30)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        found, warnings = results.scan(root)
        assert warnings == []
        for record in found:
            results.predictions(record.path)
        bring(root, tmp_path / "theirs")
        assert len(results.scan(root)[0]) == 4


def test_the_command_says_what_it_did_and_how_it_ended(
    mibench: Command, make_record: MakeRecord, tmp_path: Path
) -> None:
    scored_run(make_record, tmp_path / "theirs", 1.2)
    scored_run(make_record, tmp_path / "theirs", method="clocs")
    first = mibench("results", "merge", tmp_path / "theirs", "--results", tmp_path / "ours")
    assert first.code == 0
    assert "2 copied, 0 replaced, 0 kept as they are, 0 in conflict, 0 refused" in first.out
    scored_run(make_record, tmp_path / "ours", 0.8)
    second = mibench("results", "merge", tmp_path / "theirs", "--results", tmp_path / "ours")
    assert second.code == 2
    assert "1 in conflict" in second.out
    assert "conflict: selfmis:published (ptb-xl, linear_probe v1, 100 %, seed 0, key " in second.err
    settled = mibench("results", "merge", tmp_path / "theirs", "--results", tmp_path / "ours", "--prefer", "theirs")
    assert settled.code == 0
    assert "1 replaced" in settled.out
    assert mibench("results", "merge", tmp_path / "nowhere").code == 2
