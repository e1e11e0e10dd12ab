"""`mibench run`: measure methods on a data set."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .engines import NAMES as ENGINES
from .engines import engine_options, ways_of
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
@click.option("--method", "methods", multiple=True, metavar="NAME ...", help="Name, or file.py:Class")
@click.option("--suite", metavar="NAME|FILE", help="In place of --method: `paper`, `demo`, `ablation`, or a YAML file")
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
@click.option("--seeds", type=click.IntRange(1), default=1, help="Number of probe seeds  [default: 1, or the suite's]")
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
@click.option(
    "--pretrain-data", metavar="NAME|PATH", help="Suites: data to pre-train on  [default: the suite's, else --data]"
)
@click.option("--init", multiple=True, metavar="PART=FILE ...", help="Suites: checkpoints  [default: registered files]")
@engine_options
@results_option
@force_option
@click.pass_context
def command(
    context: click.Context,
    /,
    methods: tuple[str, ...],
    suite: str | None,
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
    pretrain_data: str | None,
    init: tuple[str, ...],
    results: Path | None,
    force: bool,
    **_engines: object,
) -> None:
    """Measure methods: encode every record once, train linear probes, keep scores and intervals.

    A generator makes twelve leads of lead I; a linear probe on the twelve-lead ECGFounder, trained on real records,
    classifies them (the paper's Table 2), and signals and latent space are compared with the real ones.

    --protocol retrieval has lead I look for its own twelve leads among the records that pre-training held out;
    --protocol supervised trains the network itself on labels, from random weights or any other.

    --suite runs many methods through many protocols; what fails is listed at the end (exit code 1) and the rest goes
    on. There --set takes method.KEY, and KEY of a protocol: pretrain.KEY, linear_probe.KEY, generative.KEY ...

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
    mibench run --method selfmis --protocol retrieval --data mimic-iv-ecg
    mibench run --method selfmis --protocol supervised --weights random --data ptb-xl
    mibench run --suite demo                                           # every protocol of every method, demo heart
    mibench run --suite paper --dry-run                                # the whole board: what is missing, and hours
    mibench run --suite paper --jobs 4                                 # four processes, a GPU for each
    mibench run --suite paper --ray auto --gpus-per-task 0.5           # on a Ray cluster, two tasks a GPU
    mibench run --suite paper --slurm-script --cpus-per-task 8 > paper.sh
    mibench run --suite paper --only-task 12                           # what an index of that script runs
    mibench run --suite ablation --init single_lead=1.pth twelve_lead=12.pth --set pretrain.epochs=2
    mibench run --suite ./mine.yaml --data ptb-xl                      # composed by you; see configs/suites
    mibench run --method ./my_adapter.py:MyNet                         # a plug-in, no fork

    What is done already is not done again; a killed command goes on where it stopped.
    """
    _refuse_mixed(context, suite, methods)
    if suite:
        _run_suite(context, suite)
        return
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


SUITES_ALONE = ("pretrain_data", "init", *ENGINES)
METHODS_ALONE = (*("weights", "ratios", "protocol", "leads", "companions", "train_on", "pass_through"),)
"""What a suite says itself."""


def _refuse_mixed(context: click.Context, suite: str | None, methods: tuple[str, ...]) -> None:
    """Options of the other way to run are a mistake, not to be passed over in silence."""
    from ...adapters.errors import MibenchError

    if bool(suite) == bool(methods):
        raise MibenchError("give either --method NAME or --suite NAME; `mibench run --help` shows both")
    given = click.core.ParameterSource.COMMANDLINE
    for option in context.command.params:
        name = option.name or ""
        if name in (METHODS_ALONE if suite else SUITES_ALONE) and context.get_parameter_source(name) is given:
            owner = "--method, and a suite says it itself" if suite else "--suite"
            raise MibenchError(f"{option.opts[0]} belongs to {owner}: leave it out")


def _run_suite(context: click.Context, suite: str) -> None:
    """Print what came of a suite; exit code 1 when one of its runs failed."""
    from ..home import results_folder
    from ..suites.choices import SuiteChoices
    from ..suites.runner import suite_and_show

    given = context.params
    typed = context.get_parameter_source("seeds") is click.core.ParameterSource.COMMANDLINE
    ways = ways_of(given, sys.argv[1:])
    choices = SuiteChoices(
        data=given["data"],
        pretrain_data=given["pretrain_data"],
        init=given["init"],
        seeds=given["seeds"] if typed else None,
        preset=given["preset"],
        sets=given["sets"],
        device=given["device"],
        batch_size=given["batch_size"],
        results=results_folder(given["results"]),
        force=given["force"],
        classifier_weights=given["classifier_weights"],
    )
    text, well = suite_and_show(suite, choices, ways, say=lambda line: click.echo(line, err=True))
    click.echo(text)
    if not well:
        context.exit(1)
