"""`mibench data`: register data sets, look at them, check them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..data.dataset import Dataset


@click.group("data", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the data sets; `add`, `show` and `verify` them.

    \b
    mibench data
    mibench data add ptb-xl /data/ptb-xl
    mibench data show ptb-xl
    mibench data verify ptb-xl
    """
    if context.invoked_subcommand is None:
        _list()


@command.command("add")
@click.argument("kind", metavar="ptb-xl")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="Register under this name  [default: ptb-xl; ptb-xl-100hz at 100 Hz]")
@click.option("--rate", type=int, default=500, show_default=True, help="500 or 100 Hz: PTB-XL holds both")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option("--skip-bad", is_flag=True, help="Leave unreadable records out, and say so in every result")
def add(kind: str, path: Path, name: str | None, rate: int, workers: int, skip_bad: bool) -> None:
    """Register a PTB-XL folder: check it, build the signal store, count the positives.

    \b
    mibench data add ptb-xl /data/ptb-xl
    mibench data add ptb-xl /data/ptb-xl --rate 100

    Killed in the middle, the same command goes on. Done again, it checks that nothing changed.
    """
    from ..data import catalog
    from ..progress import steps

    chosen = name or (kind if rate == 500 else f"{kind}-{rate}hz")
    options = catalog.AddOptions(name=chosen, sampling_rate=rate, workers=workers, skip_bad=skip_bad)
    data = catalog.add(kind, path, options, steps)
    click.echo(_describe(data))


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Release, size and positives per statement and fold of a data set.

    \b
    mibench data show ptb-xl
    """
    from ..data import catalog
    from ..progress import steps

    click.echo(_describe(catalog.open_dataset(name, steps)))


@command.command("verify")
@click.argument("name")
def verify(name: str) -> None:
    """Read a store again and compare it with its hashes.

    \b
    mibench data verify ptb-xl
    """
    from ..data import catalog
    from ..progress import steps

    data = catalog.open_dataset(name, steps)
    data.store.verify()
    click.echo(f"{data.name}: {len(data.records):,} records are what they were when the store was built")


def _list() -> None:
    from ...adapters.errors import MibenchError
    from ..data import catalog

    rows = []
    for name in catalog.registered():
        try:
            data = catalog.open_dataset(name)
        except MibenchError as problem:
            # One damaged set does not hide the others.
            click.echo(f"Warning: {problem}", err=True)
            continue
        rows.append((name, f"{len(data.records):,}", f"{data.store.sampling_rate:g} Hz", data.release, data.source))
    if rows:
        from tabulate import tabulate

        click.echo(tabulate(rows, headers=("data", "records", "rate", "release", "from"), disable_numparse=True))
    if not any(name != catalog.DEMO for name, *_ in rows):
        click.echo("No real data is registered: mibench data add ptb-xl /path/to/ptb-xl")


def _describe(data: Dataset) -> str:
    from tabulate import tabulate

    store = data.store
    lines = [
        f"{data.name}: {len(data.records):,} records of {len(set(data.patients.tolist())):,} patients, "
        f"{store.samples / store.sampling_rate:g} s at {store.sampling_rate:g} Hz, from {data.source}",
        f"release: {data.release}",
    ]
    if not data.complete:
        lines.append("A subset: numbers from it are not comparable with those of a whole release.")
    if data.notice:
        lines.append(f"{data.notice}")
    flat = sum(bool(len(leads)) for leads in store.index["flat"])
    counts = data.positives()
    invalid = int(store.index["invalid"].sum())
    lines += [
        f"manifest: {data.manifest[:12]}; store: {store.path}",
        f"flat leads in {flat} records; {invalid} invalid samples set to zero",
        "",
        "Positives per statement",
        tabulate(counts.reset_index().to_numpy().tolist(), headers=["", *counts.columns], intfmt=","),
    ]
    return "\n".join(lines)
