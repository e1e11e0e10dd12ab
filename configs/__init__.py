"""Configurations of methods, data, protocols and suites, as YAML."""
