"""Leaderboards: which rows there are, what they say, and that every format says the same."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from board_texts import ODD, Table, assert_sound_latex, cells, csv_rows, failed

from mibench.adapters.errors import MibenchError
from mibench.benchmark import results, tables
from mibench.benchmark.board import COLUMNS
from mibench.benchmark.ecg import DEMO_NOTICE, FREQUENT_MI_STATEMENTS, MI_STATEMENTS

MakeRecord = Callable[..., dict[str, Any]]
PAPER = tables.load_paper()
TEXTUAL = [name for name in tables.FORMATS if name != "csv"]


def boards(records: list[dict[str, Any]], **choice: Any) -> list[tables.Board]:
    return tables.leaderboards(records, PAPER, **choice)


def board(records: list[dict[str, Any]], **choice: Any) -> tables.Board:
    (only,) = boards(records, **choice)
    return only


@pytest.fixture
def sample(make_record: MakeRecord) -> list[dict[str, Any]]:
    """Two methods, an anchor, two ratios, and a plug-in that failed."""
    ours = {"title": "SelfMIS", "source": "pretrained", "pretrained_on": "mimic-iv-ecg"}
    foundation = {"method": "ecgfounder", "title": "ECGFounder"}
    return [
        *(make_record(0.74 + 0.002 * seed, seed=seed, **foundation) for seed in range(3)),
        *(make_record(0.80 + 0.003 * seed, seed=seed, **ours) for seed in range(3)),
        *(make_record(0.60, seed=seed, source="random", **foundation) for seed in range(3)),
        make_record(0.72, ratio=0.25, **ours),
        failed(make_record(method="./my_net.py:My_Net"), "embed gave (2, 7) | expected (2, 8)"),
    ]


def test_rows_are_ranked_by_avg_within_their_share_of_training_records(sample: list[dict[str, Any]]) -> None:
    rows = board(list(reversed(sample))).rows
    assert [(row.rank, row.title, row.weights, row.ratio) for row in rows] == [
        (1, "SelfMIS", "pretrained on mimic-iv-ecg", 1.0),
        (2, "ECGFounder", "published", 1.0),
        (3, "ECGFounder", "random (anchor)", 1.0),
        (None, "./my_net.py:My_Net", "published", 1.0),
        (1, "SelfMIS", "pretrained on mimic-iv-ecg", 0.25),
    ]


def test_a_row_is_the_mean_over_its_seeds_and_keeps_their_spread_apart(sample: list[dict[str, Any]]) -> None:
    row = board(sample).rows[0]
    runs = [record for record in sample if record["method"]["name"] == "selfmis" and record["ratio"] == 1.0]
    assert row.seeds == (0, 1, 2)
    for name in MI_STATEMENTS:
        value = row.values[name]
        assert value.auc == pytest.approx(statistics.fmean(run["metrics"]["auc"][name] for run in runs))
        assert value.low == pytest.approx(statistics.fmean(run["metrics"]["interval"][name][0] for run in runs))
        assert value.high == pytest.approx(statistics.fmean(run["metrics"]["interval"][name][1] for run in runs))
    averages = [run["metrics"]["avg"] for run in runs]
    assert row.values["Avg"].auc == pytest.approx(statistics.fmean(averages))
    assert row.values["Avg6"].auc == pytest.approx(statistics.fmean(run["metrics"]["avg6"] for run in runs))
    assert row.spread == pytest.approx(statistics.stdev(averages))
    assert board(sample).rows[-1].spread is None


def test_copies_of_a_record_count_once_and_the_finished_one_counts(make_record: MakeRecord) -> None:
    record = make_record(0.7)
    row = board([failed(record, "gone"), record, dict(record)]).rows[0]
    assert (row.seeds, row.note) == ((0,), "")
    newer = {**make_record(0.9), "created": "2025-12-01T00:00:00+00:00"}
    assert board([newer, record]).rows[0].values["Avg"].auc == pytest.approx(0.9)


@pytest.mark.parametrize(
    "difference",
    [
        {"data": "other"},
        {"manifest": "f" * 64},
        {"release": "1.0.1"},
        {"version": 2},
        {"protocol": "generative"},
        {"complete": False},
        {"notice": DEMO_NOTICE},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_different_data_or_protocols_never_share_a_board(difference: dict[str, Any], make_record: MakeRecord) -> None:
    found = boards([make_record(seed=0), make_record(seed=1, **difference)])
    assert [len(one.rows[0].seeds) for one in found] == [1, 1]


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ({"options": {"loss": {"t": 0.1}}}, "t=0.1"),
        ({"settings": {"epochs": 5}}, "epochs=5"),
        ({"leads": ("I", "II")}, "observed_leads=I+II"),
    ],
)
def test_options_and_settings_make_rows_of_their_own_and_are_named(
    difference: dict[str, Any], words: str, make_record: MakeRecord
) -> None:
    plain = {"options": {"loss": {"t": 0.07}}} if "options" in difference else {}
    rows = board([make_record(0.8, **plain), make_record(0.7, seed=1, **difference)]).rows
    assert [len(row.seeds) for row in rows] == [1, 1]
    assert words in rows[1].variant
    assert words not in rows[0].variant
    assert words in tables.render(board([make_record(0.8, **plain), make_record(0.7, **difference)]), "text")


def test_plug_in_code_that_changed_is_another_row(make_record: MakeRecord) -> None:
    before, after = make_record(0.8), make_record(0.7, seed=1)
    before["determinants"]["method"]["code"], after["determinants"]["method"]["code"] = "1" * 64, "2" * 64
    assert [row.variant for row in board([before, after]).rows] == ["code=11111111...", "code=22222222..."]


def test_weights_are_told_apart_by_name_then_by_hash(make_record: MakeRecord) -> None:
    rows = board(
        [
            make_record(0.9, weights_name="a.pth", sha256="1" * 64),
            make_record(0.8, weights_name="b.pth", sha256="2" * 64),
            make_record(0.7, weights_name="b.pth", sha256="3" * 64),
            make_record(0.6, source="random"),
        ]
    ).rows
    assert [row.weights for row in rows] == [
        "published, a.pth",
        "published, b.pth, 22222222",
        "published, b.pth, 33333333",
        "random (anchor)",
    ]


def test_anchors_are_ranked_like_any_other_row(make_record: MakeRecord) -> None:
    rows = board([make_record(0.5, method="prevalence", source="none"), make_record(0.4)]).rows
    assert [(row.rank, row.weights) for row in rows] == [(1, "none (anchor)"), (2, "published")]


def test_pretrainings_are_no_rows(make_record: MakeRecord) -> None:
    pretraining = {**make_record(protocol="pretrain"), "metrics": None}
    assert len(boards([pretraining, make_record()])) == 1
    with pytest.raises(MibenchError):
        boards([pretraining, failed(make_record(protocol="pretrain"), "stopped")])


def test_failed_runs_are_shown_as_such(make_record: MakeRecord) -> None:
    records = [make_record(0.8), failed(make_record(seed=1), "the loss\nwas NaN"), make_record(0.8, seed=2)]
    (row,) = board(records).rows
    assert row.seeds == (0, 2)
    assert row.note == "1 of 3 seeds failed: the loss was NaN"
    (only,) = board([failed(make_record(), "x" * 500)]).rows
    assert only.rank is None
    assert len(only.note) < 220
    for form in TEXTUAL:
        text = tables.render(board([failed(make_record(), "out of memory")]), form)
        assert "failed: out of memory" in text
        assert "--" in text
    (line,) = csv_rows([board([failed(make_record(), "out of memory")])])
    assert (line["Avg_auc"], line["rank"], line["note"]) == ("", "", "failed: out of memory")


def test_statements_without_positives_are_left_out_and_named(make_record: MakeRecord) -> None:
    counts = {**make_record()["metrics"]["positives"], "IPLMI": 0, "PMI": 0}
    found = board([make_record(0.8, positives=counts, complete=False)])
    assert found.rows[0].values["PMI"].auc is None
    assert found.positives["PMI"] == "0"
    assert any("Left out of the means" in line and "IPLMI, PMI" in line for line in found.footer)
    for form in TEXTUAL:
        assert "IPLMI, PMI" in tables.render(found, form)


def test_the_header_counts_test_positives(sample: list[dict[str, Any]]) -> None:
    for form in ("latex", "markdown", "html"):
        text = tables.render(board(sample), form)
        for header in ("ALMI (29)", "ASMI (236)", "IMI (268)", "PMI (2)"):
            assert header in text


def test_the_footer_says_what_was_measured_and_how(sample: list[dict[str, Any]]) -> None:
    text = "\n".join(board(sample).footer)
    for words in (
        "ptb-xl, 1.0.3, manifest 0123456789ab, 2,158 test records",
        "linear_probe v1",
        "pretrained, published, random",
        "Seeds per row: 1-3",
        "2025-11-20",
        "patient bootstrap: ALMI, AMI, ASMI, ILMI, IMI, LMI",
        "Hanley-McNeil (logit): IPLMI, IPMI, PMI",
        "averaged over seeds",
        "Table 1 and Table 3 of arXiv:2509.19397v1, on PTB-XL release 1.0.1",
    ):
        assert words in text


def test_the_papers_figures_stand_beside_ours(sample: list[dict[str, Any]]) -> None:
    rows = board(sample).rows
    ours, foundation, anchor, plug_in, quarter = (row.paper for row in rows)
    assert ours is not None
    assert foundation is not None
    assert quarter is not None
    assert anchor is None
    assert plug_in is None
    table = PAPER["table1_discriminative_linear_probe"]
    assert {name: ours.values[name] for name in (*MI_STATEMENTS, "Avg")} == table["SelfMIS"]
    assert ours.values["Avg6"] == pytest.approx(statistics.fmean(table["SelfMIS"][n] for n in FREQUENT_MI_STATEMENTS))
    assert foundation.values["Avg"] == 74.03
    assert quarter.values["Avg"] == 73.25
    for form, printed in (("text", "82.55"), ("markdown", "82.55"), ("html", "82.55"), ("latex", r"\textit{82.55}")):
        assert tables.render(board(sample), form).count(printed) == 1
    assert [line["Avg_paper"] for line in csv_rows(boards(sample))] == ["82.55", "74.03", "", "", "73.25"]


@pytest.mark.parametrize(
    "difference",
    [
        {"notice": DEMO_NOTICE, "data": "demo"},
        {"complete": False},
        {"data": "my-hospital"},
        {"source": "random"},
        {"leads": ("I", "II")},
        {"protocol": "supervised"},
        {"ratio": 0.1},
        {"method": "unheard-of"},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_the_papers_figures_stay_away_from_what_they_do_not_belong_to(
    difference: dict[str, Any], make_record: MakeRecord
) -> None:
    assert board([make_record()]).rows[0].paper is not None
    found = board([make_record(**difference)])
    assert found.rows[0].paper is None
    assert not any(line.startswith("paper:") for line in found.footer)


def test_every_method_of_the_paper_has_its_row(make_record: MakeRecord, make_generative: MakeRecord) -> None:
    shown = {}
    for name in PAPER["methods"]:
        for make in (make_record, make_generative):
            paper = board([make(method=name)]).rows[0].paper
            if paper:
                shown[PAPER["methods"][name], paper.where] = paper.values["Avg"]
    tables_shown = {"Table 1": "table1_discriminative_linear_probe"}
    tables_shown["Table 2"] = "table2_generative_12lead_ECGFounder_classifier"
    assert shown == {
        (row, where): figures["Avg"] for where, path in tables_shown.items() for row, figures in PAPER[path].items()
    }


def test_demo_data_say_on_every_row_that_they_are_no_result(make_record: MakeRecord) -> None:
    records = [make_record(0.6 + 0.1 * i, method=f"m{i}", data="demo", notice=DEMO_NOTICE) for i in range(3)]
    found = board(records)
    assert found.caption.startswith(DEMO_NOTICE)
    for form in TEXTUAL:
        text = tables.render(found, form)
        body = text.split("Data: demo")[0].split("</thead>")[-1]
        lines = [line for line in body.splitlines() if re.search(r"\d\d\.\d", line)]
        assert len(lines) >= 3
        assert all(DEMO_NOTICE in line for line in lines), form
        assert text.count(DEMO_NOTICE) >= 4
    assert {line["notice"] for line in csv_rows([found])} == {DEMO_NOTICE}


def test_a_subset_says_so(make_record: MakeRecord) -> None:
    found = board([make_record(complete=False, release="subset of PTB-XL, 500 records, csv 0123456789ab")])
    for form in tables.FORMATS:
        text = tables.render(found, form)
        assert "a subset of the data: not comparable" in text
        assert "subset of PTB-XL, 500 records" in text


def test_real_data_come_before_subsets_and_the_demo(make_record: MakeRecord) -> None:
    found = boards(
        [
            make_record(data="demo", notice=DEMO_NOTICE),
            make_record(data="a-subset", complete=False),
            make_record(data="ptb-xl", version=1),
            make_record(data="ptb-xl", version=2),
        ]
    )
    assert [(one.data, one.version) for one in found] == [("ptb-xl", 2), ("ptb-xl", 1), ("a-subset", 1), ("demo", 1)]


def test_rows_can_be_chosen(sample: list[dict[str, Any]]) -> None:
    assert [row.ratio for row in board(sample, ratios=[0.25]).rows] == [0.25]
    assert {row.method for row in board(sample, methods=["selfmis"]).rows} == {"selfmis"}
    assert len(boards(sample, data="ptb-xl")) == 1
    with pytest.raises(MibenchError, match=r"there are runs on ptb-xl, of .*ecgfounder, selfmis, at 25, 100 %"):
        boards(sample, data="mimic-iv-ecg")


def test_an_empty_folder_says_which_command_makes_the_first_row(tmp_path: Path) -> None:
    records, warnings = results.scan(tmp_path)
    assert warnings == []
    with pytest.raises(MibenchError, match="mibench run --method selfmis") as caught:
        tables.leaderboards(records, PAPER, folder=tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("form", ["latex", "markdown", "html"])
def test_every_line_of_a_table_has_as_many_cells_as_the_header(form: str, sample: list[dict[str, Any]]) -> None:
    found = cells(tables.render(board(sample), form), form)
    assert {len(line) for line in found} == {16}
    assert sum(any("paper" in cell for cell in line) for line in found) == 3
    first = next(line for line in found if line[0] == "1")
    assert first[1] == "SelfMIS"
    assert "80.30" in first[13]


def test_csv_holds_every_figure(sample: list[dict[str, Any]]) -> None:
    found = boards(sample)
    lines = csv_rows(found)
    assert len(lines) == len(found[0].rows)
    for line, row in zip(lines, found[0].rows, strict=True):
        assert (line["method"], line["weights_source"], float(line["ratio"])) == (row.method, row.source, row.ratio)
        for name in COLUMNS:
            value = row.values[name]
            for end in ("auc", "low", "high"):
                cell, expected = line[f"{name}_{end}"], getattr(value, end)
                if expected is None:
                    assert cell == ""
                else:
                    assert float(cell) == pytest.approx(100 * expected, abs=1e-5)
    assert lines[0]["PMI_positives"] == "2"
    assert lines[0]["seeds"] == "0 1 2"


@pytest.mark.parametrize("form", ["latex", "markdown", "html"])
def test_odd_characters_in_names_do_no_harm(form: str, make_record: MakeRecord) -> None:
    records = [make_record(title=ODD, method=ODD), failed(make_record(method="other", title=ODD), ODD)]
    text = tables.render(board(records), form)
    found = cells(text, form)
    # Neither a column of ratios nor one of seed spread: all rows have all records and one seed.
    assert {len(line) for line in found} == {14}
    if form == "html":
        assert found[1][1] == ODD
    elif form == "markdown":
        assert found[1][1].replace("\\|", "|").replace("&lt;", "<").replace("\\\\", "\\") == ODD
    else:
        assert_sound_latex(text)


@pytest.mark.parametrize("notice", [None, DEMO_NOTICE])
def test_latex_is_sound(notice: str | None, sample: list[dict[str, Any]], make_record: MakeRecord) -> None:
    records = [*sample, make_record(data="demo_set", notice=notice)]
    text = tables.render_all(boards(records), "latex")
    assert_sound_latex(text)
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(sample: list[dict[str, Any]], make_record: MakeRecord, tmp_path: Path) -> None:
    records = [*sample, make_record(title=ODD, method=ODD), make_record(data="demo", notice=DEMO_NOTICE)]
    body = tables.render_all(boards(records), "latex")
    preamble = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n"
    document = f"{preamble}{body}\\end{{document}}\n"
    (tmp_path / "board.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "board.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_html_is_shown_by_a_browser(sample: list[dict[str, Any]], tmp_path: Path) -> None:
    page = tmp_path / "board.html"
    page.write_text(tables.render_all(boards(sample), "html"), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    shown = Table()
    shown.feed(done.stdout)
    assert len(shown.rows) == 12


def test_several_boards_make_one_document(make_record: MakeRecord) -> None:
    found = boards([make_record(), make_record(data="demo", notice=DEMO_NOTICE)])
    assert tables.render_all(found, "html").count("<!doctype html>") == 1
    assert tables.render_all(found, "csv").count("ALMI_auc") == 1
    assert tables.render_all(found, "markdown").count("| Method ") == 2
    assert tables.render(found[0], "text") in tables.render_all(found, "text")


def test_an_unknown_format_is_refused(make_record: MakeRecord) -> None:
    with pytest.raises(ValueError, match="latex, markdown, csv, html, text"):
        tables.render(board([make_record()]), "docx")


def every_path(block: dict[str, Any], *above: str) -> list[tuple[str, ...]]:
    inner = [every_path(value, *above, name) for name, value in block.items() if isinstance(value, dict)]
    return [*((*above, name) for name in block), *(path for paths in inner for path in paths)]


@pytest.mark.parametrize("value", [None, "x", -1.5, [], [1], {}, {"a": 1}, True], ids=repr)
def test_a_field_of_the_wrong_kind_is_a_warning_or_harmless(
    value: object, make_record: MakeRecord, tmp_path: Path
) -> None:
    whole = make_record(source="pretrained", pretrained_on="mimic-iv-ecg")
    results.write(tmp_path, make_record(seed=1), None)
    shown = 0
    for path in every_path(whole):
        damaged = json.loads(json.dumps(whole))
        block = damaged
        for step in path[:-1]:
            block = block[step]
        block[path[-1]] = value
        (tmp_path / "damaged.json").write_text(json.dumps(damaged))
        records, warnings = results.scan(tmp_path)
        assert len(records) + len(warnings) == 2
        assert tables.render_all(boards(records), "text")
        shown += len(records) == 2
    assert shown > 0


def test_tables_need_no_heavy_package() -> None:
    code = (
        "import sys; from mibench.benchmark import results, tables; tables.load_paper(); "
        "print([m for m in ('torch', 'pandas', 'sklearn', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_published_figures_are_those_handed_over(shared_data: Path) -> None:
    source = yaml.safe_load((shared_data / "paper_tables.yaml").read_text(encoding="utf-8"))
    for name, content in source.items():
        if name != "meta":
            assert PAPER[name] == content
    kept = {key: value for key, value in source["meta"].items() if key in PAPER["meta"]}
    assert {key: PAPER["meta"][key] for key in kept} == kept


def test_the_published_means_are_those_of_their_columns_but_for_the_known_slips() -> None:
    off = []
    for entry in PAPER["boards"]:
        table = PAPER
        for step in entry["path"]:
            table = table[step]
        for name, figures in table.items():
            if isinstance(figures, dict):
                mean = statistics.fmean(figures[statement] for statement in MI_STATEMENTS)
                if abs(mean - figures["Avg"]) > 0.00501:
                    off.append((name, entry["ratio"], figures["Avg"], round(mean, 4)))
    assert off == [("ECGFounder", 0.5, 69.33, 69.3367), ("SelfMIS", 0.5, 80.88, 80.85)]
