"""What servers answer, as errors: those that may pass, and those that stay, each a sentence."""

from __future__ import annotations

from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import requests

from ..adapters.errors import MibenchError

_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be another one a moment later."""


class FetchError(MibenchError):
    """A file could not be had."""


class MissingError(FetchError):
    """The server has no such file."""


class RefusedError(FetchError):
    """The server has it, and not for everybody."""


class WrongContentError(FetchError):
    """What came is not what was published, twice."""


class UnreachableError(FetchError):
    """The server did not answer, or asks to wait for longer than anybody does."""


class PassingError(Exception):
    """An attempt failed for a reason that may pass; `wait` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def reason(problem: BaseException) -> str:
    """What is behind an error of the line, in a few words."""
    found, seen = problem, problem
    while True:
        inner = [arg for arg in seen.args if isinstance(arg, BaseException)]
        after = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__ or (inner[0] if inner else None)
        if not isinstance(after, BaseException):
            break
        seen = after
        if isinstance(seen, OSError) and seen.strerror:
            found = seen
    if isinstance(found, OSError) and found.strerror:
        return found.strerror[0].lower() + found.strerror[1:]
    if isinstance(problem, requests.exceptions.Timeout):
        return "no answer in time"
    return "the connection broke off"


def seconds_to_wait(text: str | None) -> float | None:
    """What a Retry-After header asks for, in seconds, as a number or a date; None where it says nothing of use."""
    if not text:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
    return max((then - datetime.now(timezone.utc)).total_seconds(), 0.0)


def is_passing(status: int) -> bool:
    """Whether an answer may be another one a moment later."""
    return status in _PASSING


def refuse(answer: requests.Response, url: str) -> None:
    """Raise what an answer without a file, or a part of one, means.

    Raises:
        PassingError: it may be another one later.
        FetchError: it will stay.
    """
    status = answer.status_code
    if status in (200, 206, 416):
        return
    if is_passing(status):
        raise PassingError(f"answer {status} ({answer.reason})", seconds_to_wait(answer.headers.get("Retry-After")))
    if status in (404, 410):
        raise MissingError(f"{url} is not there (answer {status})")
    if status in (401, 403, 451):
        raise RefusedError(f"{url} is not given to everybody (answer {status}, {answer.reason})")
    raise FetchError(f"{url}: answer {status} ({answer.reason})")
