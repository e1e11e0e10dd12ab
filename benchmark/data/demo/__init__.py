"""The demo heart: a deterministic, physically consistent synthetic PTB-XL, so that mibench runs on nothing."""

from .tree import LAYOUTS, TreeOptions, write_tree
from .write import DemoOptions, write_demo

__all__ = ["LAYOUTS", "DemoOptions", "TreeOptions", "write_demo", "write_tree"]
