"""`mibench methods`: what can be run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .options import preset_option, set_option

if TYPE_CHECKING:
    from ...adapters.base import MethodCard, MethodSpec


@click.group("methods", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the methods; `show` one, `check` your own.

    \b
    mibench methods
    mibench methods show selfmis
    mibench methods check ./my_adapter.py:MyNet
    """
    if context.invoked_subcommand is not None:
        return
    from tabulate import tabulate

    from ...adapters import registry

    cards, warnings = registry.cards()
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    headers = ("method", "kind", "input", "parameters", "MACs", "license", "published weights")
    rows = []
    for card in cards.values():
        facts = card.facts
        kind = facts.get("kind", "") if card.origin == "built in" else card.origin
        sizes = (_in_units(facts.get("parameters"), 1e6, "M"), _in_units(facts.get("macs"), 1e9, "G"))
        rows.append(
            (card.name, kind, facts.get("input", ""), *sizes, facts.get("license", ""), facts.get("weights", ""))
        )
    click.echo(tabulate(rows, headers=headers, disable_numparse=True, colalign=("left",) * 3 + ("right",) * 2))
    click.echo(
        "\nOf the network that is probed, for one record, or that generates, for one window. "
        "`mibench methods show NAME` tells the rest."
    )


def _in_units(number: float | None, unit: float, name: str) -> str:
    return "" if not number else f"{number / unit:.2f} {name}"


@command.command("show")
@click.argument("name")
@preset_option
@set_option
def show(name: str, preset: str | None, sets: tuple[str, ...]) -> None:
    """What a method takes, gives and can be told; this imports it.

    \b
    mibench methods show selfmis
    mibench methods show selfmis --preset lab_precedent
    """
    import yaml

    from ...adapters.options import plain
    from .. import config
    from ..choices import make

    card, adapter = make(name, preset, config.parse_sets(sets)["method"])
    spec = adapter.spec
    lines = [f"{spec.name}: {card.summary or spec.title}", f"  {card.origin}: {card.target}"]
    facts = {
        "takes": f"lead {', '.join(spec.leads)}; {spec.seconds:g} s at {spec.sampling_rate:g} Hz; "
        f"{spec.normalization}; filter {spec.filter}; windows {spec.windows}"
        + (f", tail {spec.tail}, overlap {spec.overlap}" if spec.windows == "tiled" else ""),
        "gives": {"encoder": f"{spec.embedding_dim} features", "generator": "twelve leads"}.get(
            spec.kind, "what another method's pre-training starts from"
        ),
        "parameters": _counts(card, "parameters", 1e6, "M", {"pretraining_parameters": "with all that is pre-trained"}),
        "MACs" + (", one window" if spec.kind == "generator" else ""): _counts(
            card, "macs", 1e9, "G", {"paper_macs": "by the paper's recipe, Table 4"}
        ),
        "pre-training": _pretraining(spec, card),
        "weights": spec.published_weights or ("none needed" if not spec.needs_weights else "none published"),
        "weights saw": ", ".join(spec.pretraining_data),
        "paper": spec.paper,
        "license": spec.license,
        "presets": ", ".join(card.presets) + (f" (the demo heart's: {card.demo})" if card.demo else ""),
    }
    lines += [f"  {title}: {text}" for title, text in facts.items() if text]
    if card.pretraining:
        recipe = yaml.safe_dump(plain(card.pretraining), sort_keys=False).strip().splitlines()
        lines += ["  pre-training (--set protocol.KEY=VALUE):", *(f"    {line}" for line in recipe)]
    if card.options:
        listing = yaml.safe_dump(plain(card.options), sort_keys=False).strip().splitlines()
        lines += ["  options (--set method.KEY=VALUE):", *(f"    {line}" for line in listing)]
    click.echo("\n".join(lines))


def _pretraining(spec: MethodSpec, card: MethodCard) -> str:
    if spec.weights_of:
        return f"mibench pretrain --method {spec.weights_of}, whose weights it uses"
    parts = "".join(f"; its {part} comes from {other}" for part, other in card.starts_from.items())
    return f"mibench pretrain{parts}" if spec.pretrainable else "not by mibench"


def _counts(card: MethodCard, name: str, unit: float, symbol: str, others: dict[str, str]) -> str:
    """A count and its companions, such as `30.65 M (61.32 M with all that is pre-trained)`; empty when unknown."""
    facts = card.facts
    beside = [f"{_in_units(facts[key], unit, symbol)} {text}" for key, text in others.items() if facts.get(key)]
    if not facts.get(name):
        return ""
    return _in_units(facts[name], unit, symbol) + (f" ({', '.join(beside)})" if beside else "")


@command.command("check")
@click.argument("name")
@click.option("--data", metavar="NAME|PATH", default="demo", show_default=True)
@click.option(
    "--weights",
    default="random",
    show_default=True,
    metavar="FILE|auto|published|pretrained|random[:SEED]",
    help="What to load the method with",
)
@preset_option
@set_option
@click.option(
    "--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1; auto takes a GPU when there is one"
)
def check(name: str, data: str, weights: str, preset: str | None, sets: tuple[str, ...], device: str) -> None:
    """Hold a method against the contract, on 32 records: one line for every check.

    \b
    mibench methods check ./my_adapter.py:MyNet
    mibench methods check selfmis --preset full --device auto
    """
    from ...adapters import registry
    from ...adapters.errors import MibenchError
    from .. import config
    from ..choices import choose_device, choose_preset, make
    from ..conformance import Bench, outcomes
    from ..data.catalog import open_dataset
    from ..progress import steps
    from ..weights import how_to_get, resolve

    found = open_dataset(data, steps)
    preset = choose_preset(registry.find(name), preset, found, weights, lambda text: click.echo(text, err=True))
    card, adapter = make(name, preset, config.parse_sets(sets)["method"])
    chosen = resolve(weights, adapter.spec, demo=found.is_demo, plug_in=card.origin != "built in", options=card.options)
    if chosen is None:
        raise MibenchError(how_to_get(name, adapter.spec, found.name))
    bench = Bench(adapter, found.store, device=choose_device(device), weights=chosen)
    passed, failed = 0, 0
    for outcome in outcomes(bench):
        verdict = outcome.sentence if outcome.state == "failed" else outcome.check.description
        if outcome.state == "skipped":
            verdict += f" ({outcome.sentence})"
        state = {"ok": "ok", "failed": "FAILED", "skipped": "-"}[outcome.state]
        click.echo(f"{state:<6}  {outcome.check.name:<8}  {verdict}")
        passed += outcome.state == "ok"
        failed += outcome.state == "failed"
    click.echo(f"{passed} of {passed + failed} checks passed")
    if failed:
        raise MibenchError(f"{adapter.spec.name} failed {failed} of {passed + failed} checks: mend what is said above")
    if adapter.spec.kind == "part":
        click.echo(f"{adapter.spec.name}: sound. It is what another method's pre-training starts from.")
    else:
        click.echo(f"{adapter.spec.name}: sound. Next: mibench run --method {name}")
