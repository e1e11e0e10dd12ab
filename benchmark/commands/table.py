"""`mibench table`: the leaderboards, from run records alone."""

from __future__ import annotations

from pathlib import Path

import click

from .options import results_option


@click.command("table")
@click.argument("number", required=False, type=click.Choice(["5"]), metavar="[NUMBER]")
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
def command(number: str | None, form: str, data: str | None, out: Path | None, results: Path | None) -> None:
    """Print the leaderboards: nine AUCs, Avg, Avg6, 95 % intervals, positives, the paper's figures beside ours.

    With NUMBER 5 the paper's Table 5 in their place: retrieval, loss and Avg AUC of SelfMIS without alignment, and with
    either, both or neither network started from its checkpoint, from what `mibench run --suite ablation` left.

    \b
    mibench table                              # LaTeX
    mibench table 5 --format text              # the ablations
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
    if number is None:
        boards = tables.leaderboards(found, tables.load_paper(), data=data, folder=folder)
        text = tables.render_all(boards, form).rstrip()
    else:
        from .. import ablation_table
        from ..suites.file import load_suite

        suite = load_suite("ablation")
        text = ablation_table.table(found, suite, tables.load_paper(), form, data=data, folder=folder).rstrip()
    if out is None:
        click.echo(text)
    else:
        write_text(out, text + "\n")
        click.echo(f"written: {out}", err=True)
