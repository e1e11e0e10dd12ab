"""The demo heart: a deterministic, physically consistent synthetic PTB-XL, so that mibench runs on nothing."""

from .write import DemoOptions, write_demo

__all__ = ["DemoOptions", "write_demo"]
