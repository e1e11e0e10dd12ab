"""The rows of a board as curves over the share of the training records."""

from __future__ import annotations

from dataclasses import dataclass

from ...adapters.errors import MibenchError
from ..board import Row
from .view import View


@dataclass(frozen=True)
class Curve:
    """A method's rows by growing share of the training records."""

    name: str
    rows: tuple[Row, ...]

    @property
    def shares(self) -> list[float]:
        return [100 * (row.ratio or 0) for row in self.rows]

    @property
    def means(self) -> list[float]:
        return [100 * (row.values["Avg"].auc or 0) for row in self.rows]

    def ends(self, low: bool) -> list[float]:
        """Ends of the intervals; the mean itself where there is none."""
        ends = [(row.values["Avg"].low if low else row.values["Avg"].high) for row in self.rows]
        return [mean if end is None else 100 * end for mean, end in zip(self.means, ends, strict=True)]

    @property
    def printed(self) -> list[tuple[float, float]]:
        """The paper's points: share, Avg."""
        return [(100 * (row.ratio or 0), row.paper.values["Avg"]) for row in self.rows if row.paper]


def curves(view: View) -> list[Curve]:
    """What can be drawn as a curve, the best first; anchors only where nothing else was chosen.

    Raises:
        MibenchError: no method was measured at two shares.
    """
    rows = view.without_anchors([row for row in view.all_rows if row.ratio is not None])
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.variant, row.weights), []).append(row)
    several = [sorted(group, key=lambda row: row.ratio or 0) for group in groups.values() if len(group) > 1]
    if not several:
        raise MibenchError(
            f"no method of {view.board.protocol} on {view.board.data} was measured with two shares of the training "
            "records: `mibench run --ratio 25 50 100` makes them"
        )
    several.sort(key=lambda group: -(group[-1].values["Avg"].auc or 0))
    called = view.names([group[-1] for group in several])
    return [Curve(name, tuple(group)) for name, group in zip(called, several, strict=True)]
