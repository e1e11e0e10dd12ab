"""Progress bars: on anything that takes more than a moment, quiet when nobody looks at a terminal."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm


def steps(what: str, total: int) -> Callable[[int], None]:
    """A bar, and the function that sets it to the number finished; it goes away once full."""
    bar = tqdm(total=total, desc=what, unit="", disable=None, leave=False, delay=1.0)

    def advance(done: int) -> None:
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return advance
