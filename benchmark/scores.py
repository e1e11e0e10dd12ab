"""Which test scores a record vouches for, without reading them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..adapters.errors import MibenchError
from . import results


@dataclass(frozen=True)
class Source:
    """The scores of a run, as its record names them, and the manifest of the data they are of."""

    path: Path
    sha256: str
    manifest: str


def source(path: Path) -> Source:
    """Read as little of a record as tells its scores apart: the whole check is for those who read the scores.

    Raises:
        MibenchError: the record cannot be read, or keeps no scores.
    """
    try:
        record = json.loads(path.read_bytes())
        return Source(path, str(record["predictions"]["sha256"]), str(record["data"]["manifest"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        kept = results.read(path)["predictions"]
        raise MibenchError(f"{path} keeps no test scores" if kept is None else f"{path} is damaged") from None
