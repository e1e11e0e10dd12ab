"""The mark of weights that have met the data of a board before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mibench.adapters import registry
from mibench.benchmark import tables
from mibench.benchmark.ecg import DEMO_NOTICE
from mibench.benchmark.leaks import PUBLISHED, SENTENCES, TRAINING, leak_of

MakeRecord = Callable[..., dict[str, Any]]


def declaring(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**record, "method": {**record["method"], "pretraining_data": list(names)}}


@pytest.mark.parametrize(
    ("seen", "data", "leak"),
    [
        (("MIMIC-IV-ECG", "PTB-XL"), "ptb-xl", PUBLISHED),
        (("PhysioNet 2021",), "ptb-xl", PUBLISHED),
        (("PTB-XL",), "ptb-xl-500", PUBLISHED),
        (("PTB-XL",), "my-hospital", ""),
        (("MIMIC-IV-ECG",), "ptb-xl", ""),
        ((), "ptb-xl", ""),
    ],
)
def test_published_weights_count_by_what_is_declared(
    seen: tuple[str, ...], data: str, leak: str, make_record: MakeRecord
) -> None:
    assert leak_of(declaring(make_record(data=data), *seen)) == leak


def test_what_was_not_loaded_has_not_leaked(make_record: MakeRecord) -> None:
    assert leak_of(declaring(make_record(source="random"), "PTB-XL")) == ""
    assert leak_of(declaring(make_record(source="pretrained", pretrained_on="mimic-iv-ecg"), "PTB-XL")) == ""
    assert leak_of(make_record(source="pretrained", pretrained_on="ptb-xl")) == TRAINING
    demo = make_record(data="demo", notice=DEMO_NOTICE, source="pretrained", pretrained_on="demo")
    assert leak_of(demo) == ""


def test_the_adapters_declare_what_the_mark_is_made_of(make_record: MakeRecord) -> None:
    """Of the built-in methods, those whose published weights saw PTB-XL."""
    marked = set()
    for name in ("w2v-cmsc", "mcma", "ecgfounder", "heartlang", "stmem", "selfmis"):
        spec = registry.create(registry.find(name)).spec
        if leak_of(declaring(make_record(), *spec.pretraining_data)):
            marked.add(name)
    assert marked == {"w2v-cmsc", "mcma"}


def test_a_leak_has_a_sign_and_a_footnote_in_every_format(make_record: MakeRecord) -> None:
    records = [
        declaring(make_record(0.8, method="w2v-cmsc", title="W2V-CMSC"), "PTB-XL"),
        make_record(0.7, method="clocs", title="CLOCS", source="pretrained", pretrained_on="ptb-xl"),
        make_record(0.6, method="simclr", title="SimCLR"),
    ]
    (board,) = tables.leaderboards(records, tables.load_paper())
    signs = {"latex": (r"W2V-CMSC\textsuperscript{\textdagger{}}", r"CLOCS\textsuperscript{\textdaggerdbl{}}")}
    signs["html"] = ("W2V-CMSC<sup>†</sup>", "CLOCS<sup>‡</sup>")
    for form in ("latex", "markdown", "html", "text"):
        text = tables.render(board, form)
        assert all(sign in text for sign in signs.get(form, ("W2V-CMSC†", "CLOCS‡")))
        assert all(sentence in text for sentence in SENTENCES.values())
    assert tables.render(board, "latex").isascii()
    (clean,) = tables.leaderboards(records[2:], tables.load_paper())
    assert not any(sentence in "".join(clean.footer) for sentence in SENTENCES.values())


def test_csv_says_which(make_record: MakeRecord) -> None:
    records = [declaring(make_record(), "PTB-XL"), make_record(0.7, method="clocs")]
    text = tables.render_all(tables.leaderboards(records, tables.load_paper()), "csv")
    header, *lines = (line.split(",") for line in text.splitlines())
    assert [line[header.index("leak") - len(header)] for line in lines] == [PUBLISHED, ""]
