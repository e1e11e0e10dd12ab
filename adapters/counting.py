"""What adapters share that say what the paper counted for its Table 4."""

from __future__ import annotations

from typing import Any

from torch import nn


class Calling(nn.Module):
    """A module whose forward is another method of one: counters look at forward alone.

    Args:
        module: whose method it is.
        method: its name.
    """

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module = module
        self._method = method

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """Whatever the method gives."""
        return getattr(self.module, self._method)(*arguments, **named)
