"""Published weights on the Hugging Face Hub: what is there, under which licence, and the file itself.

The Hub's own library finds the file: its address, token, revision and hash. The bytes come through `fetch`, because
that library begins again after a kill and compares no hash.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..adapters.errors import MibenchError
from ..adapters.options import did_you_mean
from .fetch import PART, Fetcher, Patience, beside
from .fetch_answers import PassingError, RefusedError, UnreachableError, is_passing, reason, seconds_to_wait
from .files import safe_name, sha256_file
from .home import home

HUB = "https://huggingface.co"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RESTRICTED = re.compile(r"\bnc\b|non-?commercial|research|other|unknown|none given", re.IGNORECASE)
_TRANSPORTS = ("httpx", "httpx2", "requests", "urllib3")


@dataclass(frozen=True)
class Offer:
    """A file of a repository, before it is fetched.

    Attributes:
        repository, file, revision: where it is; the revision is the commit.
        url: of the file.
        size: bytes, None where the server does not say.
        sha256: of the file, None where the server does not say.
        license: as the repository states it, empty where it does not.
        headers: what a request for the file must say; not shown, a token may be among them.
    """

    repository: str
    file: str
    revision: str
    url: str
    size: int | None
    sha256: str | None
    license: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def page(self) -> str:
        """Where a person reads about it."""
        return f"{_endpoint()}/{self.repository}"


def look_up(repository: str, file: str, revision: str, patience: Patience | None = None) -> Offer:
    """Ask the Hub ($HF_ENDPOINT, or huggingface.co) about a file.

    Raises:
        MibenchError: no such repository, revision or file, one that is not for everybody, no network, or the package
            is not installed.
    """
    library = _library()
    client = Fetcher(patience or Patience(tries=3))
    endpoint = _endpoint()

    def about() -> Any:
        with _asking(repository, file, revision):
            return library.HfApi(endpoint=endpoint).model_info(repository, revision=revision, timeout=20)

    try:
        card = client.patiently(about, endpoint)
    except UnreachableError as problem:
        raise MibenchError(
            f"{problem}. Without a network, fetch {file} from {endpoint}/{repository} elsewhere, then: "
            f"mibench weights add METHOD FILE"
        ) from problem
    files = sorted(entry.rfilename for entry in card.siblings or ())
    if files and file not in files:
        raise MibenchError(f"{repository} has no file {file}{did_you_mean(file, files)} (choose with --file)")
    url = library.hf_hub_url(repository, file, revision=card.sha or revision, endpoint=endpoint)

    def metadata() -> Any:
        with _asking(repository, file, revision):
            return library.get_hf_file_metadata(url, timeout=20)

    facts = client.patiently(metadata, endpoint)
    etag = str(facts.etag or "")
    return Offer(
        repository=repository,
        file=file,
        revision=str(facts.commit_hash or card.sha or revision),
        url=url,
        size=facts.size,
        sha256=etag if _SHA256.fullmatch(etag) else None,
        license=_license(card),
        headers=_headers(library),
    )


def needs_consent(licenses: Sequence[str]) -> bool:
    """Whether somebody has to agree: what may not be used commercially, or says not how it may be used."""
    stated = [text for text in licenses if text]
    return not stated or any(_RESTRICTED.search(text) for text in stated)


def folder_of(offer: Offer) -> Path:
    """Where a file goes by default: one folder for each revision."""
    return home() / "weights" / "files" / safe_name(offer.repository.replace("/", "--")) / offer.revision[:12]


def fetch(
    offer: Offer, folder: Path, watch: Callable[[int], None] = lambda _bytes: None, patience: Patience | None = None
) -> tuple[Path, str]:
    """Fetch a file into a folder, from where an earlier attempt stopped; one that is there already is only read.

    Args:
        offer: what `look_up` found.
        folder: made where it is missing.
        watch: called with the number of bytes that are here.
        patience: with the server.

    Returns:
        The file, and its sha256.

    Raises:
        MibenchError: another file is in the way, there is no room, or it cannot be had.
    """
    target = folder / Path(offer.file).name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(beside(target, ".lock")):
        if target.exists():
            digest = sha256_file(target)
            if digest == offer.sha256 or (offer.sha256 is None and target.stat().st_size == offer.size):
                return target, digest
            raise MibenchError(f"{target} is another file: choose another folder with --out, or remove it")
        part = beside(target, PART)
        here = part.stat().st_size if part.exists() else 0
        _assert_room(offer, folder, here)

        def told(count: int) -> None:
            nonlocal here
            here += count
            watch(here)

        try:
            digest = Fetcher(patience, offer.headers).fetch(offer.url, target, offer.sha256, told)
        except RefusedError as problem:
            raise MibenchError(_refused(offer.repository)) from problem
        except UnreachableError as problem:
            raise MibenchError(f"{problem}. The same command goes on from there") from problem
    return target, digest


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as problem:
        raise MibenchError(
            "fetching weights from the Hugging Face Hub needs the extra `hub`: pip install 'mibench[hub]'; a file that "
            "is here already needs nothing: mibench weights add METHOD FILE"
        ) from problem
    return huggingface_hub


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def _headers(library: Any) -> dict[str, str]:
    """What the library would send, a token of the user's among it."""
    headers = {str(name): str(value) for name, value in library.utils.build_hf_headers().items()}
    return {name: value for name, value in headers.items() if name.lower() != "accept-encoding"}


def _license(card: Any) -> str:
    """The licence that a repository states, by its card or its tags."""
    stated = getattr(card.card_data, "license", None) if card.card_data is not None else None
    if stated == "other":
        stated = getattr(card.card_data, "license_name", None) or "other"
    if not stated:
        tags = [tag.removeprefix("license:") for tag in card.tags or () if tag.startswith("license:")]
        stated = ", ".join(tags)
    return ", ".join(stated) if isinstance(stated, list) else str(stated or "")


def _transports(error: type[Exception]) -> list[type[Exception]]:
    """What whatever carries the library's requests raises, from the ancestors of the library's own error."""
    return [
        kind
        for kind in error.__mro__
        if issubclass(kind, Exception) and kind.__module__.partition(".")[0] in _TRANSPORTS
    ]


@contextmanager
def _asking(repository: str, file: str, revision: str) -> Iterator[None]:
    """Turn the errors of the library, whose transport differs from version to version, into sentences."""
    from huggingface_hub import errors

    line: tuple[type[Exception], ...] = (OSError, *_transports(errors.HfHubHTTPError))
    try:
        yield
    except errors.GatedRepoError as problem:
        raise MibenchError(_refused(repository)) from problem
    except errors.RevisionNotFoundError as problem:
        raise MibenchError(f"{repository} has no revision {revision}: choose another with --revision") from problem
    except errors.RepositoryNotFoundError as problem:
        raise MibenchError(
            f"there is no repository {repository} at {_endpoint()}, or it is private (then: hf auth login): check "
            f"--repo"
        ) from problem
    except errors.EntryNotFoundError as problem:
        raise MibenchError(f"{repository} has no file {file}: choose another with --file") from problem
    except errors.OfflineModeIsEnabled as problem:
        raise MibenchError(
            f"HF_HUB_OFFLINE is set: unset it, or fetch {file} from {_endpoint()}/{repository} by hand and give it to: "
            f"mibench weights add METHOD FILE"
        ) from problem
    except errors.HFValidationError as problem:
        raise MibenchError(f"--repo {repository} is no repository: give OWNER/NAME") from problem
    except errors.HfHubHTTPError as problem:
        status = problem.response.status_code if problem.response is not None else 0
        if is_passing(status):
            wait = seconds_to_wait(problem.response.headers.get("Retry-After"))
            raise PassingError(f"answer {status}", wait) from problem
        if status in (401, 403):
            raise MibenchError(_refused(repository)) from problem
        raise MibenchError(f"{_endpoint()}/{repository}: answer {status}; check HF_ENDPOINT") from problem
    except line as problem:
        raise PassingError(reason(problem)) from problem


def _refused(repository: str) -> str:
    return (
        f"{repository} is not given to everybody: accept its conditions at {_endpoint()}/{repository}, make a token in "
        f"your account there, and give it to: hf auth login (or set HF_TOKEN)"
    )


def _assert_room(offer: Offer, folder: Path, here: int) -> None:
    free = shutil.disk_usage(folder).free
    if offer.size is not None and offer.size - here > free:
        raise MibenchError(
            f"{folder} has {free / 1e6:,.0f} MB free and {Path(offer.file).name} needs "
            f"{(offer.size - here) / 1e6:,.0f} MB more: make room, or choose another disk with --out"
        )
