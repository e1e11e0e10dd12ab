"""`mibench report`: one HTML file of everything, from run records alone."""

from __future__ import annotations

from pathlib import Path

import click

from .options import results_option


@click.command("report")
@click.option("--data", metavar="NAME", help="Only this data set, with the pre-trainings that its runs rest on")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    metavar="FILE.html",
    help="The report",
)
@results_option
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw; without it takes a second")
@click.option("--open", "show", is_flag=True, help="Show it in the browser")
def command(data: str | None, out: Path, results: Path | None, figures: bool, show: bool) -> None:
    """Write one HTML file of all boards, figures and runs, which fetches nothing and can be sent to anybody.

    Boards can be sorted and filtered; every run has its provenance, every failure its error. Below them stand what the
    paper leaves open, how to read the numbers and how to cite.

    \b
    mibench report                             # report.html of ./results
    mibench report --data ptb-xl --out ptb-xl.html
    mibench report --open
    """
    import webbrowser

    from .. import results as records
    from ..home import results_folder
    from ..report.build import report
    from ..report.page import check_out, write

    check_out(out)
    folder = results_folder(results)
    found, unreadable = records.scan(folder)
    for sentence in unreadable:
        click.echo(f"Warning: {sentence}", err=True)
    write(out, report(found, unreadable, data=data, folder=folder, figures=figures))
    click.echo(f"written: {out}", err=True)
    if show and not webbrowser.open(out.absolute().as_uri()):
        click.echo(f"no browser was found here: open {out.absolute()} in one", err=True)
