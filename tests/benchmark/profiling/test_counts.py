"""What a method is counted as: the paper's digits again, attention not missed, all windows of a record."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml
from torch import nn

from mibench.adapters.base import LEADS, Counted, Generator, Pretrainable
from mibench.adapters.registry import cards
from mibench.adapters.signal import prepare
from mibench.benchmark.choices import make
from mibench.benchmark.config import parse_sets
from mibench.benchmark.costs import both_macs, ptflops_macs, true_macs
from mibench.benchmark.profiling.counts import INFERENCE, PAPER, RECIPES, STEP, count
from mibench.benchmark.profiling.inputs import RATE, load_at_random, objective_of, records, step_batch
from mibench.benchmark.published import load_paper
from support import TINY

PRINTED = load_paper()["table4_resources"]["rows"]
METHODS = {name: row for name, row in load_paper()["methods"].items() if row in PRINTED} | {
    "selfmis": "SelfMIS (w/o AMP)"
}


def tiny(name: str) -> tuple[Any, Any]:
    return make(name, None, parse_sets(TINY)["method"]) if name == "selfmis" else make(name, "tiny")


def assert_table_4(name: str) -> None:
    card, adapter = make(name)
    parameters, macs = count(card, adapter, [PAPER])
    row = PRINTED[METHODS[name]]
    assert parameters["paper"] is not None
    assert macs[PAPER]["ptflops"] is not None
    assert round(parameters["paper"] / 1e6, 2) == row["params_M"]
    assert round(macs[PAPER]["ptflops"] / 1e9, 2) == row["gmac"]


@pytest.mark.parametrize("name", ["selfmis", "ecgfounder"])
def test_the_digits_of_table_4(name: str) -> None:
    assert_table_4(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"selfmis", "ecgfounder"}))
def test_the_digits_of_table_4_of_the_transformers(name: str) -> None:
    assert_table_4(name)


def test_every_row_of_table_4_is_counted() -> None:
    assert len(METHODS) == len(PRINTED) - 1, "SelfMIS stands there twice"
    assert all(isinstance(make(name)[1], Counted) for name in METHODS)
    stated = {name for name, card in cards()[0].items() if card.facts.get("paper_macs")}
    assert stated >= METHODS.keys()


@pytest.mark.parametrize("name", ["simclr", "stmem", "heartlang", "selfmis"])
def test_three_recipes(name: str) -> None:
    card, adapter = tiny(name)
    parameters, macs = count(card, adapter, RECIPES)
    assert list(macs) == list(RECIPES)
    assert all(counts[counter] for counts in macs.values() for counter in ("ptflops", "counted"))
    with objective_of(card, adapter) as objective:
        learning = [value.numel() for value in objective.parameters() if value.requires_grad]
    assert parameters["trainable"] == sum(learning)
    load_at_random(adapter, torch.device("cpu"))
    net: nn.Module = adapter.net
    assert parameters["probed"] == sum(value.numel() for value in net.parameters())
    assert parameters["total"] >= parameters["trainable"]  # type: ignore[operator]


def test_a_step_hides_what_the_recipe_of_the_paper_shows() -> None:
    _, macs = count(*tiny("stmem"), [PAPER, STEP])
    assert macs[STEP]["counted"] < 0.6 * macs[PAPER]["counted"]  # type: ignore[operator]


def test_a_step_of_two_views_is_two_passes() -> None:
    _, macs = count(*tiny("simclr"), [PAPER, STEP])
    assert macs[STEP]["counted"] == pytest.approx(2 * macs[PAPER]["counted"], rel=0.01)  # type: ignore[operator]


def test_a_vocabulary_that_is_made_in_the_first_step_is_no_cost_of_a_step() -> None:
    card, adapter = tiny("heartlang-vqhbr")
    _, macs = count(card, adapter, [STEP])
    assert isinstance(adapter, Pretrainable)
    with objective_of(card, adapter) as objective:
        batch = step_batch(adapter, records(2))
        objective.train()
        first, later = true_macs(lambda: objective(batch)), true_macs(lambda: objective(batch))
    assert macs[STEP]["counted"] == later // 2 < first // 2


def test_all_windows_of_a_record_are_counted() -> None:
    card, adapter = tiny("mcma")
    _, macs = count(card, adapter, [INFERENCE])
    assert isinstance(adapter, Generator)
    windows = prepare(records(1)[:, :1], RATE, LEADS[:1], adapter.spec)[0]
    adapter.model.requires_grad_(False)  # type: ignore[attr-defined]
    one = true_macs(lambda: adapter.synthesize(windows[:1]))
    assert len(windows) == 5
    assert macs[INFERENCE]["counted"] == 5 * one


def test_a_method_that_is_not_pre_trained_here_has_no_step() -> None:
    card, adapter = make("ecgfounder", "tiny")
    parameters, macs = count(card, adapter, [STEP, INFERENCE])
    assert macs[STEP] == {"ptflops": None, "counted": None}
    assert parameters["total"] == parameters["probed"]
    assert parameters["paper"] is None, "it was not asked for"


def test_one_pass_counts_as_two() -> None:
    recipe = tiny("stmem")[1].paper_count()
    theirs, ours, learning = both_macs(recipe.module, recipe.inputs)
    assert (theirs, learning) == ptflops_macs(recipe.module, recipe.inputs)
    with torch.no_grad():
        assert ours == true_macs(lambda: recipe.module(**recipe.inputs()))


def test_settings_are_commented_and_whole() -> None:
    from importlib import resources

    from mibench.adapters.options import plain
    from mibench.benchmark.protocols.profile import Settings

    text = (resources.files("mibench.configs") / "protocols" / "profile.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["settings"] == plain(Settings())
