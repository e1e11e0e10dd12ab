"""SHA256SUMS.txt: the hashes that a data set is published with."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePath

import numpy as np

from ...adapters.errors import MibenchError
from ..files import sha256_file

SUMS_FILE = "SHA256SUMS.txt"

_LINE = re.compile(rb"([0-9a-fA-F]{64})[ \t]+\*?(.+)")
_ODD = re.compile(rb"(^|/)\.?/|/\.?$")
_CHUNK = 1 << 16


class Sums(Mapping[Path, str]):
    """Hex digests by absolute path, in about a hundred bytes a file: MIMIC-IV-ECG lists 1.6 million of them.

    Kept as sorted arrays of folder, zero byte and name, so that a folder's files lie side by side.
    """

    def __init__(self, root: str, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Take (path below `root`, digest) pairs; of a path that is there twice, the last."""
        self._root = root
        keys, digests = [np.empty(0, dtype="S1")], [np.empty((0, 32), dtype=np.uint8)]
        waiting: list[bytes] = []
        hashes = bytearray()

        def settle() -> None:
            keys.append(np.array(waiting, dtype=np.bytes_))
            digests.append(np.frombuffer(bytes(hashes), dtype=np.uint8).reshape(-1, 32))
            waiting.clear()
            hashes.clear()

        for path, digest in pairs:
            folder, _, name = path.rpartition(b"/")
            waiting.append(folder + b"\0" + name)
            hashes.extend(digest)
            if len(waiting) == _CHUNK:
                settle()
        if waiting:
            settle()
        every = np.concatenate(keys)
        order = np.argsort(every, kind="stable")
        every = every[order]
        last = np.ones(len(every), dtype=bool)
        last[:-1] = every[1:] != every[:-1]
        self._keys = every[last]
        self._digests = np.concatenate(digests)[order[last]]

    @classmethod
    def of(cls, sums: Mapping[Path, str]) -> Sums:
        """The same sums, kept compactly."""
        if isinstance(sums, Sums):
            return sums
        return cls("", ((os.fsencode(path), bytes.fromhex(digest)) for path, digest in sums.items()))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Path]:
        for _, files in self.folders():
            yield from map(Path, files)

    def __getitem__(self, path: Path) -> str:
        return self.in_folders([str(path.parent)])[str(path)]

    def in_folders(self, folders: Collection[str]) -> dict[str, str]:
        """Hex digests by absolute path of the files that lie in some folders (not below them)."""
        relative = {os.fsencode(folder[len(self._root) :].lstrip("/") if self._root else folder): folder
                    for folder in folders if self._holds(folder)}  # fmt: skip
        # A folder longer than every key is in none, and would have all keys copied to its length.
        found = [(name, folder) for name, folder in relative.items() if len(name) < self._keys.itemsize]
        starts = np.searchsorted(self._keys, np.array([name + b"\0" for name, _ in found], dtype=np.bytes_))
        ends = np.searchsorted(self._keys, np.array([name + b"\1" for name, _ in found], dtype=np.bytes_))
        sums = {}
        for (name, folder), start, end in zip(found, starts.tolist(), ends.tolist(), strict=True):
            names = self._keys[start:end].tolist()
            for key, digest in zip(names, self._digests[start:end], strict=True):
                sums[os.path.join(folder, os.fsdecode(key[len(name) + 1 :]))] = digest.tobytes().hex()  # noqa: PTH118
        return sums

    def folders(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Every folder and the hex digests of its files by absolute path, both in the order of their names."""
        known: str | None = None
        files: dict[str, str] = {}
        relative: bytes | None = None
        for start in range(0, len(self._keys), _CHUNK):
            keys = self._keys[start : start + _CHUNK].tolist()
            hashes = self._digests[start : start + _CHUNK].tobytes().hex()
            for place, key in enumerate(keys):
                folder, _, name = key.partition(b"\0")
                if folder != relative:
                    if known is not None:
                        yield known, files
                    relative, known, files = folder, self._absolute(folder), {}
                files[os.path.join(known or "", os.fsdecode(name))] = hashes[64 * place : 64 * place + 64]  # noqa: PTH118
        if known is not None:
            yield known, files

    def _holds(self, folder: str) -> bool:
        return not self._root or folder == self._root or folder.startswith(self._root.rstrip("/") + "/")

    def _absolute(self, folder: bytes) -> str:
        name = os.fsdecode(folder)
        if not self._root:
            return name or "/"
        return os.path.join(self._root, name) if name else self._root  # noqa: PTH118


def read_sha256sums(root: Path) -> Sums:
    """Hex digests by absolute path, from `SHA256SUMS.txt` in `root`; empty when there is none.

    Raises:
        MibenchError: it cannot be read, or a line of it is no hash and file name.
    """
    base = str(root.absolute())
    file = root / SUMS_FILE
    try:
        with file.open("rb") as lines:
            return Sums(base, _pairs(file, lines))
    except FileNotFoundError:
        return Sums(base, ())
    except OSError as problem:
        raise MibenchError(f"{file} cannot be read ({problem}); copy or download it again, or remove it") from problem


def _pairs(file: Path, lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        found = _LINE.fullmatch(stripped)
        if found:
            name = found[2]
            if _ODD.search(name):
                name = os.fsencode(PurePath(os.fsdecode(name)))
            if not name.startswith(b"/"):
                yield name, bytes.fromhex(found[1].decode())
        elif stripped:
            raise MibenchError(
                f"{file}, line {number}, is not a sha256 and a file name; copy or download it again, or remove it"
            )


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
