"""Suites as files: composed of rows, groups and other suites, by name or by path."""

from __future__ import annotations

from pathlib import Path

import pytest

from mibench.adapters import registry
from mibench.adapters.errors import MibenchError
from mibench.benchmark.suites.file import PROTOCOLS, load_suite, suites


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_groups_and_included_suites_are_rows(tmp_path: Path) -> None:
    write(tmp_path, "b.yaml", "title: b\nrows: [{name: last, method: selfmis, steps: [{protocol: retrieval}]}]\n")
    steps = "[{protocol: linear_probe, ratios: [25, 100]}]"
    mine = load_suite(
        write(
            tmp_path,
            "a.yaml",
            f"title: a\ninclude: [./b.yaml, ablation]\nseeds: 3\n"
            f"rows: [{{name: first, method: clocs, steps: {steps}}}]\n"
            f"groups: [{{methods: [simclr, 3kg], steps: {steps}, preset: tiny}}]\n",
        )
    )
    names = [row.name for row in mine.every_row()]
    assert names[:4] == ["first", "simclr", "3kg", "last"]
    assert names[4:] == [row.name for row in load_suite("ablation").rows]
    assert {row.preset for row in mine.every_row()[1:3]} == {"tiny"}
    assert mine.every_checkpoint() == {"single_lead": "ecgfounder", "twelve_lead": "ecgfounder-12lead"}
    assert [suite.table for suite in mine.with_tables()] == [5]
    assert mine.every_row()[0].steps[0].ratios == (25, 100)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title: [", "not readable as YAML"),
        ("- 1", "holds no suite"),
        ("title: t", "has nothing to run"),
        ("title: t\nrow: []", "unknown setting `row`; did you mean `rows`?"),
        ("title: t\ninclude: [./s.yaml]", "includes itself"),
        ("title: t\ninclude: [ablatoin]", "did you mean `ablation`?"),
        ("title: t\nseeds: 0\ninclude: [ablation]", "seeds must be at least 1"),
        ("title: t\ngroups: [{methods: [a], steps: [{protocol: linear_prob}]}]", "protocol must be one of"),
        ("title: t\ngroups: [{methods: simclr, steps: []}]", "must be a list"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(MibenchError, match="suite") as caught:
        load_suite(write(tmp_path, "s.yaml", text))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(MibenchError, match="No such file"):
        load_suite(str(tmp_path / "none.yaml"))


def test_the_demo_suite_has_every_protocol_of_every_method() -> None:
    rows = load_suite("demo").every_row()
    cards, _ = registry.cards()
    adapters = {name: registry.create(card) for name, card in cards.items() if name != "fairseq-signals"}
    # A classifier's encoder and a tokenizer are measured through the methods that they serve.
    measured = {name for name, made in adapters.items() if made.spec.kind != "part"} - {"ecgfounder-12lead"}
    assert {row.method for row in rows} == measured
    for row in rows:
        protocols = {step.protocol for step in row.steps}
        kind = adapters[row.method].spec.kind
        assert protocols >= ({"linear_probe"} if kind == "encoder" else {"generative", "latent_fid"}), row
        assert ("supervised" in protocols) == (
            hasattr(adapters[row.method], "network") and not adapters[row.method].spec.weights_of
        ), row
        assert ("profile" in protocols) == bool(cards[row.method].facts.get("parameters")), row
    assert {step.protocol for row in rows for step in row.steps} == set(PROTOCOLS)


def test_the_paper_suite_has_every_row_of_its_tables() -> None:
    suite = load_suite("paper")
    rows = suite.every_row()
    assert (suite.seeds, suite.data) == (5, ("ptb-xl",))
    graded = {row.method for row in rows for step in row.steps if step.ratios == (25, 50, 100)}
    assert graded >= {"simclr", "wav2vec2", "3kg", "clocs", "w2v-cmsc", "stmem", "heartlang", "ecgfounder", "selfmis"}
    for protocol in ("generative", "latent_fid"):
        made = {row.method for row in rows for step in row.steps if step.protocol == protocol}
        assert made >= {"pix2pix", "cyclegan", "ekgan", "mcma", "fir-ridge", "real-leads", "zero-mask"}
    assert {"retrieval", "supervised", "profile"} <= {step.protocol for row in rows for step in row.steps}


def test_every_suite_that_is_shipped_can_be_read() -> None:
    assert suites() == ["ablation", "demo", "paper"]
    for name in suites():
        assert load_suite(name).every_row()
