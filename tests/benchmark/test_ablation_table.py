"""Table 5 out of invented records: which is which row, what never mixes, and what is said of what is missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from mibench.adapters.errors import MibenchError
from mibench.benchmark import tables
from mibench.benchmark.ablation import ablations
from mibench.benchmark.ablation_table import table
from mibench.benchmark.suites.file import load_suite

MakeRecord = Callable[..., dict[str, Any]]
SUITE, PAPER = load_suite("ablation"), tables.load_paper()
S, M = "1" * 64, "2" * 64
INITS: list[dict[str, str]] = [{"twelve_lead": M}, {"single_lead": S}, {}, {"single_lead": S, "twelve_lead": M}]
SETTINGS = {"epochs": 20, "batch_size": 128}
NAMES = [row.name for row in SUITE.rows[:5]]


def pretrained(
    record: dict[str, Any], init: Mapping[str, str], settings: Mapping[str, Any], manifest: str, notice: str | None
) -> dict[str, Any]:
    data = {"name": "mimic-iv-ecg", "manifest": manifest, "notice": notice}
    about = {"key": "c" * 16, "data": data, "settings": dict(settings), "init": dict(init)}
    return {**record, "weights": {**record["weights"], "pretraining": about, "name": "pretrained cccccccc"}}


@pytest.fixture
def make_rows(make_record: MakeRecord) -> Callable[..., list[dict[str, Any]]]:
    """All records of one table; keyword arguments make it another."""

    def rows(
        *,
        settings: Mapping[str, Any] = SETTINGS,
        manifest: str = "d" * 64,
        notice: str | None = None,
        recall: float = 0.4,
        digest: str = "a",
        **others: Any,
    ) -> list[dict[str, Any]]:
        found = []
        for place, init in enumerate(INITS):
            sha256 = f"{digest}{place}" * 32
            probe = make_record(0.75 + place / 100, source="pretrained", sha256=sha256, **others)
            about = {"data": "mimic-iv-ecg", "manifest": manifest, "options": others.get("options")}
            search = make_record(source="pretrained", sha256=sha256, protocol="retrieval", **about)
            depths = {"1": recall + place / 100, "5": recall + 0.2, "10": recall + 0.3}
            search |= {"metrics": None, "ratio": None, "seed": None}
            search["retrieval"] = {
                **{"queries": 5000, "patients": 1187, "gallery": 5000, "loss_batch": 128, "loss_batches": 39},
                **{"recall": depths, "interval": {"1": [0.1, 0.2]}, "chance": {"1": 2e-4, "5": 1e-3, "10": 2e-3}},
                "losses": {"infonce": 0.7 + place, "siglip_sum": 3.0 + place, "siglip_mean": 0.02},
                **{"median_rank": 2.0, "infonce_chance": 4.852},
            }
            found += [pretrained(record, init, settings, manifest, notice) for record in (probe, search)]
        return [*found, make_record(0.66, source="random", protocol="supervised", **others)]

    return rows


def shown(records: list[dict[str, Any]], **choices: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table(records, SUITE, PAPER, "csv", **choices))))


def test_rows_are_told_by_what_they_started_from(make_rows: Callable[..., Any]) -> None:
    rows = shown(make_rows()[::-1])
    assert [row["row"] for row in rows] == NAMES
    assert [float(row["avg_auc"]) for row in rows] == pytest.approx([66, 75, 76, 77, 78])
    assert [row["R@1"] for row in rows] == ["", "40.0", "41.0", "42.0", "43.0"]
    assert [row["infonce"] for row in rows] == ["", "0.7", "1.7", "2.7", "3.7"]
    assert [row["avg_paper"] for row in rows] == ["65.85", "79.54", "76.71", "76.56", "82.55"]
    assert [row["loss_paper"] for row in rows] == ["", "1.2024", "1.8946", "2.9036", "0.6274"]
    assert {row["note"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("other", "count"),
    [
        ({"settings": {"epochs": 2, "batch_size": 128}}, 2),
        ({"manifest": "e" * 64}, 2),
        ({"data": "ptb-xl-500"}, 2),
        ({"version": 2}, 4),  # of the probe and of end-to-end training, each with each
        ({"options": {"loss": {"t": 0.1}}}, 2),
    ],
)
def test_what_is_not_alike_never_shares_a_table(
    make_rows: Callable[..., Any], other: dict[str, Any], count: int
) -> None:
    both = [*make_rows(), *make_rows(**other, recall=0.1, digest="b")]
    found = ablations(both, SUITE)
    for ablation in found:
        recalls = {r["retrieval"]["recall"]["5"] for r in ablation.records if r["protocol"]["name"] == "retrieval"}
        probes = [r for r in ablation.records if r["protocol"]["name"] == "linear_probe"]
        assert len({(r["data"]["name"], r["protocol"]["version"]) for r in probes}) == 1
        assert len({r["data"]["name"] for r in ablation.records if r["metrics"]}) == 1
        if other.keys() & {"settings", "manifest", "options"}:
            assert len(recalls) == 1
    assert len(found) == count
    rows = shown(both)
    assert len({row["table"] for row in rows}) == len({row["variant"] for row in rows}) == count


def test_another_checkpoint_is_another_table(make_rows: Callable[..., Any]) -> None:
    records = make_rows()
    others = [
        {
            **r,
            "weights": {
                **r["weights"],
                "sha256": "f" * 64,
                "pretraining": {**about, "init": {"twelve_lead": "3" * 64}},
            },
        }
        for r in records
        if (about := r["weights"]["pretraining"]) and set(about["init"]) == {"twelve_lead"}
    ]
    first, second = ablations([*records, *others], SUITE)
    assert [first.shared["checkpoints"]["twelve_lead"], second.shared["checkpoints"]["twelve_lead"]] == [M, "3" * 64]
    assert second.entries[4].head is None, "both checkpoints were never this pair"


def test_seeds_are_averaged_and_the_newest_pre_training_is_shown(
    make_rows: Callable[..., Any], make_record: MakeRecord
) -> None:
    records = make_rows()
    second = pretrained(
        make_record(0.85, source="pretrained", sha256="a3" * 32, seed=1), INITS[3], SETTINGS, "d" * 64, None
    )
    old = pretrained(
        make_record(0.99, source="pretrained", sha256="9" * 64, created="2020-01-01T00:00:00+00:00"),
        *(INITS[0], SETTINGS, "d" * 64, None),
    )
    rows = shown([*records, second, old])
    assert float(rows[4]["avg_auc"]) == pytest.approx((78 + 85) / 2)
    assert rows[4]["seeds"] == "2"
    assert float(rows[1]["avg_auc"]) == pytest.approx(75)
    assert "there are 1 more of this row" in rows[1]["note"]


def test_what_is_missing_has_a_footnote(make_rows: Callable[..., Any], make_record: MakeRecord) -> None:
    records = make_rows()
    kept = [r for r in records if not r["weights"]["pretraining"] or set(r["weights"]["pretraining"]["init"]) != set()]
    kept = [r for r in kept if r["protocol"]["name"] != "supervised"]
    failed = {**make_record(source="random", protocol="supervised"), "status": "failed", "metrics": None}
    kept.append({**failed, "error": "the loss is nan at step 3"})
    text = table(kept, SUITE, PAPER, "text")
    assert "w/o Alignment [1]" in text
    assert "[1] failed: the loss is nan at step 3" in text
    assert "[2] not run: mibench run --suite ablation\n" in text
    known = table(kept, SUITE, PAPER, "markdown", reasons={"w/o S-M Pre-trained Checkpoint": "the disk\nis full"})
    assert "[2] not run: the disk is full" in known


def test_the_notice_of_either_data_stands_on_every_row(make_rows: Callable[..., Any]) -> None:
    records = make_rows(notice="demo data: not a result")
    text = table(records, SUITE, PAPER, "markdown")
    rows = [line for line in text.splitlines() if line.startswith("| w")]
    assert len(rows) == 5
    assert all("demo data: not a result" in row for row in rows)
    assert "demo data" not in table(make_rows(), SUITE, PAPER, "markdown")


@pytest.mark.parametrize(
    ("form", "signs"),
    [
        ("text", ["(InfoNCE, batches of 128)", "  paper", "45.98", "10.00-20.00"]),
        ("latex", [r"\toprule", r"\quad\textit{paper}", r"\textit{82.55}", r"\%"]),
        ("markdown", ["| w S-M Pre-trained Checkpoint", "&emsp;*paper*"]),
        ("html", ["<table", '<tr class="paper beneath">', "<small>10.00&ndash;20.00</small>"]),
    ],
)
def test_every_format_says_the_same(make_rows: Callable[..., Any], form: str, signs: list[str]) -> None:
    text = table(make_rows(), SUITE, PAPER, form)
    assert all(sign in text for sign in signs)
    for sentence in ("65.68", "InfoNCE in batches of 128 is inferred", "Table 5", "1,187 patients"):
        assert sentence in text


def test_other_runs_are_no_rows(make_record: MakeRecord, make_rows: Callable[..., Any]) -> None:
    strangers = [
        make_record(),
        make_record(source="random"),
        make_record(source="pretrained", pretrained_on="mimic-iv-ecg"),
        make_record(source="random", protocol="supervised", ratio=0.25),
        make_record(source="published", protocol="supervised"),
    ]
    with pytest.raises(MibenchError, match="no run of Table 5 to show on nowhere"):
        table(make_rows(), SUITE, PAPER, "text", data="nowhere")
    with pytest.raises(MibenchError, match="`mibench run --suite ablation` makes all of its rows"):
        table(strangers, SUITE, PAPER, "text")
    assert shown([*strangers, *make_rows()]) == shown(make_rows())
    (alone,) = ablations([make_record(source="random", protocol="supervised")], SUITE)
    assert [entry.head is not None for entry in alone.entries] == [True, False, False, False, False]
