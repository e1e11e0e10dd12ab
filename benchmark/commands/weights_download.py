"""`mibench weights download`: published weights from the Hugging Face Hub, their licence first, and registered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import preset_option, set_option

if TYPE_CHECKING:
    from ...adapters.base import MethodSpec
    from ..hub import Offer


@click.command("download")
@click.argument("method")
@click.option("--file", help="Of the repository  [default: the one that the method was published as]")
@click.option("--repo", metavar="OWNER/NAME", help="On the Hub  [default: the authors']")
@click.option("--revision", default="main", show_default=True, help="Branch, tag or commit")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the file  [default: below $MIBENCH_HOME/weights/files]",
)
@click.option(
    "--accept-license", is_flag=True, help="Agree to a licence that forbids commercial use, or to none at all"
)
@preset_option
@set_option
def download(
    method: str,
    file: str | None,
    repo: str | None,
    revision: str,
    out: Path | None,
    accept_license: bool,
    preset: str | None,
    sets: tuple[str, ...],
) -> None:
    """Fetch the published weights of a method from the Hugging Face Hub, and register them.

    \b
    mibench weights download ecgfounder
    mibench weights download heartlang --revision main --out /data/weights
    mibench weights download ./my_adapter.py:MyNet --repo my-lab/my-net --file my_net.pt

    The licence is shown first. Killed in the middle, the same command goes on. A file that holds more than weights is
    rewritten as safetensors, without running anything that is in it. HF_ENDPOINT and HF_TOKEN are honoured.
    """
    from ..choices import make
    from ..config import parse_sets
    from ..hub import fetch, folder_of, look_up
    from .weights import register_or_convert

    card, adapter = make(method, preset, parse_sets(sets)["method"])
    known = _published(adapter.spec.weights_of, card.published)
    repo, file = _where(method, adapter.spec, known, repo, file)
    offer = look_up(repo, file, revision)
    ours = known.get("license", "") if repo == known.get("hub") else ""
    _agree(method, offer, ours, accept_license)
    folder = (out or folder_of(offer)).expanduser().absolute()
    target, digest = fetch(offer, folder, _bar(offer))
    click.echo(f"{target}: sha256 {digest}", err=True)
    noted = known.get("sha256") if (repo, file) == (known.get("hub"), known.get("file")) else None
    if noted not in (None, digest):
        click.echo(
            f"  others noted sha256 {noted} for this file: its authors have replaced it since; --revision takes an "
            f"older one",
            err=True,
        )
    source = {
        "repository": repo,
        "revision": offer.revision,
        "file": file,
        "sha256": digest,
        "license": offer.license or ours,
    }
    register_or_convert(method, target, preset, sets, source)


def _published(weights_of: str, own: Mapping[str, str]) -> Mapping[str, str]:
    """Where the weights are: a variant that reads those of another method has no entry of its own."""
    from ...adapters import registry

    owner = registry.cards()[0].get(weights_of)
    return own if own or owner is None else owner.published


def _where(
    method: str, spec: MethodSpec, known: Mapping[str, str], repo: str | None, file: str | None
) -> tuple[str, str]:
    from ...adapters.errors import MibenchError

    if not spec.needs_weights:
        raise MibenchError(f"{method} needs no weights: mibench run --method {method}")
    repo, file = repo or known.get("hub"), file or known.get("file")
    if repo and file:
        return repo, file
    if repo:
        raise MibenchError(f"which file of {repo}? Give --file")
    if known.get("by_hand"):
        raise MibenchError(
            f"the weights of {method} are not on the Hugging Face Hub: {known['file']} is in {known['by_hand']}. "
            f"Licence: {known['license']}. Fetch it with a browser or git, then: mibench weights add {method} FILE"
        )
    instead = f"mibench pretrain --method {method}, or " if spec.pretrainable else ""
    raise MibenchError(f"nobody published weights of {method} where mibench looks: {instead}give --repo and --file")


def _agree(method: str, offer: Offer, ours: str, accept: bool) -> None:
    """Show the licence, and ask about one that forbids something, where somebody sits at a terminal."""
    from ...adapters.errors import MibenchError
    from ..hub import needs_consent

    size = f", {offer.size / 1e6:,.1f} MB" if offer.size is not None else ""
    stated = {"its authors": ours, "the repository": offer.license}
    licence = "; ".join(f"{text}, says {who}" for who, text in stated.items() if text) or "none is stated"
    click.echo(f"{method}: {offer.file} of {offer.page}, revision {offer.revision[:12]}{size}", err=True)
    click.echo(f"  licence: {licence}", err=True)
    if accept or not needs_consent(list(stated.values())):
        return
    why = "is not for every use" if any(stated.values()) else "leaves all rights with the authors"
    if not sys.stdin.isatty():
        raise MibenchError(f"this licence {why}: read it at {offer.page}, then add --accept-license to agree")
    if not click.confirm(f"This licence {why} ({offer.page}). Do you agree?", err=True):
        raise click.Abort


def _bar(offer: Offer) -> Callable[[int], None]:
    from ..progress import steps

    return steps(f"fetching {Path(offer.file).name}", offer.size or 0)
