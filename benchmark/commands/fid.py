"""`mibench fid`: how far generated records lie from real ones in an encoder's features."""

from __future__ import annotations

from pathlib import Path

import click

from .options import (
    ManyValues,
    batch_size_option,
    classifier_weights_option,
    data_option,
    device_option,
    force_option,
    pass_through_option,
    preset_option,
    results_option,
    set_option,
    weights_option,
)


@click.command("fid", cls=ManyValues)
@click.option(
    "--method", "methods", multiple=True, required=True, metavar="NAME ...", help="Generators, or file.py:Class"
)
@data_option
@weights_option
@classifier_weights_option
@pass_through_option
@preset_option
@set_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "latex", "markdown", "csv", "html"]),
    default="text",
    show_default=True,
)
@device_option
@batch_size_option
@results_option
@force_option
def command(
    methods: tuple[str, ...],
    data: str | None,
    weights: str,
    classifier_weights: str,
    pass_through: bool | None,
    preset: str | None,
    sets: tuple[str, ...],
    form: str,
    device: str,
    batch_size: int,
    results: Path | None,
    force: bool,
) -> None:
    """Compare generated with real test records in the features of the twelve-lead ECGFounder: latent FID.

    FID with its mean and covariance parts, extrapolated to infinitely many records; distance and cosine between each
    record's real and generated features; KID; and the floor, which is what two halves of the real records give.

    \b
    mibench fid --method mcma                                 # the demo heart; pre-trains first
    mibench fid --method mcma ekgan fir-ridge shuffled-record --data ptb-xl
    mibench fid --method mcma --data ptb-xl --classifier-weights 12_lead_ECGFounder.pth
    mibench fid --method mcma real-leads --format markdown
    mibench fid --method mcma --no-pass-through --set protocol.resamples=500

    Values compare only within one encoder with its weights, and one number of records. What is done already is not
    done again.
    """
    from ..choices import GenerateChoices
    from ..home import results_folder
    from ..runner import fid_and_show

    choices = GenerateChoices(
        data=data,
        weights=weights,
        preset=preset,
        sets=sets,
        device=device,
        batch_size=batch_size,
        results=results_folder(results),
        force=force,
        classifier_weights=classifier_weights,
        pass_through=pass_through,
    )
    click.echo(fid_and_show(methods, choices, say=lambda text: click.echo(text, err=True), form=form))
