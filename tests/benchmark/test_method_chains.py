"""Methods that lean on each other: a part that is pre-trained first, variants that share weights, sizes that differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mibench.adapters.base import Pretrainable
from mibench.adapters.checkpoints import save_weights
from mibench.adapters.registry import find
from mibench.benchmark import results, weights
from mibench.benchmark.choices import choose_preset, make
from mibench.benchmark.data.dataset import Dataset

Command = Callable[..., Any]
QUICK = ("--set", "protocol.epochs=2", "--no-companions")


def records_of(folder: Path, method: str) -> list[dict[str, Any]]:
    return [results.read(file) for file in sorted(folder.rglob(f"linear_probe-v1/{method}/*.json"))]


def test_a_part_is_pre_trained_first_and_serves_both_variants(
    mibench: Command, with_demo: Dataset, tmp_path: Path
) -> None:
    place = ("--results", tmp_path)
    first = mibench("run", "--method", "heartlang", *QUICK, *place)
    assert first.code == 0, first.err
    order = [line for line in first.err.splitlines() if line.startswith("pre-training")]
    assert [line.split()[1] for line in order] == ["heartlang-vqhbr", "heartlang"]
    assert first.err.count("heartlang: preset `tiny` on the demo heart; --preset full for its true size") == 1
    assert "HeartLang (tiny)" in first.out

    second = mibench("run", "--method", "heartlang-12lead", *QUICK, *place)
    assert second.code == 0, second.err
    assert "pre-training" not in second.err, "the variant uses what is there"
    (native,), (twelve,) = records_of(tmp_path, "heartlang"), records_of(tmp_path, "heartlang-12lead")
    assert native["weights"]["sha256"] == twelve["weights"]["sha256"]
    assert native["metrics"]["auc"] != twelve["metrics"]["auc"]

    (vocabulary,) = weights.pretrainings("heartlang-vqhbr")
    (language,) = weights.pretrainings("heartlang")
    assert language["init"] == {"vqhbr": vocabulary["sha256"]}
    again = mibench("pretrain", "--method", "heartlang", *place)
    assert "is done already" in again.err
    assert len(weights.pretrainings("heartlang-vqhbr")) == 1


def test_records_without_a_beat_are_counted_in_the_run_record(
    mibench: Command, with_demo: Dataset, tmp_path: Path
) -> None:
    answer = mibench("run", "--method", "heartlang", "--weights", "random", *QUICK, "--results", tmp_path)
    assert answer.code == 0, answer.err
    (record,) = records_of(tmp_path, "heartlang")
    (file,) = Path(results.__file__).parent.glob("run_record.schema.json")
    assert "without_tokens" in json.loads(file.read_text())["properties"]["data"]["properties"]
    assert record["data"]["without_tokens"] >= 0
    told = "nothing could be cut out of" in answer.err
    assert told is (record["data"]["without_tokens"] > 0)


def test_pre_trainings_of_another_size_do_not_count(mibench: Command, with_demo: Dataset, tmp_path: Path) -> None:
    small = ("--set", "method.net.width=16")
    trained = mibench("pretrain", "--method", "stmem", *small, "--epochs", 1, "--results", tmp_path)
    assert trained.code == 0, trained.err
    tiny, other = make("stmem", "tiny"), make("stmem", "tiny", {"net": {"width": 16}})
    choice = lambda made: weights.resolve("auto", made[1].spec, demo=True, options=made[0].options)  # noqa: E731
    assert choice(tiny) is None
    found = choice(other)
    assert found is not None
    assert found.source == "pretrained"
    dropout = make("stmem", "tiny", {"net": {"width": 16, "attention": "plain"}})
    assert choice(dropout) == found, "a switch changes no tensor"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pretrain", "--method", "stmem-12lead"), "stmem-12lead uses the weights of stmem: mibench pretrain"),
        (("run", "--method", "heartlang-vqhbr"), "there is nothing to probe"),
        (("run", "--method", "stmem", "--preset", "smal"), "has no preset `smal`"),
        (("pretrain", "--method", "stmem", "--epochs", "2", "--set", "protocol.warmup_epochs=2"), "must be fewer than"),
        (("embed", "--method", "heartlang-vqhbr", "--data", "demo", "--out", "x.npz"), "no embeddings"),
    ],
)
def test_what_cannot_be_is_said(
    mibench: Command, with_demo: Dataset, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    place = () if arguments[0] == "embed" else ("--results", tmp_path)
    answer = mibench(*arguments, *place)
    assert answer.code == 2
    assert says in answer.err
    assert "Traceback" not in answer.err


def test_a_variant_is_told_where_its_weights_come_from(mibench: Command, with_demo: Dataset) -> None:
    answer = mibench("run", "--method", "stmem-12lead", "--weights", "pretrained", "--data", "demo", *QUICK)
    assert "pre-training stmem on folds 1-8 of demo" in answer.err
    assert "mibench pretrain --method stmem" in weights.how_to_get("stmem-12lead", make("stmem-12lead")[1].spec, "x")
    shown = mibench("methods", "show", "stmem-12lead")
    assert "mibench pretrain --method stmem, whose weights it uses" in shown.out


def test_full_is_the_true_size_and_tiny_says_what_it_is(mibench: Command, with_demo: Dataset) -> None:
    assert make("simclr", "full")[0].options == make("simclr")[0].options
    assert make("simclr", "full")[0].preset == ""
    assert make("simclr", "tiny")[0].preset == "tiny"


def test_a_file_on_the_demo_heart_gets_the_network_that_it_fits(
    mibench: Command, with_demo: Dataset, tmp_path: Path
) -> None:
    adapter = make("stmem")[1]
    assert isinstance(adapter, Pretrainable)
    file = tmp_path / "st_mem.safetensors"
    save_weights(file, adapter.trained_state(adapter.objective({})), {})
    said: list[str] = []
    assert choose_preset(find("stmem"), None, with_demo, str(file), said.append) == "full"
    assert choose_preset(find("stmem"), None, with_demo, "random", said.append) == "tiny"
    weights.register(adapter.spec, file)
    assert choose_preset(find("stmem"), None, with_demo, "auto", said.append) == "full"
    assert choose_preset(find("stmem"), None, with_demo, "pretrained", said.append) == "tiny"
