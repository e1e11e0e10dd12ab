"""`mibench profile`: what methods cost, in parameters, multiply-accumulates, memory and time."""

from __future__ import annotations

from pathlib import Path

import click

from .options import ManyValues, device_option, force_option, preset_option, results_option, set_option


@click.command("profile", cls=ManyValues)
@click.option(
    "--method", "methods", multiple=True, metavar="NAME ...", help="Methods  [default: all that have a network]"
)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="NAME ...",
    help="What MACs are counted of: paper, pretraining-step, single-lead-inference  [default: all]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(2),
    default=(128,),
    show_default=True,
    metavar="RECORDS ...",
    help="Of a pre-training step, beside each method's own batch",
)
@click.option("--export", is_flag=True, help="Also as an ONNX file: its size, and its latency in onnxruntime")
@preset_option
@set_option
@device_option
@results_option
@force_option
@click.pass_context
def command(
    context: click.Context,
    methods: tuple[str, ...],
    recipes: tuple[str, ...],
    batches: tuple[int, ...],
    export: bool,
    preset: str | None,
    sets: tuple[str, ...],
    device: str,
    results: Path | None,
    force: bool,
) -> None:
    """Count and measure what methods cost: the paper's Table 4, and what a watch would need.

    Parameters; MACs by ptflops and by a counter that misses no attention, in three recipes; memory, time and energy of
    a pre-training step, each cell in a process of its own; latency of one record. Needs no data and no weights.
    Without a GPU memory is counted from live tensors, and what only a GPU tells says so.

    \b
    mibench profile                                  # every method; minutes without a GPU
    mibench profile --method selfmis stmem --batch 32 128
    mibench profile --method selfmis --preset paper_resources
    mibench profile --method mcma --recipe single-lead-inference --export
    mibench table 4                                  # the paper's table, its figures beneath ours

    Profiles of several machines stand side by side. What is done already is not done again.
    """
    from ..home import results_folder
    from ..profiler import ProfileChoices, profile_and_show

    choices = ProfileChoices(
        methods=methods,
        recipes=recipes,
        batches=batches,
        device=device,
        preset=preset,
        sets=sets,
        export=export,
        results=results_folder(results),
        force=force,
    )
    text, failures = profile_and_show(choices, say=lambda line: click.echo(line, err=True))
    click.echo(text)
    for sentence in failures:
        click.echo(f"failed: {sentence}", err=True)
    if failures:
        context.exit(1)
