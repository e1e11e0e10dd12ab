"""`mibench data`: register data sets, look at them, check them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .data_download import download

if TYPE_CHECKING:
    from ..data.catalog import AddOptions
    from ..data.dataset import Dataset

_WORKERS = os.cpu_count() or 1


@click.group("data", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the data sets; `download`, `add`, `show` and `verify` them; write `demo` ones.

    \b
    mibench data
    mibench data download ptb-xl
    mibench data add ptb-xl /data/ptb-xl
    mibench data add mimic-iv-ecg /data/mimic-iv-ecg
    mibench data show ptb-xl
    mibench data verify ptb-xl
    """
    if context.invoked_subcommand is None:
        _list()


command.add_command(download)


@command.command("add")
@click.argument("kind", metavar="ptb-xl|mimic-iv-ecg|NAME")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--format", "reader", metavar="FORMAT", help="ptb-xl, mimic-iv-ecg or wfdb, under a NAME of your own")
@click.option("--name", help="Register under this name  [default: the first word; ptb-xl-100hz at 100 Hz]")
@click.option("--rate", type=float, default=500, show_default=True, help="Hz: PTB-XL holds 500 and 100, wfdb any")
@click.option("--seconds", type=float, default=10, show_default=True, help="Length of every record, of wfdb")
@click.option("--patients", type=click.Path(path_type=Path), help="CSV with columns record,patient, for wfdb")
@click.option("--validation", type=click.IntRange(1), help="Records held out  [default: 5000, at most a quarter]")
@click.option("--split", type=click.Choice(["tail", "patient-random"]), help="The last of the list, or whole patients")
@click.option(
    "--straddling",
    type=click.Choice(["validation", "training", "keep"]),
    help="Where a patient on both sides of the tail's edge loses his records  [default: validation]",
)
@click.option("--workers", type=click.IntRange(1), default=_WORKERS, show_default=True)
@click.option(
    "--skip-bad/--no-skip-bad",
    default=None,
    help="Leave unreadable records out, and say so in every result  [default: none of ptb-xl, up to 1 % of others]",
)
@click.option("--replace", is_flag=True, help="Let another data set that has this name go")
def add(kind: str, path: Path, reader: str | None, name: str | None, **options: Any) -> None:
    """Register a data set: check it, build the signal store, say what is in it.

    \b
    mibench data add ptb-xl /data/ptb-xl
    mibench data add ptb-xl /data/ptb-xl --rate 100
    mibench data add mimic-iv-ecg /data/mimic-iv-ecg --workers 8
    mibench data add mimic-iv-ecg /data/mimic-iv-ecg --validation 5000 --straddling training
    mibench data add my-set /data/my-set --format wfdb --patients who.csv

    Killed in the middle, the same command goes on. Done again, it checks that nothing changed. Another held-out part
    does not build the store again.
    """
    from ..data import catalog
    from ..progress import steps

    chosen, kind = _named(kind, reader, name, options["rate"])
    added = catalog.add(kind, path, _options(chosen, kind, options), steps, lambda text: click.echo(text, err=True))
    click.echo(_describe(added))


@command.command("demo")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(["mimic-iv-ecg", "ptb-xl"]), default="mimic-iv-ecg", show_default=True)
@click.option("--records", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=_WORKERS, show_default=True)
def demo(path: Path, layout: str, records: int, seed: int, workers: int) -> None:
    """Write synthetic records in the layout of a published data set, to rehearse with before the real one is here.

    \b
    mibench data demo /tmp/rehearsal
    mibench data demo /tmp/rehearsal --records 20000
    mibench data add rehearsal /tmp/rehearsal --format mimic-iv-ecg

    The same options write the same bytes. Every number from such data says that it is no result.
    """
    from ..data.demo import TreeOptions, write_tree
    from ..progress import steps

    options = TreeOptions("ptb-xl" if layout == "ptb-xl" else "mimic-iv-ecg", records, seed)
    write_tree(path, options, workers, steps("writing demo data", records))
    click.echo(f"{path}: {records:,} synthetic records in the layout of {layout}. Next:")
    click.echo(f"  mibench data add rehearsal {path} --format {layout}")


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Release, size and positives, or the held-out part, of a data set.

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
    data.store.verify(steps(f"verifying {data.name}", len(data.records)))
    click.echo(f"{data.name}: {len(data.records):,} records are what they were when the store was built")


def _named(kind: str, reader: str | None, name: str | None, rate: float) -> tuple[str, str]:
    """The name of a data set and its format, from the first word, --format and --name."""
    from ...adapters.errors import MibenchError
    from ...adapters.options import did_you_mean
    from ..data.readers import FORMATS, PTB_XL, WFDB

    if reader is not None and reader not in FORMATS:
        raise MibenchError(f"--format {reader}: choose {', '.join(FORMATS)}{did_you_mean(reader, list(FORMATS))}")
    if reader is None and kind == WFDB:
        raise MibenchError(f"a WFDB tree needs a name of its own: mibench data add NAME PATH --format {WFDB}")
    if reader is not None and kind in FORMATS and kind != reader:
        raise MibenchError(f"`{kind}` is read as {kind}, not as {reader}: choose another name")
    usual = f"{kind}-{rate:g}hz" if kind == PTB_XL and rate != 500 else kind
    return name or usual, reader or kind


def _options(name: str, kind: str, given: dict[str, Any]) -> AddOptions:
    from ...adapters.errors import MibenchError
    from ..data.catalog import AddOptions
    from ..data.holdout import Holdout
    from ..data.readers import PTB_XL

    division = {"records": given["validation"], "split": given["split"], "straddling": given["straddling"]}
    chosen = {key: value for key, value in division.items() if value is not None}
    if chosen and kind == PTB_XL:
        raise MibenchError(
            "PTB-XL is published with folds, of which 9 is held out: --validation, --split and --straddling are for "
            "data without"
        )
    if chosen.get("split") == "patient-random" and "straddling" in chosen:
        raise MibenchError("--split patient-random holds whole patients out: nobody straddles, leave --straddling out")
    return AddOptions(
        name=name,
        sampling_rate=given["rate"],
        seconds=given["seconds"],
        workers=given["workers"],
        skip_bad=given["skip_bad"],
        patients=given["patients"],
        holdout=Holdout(**chosen),
        replace=given["replace"],
    )


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
        release = data.release + (f"   [{data.notice}]" if data.notice and name != catalog.DEMO else "")
        rows.append((name, f"{len(data.records):,}", f"{data.store.sampling_rate:g} Hz", release, data.source))
    if rows:
        from tabulate import tabulate

        click.echo(tabulate(rows, headers=("data", "records", "rate", "release", "from"), disable_numparse=True))
    if not any(name != catalog.DEMO for name, *_ in rows):
        click.echo(
            "No real data is registered: mibench data add ptb-xl /path/to/ptb-xl, or to fetch it (2.8 GB): "
            "mibench data download ptb-xl"
        )


def _describe(data: Dataset) -> str:
    import numpy as np

    store = data.store
    lines = [
        f"{data.name}: {len(data.records):,} records of {len(np.unique(data.patients)):,} patients, "
        f"{store.samples / store.sampling_rate:g} s at {store.sampling_rate:g} Hz, from {data.source}",
        f"release: {data.release}",
    ]
    if not data.complete:
        lines.append("A subset: numbers from it are not comparable with those of a whole release.")
    if data.notice:
        lines.append(f"{data.notice}")
    lines += [
        f"manifest: {data.manifest[:12]}; store: {store.path}",
        f"flat leads in {store.flat} records; {store.invalid} invalid samples set to zero",
    ]
    lines += data.remarks
    return "\n".join(lines + (_positives(data) if data.labelled else _parts(data)))


def _positives(data: Dataset) -> list[str]:
    from tabulate import tabulate

    counts = data.positives()
    rows = counts.reset_index().to_numpy().tolist()
    return ["", "Positives per statement", tabulate(rows, headers=["", *counts.columns], intfmt=",")]


def _parts(data: Dataset) -> list[str]:
    """What is trained on and what is held out, of data without labels."""
    import numpy as np
    from tabulate import tabulate

    held, trained = data.held_out_rows(), data.training_rows()
    neither = np.setdiff1d(np.arange(len(data.records)), np.concatenate([held, trained]))
    parts = {"trained on": trained, "held out": held, "neither": neither}
    rows = [(part, f"{len(at):,}", f"{len(np.unique(data.patients[at])):,}") for part, at in parts.items()]
    table = tabulate(rows, headers=("", "records", "patients"), colalign=("left", "right", "right"))
    return ["", "No labels: for pre-training and retrieval", table]
