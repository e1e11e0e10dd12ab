"""`mibench doctor`: what is here, and what is not."""

from __future__ import annotations

import click


@click.command("doctor")
def command() -> None:
    """Look at the installation, devices, disk, data, weights and plug-ins; say what to do about what is wrong.

    \b
    mibench doctor
    """
    from ..checkup import checkup

    healthy = True
    for finding in checkup():
        click.echo(f"{'ok  ' if finding.good else 'LOOK'} {finding.text}")
        healthy &= finding.good
    click.echo("all well" if healthy else "some things want a look")
