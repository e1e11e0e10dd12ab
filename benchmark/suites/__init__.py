"""Suites: many runs as one command, planned before anything runs, on one machine or many."""
