"""Retrieval from a pre-training to its record, on the small demo heart and with tiny networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mibench.adapters.errors import MibenchError
from mibench.benchmark import config, results, retrieval_table
from mibench.benchmark.data.dataset import Dataset
from mibench.benchmark.home import home
from mibench.benchmark.protocols import pretrain, retrieval
from mibench.benchmark.protocols.request import Request
from mibench.benchmark.protocols.retrieval import Settings
from mibench.benchmark.teacher_student import Embedded, Pair, embed_pairs, pair_of, weights_beside
from mibench.benchmark.weights import Weights, resolve
from mibench.methods.selfmis import SelfMIS
from support import TINY, TINY_ARGUMENTS, assert_valid, request_of

Command = Callable[..., Any]
RANDOM = Pair(Weights("random", "random", seed=0))
QUICK = Settings(resamples=100)


@pytest.fixture(scope="module")
def trained(demo: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, Pair]:
    """A short pre-training, and what it left in a home of its own."""
    folder = tmp_path_factory.mktemp("trained")
    request = request_of("selfmis", demo, folder / "results", sets=TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIBENCH_HOME", str(folder / "home"))
        made = pretrain.run(request, pretrain.Settings(epochs=3, batch_size=12, learning_rate=3e-3), 1)
    weights = resolve(weights_beside(str(made)), request.adapter.spec, demo=True)
    assert weights is not None
    return request, pair_of("selfmis", weights)


def test_a_trained_student_loses_less_and_leaves_a_record(demo: Dataset, trained: tuple[Request, Pair]) -> None:
    request, pair = trained
    path = retrieval.run(request, pair, QUICK, 1)
    record = results.read(path)
    assert_valid(record)
    block = record["retrieval"]
    held_out = demo.held_out_rows()
    assert path.parts[-3:-1] == ("retrieval-v1", "selfmis")
    assert (block["queries"], block["gallery"]) == (len(held_out), len(held_out))
    assert block["patients"] == len(np.unique(demo.patients[held_out])) <= len(held_out)
    assert block["chance"]["1"] == 1 / len(held_out)
    by_chance = results.read(retrieval.run(request, RANDOM, QUICK, 1))["retrieval"]
    assert block["losses"]["siglip_sum"] < 0.9 * by_chance["losses"]["siglip_sum"]
    for depth in ("1", "5", "10"):
        recall, interval = block["recall"][depth], block["interval"][depth]
        assert (interval is None) == (recall in (0, 1))
        assert interval is None or interval[0] <= recall <= interval[1]
    assert record["weights"]["pretraining"]["key"] == pair.weights.pretraining["key"]  # type: ignore[index]
    kept = results.predictions(path)
    assert kept["records"].tolist() == demo.records[held_out].tolist()
    assert (kept["ranks"] < 5).mean() == block["recall"]["5"]
    text = retrieval_table.text([record])
    assert "demo data: not a result" in text
    assert "R@1" in text


def test_teacher_and_student_are_those_that_were_trained(demo: Dataset, trained: tuple[Request, Pair]) -> None:
    """The losses over the held-out records are those that the pre-training itself logged at its end."""
    request, pair = trained
    assert len(demo.held_out_rows()) == 12, "one batch, of the pre-training's own size"
    block = results.read(retrieval.run(request, pair, QUICK, 1))["retrieval"]
    (about,) = (results.read(path)["pretraining"] for path in request.results.rglob("pretrain-v1/selfmis/*.json"))
    assert block["loss_batch"] == 12
    assert block["losses"]["loss"] == pytest.approx(about["validation_losses"][-1], rel=1e-5)
    embedded = embed_pairs(request, pair, demo.held_out_rows())
    state = torch.nn.Module.state_dict(embedded.objective)  # type: ignore[arg-type]
    student = resolve(str(pair.weights.path), request.adapter.spec, demo=True)
    assert student is not None
    student.load(request.adapter, torch.device("cpu"))
    ours = request.adapter.network().state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(value, state[f"single_lead.{name}"]) for name, value in ours.items())


def test_done_is_done_and_embeddings_are_kept(demo: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    request = replace(request_of("selfmis", demo, tmp_path / "results", sets=TINY), say=said.append)
    first = retrieval.run(request, RANDOM, QUICK, 1)
    assert retrieval.run(request, RANDOM, QUICK, 1) == first
    assert "done already" in said[-1]
    (file,) = (home() / "embeddings").rglob("pairs.npz")
    changed = file.stat().st_mtime_ns
    other = retrieval.run(request, RANDOM, replace(QUICK, loss_batch=4), 1)
    assert other != first
    assert file.stat().st_mtime_ns == changed
    file.write_bytes(b"torn")
    again = retrieval.run(replace(request, force=True), RANDOM, QUICK, 1)
    assert results.read(again)["retrieval"] == results.read(first)["retrieval"]


def test_losses_are_means_over_full_batches_in_record_order(demo: Dataset, tmp_path: Path) -> None:
    request = request_of("selfmis", demo, tmp_path, sets=TINY)
    rows = demo.held_out_rows()
    embedded = embed_pairs(request, RANDOM, rows)
    block, ranks = retrieval.measure(embedded, request, replace(QUICK, loss_batch=5), rows)
    student, teacher = torch.from_numpy(embedded.student), torch.from_numpy(embedded.teacher)
    batches = [slice(start, start + 5) for start in range(0, len(rows) - 4, 5)]
    assert len(rows) % 5
    assert (block["loss_batch"], block["loss_batches"]) == (5, len(batches))
    assert len(ranks) == len(rows)
    expected = [embedded.objective.losses(student[part], teacher[part]) for part in batches]
    for name in ("siglip_sum", "siglip_mean", "infonce"):
        assert block["losses"][name] == pytest.approx(np.mean([float(entry[name]) for entry in expected]), rel=1e-5)
    assert block["losses"]["siglip_sum"] == pytest.approx(5 * block["losses"]["siglip_mean"], rel=1e-5)
    alone, few = retrieval.measure(embedded, request, replace(QUICK, loss_batch=5, gallery="batch"), rows)
    assert (alone["gallery"], alone["queries"]) == (5, 5 * len(batches)) == (5, len(few))
    assert alone["recall"]["5"] == 1.0


def test_a_collapsed_encoder_has_no_recall(demo: Dataset, tmp_path: Path) -> None:
    request = request_of("selfmis", demo, tmp_path, sets=TINY)
    rows = demo.held_out_rows()
    embedded = embed_pairs(request, RANDOM, rows)
    same = np.ones_like(embedded.student)
    block, _ = retrieval.measure(Embedded(same, same, embedded.objective), request, QUICK, rows)
    assert block["recall"] == {"1": 0.0, "5": 0.0, "10": 0.0}
    assert set(block["interval"].values()) == {None}


def test_an_embedding_that_is_no_number_names_its_record(
    demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of("selfmis", demo, tmp_path / "results", sets=TINY)
    bad = demo.records[demo.held_out_rows()[2]]

    def teach(objective: SelfMIS, view: torch.Tensor) -> torch.Tensor:
        targets = torch.ones(len(view), 32)
        targets[2] = float("inf")
        return targets

    monkeypatch.setattr(SelfMIS, "teach", teach)
    with pytest.raises(MibenchError, match=f"the teacher says of record {bad} is not finite"):
        retrieval.run(request, RANDOM, QUICK, 1)
    (file,) = (tmp_path / "results").rglob("*.json")
    assert_valid(results.read(file))
    assert results.read(file)["status"] == "failed"


def test_a_student_alone_and_a_changed_teacher_are_refused(
    demo: Dataset, tmp_path: Path, trained: tuple[Request, Pair]
) -> None:
    request, pair = trained
    assert pair.objective is not None
    shutil.copytree(pair.objective.parent, tmp_path / "copy")
    weights = resolve(weights_beside(str(tmp_path / "copy")), request.adapter.spec, demo=True)
    assert weights is not None
    pair = pair_of("selfmis", weights)
    assert pair.objective == tmp_path / "copy" / "objective.safetensors"
    other = request_of("selfmis", demo, tmp_path / "results", sets=(*TINY, "method.net.base_filters=16"))
    with pytest.raises(MibenchError, match=r"does not fit the network.*same --preset and --set method options"):
        retrieval.run(other, pair, QUICK, 1)
    about = json.loads((pair.objective.parent / "finished.json").read_text())
    assert about["objective_sha256"] == pair.sha256
    pair.objective.write_bytes(pair.objective.read_bytes()[:-1] + b"x")
    with pytest.raises(MibenchError, match="is not what its pre-training wrote"):
        pair_of("selfmis", pair.weights)
    pair.objective.unlink()
    with pytest.raises(MibenchError, match=r"holds the student alone: give the folder of a pre-training, or its obj"):
        pair_of("selfmis", pair.weights)
    with pytest.raises(MibenchError, match="has no pre-training in mibench"):
        retrieval.run(request_of("ecgfounder", demo, tmp_path / "results", sets=TINY), RANDOM, QUICK, 1)


def test_too_few_records_are_said(demo: Dataset, tmp_path: Path) -> None:
    folds = np.where(demo.folds == 9, 8, demo.folds)
    request = request_of("selfmis", replace(demo, folds=folds), tmp_path, sets=TINY)
    with pytest.raises(MibenchError, match="holds out 0 records"):
        retrieval.run(request, RANDOM, QUICK, 1)


def test_defaults_are_those_of_the_paper() -> None:
    settings, version = config.protocol(retrieval.NAME, Settings)
    assert (settings, version) == (Settings(gallery="full", loss_batch=128, resamples=2000), 1)
    with pytest.raises(MibenchError, match="must be at least 2"):
        config.protocol(retrieval.NAME, Settings, {"loss_batch": 1})


def test_on_the_command_line(mibench: Command, with_demo: Dataset) -> None:
    run = ("run", "--method", "selfmis", "--protocol", "retrieval", *TINY_ARGUMENTS)
    answer = mibench(*run, "--set", "protocol.resamples=50")
    assert answer.code == 0, answer.err
    assert "pre-training it on the demo heart first" in answer.err
    assert all(word in answer.out for word in ("R@10", "InfoNCE", "Chance: R@1", "pretrained on demo"))
    assert answer.out.count("demo data: not a result") > 4
    (objective,) = home().rglob("objective.safetensors")
    by_file = mibench(*run, "--set", "protocol.resamples=50", "--weights", objective)
    assert by_file.code == 0, by_file.err
    assert "done already" in by_file.err
    table = mibench("table")
    assert table.code == 2, "retrieval is no row of a leaderboard"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ecgfounder", "--protocol", "retrieval"), "does not learn from a teacher of twelve leads"),
        (("simclr", "--protocol", "retrieval"), "does not learn from a teacher of twelve leads"),
        (("mcma", "--protocol", "retrieval"), "is for encoders, and mcma is a generator"),
        (("selfmis", "--protocol", "generative"), "is for generators, and selfmis is an encoder"),
        (("selfmis", "--protocol", "retrieval", "--weights", "random", "--leads", "II"), "--leads: retrieval has"),
        (("prevalence", "--protocol", "supervised"), "cannot be trained end to end"),
    ],
)
def test_what_a_method_cannot_do_is_one_sentence(
    mibench: Command, with_demo: Dataset, arguments: tuple[str, ...], says: str
) -> None:
    answer = mibench("run", "--method", *arguments)
    assert answer.code == 2
    assert says in answer.err
    assert "Traceback" not in answer.err
