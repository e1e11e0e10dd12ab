"""`mibench methods`: what can be run."""

from __future__ import annotations

import click

from .options import preset_option, set_option


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
    rows = [(card.name, card.title or card.name, card.origin, card.summary) for card in cards.values()]
    click.echo(tabulate(rows, headers=("method", "title", "origin", "what it is")))


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
    from ..runner import make

    card, adapter = make(name, preset, config.parse_sets(sets)["method"])
    spec = adapter.spec
    lines = [f"{spec.name}: {card.summary or spec.title}", f"  {card.origin}: {card.target}"]
    facts = {
        "takes": f"lead {', '.join(spec.leads)}; {spec.seconds:g} s at {spec.sampling_rate:g} Hz; "
        f"{spec.normalization}; filter {spec.filter}; windows {spec.windows}",
        "gives": f"{spec.embedding_dim} features" if spec.kind == "encoder" else "twelve leads",
        "pre-training": "mibench pretrain" if spec.pretrainable else "not by mibench",
        "weights": spec.published_weights or ("none needed" if not spec.needs_weights else "none published"),
        "weights saw": ", ".join(spec.pretraining_data),
        "paper": spec.paper,
        "license": spec.license,
        "presets": ", ".join(card.presets),
    }
    lines += [f"  {title}: {text}" for title, text in facts.items() if text]
    if card.options:
        listing = yaml.safe_dump(plain(card.options), sort_keys=False).strip().splitlines()
        lines += ["  options (--set method.KEY=VALUE):", *(f"    {line}" for line in listing)]
    click.echo("\n".join(lines))


@command.command("check")
@click.argument("name")
@click.option("--data", metavar="NAME|PATH", default="demo", show_default=True)
def check(name: str, data: str) -> None:
    """Try a method with random weights on three records: shapes, finite numbers, evaluation mode.

    \b
    mibench methods check ./my_adapter.py:MyNet
    """
    from ...adapters.base import Encoder
    from ...adapters.errors import MibenchError
    from ..conformance import assert_sound
    from ..data.catalog import open_dataset
    from ..progress import steps
    from ..runner import choose_device, make
    from ..weights import Weights

    _, adapter = make(name)
    if not isinstance(adapter, Encoder):
        raise MibenchError(f"{name} is no encoder, and encoders are what this version of mibench can check")
    device = choose_device("cpu")
    Weights("random", seed=0).load(adapter, device)
    assert_sound(adapter, open_dataset(data, steps).store, ("I",), device)
    click.echo(f"{adapter.spec.name}: sound. Next: mibench run --method {name}")
