"""Two rows held against each other, as text: differences in AUC, flips, and the records that they see differently."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from .board import COLUMNS
from .compare import Apart, Contrast, Counts
from .contestants import Contestant
from .grid import Cell, Grid, Line
from .render import markdown
from .render_html import page
from .render_latex import latex

FORMATS = ("text", "markdown", "csv", "latex", "html")
_LISTED = 12


def render(found: Contrast, form: str) -> str:
    """All of it in one of `FORMATS`; CSV is a line per statement, with all identifiers.

    Raises:
        ValueError: no such format.
    """
    if form not in FORMATS:
        raise ValueError(f"form must be one of {', '.join(FORMATS)}; got {form!r}")
    if form == "csv":
        return _csv(found)
    grids = [_areas(found), _flips(found), *([_apart(found)] if found.apart else [])]
    if form == "html":
        return page(grids)
    return "\n".join(map({"text": _plain, "markdown": markdown, "latex": latex}[form], grids))


def data_line(found: Contrast) -> str:
    """On which data, and how many records, as a sentence."""
    board, common = found.first.board, found.evidence.records
    pairs = f"{common:,} test records"
    if found.evidence.dropped:
        pairs = f"{common:,} pairs: test records that both have; {found.evidence.dropped:,} that only one has left out"
    return f"Data: {board.data}, {board.release}, manifest {board.manifest[:12]}, {pairs}."


def said(found: Contrast, sentence: str) -> str:
    """A sentence after what the data demand to be said."""
    warning = found.first.board.warning
    return f"{warning}. {sentence}" if warning else sentence


def _areas(found: Contrast) -> Grid:
    lines = []
    for place, name in enumerate(COLUMNS):
        difference = found.evidence.differences[name]
        cells = [Cell(_counted(found, name)), *(_area(side, name) for side in (found.first, found.second))]
        if difference is None:
            cells += [Cell("--"), Cell("--"), Cell("--")]
        else:
            ends = (f"{100 * difference.low:+.1f}", f"{100 * difference.high:+.1f}")
            cells += [Cell(f"{100 * difference.value:+.2f}", ends, " to "), Cell(_p(difference.p))]
            cells.append(Cell(_p(found.adjusted.get(name))))
        lines.append(_line(place, cells, found))
    methods: dict[str, list[str]] = {}
    for name in COLUMNS:
        known = found.evidence.differences[name]
        if known is not None:
            methods.setdefault(known.method, []).append(name)
    footer = [
        *(f"{letter}: {_who(side)}." for letter, side in zip("AB", (found.first, found.second), strict=True)),
        data_line(found),
        "AUCs x100 with 95 % intervals, means over seeds; the difference is A minus B with its 95 % interval. p: "
        "two-sided; Holm: over the nine statements.",
        *(f"Test of {', '.join(names)}: {method}." for method, names in methods.items()),
    ]
    undefined = [name for name in COLUMNS if found.evidence.differences[name] is None]
    if undefined:
        footer.append(f"Without a positive or without a negative record there is no AUC: {', '.join(undefined)}.")
    header = ("Statement (positives)", "A", "B", "A - B", "p", "p (Holm)")
    return _grid(found, "areas", "AUC of A and B.", header, lines, footer)


def _flips(found: Contrast) -> Grid:
    lines = []
    for place, flips in enumerate(found.flips):
        cells = [Cell(_counted(found, flips.statement)), *_numbers(flips.positives), *_numbers(flips.negatives)]
        lines.append(_line(place, cells, found))
    footer = [
        *_about(found),
        f"Found: a score above the method's own threshold, the lowest that leaves at least "
        f"{100 * found.specificity:g} % of the statement's negatives among these test records unfound. Thresholds were "
        f"chosen on the records that are counted: they compare, and are no estimate of sensitivity.",
        "Positives and negatives (False): how many A alone, B alone, both, neither find; p: McNemar's exact test, not "
        "adjusted.",
    ]
    for flips in found.flips:
        for letter, names in (("A", flips.found_by_first), ("B", flips.found_by_second)):
            if names:
                footer.append(f"{flips.statement}, positives that only {letter} finds: {_listed(names)}.")
    four = ("B only", "Both", "Neither", "p")
    header = ("Statement (positives)", "A only", *four, "False: A only", *four)
    caption = f"Records that flip between A and B at {100 * found.specificity:g} % specificity."
    return _grid(found, "flips", caption, header, lines, footer)


def _apart(found: Contrast) -> Grid:
    lines = []
    for place, apart in enumerate(found.apart):
        first, second = apart.ranks[apart.statement]
        cells = [
            Cell(apart.record),
            Cell(", ".join(apart.present) or "no MI"),
            Cell(f"{apart.statement} ({'present' if apart.positive else 'absent'})"),
            Cell(f"{100 * first:.0f}"),
            Cell(f"{100 * second:.0f}"),
            Cell(f"{100 * apart.distance:.0f}"),
            Cell(nearer(apart)),
        ]
        lines.append(_line(place, cells, found))
    footer = [
        *_about(found),
        "Rank: share (%) of the test records whose score of that statement is lower. Distance: the largest difference "
        "between the ranks of A and B over the nine statements, which orders the records. Nearer: whose rank suits the "
        "label better.",
    ]
    header = ("Record", "Labels", "Statement", "Rank by A", "Rank by B", "Distance", "Nearer")
    return _grid(found, "records", f"The {len(lines)} most different records.", header, lines, footer)


def nearer(apart: Apart) -> str:
    """Which of the two ranks the record more as its label has it."""
    first, second = apart.ranks[apart.statement]
    if first == second:
        return "--"
    return "A" if (first > second) == apart.positive else "B"


def _grid(
    found: Contrast, name: str, caption: str, header: Sequence[str], lines: Sequence[Line], footer: Sequence[str]
) -> Grid:
    board = found.first.board
    notice = board.row_notice
    keys = "-".join(side.row.paths[0].stem[:6] for side in (found.first, found.second))
    return Grid(
        caption=said(found, caption),
        label=f"compare-{name}-{keys}",
        header=(*header, *["Data"] * bool(notice)),
        lines=tuple(lines),
        notes=(),
        footer=tuple(f"{sentence}   [{notice}]" if notice else sentence for sentence in footer),
    )


def _line(place: int, cells: Sequence[Cell], found: Contrast) -> Line:
    notice = found.first.board.row_notice
    return Line("row" if place else "first", (*cells, *[Cell(notice)] * bool(notice)))


def _plain(grid: Grid) -> str:
    """For a terminal: an interval below its figure."""
    from tabulate import tabulate

    def text(cell: Cell) -> str:
        return cell.text + (f"\n{cell.between.join(cell.second)}" if cell.second else "")

    def row(line: Line) -> list[str]:
        cells = [text(cell) for cell in line.cells]
        # The intervals' line prints numbers too.
        if any(cell.second for cell in line.cells) and grid.header[-1] == "Data":
            cells[-1] = f"{cells[-1]}\n{cells[-1]}"
        return cells

    header = [name.replace(" (", "\n(").replace(": ", ":\n") for name in grid.header]
    if header[-1] == "Data":
        header[-1] = ""
    table = tabulate(list(map(row, grid.lines)), header, "simple", disable_numparse=True, colalign=grid.alignment)
    return "\n".join([grid.caption, "", table, "", *grid.below, ""])


def _counted(found: Contrast, name: str) -> str:
    return f"{name} ({found.positives[name]:,})" if name in found.positives else name


def _area(side: Contestant, name: str) -> Cell:
    value = side.row.values[name]
    if value.auc is None:
        return Cell("--")
    if value.low is None or value.high is None:
        return Cell(f"{100 * value.auc:.2f}")
    return Cell(f"{100 * value.auc:.2f}", (f"{100 * value.low:.1f}", f"{100 * value.high:.1f}"))


def _numbers(counts: Counts) -> list[Cell]:
    four = (counts.first, counts.second, counts.both, counts.neither)
    return [*(Cell(f"{number:,}") for number in four), Cell(_p(counts.p))]


def _p(value: float | None) -> str:
    if value is None:
        return "--"
    return "<.001" if value < 0.001 else f"{value:.3f}"


def _who(side: Contestant) -> str:
    seeds = side.row.seeds
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    keys = ", ".join(path.stem for path in side.row.paths)
    return f"{side.title}; {side.where}; {which}; key{'s' * (len(seeds) > 1)} {keys}"


def runs(found: Contrast) -> str:
    """Which seeds flips and ranks are of, as a sentence."""
    first, second = found.seeds
    return f"Runs of seed {first}." if first == second else f"Runs of seed {first} (A) and seed {second} (B)."


def _about(found: Contrast) -> list[str]:
    """A table may be cut out of its document: who, on which data, of which seeds."""
    return [f"A: {found.first.title}. B: {found.second.title}. {runs(found)}", data_line(found)]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more (all of them with --format csv)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _csv(found: Contrast) -> str:
    """Fractions of one; a line per statement and mean."""
    board, flips = found.first.board, {entry.statement: entry for entry in found.flips}
    rows = []
    for name in COLUMNS:
        difference, changed = found.evidence.differences[name], flips.get(name)
        row: dict[str, str | int | float | None] = {"notice": board.warning, "data": board.data}
        row |= {"release": board.release, "manifest": board.manifest, "records": found.evidence.records}
        row |= {"left_out": found.evidence.dropped, "statement": name, "positives": found.positives.get(name)}
        for letter, side in zip("ab", (found.first, found.second), strict=True):
            value = side.row.values[name]
            row |= {f"{letter}_method": side.row.method, f"{letter}_weights": side.row.source}
            row |= {f"{letter}_keys": " ".join(path.stem for path in side.row.paths)}
            row |= {f"{letter}_auc": value.auc, f"{letter}_low": value.low, f"{letter}_high": value.high}
        ends = (difference.value, difference.low, difference.high, difference.p) if difference else (None,) * 4
        row |= dict(zip(("difference", "difference_low", "difference_high", "p"), ends, strict=True))
        row |= {"p_holm": found.adjusted.get(name), "test": difference.method if difference else None}
        row |= {"specificity": found.specificity, "a_seed": found.seeds[0], "b_seed": found.seeds[1]}
        for kind in ("positives", "negatives"):
            counts: Counts | None = getattr(changed, kind) if changed else None
            for part in ("first", "second", "both", "neither", "p"):
                label = {"first": "a_only", "second": "b_only", "p": "mcnemar_p"}.get(part, part)
                row[f"{kind}_{label}"] = getattr(counts, part) if counts else None
        row["found_by_a_only"] = " ".join(changed.found_by_first) if changed else None
        row["found_by_b_only"] = " ".join(changed.found_by_second) if changed else None
        rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
