"""`mibench compare`: two rows held against each other, from their stored scores alone."""

from __future__ import annotations

from pathlib import Path

import click

from .options import results_option


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--data", metavar="NAME", help="Only runs on this data set")
@click.option("--protocol", metavar="NAME", help="Only runs of this protocol, such as linear_probe or generative")
@click.option("--ratio", type=float, metavar="PERCENT", help="Share of the training records  [default: the largest]")
@click.option(
    "--specificity",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    default=90.0,
    show_default=True,
    metavar="PERCENT",
    help="At which records flip",
)
@click.option(
    "--records",
    "count",
    type=click.IntRange(0, 100),
    default=10,
    show_default=True,
    help="How many of the most different records",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "csv", "latex", "html"]),
    default="text",
    show_default=True,
    help="csv: a line per statement, with all identifiers",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.png|pdf|DIR",
    help="Draw the most different records: on one page, or a PNG for each in a folder",
)
@results_option
def command(
    first: str,
    second: str,
    data: str | None,
    protocol: str | None,
    ratio: float | None,
    specificity: float,
    count: int,
    form: str,
    out: Path | None,
    results: Path | None,
) -> None:
    """Compare two rows: AUC differences with intervals and tests, which records flip, which records differ most.

    A and B are methods, METHOD:SOURCE with the source of the weights (published, pretrained, random), or the first
    letters of a run's key. A bare method is its trained weights where there are any. Only the stored scores are read;
    pictures need the data as well, and the numbers come without them.

    \b
    mibench compare selfmis ecgfounder
    mibench compare selfmis:pretrained selfmis:random --data ptb-xl
    mibench compare mcma fir-ridge --format latex
    mibench compare 3f2a91 c07d55 --records 10 --out records.pdf
    """
    from ..compare_runs import compare_and_draw

    click.echo(
        compare_and_draw(
            first,
            second,
            results=results,
            data=data,
            protocol=protocol,
            ratio=ratio,
            specificity=specificity / 100,
            records=count,
            form=form,
            out=out,
            say=lambda text: click.echo(text, err=True),
        ).rstrip()
    )
