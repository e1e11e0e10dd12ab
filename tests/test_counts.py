"""What `mibench methods` says of every method against its network, and the counts of the paper's Table 4."""

from __future__ import annotations

import contextlib
from importlib import resources

import pytest
import torch
import yaml
from tabulate import tabulate

from mibench.adapters import registry
from mibench.adapters.base import Encoder, Generator, Pretrainable, Tokenizer
from mibench.adapters.signal import prepare
from mibench.benchmark.bench import networks
from mibench.benchmark.costs import true_macs

PAPER = yaml.safe_load((resources.files("mibench.results") / "paper.yaml").read_text(encoding="utf-8"))
PRINTED = PAPER["table4_resources"]["rows"]
ROWS = {
    "simclr": "SimCLR",
    "wav2vec2": "Wav2Vec 2",
    "3kg": "3KG",
    "clocs": "CLOCS",
    "w2v-cmsc": "W2V-CMSC",
    "stmem": "ST-MEM",
    "heartlang": "HeartLang",
    "ecgfounder": "ECGFounder",
    "selfmis": "SelfMIS (w/o AMP)",
}
FACTS = {
    name: card.facts
    for name, card in registry.cards()[0].items()
    if card.origin == "built in" and card.facts.get("macs")
}


def test_the_counts_table_equals_table_4() -> None:
    """Prints it under `pytest -s`: what is probed, its true cost, and ours beside what was published."""
    lines, ours = [], {}
    for name, facts in FACTS.items():
        trained, recipe = facts.get("pretraining_parameters"), facts.get("paper_macs")
        row = PRINTED.get(ROWS.get(name, ""), {})
        lines.append(
            (
                name,
                f"{facts['parameters'] / 1e6:.2f}",
                f"{facts['macs'] / 1e9:.2f}",
                f"{trained / 1e6:.2f}" if trained else "",
                f"{recipe / 1e9:.2f}" if recipe else "",
                row.get("params_M", ""),
                row.get("gmac", ""),
            )
        )
        if row:
            ours[ROWS[name]] = (round(trained / 1e6, 2), round(recipe / 1e9, 2))
    headers = ("method", "probed, M", "true GMac", "pre-trained, M", "GMac `paper`", "Table 4: M", "Table 4: GMac")
    print("\n" + tabulate(lines, headers=headers))
    assert ours == {row: (PRINTED[row]["params_M"], PRINTED[row]["gmac"]) for row in ROWS.values()}


@pytest.mark.parametrize("name", FACTS)
def test_facts_are_those_of_the_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without values there is nothing to cast, and torch knows no autocast of the meta device.
    monkeypatch.setattr(torch, "autocast", lambda *_arguments, **_options: contextlib.nullcontext())
    card = registry.find(name)
    adapter = registry.create(card)
    assert isinstance(adapter, (Encoder, Generator))
    with torch.device("meta"):
        adapter.load(None, torch.device("meta"))
    (net,) = networks(adapter).values()
    if (
        isinstance(adapter, Pretrainable)
        and "pretraining_parameters" in card.facts
        and adapter.spec.kind == "generator"
    ):
        with torch.device("meta"):
            objective = adapter.objective({})
        assert sum(parameter.numel() for parameter in objective.parameters()) == card.facts["pretraining_parameters"]
    # The counter looks for the gradient of whatever could have one.
    net.requires_grad_(False)
    assert sum(parameter.numel() for parameter in net.parameters()) == card.facts["parameters"]

    spec = adapter.spec
    assert spec.kind == card.facts["kind"]
    assert spec.license == card.facts["license"]
    ecg = prepare(torch.randn(1, len(spec.leads), 5000), 500.0, spec.leads, spec)[0]
    if isinstance(adapter, Generator):
        assert true_macs(lambda: adapter.synthesize(ecg[:1].to("meta"))) == card.facts["macs"], "of one window"
        return
    if isinstance(adapter, Tokenizer):
        tokens = {name: value.to("meta") for name, value in adapter.tokenize(ecg).items()}
        assert true_macs(lambda: adapter.embed_tokens(tokens)) == card.facts["macs"]
    else:
        assert true_macs(lambda: adapter.embed(ecg.to("meta"))) == card.facts["macs"]
