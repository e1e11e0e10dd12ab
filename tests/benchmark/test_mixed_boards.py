"""`--allow-mixed`: rows of different data and versions on one board, which says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from board_texts import csv_rows

from mibench.benchmark import tables
from mibench.benchmark.ecg import DEMO_NOTICE

MakeRecord = Callable[..., dict[str, Any]]
PAPER = tables.load_paper()
NOT = "not comparable with each other"


def mixed(records: list[dict[str, Any]]) -> list[tables.Board]:
    return tables.leaderboards(records, PAPER, mixed=True)


def test_one_board_whose_rows_say_what_they_are_of(make_record: MakeRecord) -> None:
    records = [
        make_record(0.9, data="demo", notice=DEMO_NOTICE, manifest="d" * 64),
        make_record(0.8, release="1.0.1", manifest="1" * 64),
        make_record(0.7),
        make_record(0.6, version=2),
    ]
    (board,) = mixed(records)
    assert NOT in board.caption
    assert [row.about for row in board.rows] == [
        "ptb-xl 1.0.1 (111111), v1",
        "ptb-xl 1.0.3 (012345), v2",
        "ptb-xl 1.0.3 (012345), v1",
        f"demo 1.0.3 (dddddd), v1 [{DEMO_NOTICE}]",
    ]
    assert all(row.rank is None for row in board.rows)
    for form in ("latex", "markdown", "html", "text"):
        text = " ".join(tables.render(board, form).split())
        assert NOT in text
        assert all(" ".join(row.about.split()) in text for row in board.rows)
    assert [(line["release"], line["protocol_version"], line["notice"]) for line in csv_rows([board])] == [
        ("1.0.1", "1", ""),
        ("1.0.3", "2", ""),
        ("1.0.3", "1", ""),
        ("1.0.3", "1", DEMO_NOTICE),
    ]
    assert sum(line.startswith("Data:") for line in board.footer) == 3
    assert any("linear_probe v1, linear_probe v2" in line for line in board.footer)


def test_without_a_mixture_the_board_is_the_usual_one(make_record: MakeRecord) -> None:
    records = [make_record(0.8), make_record(0.7, method="ecgfounder")]
    assert mixed(records) == tables.leaderboards(records, PAPER)


def test_protocols_never_share_a_board(make_record: MakeRecord, make_generative: MakeRecord) -> None:
    found = mixed([make_record(), make_record(protocol="supervised"), make_generative(), make_record(version=2)])
    assert sorted(board.protocol for board in found) == ["generative", "linear_probe", "supervised"]


@pytest.mark.parametrize("difference", [{"release": "1.0.1"}, {"complete": False}])
def test_rows_that_differ_in_their_data_alone_stay_two(difference: dict[str, Any], make_record: MakeRecord) -> None:
    (board,) = mixed([make_record(seed=0), make_record(seed=1, **difference)])
    assert [row.seeds for row in board.rows] in ([(0,), (1,)], [(1,), (0,)])
