"""What several test modules share and is no fixture."""

from __future__ import annotations

TINY = (
    "method.net.base_filters=8",
    "method.net.filter_list=[16, 16, 32]",
    "method.net.m_blocks_list=[1, 1, 1]",
)
"""A Net1D of a few thousand parameters, for tests of everything around it; its full size has tests of its own."""

TINY_ARGUMENTS = tuple(part for text in TINY for part in ("--set", text))
"""The same on a command line."""
