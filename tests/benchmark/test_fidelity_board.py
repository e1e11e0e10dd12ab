"""The table "Signals and latent space": which lines it has, and how its figures are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mibench.benchmark import tables
from mibench.benchmark.fidelity_board import fidelity_grid
from mibench.benchmark.grid import Cell, Grid

MakeRecord = Callable[..., dict[str, Any]]
PAPER = tables.load_paper()


def grid(records: list[dict[str, Any]]) -> Grid:
    (board,) = tables.leaderboards(records, PAPER)
    found = fidelity_grid(board)
    assert found is not None
    return found


def line(records: list[dict[str, Any]], number: int = 0) -> dict[str, Cell]:
    found = grid(records)
    return dict(zip(found.header, found.lines[number].cells, strict=True))


def test_figures_are_written_with_their_intervals_and_parts(make_generative: MakeRecord) -> None:
    found = line([make_generative(error=0.5)])
    assert found == {
        "Method": Cell("mcma"),
        "Weights": Cell("published"),
        "MSE (mV²)": Cell("0.0285", ("0.0257", "0.0314")),
        "MAE (mV)": Cell("0.065", ("0.059", "0.072")),
        "Pearson r": Cell("0.500", ("0.490", "0.510")),
        "r of 12": Cell("0.542"),
        "Variance ratio": Cell("0.25"),
        "Frontal plane (%)": Cell("25.0"),
        "R slope": Cell("0.50"),
        "Rate error (bpm)": Cell("1.5"),
        "FID": Cell("20.0", ("5.00", "15.0"), " + "),
        "FID inf.": Cell("19.0"),
        "FID floor": Cell("1.25"),
        "Paired": Cell("30.0", ("28.5", "31.5")),
        "Cosine": Cell("0.875", ("0.833", "0.900")),
    }


def test_intervals_of_negative_figures_can_be_read(make_generative: MakeRecord) -> None:
    found = line([make_generative(error=1.4)])
    assert found["Pearson r"] == Cell("-0.400", ("-0.410", "-0.390"), " to ")
    assert found["R slope"] == Cell("-0.40")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (-3e-15, "0"),
        (2.34567e-5, "0.000023"),
        (0.0123456, "0.0123"),
        (9.991, "9.99"),
        (123.4, "123"),
        (98765.4, "98765"),
        (-0.5, "-0.500"),
    ],
)
def test_distances_have_three_digits_and_no_exponents(value: float, written: str, make_generative: MakeRecord) -> None:
    record = make_generative()
    record["generation"]["latent"]["fid_infinite"] = value
    assert line([record])["FID inf."].text == written


def test_a_zero_has_no_sign(make_generative: MakeRecord) -> None:
    record = make_generative()
    record["generation"]["signal"]["missing"]["pearson"] = -1e-9
    assert line([record])["Pearson r"].text == "0.000"


def test_seeds_and_shares_of_the_training_records_make_one_line(make_generative: MakeRecord) -> None:
    records = [make_generative(0.7 + 0.01 * seed, seed=seed, ratio=ratio) for seed in range(3) for ratio in (1.0, 0.25)]
    found = grid(records)
    assert len(found.lines) == 1
    assert found.lines[0].cells[2] == Cell("0.0285", ("0.0257", "0.0314"))


def test_lines_stand_in_the_order_of_the_board(make_generative: MakeRecord) -> None:
    records = [make_generative(0.6 + 0.1 * i, method=f"m{i}", error=0.9 - 0.2 * i) for i in range(3)]
    assert [found.cells[0].text for found in grid(records).lines] == ["m2", "m1", "m0"]


def test_what_no_row_knows_has_no_column(make_generative: MakeRecord) -> None:
    record = make_generative(latent=False)
    record["generation"]["signal"]["heart_rate"] = None
    found = grid([record])
    assert not {"FID", "FID inf.", "FID floor", "Paired", "Cosine", "Rate error (bpm)"} & set(found.header)
    assert not any("FID" in sentence for sentence in found.footer)


def test_what_one_row_does_not_know_is_a_dash(make_generative: MakeRecord) -> None:
    records = [make_generative(0.8), make_generative(0.7, method="zero-mask", latent=False)]
    assert line(records, 1)["FID"] == Cell("--")
    assert line(records, 1)["MSE (mV²)"].text == "0.0285"


def test_no_figures_no_table(make_record: MakeRecord) -> None:
    (board,) = tables.leaderboards([make_record()], PAPER)
    assert fidelity_grid(board) is None


def test_below_stands_what_the_figures_are_and_what_must_be_said_of_them(make_generative: MakeRecord) -> None:
    records = [make_generative(), make_generative(0.6, method="ekgan"), make_generative(0.5, method="x", latent=False)]
    for record in records[:2]:
        record["generation"]["latent"]["notes"] = ["fewer records than features"]
    records[1]["generation"]["latent"]["notes"].append("below zero")
    sentences = grid(records).footer
    assert sentences[-2:] == ("fewer records than features", "ekgan: below zero")
    text = " ".join(sentences)
    for words in (
        "2,158 test records",
        "eleven missing leads",
        "(0.4 in the real records)",
        "in the features of ECGFounder (12-lead), published weights (12_lead_ECGFounder.pth, bbbbbbbb)",
        "infinitely many records",
    ):
        assert words in text
