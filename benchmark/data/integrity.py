"""SHA256SUMS.txt: the hashes that a data set is published with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ...adapters.errors import MibenchError
from ..files import sha256_file

SUMS_FILE = "SHA256SUMS.txt"

_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(.+)")


def read_sha256sums(root: Path) -> dict[Path, str]:
    """Hex digests by absolute path, from `SHA256SUMS.txt` in `root`; empty when there is none.

    Raises:
        MibenchError: it cannot be read, or a line of it is no hash and file name.
    """
    file = root / SUMS_FILE
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        raise MibenchError(f"{file} cannot be read ({problem}); copy or download it again, or remove it") from problem
    base = root.absolute()
    sums: dict[Path, str] = {}
    for number, line in enumerate(lines, start=1):
        found = _LINE.fullmatch(line.strip())
        if found:
            sums[base / found[2]] = found[1].lower()
        elif line.strip():
            raise MibenchError(
                f"{file}, line {number}, is not a sha256 and a file name; copy or download it again, or remove it"
            )
    return sums


def compare_sha256(file: Path, sums: Mapping[Path, str]) -> None:
    """Hold a file against its published hash; one that is not listed, or not there, is not compared.

    Raises:
        MibenchError: it differs.
    """
    wanted = sums.get(file)
    if wanted is not None and file.is_file() and sha256_file(file) != wanted:
        raise MibenchError(
            f"{file} differs from its entry in {SUMS_FILE}: copy or download it again, or remove {SUMS_FILE} if the "
            f"file was changed on purpose"
        )
