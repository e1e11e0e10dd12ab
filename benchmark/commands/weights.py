"""`mibench weights`: which weights are at hand."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("weights", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List published files that were registered, and pre-trainings that finished.

    \b
    mibench weights
    mibench weights add ecgfounder 1_lead_ECGFounder.pth
    """
    if context.invoked_subcommand is not None:
        return
    from tabulate import tabulate

    from ...adapters import registry
    from .. import weights

    rows = [
        (name, "published", entry["sha256"][:12], "", entry["path"]) for name, entry in weights.registered().items()
    ]
    for name in registry.cards()[0]:
        rows += [
            (name, f"pretrained {entry['key'][:8]}", entry["sha256"][:12], entry["data"]["name"], str(entry["path"]))
            for entry in weights.pretrainings(name)
        ]
    if rows:
        click.echo(tabulate(rows, headers=("method", "weights", "sha256", "trained on", "file"), disable_numparse=True))
    else:
        click.echo("No weights yet: mibench weights add METHOD FILE, or mibench pretrain --method METHOD")


@command.command("add")
@click.argument("method")
@click.argument("file", type=click.Path(path_type=Path))
def add(method: str, file: Path) -> None:
    """Register a published weights file, after loading it to see that it fits.

    \b
    mibench weights add ecgfounder 1_lead_ECGFounder.pth
    """
    from .. import weights
    from ..runner import choose_device, make

    _, adapter = make(method)
    found = weights.resolve(str(file), adapter.spec, "")
    assert found is not None
    report = found.load(adapter, choose_device("cpu"))
    found = weights.register(adapter.spec, file)
    click.echo(f"{method}: {report.loaded} tensors from {found.path}, sha256 {found.sha256}")
    for note in report.notes:
        click.echo(f"  {note}")
    if report.dropped:
        click.echo(f"  left out on purpose: {', '.join(report.dropped)}")
