"""`mibench figure`: pictures of what generators make, and the figures of a board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from . import board_figures
from .options import (
    ManyValues,
    batch_size_option,
    classifier_weights_option,
    data_option,
    device_option,
    pass_through_option,
    preset_option,
    results_option,
    set_option,
    weights_option,
)

if TYPE_CHECKING:
    from ..choices import GenerateChoices

F = TypeVar("F", bound=Callable[..., Any])


@click.group("figure")
def command() -> None:
    """Draw the figures of a board, real against generated leads on ECG paper, or the latent space of Figure 1.

    \b
    mibench figure forest --out forest.pdf
    mibench figure all --out-dir figures
    mibench figure generation --method mcma fir-ridge --data ptb-xl --record 00123 --out record.png
    mibench figure latent --method mcma fir-ridge real-leads --data ptb-xl --out latent.pdf
    """


def _shared(function: F) -> F:
    """The options of both pictures, in the order of --help."""
    options = (
        click.option("--method", "methods", multiple=True, required=True, metavar="NAME ...", help="Generators"),
        data_option,
        weights_option,
        preset_option,
        set_option,
        pass_through_option,
        click.option(
            "--out",
            required=True,
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE.png|pdf",
            help="The picture",
        ),
        device_option,
        batch_size_option,
        results_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


board_figures.add_to(command)


@command.command("generation", cls=ManyValues, short_help="Real against generated leads of a record, on ECG paper.")
@_shared
@click.option("--record", metavar="ID", help="Which record  [default: the first one of the test fold]")
@click.option(
    "--layout",
    type=click.Choice(["rows", "clinical"]),
    default="rows",
    show_default=True,
    help="A row for each lead, or 3 x 4 leads and a rhythm strip",
)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="How much, from the beginning  [default: up to 10]"
)
def generation(
    methods: tuple[str, ...],
    out: Path,
    record: str | None,
    layout: Literal["rows", "clinical"],
    seconds: float | None,
    **chosen: Any,
) -> None:
    """Draw one record on ECG paper: its twelve leads in black, and what each method makes of lead I in colour.

    \b
    mibench figure generation --method fir-ridge --out record.png                 # the demo heart
    mibench figure generation --method mcma fir-ridge --data ptb-xl --record 00123 --out record.png
    mibench figure generation --method ekgan --data ptb-xl --layout clinical --no-pass-through --out record.pdf

    25 mm/s and 10 mm/mV are true on paper when it is printed at its actual size.
    """
    choices = _choices(out, chosen)
    from ..pictures import generation_figure

    click.echo(generation_figure(methods, choices, record, out, _say, layout=layout, seconds=seconds))


@command.command("latent", cls=ManyValues, short_help="Latent space of real and generated records (Figure 1).")
@_shared
@classifier_weights_option
def latent(methods: tuple[str, ...], out: Path, **chosen: Any) -> None:
    """Draw the latent space of real and generated test records, a panel for each method, with its FID.

    \b
    mibench figure latent --method fir-ridge copy-lead --out latent.png           # the demo heart
    mibench figure latent --method mcma ekgan --data ptb-xl --classifier-weights 12_lead_ECGFounder.pth --out latent.pdf

    The axes are the two main components of the real records; FID is measured with all of them.
    """
    choices = _choices(out, chosen)
    from ..pictures import latent_figure

    click.echo(latent_figure(methods, choices, out, _say))


def _choices(out: Path, chosen: dict[str, Any]) -> GenerateChoices:
    """The options as the pictures take them; what cannot be written is refused before torch is even loaded."""
    from ..figures.style import check_out

    check_out(out)
    from ..choices import GenerateChoices
    from ..home import results_folder

    return GenerateChoices(**{**chosen, "results": results_folder(chosen["results"])})


def _say(text: str) -> None:
    click.echo(text, err=True)
