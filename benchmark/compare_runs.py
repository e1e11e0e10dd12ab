"""What `mibench compare` does: find the two rows, compare them, draw the records that differ most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..adapters.errors import MibenchError
from . import results as records_of
from .board import COLUMNS
from .compare import Contrast, contrast
from .compare_table import data_line, render, runs, said
from .contestants import contestants
from .home import results_folder
from .selection import Selection, what_there_is
from .tables import leaderboards, load_paper

Say = Callable[[str], None]
PICTURES = (".png", ".pdf")


def compare_and_draw(
    first: str,
    second: str,
    *,
    results: Path | None,
    data: str | None,
    protocol: str | None,
    ratio: float | None,
    specificity: float,
    records: int,
    form: str,
    out: Path | None,
    say: Say,
) -> str:
    """Compare two rows, and draw where `out` says; the text in a format of `compare_table.FORMATS`.

    Args:
        first, second: as `contestants` takes them.
        ratio: in percent.
        specificity: 0 to 1.
        records: how many of the most different ones.

    Raises:
        MibenchError: nothing to compare, scores that cannot be, or a picture that cannot be written.
    """
    if out is not None:
        _check_out(out, records)
    folder = results_folder(results)
    found, unreadable = records_of.scan(folder)
    for sentence in unreadable:
        say(f"Warning: {sentence}")
    asked = Selection(data=(data,) if data else (), protocols=(protocol,) if protocol else ())
    chosen = [record for record in found if asked.takes(record)]
    if found and not chosen:
        raise MibenchError(f"no run fits what was asked for; there are {what_there_is(found)}")
    boards = leaderboards(chosen, load_paper(), folder=folder)
    by_file = {record.path: record for record in chosen}
    share = None if ratio is None else ratio / 100
    one, other = contestants(boards, by_file, first, second, share)
    outcome = contrast(one, other, specificity=specificity, records=records)
    if all(outcome.evidence.differences[name] is None for name in COLUMNS):
        say(said(outcome, "no statement has both positives and negatives: there is no AUC to compare"))
    if out is not None:
        _draw(outcome, out, say)
    return render(outcome, form)


def _check_out(out: Path, records: int) -> None:
    from .figures.style import check_out

    if not records:
        raise MibenchError("--out draws the most different records, and --records 0 asks for none: leave one out")
    if out.suffix:
        check_out(out)
    elif out.exists() and not out.is_dir():
        raise MibenchError(f"{out} is a file: give FILE.png, FILE.pdf, or a folder")


def _draw(outcome: Contrast, out: Path, say: Say) -> None:
    """Draw the most different records when their signals are at hand; a sentence when they are not."""
    from .data.catalog import DEMO, data_folder, registered
    from .data.dataset import load_dataset
    from .figures.compared_records import draw_compared

    board = outcome.first.board
    how = "`mibench data show demo` makes it" if board.data == DEMO else "`mibench data add` registers it"
    if board.data not in registered():
        say(
            f"The records are not drawn: this machine has no data set `{board.data}`. {how}; then give the same "
            f"command again."
        )
        return
    try:
        dataset = load_dataset(data_folder() / board.data)
    except MibenchError as problem:
        say(f"The records are not drawn: {problem}.")
        return
    if dataset.manifest != board.manifest:
        say(
            f"The records are not drawn: {board.data} on this machine ({dataset.release}, manifest "
            f"{dataset.manifest[:12]}) is not what the runs were measured on, {board.release}, {board.manifest[:12]}."
        )
        return
    for path in draw_compared(outcome, dataset, out, footer=said(outcome, f"{data_line(outcome)} {runs(outcome)}")):
        say(f"written: {path}")
