"""`mibench weights`: which weights are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from .options import preset_option, set_option
from .weights_download import download


@click.group("weights", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List registered published files and finished pre-trainings; `download`, `add` or `convert` a file.

    \b
    mibench weights
    mibench weights download ecgfounder
    mibench weights add ecgfounder 1_lead_ECGFounder.pth
    """
    if context.invoked_subcommand is not None:
        return
    from tabulate import tabulate

    from .. import weights

    rows = [
        (name, "published", entry["sha256"][:12], "", entry["path"]) for name, entry in weights.registered().items()
    ]
    for name in weights.pretrained_methods():
        rows += [
            (name, f"pretrained {entry['key'][:8]}", entry["sha256"][:12], entry["data"]["name"], str(entry["path"]))
            for entry in weights.pretrainings(name)
        ]
    if rows:
        click.echo(tabulate(rows, headers=("method", "weights", "sha256", "trained on", "file"), disable_numparse=True))
    else:
        click.echo("No weights yet: mibench weights add METHOD FILE, or mibench pretrain --method METHOD")


command.add_command(download)


@command.command("add")
@click.argument("method")
@click.argument("file", type=click.Path(path_type=Path))
@preset_option
@set_option
def add(method: str, file: Path, preset: str | None, sets: tuple[str, ...]) -> None:
    """Register a published weights file, after loading it to see that it fits.

    \b
    mibench weights add ecgfounder 1_lead_ECGFounder.pth
    mibench weights add ecgfounder narrow.pth --set method.net.base_filters=32   # of another size
    """
    _register(method, file, preset, sets)


def _register(
    method: str, file: Path, preset: str | None, sets: tuple[str, ...], source: Mapping[str, str] | None = None
) -> None:
    from .. import weights
    from ..choices import choose_device, make
    from ..config import parse_sets

    _, adapter = make(method, preset, parse_sets(sets)["method"])
    found = weights.resolve(str(file), adapter.spec)
    assert found is not None
    report = found.load(adapter, choose_device("cpu"))
    found = weights.register(adapter.spec, file, source)
    click.echo(f"{method}: {report.loaded} tensors from {found.path}, sha256 {found.sha256}")
    for note in report.notes:
        click.echo(f"  {note}")
    if report.dropped:
        click.echo(f"  left out on purpose: {', '.join(report.dropped)}")


def register_or_convert(
    method: str, file: Path, preset: str | None, sets: tuple[str, ...], source: Mapping[str, str]
) -> None:
    """Register a file that was fetched; one that holds more than weights is rewritten without it first."""
    from ...adapters.torchfile import NamesCodeError

    try:
        _register(method, file, preset, sets, source)
    except NamesCodeError:
        out = file.with_suffix(".safetensors")
        click.echo(f"{file} holds more than weights: rewritten as {out}, and nothing in it was run")
        _convert(method, file, out, preset, sets)
        _register(method, out, preset, sets, source)


@command.command("convert")
@click.argument("method")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path), required=False)
@preset_option
@set_option
@click.option("--force", is_flag=True, help="Replace OUT where it exists")
def convert(method: str, file: Path, out: Path | None, preset: str | None, sets: tuple[str, ...], force: bool) -> None:
    """Rewrite a published file as safetensors, beside it or as OUT, without running anything that is in it.

    Takes files that hold more than weights, such as the objects of a configuration library: what they name is ignored,
    what the method does not use is left out, and both are said.

    \b
    mibench weights convert ecgfounder 1_lead_ECGFounder.pth
    mibench weights convert w2v-cmsc mimic_iv_ecg_physionet_pretrained.pt ecg-fm.safetensors
    """
    from ...adapters.errors import MibenchError

    out = out or file.with_suffix(".safetensors")
    if out.resolve() == file.resolve():
        raise MibenchError(f"{file} would be overwritten: name another file to write")
    if out.exists() and not force:
        raise MibenchError(f"{out} exists: name another file to write, or add --force to replace it")
    _convert(method, file, out, preset, sets)
    click.echo(f"Next: mibench weights add {method} {out}")


def _convert(method: str, file: Path, out: Path, preset: str | None, sets: tuple[str, ...]) -> None:
    from .. import config
    from ..choices import make
    from ..convert import convert as rewrite
    from ..convert import relatives

    chosen = config.parse_sets(sets)["method"]
    _, adapter = make(method, preset, chosen)
    owner = adapter.spec.weights_of or adapter.spec.name
    done = rewrite(adapter, file, out, relatives(owner, method, preset, chosen))
    click.echo(f"{method}: {done.tensors} tensors of {done.source} are in {done.out}")
    click.echo(f"  sha256 {done.source_sha256}  {done.source}")
    click.echo(f"  sha256 {done.out_sha256}  {done.out}")
    click.echo(f"  left out: {', '.join(done.dropped) or 'nothing'}")
    if done.ignored:
        click.echo(f"  named in the file, ignored and not run: {', '.join(done.ignored)}")
    for note in done.notes:
        click.echo(f"  {note}")
