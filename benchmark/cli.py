"""The command line. Every command is a module of `benchmark.commands`; what it needs is imported when it is called."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import time
from typing import NoReturn

import click

from ..adapters.errors import MibenchError
from .processes import rank

COMMANDS = (
    *("run", "table", "figure", "report", "compare", "results", "fid", "profile", "pretrain", "export"),
    *("embed", "data", "methods", "weights", "doctor"),
)

REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space and give the same command again, it goes on where it stopped",
    errno.EDQUOT: "your disk quota is used up: free some space and give the same command again",
    errno.EROFS: "the file system is read-only: choose another folder with --results or MIBENCH_HOME",
    errno.EACCES: "permission is denied: choose another folder with --results or MIBENCH_HOME",
    errno.EFBIG: "the file would be larger than this system allows",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f".commands.{name}", __package__)
        command: click.Command = module.command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="mibench", message="mibench %(version)s")
def cli() -> None:
    """The benchmark for detecting myocardial infarction from a single-lead ECG.

    \b
    Without data or weights, on the demo heart:
      mibench run --method selfmis
      mibench run --method mcma
      mibench table

    \b
    On PTB-XL:
      mibench data add ptb-xl /data/ptb-xl
      mibench run --method ecgfounder --weights 1_lead_ECGFounder.pth
      mibench run --method selfmis --seeds 5 --ratio 25 50 100

    Add --debug anywhere to see the traceback of an error.
    """


def main() -> NoReturn:
    """Run the command line; what a user can put right is one sentence and exit code 2."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1 or bool(os.environ.get("MIBENCH_DEBUG"))
    try:
        sys.exit(cli.main(arguments, prog_name="mibench", standalone_mode=False) or 0)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped. What was finished is kept; the same command goes on from there.", 130)
    except MibenchError as problem:
        if debug:
            raise
        _fail(str(problem), getattr(problem, "exit_code", 2))
    except BrokenPipeError:
        # The reader of a pipe went away (`mibench table | head`): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as problem:
        if debug:
            raise
        where = f"{problem.filename}: " if problem.filename else ""
        _fail(f"{where}{REMEDIES.get(problem.errno or 0, problem.strerror or str(problem))}", 2)
    except Exception as problem:
        if debug:
            raise
        _fail(
            f"{type(problem).__name__}: {problem}\nThis is a fault of mibench or of a plug-in, not yours. "
            f"The same command with --debug shows where; please report it.",
            1,
        )


def _fail(text: str, code: int) -> NoReturn:
    if rank():
        # Of several processes that fail alike torchrun ends the others meanwhile, and one of them has said it.
        time.sleep(6.0)
        text = f"process {rank()}: {text}"
    click.echo(f"Error: {text}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
