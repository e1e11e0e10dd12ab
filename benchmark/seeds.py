"""One root seed, and a seed of its own for everything random, derived by name."""

from __future__ import annotations

import hashlib


def derive(root: int, *names: object) -> int:
    """A 63-bit seed for the thing called `names`, independent of every other thing's.

    >>> derive(0, "probe", "order") != derive(0, "probe", "init")
    True
    """
    text = "/".join([str(root), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
