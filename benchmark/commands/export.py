"""`mibench export`: a method as one file that a watch or a phone can run."""

from __future__ import annotations

from pathlib import Path

import click

from .options import preset_option, set_option, weights_option


@click.command("export")
@click.option("--method", required=True, metavar="NAME")
@click.option("--format", "form", type=click.Choice(["onnx"]), default="onnx", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="[default: NAME.onnx in this folder]"
)
@weights_option
@preset_option
@set_option
@click.option(
    "--rate", type=click.FloatRange(50, 5000), default=500.0, show_default=True, help="Of what the device records, Hz"
)
@click.option("--seconds", type=click.FloatRange(1, 120), default=10.0, show_default=True, help="Length of a record")
@click.option("--dynamic-batch", is_flag=True, help="Any number of records at a time  [default: one]")
@click.option(
    "--opset", type=click.IntRange(18, 25), default=18, show_default=True, help="Version of ONNX's operations"
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True),
    default=1e-4,
    show_default=True,
    help="Largest difference from torch, as a share of the largest value of a record",
)
@click.option("--force", is_flag=True, help="Replace a file that exists")
def command(
    method: str,
    form: str,
    out: Path | None,
    weights: str,
    preset: str | None,
    sets: tuple[str, ...],
    rate: float,
    seconds: float,
    dynamic_batch: bool,
    opset: int,
    tolerance: float,
    force: bool,
) -> None:
    """Write a method as one ONNX file: raw lead I in, features or twelve leads out.

    Resampling, filter, windows and scale are inside, so that a device hands over what it recorded, in mV. The file is
    run in onnxruntime and held against torch before it is put in its place; whose weights it holds, from what data and
    under which licence stands in its metadata. A probe is not part of it: run records keep scores, not the probe.

    \b
    mibench export --method selfmis --out selfmis.onnx
    mibench export --method ecgfounder --weights 1_lead_ECGFounder.pth --rate 512 --dynamic-batch
    mibench export --method mcma --weights random
    mibench profile --method selfmis --export        # size and latency beside the other costs

    Methods that look for beats before their network, such as heartlang, cannot be put into a file of tensors.
    """
    from ..exporter import ExportChoices, export_and_show
    from ..files import safe_name

    choices = ExportChoices(
        out=out or Path(f"{safe_name(method)}.onnx"),
        weights=weights,
        preset=preset,
        sets=sets,
        sampling_rate=rate,
        seconds=seconds,
        dynamic_batch=dynamic_batch,
        opset=opset,
        tolerance=tolerance,
        force=force,
    )
    click.echo(export_and_show(method, choices, say=lambda line: click.echo(line, err=True)))
