"""`mibench figure NAME`: the figures of a board, out of run records alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..figures.catalog import NAMES
from .options import ManyValues, results_option

if TYPE_CHECKING:
    from ..figures.view import View

FORMATS = ("png", "pdf")
ALL = "all"

_EXAMPLES = {
    "forest": "mibench figure forest --data ptb-xl --out forest.pdf",
    "heatmap": "mibench figure heatmap --data ptb-xl --ratio 25 --out heatmap.png",
    "ratios": "mibench figure ratios --data ptb-xl --method selfmis ecgfounder --out ratios.pdf",
    "pareto": "mibench figure pareto --data ptb-xl --out pareto.pdf",
    "roc": "mibench figure roc --data ptb-xl --method selfmis ecgfounder --out roc.pdf",
    "critical-difference": "mibench figure critical-difference --data ptb-xl --out ranks.pdf",
    "differences": "mibench figure differences --data ptb-xl --reference ecgfounder --out differences.pdf",
}

_BELOW = "Drawn from run records alone. PNG and PDF repeat to the byte."

_CHOICES = (
    click.option("--data", metavar="NAME", help="Only this data set  [default: real data first]"),
    click.option("--protocol", metavar="NAME", help="linear_probe, generative ...  [default: linear_probe first]"),
    click.option("--board", metavar="LABEL", help="Of several boards the one with this in its label"),
    click.option("--method", "methods", multiple=True, metavar="NAME ...", help="Only these methods  [default: all]"),
    click.option(
        "--ratio",
        type=click.FloatRange(0, 100, min_open=True),
        metavar="PERCENT",
        help="Share of the training records  [default: the largest]",
    ),
    click.option("--reference", metavar="NAME", help="Method that others are compared with  [default: the best]"),
)
_FORMAT = click.option(
    "--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Write it in each of these  [default: png]"
)


def add_to(group: click.Group) -> None:
    """Make a command of every figure of the catalog, and one that draws all."""
    for name, description in NAMES.items():
        _add_figure(group, name, f"{description[0].upper()}{description[1:]}.")
    _add_all(group)


def _add_figure(group: click.Group, name: str, sentence: str) -> None:
    def call(out: tuple[Path, ...], formats: tuple[str, ...], **chosen: Any) -> None:
        _draw(name, out, formats, chosen)

    out = click.option(
        "--out",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.png|pdf ...",
        help=f"The picture, or several  [default: {name}.png]",
    )
    about = f"{sentence}\n\n\b\nmibench figure {name}\n{_EXAMPLES[name]}\n\n{_BELOW}"
    register = group.command(name, cls=ManyValues, short_help=sentence, help=about)
    register(_with(call, *_CHOICES, out, _FORMAT, results_option))


def _add_all(group: click.Group) -> None:
    folder = click.option(
        "--out-dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("figures"),
        show_default=True,
        metavar="DIR",
        help="Where they go",
    )
    register = group.command(
        ALL,
        cls=ManyValues,
        short_help="Every figure of every board that can be drawn, and what the others lack.",
        help="Draw every figure that can be drawn, in a folder for each board, and say what the others lack.\n\n"
        "\b\nmibench figure all --out-dir figures\n"
        f"mibench figure all --data ptb-xl --format png pdf --out-dir figures\n\n{_BELOW}",
    )
    register(_with(_draw_all, *_CHOICES, folder, _FORMAT, results_option))


def _with(function: Callable[..., None], *options: Callable[[Any], Any]) -> Callable[..., None]:
    """The options in the order of --help."""
    for option in reversed(options):
        function = option(function)
    return function


def _draw(name: str, out: Sequence[Path], formats: Sequence[str], chosen: dict[str, Any]) -> None:
    from ..figures.catalog import write
    from ..figures.style import check_out

    files = list(out or [Path(name)] if formats else out or [Path(f"{name}.png")])
    if formats:
        files = [file.with_name(f"{_stem(file)}.{form}") for file in files for form in dict.fromkeys(formats)]
    for file in files:
        check_out(file)
    view = _view(chosen)
    if len(view.boards) > 1:
        others = ", ".join(board.label for board in view.boards[1:])
        click.echo(f"drawn: {view.board.label}. There are also {others} (--board LABEL chooses)", err=True)
    write(name, view, *files)
    for file in files:
        click.echo(f"written: {file}")


def _draw_all(folder: Path, formats: tuple[str, ...], **chosen: Any) -> None:
    from ...adapters.errors import MibenchError
    from ..figures.catalog import write
    from ..figures.style import check_out

    view = _view(chosen)
    check_out(folder / "any.png")
    written = 0
    for board in view.boards:
        for name in NAMES:
            files = [folder / board.label / f"{name}.{form}" for form in dict.fromkeys(formats or FORMATS[:1])]
            try:
                write(name, view.on(board), *files)
            except MibenchError as problem:
                click.echo(f"not drawn: {name} of {board.label}: {problem}", err=True)
                continue
            written += len(files)
            for file in files:
                click.echo(f"written: {file}")
    if not written:
        raise MibenchError("nothing could be drawn: what is said above tells why")


def _view(chosen: dict[str, Any]) -> View:
    """What the records show; sentences about those that cannot be read go to the terminal."""
    from .. import results
    from ..figures.view import View
    from ..home import results_folder
    from ..published import load_paper

    folder = results_folder(chosen["results"])
    records, unreadable = results.scan(folder)
    for sentence in unreadable:
        click.echo(f"Warning: {sentence}", err=True)
    return View.of(
        records,
        load_paper(),
        data=chosen["data"],
        protocol=chosen["protocol"],
        label=chosen["board"],
        methods=chosen["methods"],
        ratio=None if chosen["ratio"] is None else chosen["ratio"] / 100,
        reference=chosen["reference"],
        folder=folder,
    )


def _stem(file: Path) -> str:
    return file.stem if file.suffix.lower()[1:] in FORMATS else file.name
