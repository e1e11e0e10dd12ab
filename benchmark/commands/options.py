"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

results_option = click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of run records  [default: $MIBENCH_RESULTS or ./results]",
)
data_option = click.option(
    "--data",
    metavar="NAME|PATH",
    help="Registered data set, `demo`, or a PTB-XL folder  [default: ptb-xl if registered, else demo]",
)
set_option = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting: protocol.epochs=5, method.loss.scale_mode=multiply",
)
preset_option = click.option("--preset", metavar="NAME", help="Named set of method options; see `mibench methods show`")
device_option = click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, cuda:1; auto takes a GPU when there is one"
)
weights_option = click.option(
    "--weights",
    default="auto",
    show_default=True,
    metavar="FILE|auto|published|pretrained|random[:SEED]",
    help="auto: the registered published file, else the newest pre-training",
)
classifier_weights_option = click.option(
    "--classifier-weights",
    default="auto",
    show_default=True,
    metavar="FILE|auto|random[:SEED]",
    help="Weights of the twelve-lead encoder that reads what generators make",
)
pass_through_option = click.option(
    "--pass-through/--no-pass-through",
    default=None,
    help="Generators: put the recorded lead I in place of the generated one  [default: yes]",
)
batch_size_option = click.option(
    "--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Records per forward pass"
)
force_option = click.option("--force", is_flag=True, help="Run again what is already done")


def leads_option(text: str) -> Callable[[F], F]:
    """`--leads I` or `--leads I II V2` or `--leads all`."""
    return click.option("--leads", multiple=True, metavar="LEAD ...", help=text)


class ManyValues(click.Command):
    """A command whose repeatable options also take several values at once: `--ratio 25 50 100`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        many = {
            name
            for option in self.params
            if isinstance(option, click.Option) and option.multiple and option.nargs == 1
            for name in option.opts
        }
        spread: list[str] = []
        current = None
        fresh = False
        for argument in args:
            if argument.startswith("-") and len(argument) > 1 and not argument[1].isdigit():
                current, fresh = (argument if argument in many else None), True
            elif current is not None and not fresh:
                spread.append(current)
            else:
                fresh = False
            spread.append(argument)
        return super().parse_args(ctx, spread)
