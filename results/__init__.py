"""The published figures, and boards that are committed."""
