"""The order of a board's rows, and who has which rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .board import Origin, Row


def ranked(rows: Sequence[Row], *, smaller: bool = False) -> list[Row]:
    """By share of training records, the largest first, then by Avg; without a result last.

    `smaller` says that a smaller Avg is better. A generator that sees more than the observed lead stands where its Avg
    puts it, out of competition.
    """

    def order(row: Row) -> tuple[Any, ...]:
        average = row.values["Avg"].auc
        best_first = (average or 0) if smaller else -(average or 0)
        return -(row.ratio or 0), average is None, best_first, row.title, row.variant, row.weights

    found: list[Row] = []
    places: dict[float | None, int] = {}
    for row in sorted(rows, key=order):
        if not row.competes:
            found.append(row)
            continue
        places[row.ratio] = places.get(row.ratio, 0) + 1
        found.append(replace(row, rank=places[row.ratio]))
    return found


def by_origin(rows: Sequence[Row], *, smaller: bool = False) -> list[Row]:
    """Rows of several origins: those that may be compared stand together, real data first.

    Between origins there is no order, and so no rank.
    """

    def order(row: Row) -> tuple[Any, ...]:
        origin = row.origin
        return bool(origin.notice), not origin.complete, origin.data, origin.release, origin.manifest, -origin.version

    places = ranked(rows, smaller=smaller)
    return [replace(row, rank=None, about=_about(row.origin)) for row in sorted(places, key=order)]


def _about(origin: Origin) -> str:
    return f"{origin.words} [{origin.notice}]" if origin.notice else origin.words
