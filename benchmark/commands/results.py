"""`mibench results`: list, merge, verify and export run records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from .options import ManyValues, results_option

if TYPE_CHECKING:
    from ..selection import Selection
    from ..verify import Verdict

F = TypeVar("F", bound=Callable[..., Any])

folder_argument = click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[DIR]")


@click.group("results")
def command() -> None:
    """List run records, merge them, verify them, export them.

    \b
    mibench results list
    mibench results merge /mnt/other-machine/results
    mibench results verify
    mibench results export all.parquet
    mibench results schema > run_record.schema.json
    """


def _chosen(function: F) -> F:
    """The options that say which records are meant."""
    options = (
        click.option("--data", "data", multiple=True, metavar="NAME ...", help="Only these data sets"),
        click.option("--protocol", "protocols", multiple=True, metavar="NAME ...", help="linear_probe, generative ..."),
        click.option("--method", "methods", multiple=True, metavar="NAME ...", help="Only these methods"),
        click.option("--ratio", "ratios", multiple=True, type=float, metavar="PERCENT ...", help="Training shares"),
        click.option("--seed", "seeds", multiple=True, type=int, metavar="N ...", help="Only these seeds"),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _selection(asked: dict[str, Any]) -> Selection:
    from ..selection import Selection

    return Selection(**{name: tuple(asked[name]) for name in ("data", "protocols", "methods", "ratios", "seeds")})


@command.command("list", cls=ManyValues)
@folder_argument
@_chosen
@results_option
def show(folder: Path | None, results: Path | None, **asked: Any) -> None:
    """Count the records by data, protocol, method, weights and share of the training records.

    \b
    mibench results list
    mibench results list /mnt/other-machine/results --data ptb-xl
    """
    from .. import results as records
    from ..home import results_folder
    from ..results_list import listing

    root = results_folder(folder or results)
    found, unreadable = records.scan(root)
    for sentence in unreadable:
        click.echo(f"Warning: {sentence}", err=True)
    click.echo(listing(found, _selection(asked), root))


@command.command("merge", cls=ManyValues)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR [DIR ...]")
@_chosen
@click.option(
    "--prefer",
    type=click.Choice(["ours", "theirs", "newer"]),
    help="Whose figures stay where both have finished and differ  [default: ours, and exit code 2]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing")
@results_option
def merge(
    folders: tuple[Path, ...],
    prefer: Literal["ours", "theirs", "newer"] | None,
    dry_run: bool,
    results: Path | None,
    **asked: Any,
) -> None:
    """Copy the run records of other folders, and their scores, into this one.

    Hashes are verified on the way. A finished run is never replaced by a failed one. Where both have finished a run and
    their figures differ by more than 1e-6, ours stay unless --prefer says otherwise, and the exit code is 2. What
    cannot be taken, such as records of a newer mibench, is listed, and the rest goes on.

    \b
    mibench results merge /mnt/other-machine/results
    mibench results merge /mnt/a/results /mnt/b/results --dry-run
    mibench results merge /mnt/a/results --prefer newer
    mibench results merge old --results new --data demo --ratio 100 --seed 0
    """
    from ..home import results_folder
    from ..merge import merge as bring
    from ..progress import steps

    root = results_folder(results)
    outcomes = bring(root, folders, _selection(asked), steps, prefer=prefer, dry_run=dry_run)
    for outcome in outcomes:
        if outcome.why:
            click.echo(f"{outcome.what}: {outcome.why}", err=True)
    counts = Counter(outcome.what for outcome in outcomes)
    would = "would be " * dry_run
    click.echo(
        f"{root}: {counts['copied']} {would}copied, {counts['replaced']} {would}replaced, {counts['kept']} kept as "
        f"they are, {counts['conflict']} in conflict, {counts['refused']} refused."
    )
    if counts["conflict"]:
        click.echo("Ours stay; --prefer newer or --prefer theirs takes the others'.", err=True)
    if counts["conflict"] or counts["refused"]:
        click.get_current_context().exit(2)


@command.command("verify")
@folder_argument
@click.option("--quick", is_flag=True, help="Do not make the intervals again, which takes most of the time")
@results_option
@click.pass_context
def verify(context: click.Context, folder: Path | None, quick: bool, results: Path | None) -> None:
    """Check that results are what they say: keys, hashes, schema, and every figure made again from the stored scores.

    AUCs, means, positives and 95 % intervals must agree to 1e-6. Figures of signals, latent space and costs are not in
    the stored scores, and are taken as they are. Nothing is changed; the exit code is 2 when something is wrong.

    \b
    mibench results verify
    mibench results verify results/ptb-xl --quick
    """
    from ..home import results_folder
    from ..progress import steps
    from ..verify import TOLERANCE, orphans, schema_validator
    from ..verify import verify as look

    root = results_folder(folder or results)
    verdicts = look(root, steps, intervals=not quick)
    for verdict in verdicts:
        _tell(verdict)
    for path in orphans(root):
        click.echo(f"note: {path}: no record vouches for it; it may be deleted", err=True)
    if schema_validator() is None:
        click.echo("note: jsonschema is not installed: only mibench's own check was made", err=True)
    wrong = sum(bool(verdict.faults) for verdict in verdicts)
    scored = sum(verdict.scored for verdict in verdicts)
    what = "AUCs, means and positives" if quick else "AUCs, means, positives and intervals"
    click.echo(
        f"{root}: {len(verdicts)} records, {len(verdicts) - wrong} right, {wrong} wrong. {what} of {scored} were made "
        f"again from stored scores (tolerance {TOLERANCE:g}); {len(verdicts) - scored} keep none."
    )
    if wrong:
        context.exit(2)


def _tell(verdict: Verdict) -> None:
    for fault in verdict.faults:
        click.echo(f"wrong: {verdict.path}: {fault}")
    for remark in verdict.remarks:
        click.echo(f"note: {verdict.path}: {remark}", err=True)


@command.command("export", cls=ManyValues)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE.parquet|FILE.csv ...")
@click.option("--wide", is_flag=True, help="One row per run, its statements in columns")
@_chosen
@results_option
def export(files: tuple[Path, ...], wide: bool, results: Path | None, **asked: Any) -> None:
    """Write all figures as one table: a row per run and statement, for pandas, R or a spreadsheet.

    AUCs, intervals and further figures are fractions of one; `Avg` and `Avg6` are statements of their own. AUPRC,
    sensitivities, Brier score and calibration come from the stored scores, and are empty where a run keeps none.
    Everything that determines a run stands in columns `determinants.*`; `notice` says which numbers are of demo data.

    \b
    mibench results export all.parquet
    mibench results export all.parquet all.csv --wide
    mibench results export ptb-xl.csv --data ptb-xl --protocol linear_probe
    """
    from .. import results as records
    from ..export import check_files
    from ..export import export as write
    from ..home import results_folder
    from ..progress import steps

    check_files(files)
    root = results_folder(results)
    found, unreadable = records.scan(root)
    for sentence in unreadable:
        click.echo(f"Warning: {sentence}", err=True)
    for line in write(found, _selection(asked), files, steps, wide=wide, folder=root):
        click.echo(line, err=True)


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of run records.

    \b
    mibench results schema
    mibench results schema > run_record.schema.json
    """
    from ..verify import schema_text

    click.echo(schema_text().rstrip())
