"""The document around the sections. Its policy lets the browser fetch nothing and run this one script only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ...adapters.errors import MibenchError
from ..files import write_text
from .markup import element, escape, source_hash


@dataclass(frozen=True)
class Part:
    """A section of the page with a heading of its own; `content` is markup."""

    ident: str
    title: str
    content: str


RESULTS = f"{__name__.rpartition('.benchmark')[0]}.results"


def packaged(name: str, package: str = __name__.rpartition(".")[0]) -> str:
    """A file that lies beside this one, or in another package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")


def page(title: str, subtitle: str, banners: Sequence[str], parts: Sequence[Part], footer: str) -> str:
    """A whole document; all but the contents of its parts is plain text."""
    style, script = packaged("report.css"), packaged("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {source_hash(style)}; script-src {source_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>"
    )
    contents = "".join(element("li", element("a", escape(part.title), href=f"#{part.ident}")) for part in parts)
    notices = "".join(element("p", escape(banner), class_="banner", role="note") for banner in banners)
    header = (
        f"{element('h1', escape(title))}\n{element('p', escape(subtitle), class_='soft')}\n{notices}\n"
        f"{element('nav', element('ul', contents), aria_label='Contents')}"
    )
    sections = "\n".join(
        element(
            "section",
            f"\n{element('h2', escape(part.title), id=f'{part.ident}-title')}\n{part.content}\n",
            id=part.ident,
            aria_labelledby=f"{part.ident}-title",
        )
        for part in parts
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n'
        f'<a class="skip" href="#main">Skip to the content</a>\n<header>\n{header}\n</header>\n'
        f'<main id="main">\n{sections}\n</main>\n<footer>{escape(footer)}</footer>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def check_out(out: Path) -> None:
    """Refuse a file that could not be written, before anything takes its time.

    Raises:
        MibenchError: it is a folder, or lies in none that can be written.
    """
    if out.is_dir():
        raise MibenchError(f"{out} is a folder: name a file in it, such as --out {out / 'report.html'}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(out, problem) from problem
    if not os.access(out.parent, os.W_OK):
        raise MibenchError(f"{out}: its folder cannot be written; choose another file with --out")


def write(out: Path, text: str) -> None:
    """Write a report, whole or not at all.

    Raises:
        MibenchError: the file cannot be written.
    """
    try:
        write_text(out, text)
    except OSError as problem:
        raise _unwritable(out, problem) from problem


def _unwritable(out: Path, problem: OSError) -> MibenchError:
    return MibenchError(f"{out}: cannot be written ({problem.strerror or problem}); choose another file with --out")
