"""Progress bars: on anything that takes more than a moment, quiet when nobody looks at a terminal."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

from .processes import rank

Steps = Callable[[str, int], Callable[[int], None]]
"""Given what is being done and how much of it there is, a function to call with the number finished."""


class Bar:
    """A progress bar: call it with the number finished; it goes away once full."""

    def __init__(self, what: str, total: int) -> None:
        # Of several processes one draws; the others would draw over it.
        hidden = True if rank() else None
        self._total = total
        self._bar = tqdm(total=total, desc=what, unit="", disable=hidden, leave=False, delay=1.0)

    def __call__(self, done: int) -> None:
        self._bar.update(done - self._bar.n)
        if done >= self._total:
            self._bar.close()

    def tell(self, text: str) -> None:
        """Show a few words behind the bar, with its next step."""
        self._bar.set_postfix_str(text, refresh=False)


def steps(what: str, total: int) -> Bar:
    """A bar, and the function that sets it to the number finished."""
    return Bar(what, total)
