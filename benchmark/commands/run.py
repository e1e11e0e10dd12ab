"""`mibench run`: measure methods on a data set."""

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
    leads_option,
    pass_through_option,
    preset_option,
    results_option,
    set_option,
    weights_option,
)


@click.command("run", cls=ManyValues)
@click.option("--method", "methods", multiple=True, required=True, metavar="NAME ...", help="Name, or file.py:Class")
@data_option
@weights_option
@click.option(
    "--ratio",
    "ratios",
    multiple=True,
    type=float,
    default=(100.0,),
    metavar="PERCENT ...",
    help="Share of the training records  [default: 100]",
)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Number of probe seeds")
@click.option(
    "--protocol",
    type=click.Choice(["linear_probe", "generative", "retrieval", "supervised"]),
    help="How it is measured  [default: linear_probe for encoders, generative for generators]",
)
@leads_option("Leads that were recorded, or `all`  [default: I]")
@preset_option
@set_option
@device_option
@batch_size_option
@click.option("--companions/--no-companions", default=None, help="Also run the anchors to rank by  [default: on demo]")
@classifier_weights_option
@click.option(
    "--train-on",
    type=click.Choice(["real", "generated", "both"]),
    default="real",
    show_default=True,
    help="Generators: what that classifier is trained on; each is a board of its own",
)
@pass_through_option
@results_option
@force_option
def command(
    methods: tuple[str, ...],
    data: str | None,
    weights: str,
    ratios: tuple[float, ...],
    seeds: int,
    protocol: str | None,
    leads: tuple[str, ...],
    preset: str | None,
    sets: tuple[str, ...],
    device: str,
    batch_size: int,
    companions: bool | None,
    classifier_weights: str,
    train_on: str,
    pass_through: bool | None,
    results: Path | None,
    force: bool,
) -> None:
    """Measure methods: encode every record once, train linear probes, keep scores and intervals.

    A generator makes twelve leads of lead I; a linear probe on the twelve-lead ECGFounder, trained on real records,
    classifies them (the paper's Table 2), and signals and latent space are compared with the real ones.

    \b
    mibench run --method selfmis                                       # the demo heart; pre-trains first
    mibench run --method ecgfounder --weights 1_lead_ECGFounder.pth
    mibench run --method selfmis --data ptb-xl --seeds 5 --ratio 25 50 100
    mibench run --method simclr 3kg clocs --data ptb-xl --weights random
    mibench run --method stmem-12lead --weights st_mem_vit_base_encoder.pth
    mibench run --method ecgfounder-12lead --weights random --leads all
    mibench run --method heartlang --preset full           # its true size on the demo heart
    mibench run --method mcma                                          # a generator and its anchors, demo heart
    mibench run --method mcma ekgan --data ptb-xl --classifier-weights 12_lead_ECGFounder.pth --train-on both
    mibench run --method ./my_adapter.py:MyNet                         # a plug-in, no fork

    What is done already is not done again; a killed command goes on where it stopped.
    """
    from ..choices import RunChoices
    from ..home import results_folder
    from ..runner import run_and_show

    choices = RunChoices(
        data=data,
        weights=weights,
        ratios=tuple(ratios),
        seeds=seeds,
        protocol=protocol,
        leads=leads,
        preset=preset,
        sets=sets,
        device=device,
        batch_size=batch_size,
        companions=companions,
        classifier_weights=classifier_weights,
        train_on=("real", "generated") if train_on == "both" else (train_on,),  # type: ignore[arg-type]
        pass_through=pass_through,
        results=results_folder(results),
        force=force,
    )
    click.echo(run_and_show(methods, choices, say=lambda text: click.echo(text, err=True)))
