"""`mibench table`: the leaderboards, from run records alone."""

from __future__ import annotations

from pathlib import Path

import click

from .options import results_option


@click.command("table")
@click.option(
    "--format",
    "form",
    type=click.Choice(["latex", "markdown", "csv", "html", "text"]),
    default="latex",
    show_default=True,
)
@click.option("--data", metavar="NAME", help="Only this data set")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of printing")
@results_option
def command(form: str, data: str | None, out: Path | None, results: Path | None) -> None:
    """Print the leaderboards: nine AUCs, Avg, Avg6, 95 % intervals, positives, the paper's figures beside ours.

    \b
    mibench table                              # LaTeX
    mibench table --format markdown
    mibench table --format html --out board.html
    mibench table --format csv --data ptb-xl > board.csv
    """
    from .. import results as records
    from .. import tables
    from ..files import write_text
    from ..home import results_folder

    folder = results_folder(results)
    found, unreadable = records.scan(folder)
    for sentence in unreadable:
        click.echo(f"Warning: {sentence}", err=True)
    boards = tables.leaderboards(found, tables.load_paper(), data=data, folder=folder)
    text = tables.render_all(boards, form).rstrip()
    if out is None:
        click.echo(text)
    else:
        write_text(out, text + "\n")
        click.echo(f"written: {out}", err=True)
