"""The report as a document: what it says of which records, and that nothing of a record becomes markup."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from board_texts import failed
from html_outline import Outline
from matplotlib.figure import Figure

from mibench.adapters.errors import MibenchError
from mibench.benchmark import results
from mibench.benchmark.board import COLUMNS
from mibench.benchmark.ecg import DEMO_NOTICE
from mibench.benchmark.figures import catalog
from mibench.benchmark.report import markdown
from mibench.benchmark.report.build import report
from mibench.benchmark.report.pictures import embedded, figures
from mibench.benchmark.report.pool import Pool
from mibench.benchmark.tables import leaderboards, load_paper

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = "<script>document.title='taken'</script>\"'&</textarea><img src=x onerror=alert(1)>"


def drawn_without(records: list[Any], unreadable: tuple[str, ...] = (), **choice: Any) -> str:
    return report(records, unreadable, figures=False, **choice)


def run_details(page: Outline) -> list[Any]:
    """What a script shows of the runs, put together again."""
    kept = json.loads(page.text("run-details"))

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(part) for part in value]
        if not isinstance(value, dict):
            return value
        if "@" in value:
            return whole(kept["shared"][value["@"]])
        return {re.sub("^@@", "@", name): whole(part) for name, part in value.items()}

    return [whole(run) for run in kept["runs"]]


def test_the_page_is_sound_and_its_headings_are_in_order(records: list[dict[str, Any]]) -> None:
    page = Outline(drawn_without(records))
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(following <= level + 1 for level, following in itertools.pairwise(levels))
    assert [len(page.of(tag)) for tag in ("header", "nav", "main", "footer", "title")] == [1] * 5
    for attributes, _ in page.of("th"):
        assert attributes["scope"] in ("col", "row")
    assert len(page.of("caption")) == sum("sortable" in attributes["class"] for attributes, _ in page.of("table"))


def test_ids_are_unique_and_what_is_pointed_to_is_there(records: list[dict[str, Any]]) -> None:
    page = Outline(drawn_without(records))
    names = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    pointers = [attributes["href"][1:] for attributes, _ in page.of("a") if attributes["href"].startswith("#")]
    pointers += [
        value for _, a, _ in page.elements for name in ("aria-labelledby", "data-scope") if (value := a.get(name))
    ]
    assert len(pointers) > 10
    assert set(pointers) <= set(names)


def test_the_policy_allows_this_script_and_this_style_and_nothing_to_be_fetched(records: list[dict[str, Any]]) -> None:
    page = Outline(drawn_without(records))
    (policy,) = (a["content"] for a, _ in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    scripts = [text for attributes, text in page.of("script") if "type" not in attributes]
    for name, texts in (("style-src", [text for _, text in page.of("style")]), ("script-src", scripts)):
        (text,) = texts
        assert rules[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    for _, attributes, _ in page.elements:
        assert not attributes.get("src", "data:").startswith(("http", "//"))
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)


def test_boards_say_what_the_tables_say(records: list[dict[str, Any]]) -> None:
    page = Outline(drawn_without(records))
    boards = page.text("boards")
    for words in ("SelfMIS", "82.55", "paper", "difference", "demo data: not a result", "Zero mask", "Pearson r"):
        assert words in boards
    assert all(column in boards for column in COLUMNS)
    assert "Linear probe on ptb-xl" in [text for _, text in page.of("h3")]


def test_the_notice_of_the_demo_heart_stands_at_the_top_on_its_board_and_on_each_of_its_rows(
    records: list[dict[str, Any]],
) -> None:
    page = Outline(drawn_without(records, data="demo"))
    assert [text.startswith("demo data: not a result") for a, text in page.of("p") if a.get("class") == "banner"] == [
        True
    ]
    for attributes, text in page.of("section"):
        if attributes.get("class") == "board":
            assert "demo data: not a result. ROC AUC" in text
    rows = [text for a, text in page.of("tbody") if "data-method" in a]
    assert rows
    assert all("demo data: not a result" in row for row in rows)
    assert not [a for a, _ in Outline(drawn_without(records, data="ptb-xl")).of("p") if a.get("class") == "banner"]


def test_every_run_has_its_provenance(records: list[dict[str, Any]]) -> None:
    page = Outline(drawn_without(records))
    details = run_details(page)
    assert [run["key"] for run in details] == [record["key"] for record in records]
    for run, record in zip(details, records, strict=True):
        for block in ("protocol", "method", "weights", "data", "determinants", "provenance"):
            assert run[block] == record[block]
    lines = [text for attributes, text in page.of("tbody") if "data-run" in attributes]
    for line, record in zip(lines, records, strict=True):
        for words in (record["key"], record["data"]["manifest"][:12], record["protocol"]["name"], record["status"]):
            assert words in line


def test_failed_runs_and_unreadable_files_are_told(records: list[dict[str, Any]]) -> None:
    page = Outline(drawn_without(records, ("a.json is damaged: it is not JSON",)))
    assert records[6]["error"] in page.text("failed")
    assert "a.json is damaged" in page.text("unreadable")
    whole = Outline(drawn_without(records[:2]))
    assert not {"failed", "unreadable"} & {attributes.get("id") for _, attributes, _ in whole.elements}


def test_nothing_of_a_record_becomes_markup(make_record: Callable[..., Any]) -> None:
    names = {"method": HOSTILE, "title": HOSTILE, "weights_name": HOSTILE, "data": HOSTILE, "release": HOSTILE}
    options = {"@": HOSTILE, "__proto__": {"a": HOSTILE}, "</script>": "\u2028"}
    record = make_record(0.7, **names, notice=HOSTILE, pretrained_on=HOSTILE, source="pretrained", options=options)
    page = Outline(drawn_without([record, failed(make_record(method=HOSTILE, seed=1), HOSTILE)], (HOSTILE,)))
    assert len(page.of("script")) == 2
    assert not page.of("img", "textarea")
    assert run_details(page)[0]["method"]["options"] == options
    assert HOSTILE in page.text("boards")
    assert HOSTILE in page.text("failed")


def test_a_data_set_alone_keeps_the_pre_trainings_behind_it(make_record: Callable[..., Any]) -> None:
    probe = make_record(source="pretrained", pretrained_on="mimic-iv-ecg")
    behind = {**make_record(data="mimic-iv-ecg", protocol="pretrain"), "key": "c" * 16, "metrics": None}
    other = {**make_record(data="mimic-iv-ecg", protocol="pretrain", seed=1), "metrics": None}
    runs = run_details(Outline(drawn_without([probe, behind, other], data="ptb-xl")))
    assert [run["key"] for run in runs] == [probe["key"], "c" * 16]


def test_pre_trainings_alone_have_a_report(make_record: Callable[..., Any]) -> None:
    record = {**make_record(data="mimic-iv-ecg", protocol="pretrain"), "metrics": None}
    page = Outline(report([record], ()))
    assert "boards" not in [attributes.get("id") for _, attributes, _ in page.elements]
    assert run_details(page)[0]["key"] == record["key"]


def test_two_boards_of_one_name_are_told_apart_by_release(make_record: Callable[..., Any]) -> None:
    page = Outline(drawn_without([make_record(), make_record(release="1.0.1", manifest="f" * 64)]))
    headings = [text for _, text in page.of("h3") if text.startswith("Linear probe")]
    assert headings == [
        "Linear probe on ptb-xl (1.0.1, v1, ffffff)",
        "Linear probe on ptb-xl (1.0.3, v1, 012345)",
    ]


def test_anchors_are_marked_for_the_filter(records: list[dict[str, Any]]) -> None:
    page = Outline(drawn_without(records))
    marked = {a["data-method"] for a, _ in page.of("tbody") if "data-anchor" in a}
    assert marked == {"ecgfounder", "zero-mask"}
    assert {a.get("data-source") for a, _ in page.of("tbody") if "data-anchor" in a} == {"random", "none"}


def test_costs_depend_on_no_data_and_are_in_every_report(make_record: Callable[..., Any]) -> None:
    costs = {**make_record(data="no-data", protocol="profile", method="costly", ratio=None), "metrics": None}
    costs |= {"determinants": {**costs["determinants"], "hardware": {"cpu": "a processor", "cores": 2}}}
    page = Outline(drawn_without([make_record(), costs], data="ptb-xl"))
    assert "a processor" in page.text("tables")
    assert len(run_details(page)) == 2
    assert "no-data" not in page.text("summary")


def test_figures_are_drawn_in_the_page_and_those_that_cannot_be_are_told(make_record: Callable[..., Any]) -> None:
    demo = {"data": "demo", "notice": DEMO_NOTICE}
    boards = leaderboards([make_record(0.8, **demo), make_record(0.6, source="random", **demo)], load_paper())
    page = Outline(figures(boards, (), load_paper()))
    drawn = page.of("img")
    assert len(drawn) >= 2
    for attributes, _ in drawn:
        kind, _, data = attributes["src"].partition(";base64,")
        assert kind == "data:image/svg+xml"
        assert b"<svg" in base64.b64decode(data)
        assert attributes["alt"].startswith("Figure ")
    assert all(caption.startswith("demo data: not a result. ") for _, caption in page.of("figcaption"))
    ((_, missing),) = page.of("details")
    assert "ratios, linear_probe on demo: " in missing
    assert len(drawn) + len(page.of("li")) == len(catalog.NAMES)


@pytest.mark.parametrize(("marks", "kind"), [(20, "svg+xml"), (20_000, "png")])
def test_a_figure_of_very_many_marks_is_a_picture_and_each_is_the_same_every_time(marks: int, kind: str) -> None:
    def drawn() -> str:
        page = Figure(figsize=(2, 2))
        page.add_subplot().scatter(*np.random.default_rng(0).normal(size=(2, marks)), s=1)
        return embedded(page)

    text = drawn()
    assert text.startswith(f"data:image/{kind};base64,")
    assert drawn() == text


def test_what_records_share_is_kept_once() -> None:
    shared = {"epochs": 20, "betas": [0.9, 0.999], "nested": {"epochs": True, "name": "x" * 40}}
    values = [{"seed": seed, "settings": shared, "@odd": {"@": 1}, "one": [1, True, 1.0, None]} for seed in range(50)]
    pool = Pool()
    numbers = [pool.add(value) for value in values]
    runs = [pool.packed(number) for number in numbers]
    kept = json.dumps({"runs": runs, "shared": pool.shared})
    assert len(kept) < len(json.dumps(values)) / 2
    assert run_details(Outline(f'<p id="run-details">{kept.replace("&", "&amp;")}</p>')) == values
    assert len(pool.shared) == 1


def test_markdown_that_comes_with_mibench_is_rendered_whole() -> None:
    text = (ROOT / "results" / "DEVIATIONS.md").read_text(encoding="utf-8")
    page = Outline(markdown.html(text, level=2, left_out=1))
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert [heading for _, heading in page.of("h3")] == headings
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    assert len(page.of("tr")) == len(lines)
    assert [code for _, code in page.of("code")] == re.findall("`([^`]+)`", text)


def test_markdown_escapes_and_knows_lists_and_links() -> None:
    text = "A *b* **c** `d<e` <i>\ngoes on\n- one\n  more\n- [two](https://example.org/a?b=1&c=2)\n"
    assert markdown.html(text, level=2) == (
        "<p>A <em>b</em> <strong>c</strong> <code>d&lt;e</code> &lt;i&gt; goes on</p>\n"
        '<ul><li>one more</li><li><a href="https://example.org/a?b=1&amp;c=2">two</a></li></ul>'
    )


def test_the_bibliography_says_what_the_citation_file_says() -> None:
    known = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    text = (ROOT / "results" / "citation.bib").read_text(encoding="utf-8")
    assert f"{{{known['title']}}}" in text
    assert f"{{{known['version']}}}" in text
    assert f"{{{str(known['date-released'])[:4]}}}" in text
    for reference in known["references"]:
        assert f"{{{reference['title']}}}" in text
        assert f"{{{reference['year']}}}" in text
        assert all(author["family-names"] in text for author in reference["authors"])


def test_the_command_writes_the_same_file_for_the_same_records(
    mibench: Callable[..., Any], records: list[dict[str, Any]], tmp_path: Path
) -> None:
    for record in records:
        if record["status"] == "done":
            results.write(tmp_path / "results", record, None)
        else:
            results.write_failure(tmp_path / "results", record, record["error"])
    (tmp_path / "results" / "odd.json").write_text("{")
    pages = []
    for name in ("a.html", "new/b.html"):
        answer = mibench("report", "--results", tmp_path / "results", "--out", tmp_path / name, "--no-figures")
        assert answer.code == 0
        assert "odd.json is damaged" in answer.err
        assert f"written: {tmp_path / name}" in answer.err
        pages.append((tmp_path / name).read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    assert str(tmp_path) not in pages[0]
    assert "<li>odd.json is damaged" in pages[0]
    assert "linear_probe-v1/selfmis" in pages[0]


@pytest.mark.parametrize(
    ("out", "words"), [("folder", "is a folder"), ("file/report.html", "choose another file with --out")]
)
def test_what_cannot_be_written_is_said_before_anything_is_read(
    out: str, words: str, mibench: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    answer = mibench("report", "--results", tmp_path / "none", "--out", tmp_path / out)
    assert answer.code == 2
    assert words in answer.err


def test_no_run_and_no_run_on_these_data_are_sentences(
    mibench: Callable[..., Any], records: list[dict[str, Any]], tmp_path: Path
) -> None:
    answer = mibench("report", "--results", tmp_path, "--out", tmp_path / "r.html")
    assert answer.code == 2
    assert answer.err.startswith(f"Error: there is no run to report in {tmp_path}: `mibench run")
    assert not (tmp_path / "r.html").exists()
    with pytest.raises(MibenchError, match="no run on other to report: there are runs on demo, ptb-xl"):
        report(records, (), data="other")


def test_open_shows_the_file_in_the_browser_and_torch_is_never_loaded(
    records: list[dict[str, Any]], tmp_path: Path
) -> None:
    results.write(tmp_path / "results", records[0], None)
    browser = tmp_path / "browser.sh"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    code = (
        "import sys; from mibench.benchmark.cli import cli; "
        "cli.main(sys.argv[1:], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    arguments = ["report", "--results", "results", "--no-figures", "--open"]
    environment = {**os.environ, "BROWSER": f"{browser} %s"}
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert (tmp_path / "opened").read_text().strip() == (tmp_path / "report.html").as_uri()
