"""The one exception a user is meant to read."""

from __future__ import annotations


class MibenchError(Exception):
    """Something a user can put right: says what was wrong, where, and what to do next.

    The command line prints it as one paragraph and exits with code 2, without a traceback.
    """
