"""`mibench data download`: a published data set from PhysioNet, checked, and registered."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..data.download import Outcome
    from ..data.physionet import Collection, Extent

BOTH = (500, 100)


@click.command("download")
@click.argument("kind", metavar="ptb-xl|mimic-iv-ecg")
@click.option("--release", help="As PhysioNet numbers them  [default: the newest]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the files  [default: $MIBENCH_HOME/downloads/NAME-RELEASE]",
)
@click.option("--rate", type=click.Choice(["500", "100", "both"]), help="Hz, of PTB-XL  [default: 500]")
@click.option("--jobs", type=click.IntRange(1, 64), default=8, show_default=True, help="Files at once")
@click.option(
    "--mirror",
    metavar="URL",
    envvar="MIBENCH_MIRROR",
    help="In place of https://physionet.org/files, also as $MIBENCH_MIRROR: URL/NAME/RELEASE/ is read",
)
@click.option("--register/--no-register", default=True, show_default=True, help="Go on with `mibench data add`")
@click.option("--name", help="Register under this name  [default: as `data add`]")
@click.option("--yes", is_flag=True, help="Do not ask before something as large as MIMIC-IV-ECG")
def download(
    kind: str,
    release: str | None,
    out: Path | None,
    rate: str | None,
    jobs: int,
    mirror: str | None,
    register: bool,
    name: str | None,
    yes: bool,
) -> None:
    """Fetch PTB-XL or MIMIC-IV-ECG from PhysioNet, hold every file against its SHA-256, and register it.

    \b
    mibench data download ptb-xl
    mibench data download ptb-xl --release 1.0.1 --out /data/ptb-xl-1.0.1 --name ptb-xl-1.0.1
    mibench data download mimic-iv-ecg --out /data/mimic-iv-ecg --jobs 16 --yes
    mibench data download ptb-xl --mirror https://physionet-open.s3.amazonaws.com

    Killed in the middle, the same command goes on, inside of files too. PTB-XL takes 2.8 GB at 500 Hz, MIMIC-IV-ECG
    100 GB; stores are made beside them, of 2.6 and 97 GB.
    """
    from ..data.download import Download, download
    from ..data.physionet import collection
    from ..home import home

    wanted = collection(kind)
    rates = _rates(kind, rate)
    release = _sound(release or wanted.releases[0])
    folder = (out or home() / "downloads" / f"{kind}-{release}").expanduser().absolute()
    task = Download(wanted, release, folder, rates, mirror, jobs)
    outcome = download(task, _tell, lambda amount: _agree(wanted, amount, yes), _bar())
    aside = f"; {outcome.aside} of another content were put aside as NAME.wrong" if outcome.aside else ""
    _tell(
        f"{folder}: {outcome.done:,} files, each as its SHA-256 says ({outcome.fetched:,} fetched, {outcome.there:,} "
        f"were there){aside}"
    )
    _register(kind, folder, rates[0] if rates else 500, name, register)


def _rates(kind: str, rate: str | None) -> tuple[int, ...]:
    """The rates to fetch, the one to register first; none where there is but one."""
    from ...adapters.errors import MibenchError
    from ..data.readers import PTB_XL

    if kind == PTB_XL:
        return BOTH if rate == "both" else (int(rate or BOTH[0]),)
    if rate is not None:
        raise MibenchError(f"--rate is for PTB-XL, which is published at 500 and 100 Hz; {kind} is at 500 Hz")
    return ()


def _sound(release: str) -> str:
    from ...adapters.errors import MibenchError

    if not all(part.isalnum() for part in release.split(".")):
        raise MibenchError(f"--release {release} is no release: they are numbered, such as 1.0.3")
    return release


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _agree(collection: Collection, amount: Extent, yes: bool) -> None:
    """Ask about what is larger than anybody expects, where somebody sits at a terminal."""
    from ...adapters.errors import MibenchError
    from ..data.physionet import in_bytes

    room = in_bytes(amount.missing_bytes)
    if yes or not collection.consent or not amount.missing:
        return
    if not sys.stdin.isatty():
        raise MibenchError(f"{room} are to be fetched: give the same command with --yes to agree")
    if not click.confirm(f"Fetch {room}?", err=True):
        raise click.Abort


def _bar() -> Callable[[Outcome], None]:
    from ..progress import Bar

    bars: list[Bar] = []
    began = time.monotonic()

    def watch(outcome: Outcome) -> None:
        if not bars:
            bars.append(Bar("fetching", outcome.total))
        seconds = max(time.monotonic() - began, 1e-3)
        bars[0].tell(f"{outcome.bytes / 1e9:.2f} GB, {outcome.bytes / 1e6 / seconds:.1f} MB/s")
        bars[0](outcome.done)

    return watch


def _register(kind: str, folder: Path, rate: int, name: str | None, register: bool) -> None:
    import shlex

    words = ["mibench", "data", "add", kind, str(folder)]
    words += ["--rate", str(rate)] if rate != 500 else []
    words += ["--name", name] if name else []
    if not register:
        click.echo(f"Next: {shlex.join(words)}")
        return
    from .data import add

    _tell(f"$ {shlex.join(words)}")
    add.main(words[3:], standalone_mode=False)
    _tell(f"Runs read the store: {folder} may be removed, or kept to build it again.")
