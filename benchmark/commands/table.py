"""`mibench table`: the paper's tables and the leaderboards, from run records alone."""

from __future__ import annotations

from pathlib import Path

import click

from .options import results_option


@click.command("table")
@click.argument("number", required=False, type=click.Choice(["1", "2", "3", "4", "5", "all"]), metavar="[NUMBER|all]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["latex", "markdown", "csv", "html", "text"]),
    default="latex",
    show_default=True,
)
@click.option("--data", metavar="NAME", help="Only this data set")
@click.option(
    "--metric",
    type=click.Choice(["auc", "auprc", "sens90", "sens95", "brier", "slope"]),
    default="auc",
    show_default=True,
    help="AUPRC, sensitivity at 90 or 95 % specificity, Brier score or calibration slope, from the stored scores",
)
@click.option(
    "--reference",
    metavar="METHOD",
    help="Below each board the paired differences from this method's row; METHOD:SOURCE names one of its weights, "
    "such as selfmis:random",
)
@click.option(
    "--allow-mixed",
    is_flag=True,
    help="Rows of different data, releases or versions of a protocol on one board, which says that they do not compare",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead of printing")
@results_option
def command(
    number: str | None,
    form: str,
    data: str | None,
    metric: str,
    reference: str | None,
    allow_mixed: bool,
    out: Path | None,
    results: Path | None,
) -> None:
    """Print leaderboards: nine AUCs, Avg, Avg6, 95 % intervals, positives, the paper's figures and ours minus these.

    Without NUMBER every board that the runs make. NUMBER is that of a table of the paper: 1 linear probing, 2 generated
    leads and how near they come to the real ones, 3 shares of the training records, 4 parameters, operations, memory
    and time, 5 ablations; `all` is one document of all five.

    Best and second of a column are marked only where paired differences on the same test records separate them from
    every row below, after Holm. Those are computed once and kept; nothing is run again.

    \b
    mibench table                                    # every board, as LaTeX (booktabs, graphicx)
    mibench table all --format html --out board.html
    mibench table 1 --format text --reference ecgfounder
    mibench table 3 --format markdown                # Avg at 25, 50 and 100 %, then the statements
    mibench table 5 --format text                    # what `mibench run --suite ablation` left
    mibench table 1 --metric sens90 --format text    # another figure, from the stored scores
    mibench table --format csv --data ptb-xl > board.csv
    mibench table 1 --allow-mixed --format text      # PTB-XL 1.0.1 and 1.0.3 side by side, not compared
    """
    from ...adapters.errors import MibenchError
    from .. import paper_tables
    from .. import results as records
    from ..files import write_text
    from ..home import results_folder

    if reference and metric != "auc":
        raise MibenchError("--reference compares ROC AUCs: leave out --reference, or --metric")

    def warn(sentence: str) -> None:
        click.echo(f"Warning: {sentence}", err=True)

    folder = results_folder(results)
    found, unreadable = records.scan(folder)
    for sentence in unreadable:
        warn(sentence)
    ask = paper_tables.Ask(found, form, data, allow_mixed, reference, folder, warn, metric)
    if number is None:
        text = paper_tables.all_boards(ask)
    else:
        text = paper_tables.everything(ask) if number == "all" else paper_tables.table(number, ask)
    if out is None:
        click.echo(text.rstrip())
    else:
        write_text(out, text.rstrip() + "\n")
        click.echo(f"written: {out}", err=True)
