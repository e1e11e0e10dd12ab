"""Adapters: how the benchmark sees any method."""
