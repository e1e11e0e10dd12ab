"""`mibench embed`: features for one's own work."""

from __future__ import annotations

from pathlib import Path

import click

from .options import ManyValues, device_option, leads_option, preset_option, set_option, weights_option


@click.command("embed", cls=ManyValues)
@click.option("--method", required=True, metavar="NAME")
@click.option("--data", metavar="NAME|PATH", help="Registered data set, `demo`, or a PTB-XL folder")
@click.option("--npy", type=click.Path(path_type=Path), help="Signals in mV instead: (records, leads, samples)")
@click.option("--rate", type=float, help="Sampling rate of --npy in Hz")
@leads_option("Leads of --npy in its order, or leads to observe of --data  [default: I]")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.npz")
@weights_option
@preset_option
@set_option
@device_option
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True)
def command(
    method: str,
    data: str | None,
    npy: Path | None,
    rate: float | None,
    leads: tuple[str, ...],
    out: Path,
    weights: str,
    preset: str | None,
    sets: tuple[str, ...],
    device: str,
    batch_size: int,
) -> None:
    """Write the embeddings of a data set, or of your own signals, with the record ids and what made them.

    \b
    mibench embed --method ecgfounder --weights W.pth --data ptb-xl --out e.npz
    mibench embed --method selfmis --npy x.npy --rate 500 --leads I --out e.npz
    """
    from ..features import EmbedChoices, write_embeddings

    choices = EmbedChoices(data, npy, rate, leads, weights, preset, sets, device, batch_size)
    click.echo(write_embeddings(method, choices, out, say=lambda text: click.echo(text, err=True)))
