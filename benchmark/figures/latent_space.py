"""The latent space of Figure 1: real test records on their two main axes, and where each generator's records fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.linalg import eigh

from ...adapters.errors import MibenchError
from .style import MM_PER_INCH, blank, colour, house_style, line_height, save, wrap, write

WIDTH = 180.0
"""Millimetres: two columns of most journals."""
DPI = 300.0

MARGIN, LEFT, BETWEEN, BOTTOM, WIDEST = 4.0, 16.0, 3.0, 11.0, 84.0
TITLE_POINTS, PANEL_POINTS, KEY_POINTS, FOOTER_POINTS = 9.0, 7.5, 7.0, 6.5
MANY = 500
"""From so many records on their points are smaller and let more shine through."""
REAL_COLOUR, REAL_EDGE = "0.72", "0.35"
MOST_ACROSS = 4

ELLIPSE_95 = float(np.sqrt(-2 * np.log(0.05)))
"""Standard deviations: a plane's normal distribution has 95 % within so many (chi-squared with two degrees)."""
WITHIN_REAL, WITHIN_GENERATED = 99.5, 95.0
"""Per cent of a cloud that the axes make room for, along each of them."""
FARTHEST = 3.0
"""The view reaches at most so many times as far as the real cloud: one broken generator must not shrink the others."""


@dataclass(frozen=True)
class Plane:
    """The two main axes of some records.

    Attributes:
        centre: (d,) mean.
        axes: (2, d) orthonormal; the largest entry of each is positive, so that repeated runs agree.
        explained: share of the variance along each.
    """

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    explained: tuple[float, float]

    def project(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """(n, d) -> (n, 2)."""
        placed: NDArray[np.float64] = (np.asarray(features, dtype=np.float64) - self.centre) @ self.axes.T
        return placed


def principal_plane(features: NDArray[Any]) -> Plane:
    """Principal components of (n, d) features, in float64.

    Raises:
        MibenchError: fewer than two records or features, or records that are all alike.
    """
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise MibenchError(
            f"a plane takes two real records with two features at least, and these are {values.shape}; "
            f"choose data with more test records"
        )
    centre = values.mean(axis=0)
    covariance = np.cov(values.T)
    total, width = float(np.trace(covariance)), values.shape[1]
    # Two of a thousand axes: many times quicker than all of them.
    variances, axes = eigh(covariance, subset_by_index=(width - 2, width - 1))
    if total <= (1e-12 * float(np.abs(values).max())) ** 2:
        raise MibenchError(
            "all real records have the same features: there is no latent space to draw; check the encoder"
        )
    axes = axes.T[::-1]
    largest = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    explained = variances[::-1].clip(0) / total
    return Plane(centre, axes * np.sign(largest)[:, None], (float(explained[0]), float(explained[1])))


def draw_latent(
    real: NDArray[Any],
    generated: Mapping[str, NDArray[Any]],
    fid: Mapping[str, float],
    out: Path,
    *,
    title: str,
    footer: str,
) -> None:
    """Draw features of real records in grey, and of each generator's in a panel of its own, to a PNG or PDF.

    The plane is that of the real records; all panels share it and its limits. The ellipses hold 95 % of a normal
    distribution with the same mean and covariance.

    Args:
        real: (n, d) features of real test records.
        generated: (m, d) for each generator, by its title.
        fid: the latent distance of each generator to the real records.
        out: the file; .png or .pdf.

    Raises:
        MibenchError: too few records, NaN, other numbers of features, or a file that cannot be written.
    """
    with house_style():
        save(latent_page(real, generated, fid, title=title, footer=footer), out, title=title, dpi=DPI)


def latent_page(
    real: NDArray[Any], generated: Mapping[str, NDArray[Any]], fid: Mapping[str, float], *, title: str, footer: str
) -> Figure:
    """The page of `draw_latent`, not yet written; inside `house_style`."""
    _check(real, generated)
    plane = principal_plane(real)
    placed = plane.project(real)
    clouds = {name: plane.project(features) for name, features in generated.items()}
    limits = view(placed, list(clouds.values()))
    stray = not all(_inside(cloud, limits).all() for cloud in (placed, *clouds.values()))
    page, panels = _panels(_heads(clouds, fid), limits, _key(len(real), stray), title, footer)
    for number, (axes, cloud) in enumerate(zip(panels, clouds.values(), strict=True)):
        _draw_cloud(axes, placed, limits, face=REAL_COLOUR, edge=REAL_EDGE, gid="real")
        _draw_cloud(axes, cloud, limits, face=colour(number), edge=colour(number), gid="generated")
    _label(page, panels, plane)
    return page


def view(real: NDArray[np.float64], clouds: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Limits, ((left, right), (bottom, top)), that show the real cloud, its ellipse, and the others where that can be.

    Stray records beyond them are drawn at the edge. A panel is never flatter than 3 to 5, nor taller than wide.
    """
    mean, around = real.mean(axis=0), ELLIPSE_95 * real.std(axis=0, ddof=1)
    low, high = _most(real, WITHIN_REAL)
    low, high = np.minimum(low, mean - around), np.maximum(high, mean + around)
    centre, reach = (low + high) / 2, (high - low).max() / 2
    for cloud in clouds:
        least, most = _most(cloud, WITHIN_GENERATED)
        low, high = np.minimum(low, least), np.maximum(high, most)
    low, high = np.maximum(low, centre - FARTHEST * reach), np.minimum(high, centre + FARTHEST * reach)
    middle, span = (low + high) / 2, (high - low) * 1.08
    span = np.array([max(span), max(span[1], 0.6 * max(span))])
    return np.stack([middle - span / 2, middle + span / 2], axis=1)


def _most(cloud: NDArray[np.float64], within: float) -> NDArray[np.float64]:
    """Lower and upper bounds of some per cent of a cloud."""
    outer = (100 - within) / 2
    return np.percentile(cloud, [outer, 100 - outer], axis=0)


def _check(real: NDArray[Any], generated: Mapping[str, NDArray[Any]]) -> None:
    if not generated:
        raise MibenchError("there is no generator to draw; choose one or more")
    for name, features in {"the real records": real, **generated}.items():
        if np.ndim(features) != 2 or not len(features) or features.shape[1] != real.shape[1]:
            raise MibenchError(
                f"{name}: {np.shape(features)} cannot be drawn beside {np.shape(real)}; choose one encoder for all"
            )
        if not np.isfinite(features).all():
            raise MibenchError(f"{name}: some features are no numbers, and are not drawn; check signals and weights")


def _heads(clouds: Mapping[str, Any], fid: Mapping[str, float]) -> list[str]:
    """What stands above each panel; the space that does not break keeps a number with its name."""
    return [f"{name}: FID\N{NO-BREAK SPACE}{_number(fid[name])}" for name in clouds]


def _number(value: float) -> str:
    """Three digits that count, without powers of ten unless it is next to nothing."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 1e-5:
        return f"{value:.0e}" if value else "0"
    return np.format_float_positional(value, precision=3, fractional=False, unique=False)


def _panels(
    heads: list[str], limits: NDArray[np.float64], key: list[Line2D], title: str, footer: str
) -> tuple[Figure, list[Axes]]:
    """A page with its words, and an empty pair of axes for each panel."""
    rows = ceil(len(heads) / MOST_ACROSS)
    columns = ceil(len(heads) / rows)
    span = limits[:, 1] - limits[:, 0]
    wide = min(WIDEST, (WIDTH - MARGIN - LEFT + BETWEEN) / columns - BETWEEN)
    high = wide * span[1] / span[0]
    width = LEFT + columns * (wide + BETWEEN) - BETWEEN + MARGIN
    broken = [wrap(text, wide - 4, PANEL_POINTS) for text in heads]
    most = [max(map(len, broken[row * columns : (row + 1) * columns])) for row in range(rows)]
    above = [lines * line_height(PANEL_POINTS) + 2 for lines in most]
    titles = wrap(title, width - 2 * MARGIN, TITLE_POINTS, "bold")
    feet = wrap(footer, width - 2 * MARGIN, FOOTER_POINTS)
    keys = MARGIN + len(titles) * line_height(TITLE_POINTS) + 1
    tops = keys + line_height(KEY_POINTS) + 2 + np.cumsum(above) + np.arange(rows) * (high + BETWEEN)
    under = float(tops[-1]) + high + BOTTOM
    total = under + len(feet) * line_height(FOOTER_POINTS) + MARGIN

    page = blank(width, total)
    write(page, MARGIN, MARGIN, titles, TITLE_POINTS, fontweight="bold")
    write(page, MARGIN, under, feet, FOOTER_POINTS, color="0.25")
    _draw_key(page, key, MARGIN / width, 1 - keys / total)
    panels = []
    for number, lines in enumerate(broken):
        row, column = divmod(number, columns)
        left = LEFT + column * (wide + BETWEEN)
        axes = page.add_axes((left / width, 1 - (tops[row] + high) / total, wide / width, high / total))
        axes.set(xlim=limits[0], ylim=limits[1])
        axes.tick_params(length=2, labelsize=6.5, labelleft=column == 0, labelbottom=number + columns >= len(heads))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        _head(axes, lines, number)
        panels.append(axes)
    return page, panels


def _head(axes: Axes, lines: list[str], number: int) -> None:
    legend = axes.legend(
        handles=[_dot(colour(number), "\n".join(lines))],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        borderpad=0.1,
        handletextpad=0.2,
        handlelength=1.0,
        frameon=False,
        fontsize=PANEL_POINTS,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _dot(shade: str, label: str, marker: str = "o", markersize: float = 3.5) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, markersize=markersize, color=shade, label=label)


def _draw_cloud(
    axes: Axes, cloud: NDArray[np.float64], limits: NDArray[np.float64], *, face: str, edge: str, gid: str
) -> None:
    inside = _inside(cloud, limits)
    size, alpha = (2.5, 0.7) if len(cloud) < MANY else (1.5, 0.35)
    # Thousands of points are pixels in a PDF too: as vectors they would make it slow to open.
    dots: dict[str, Any] = {"linestyle": "none", "color": face, "markeredgewidth": 0, "rasterized": True}
    axes.plot(*cloud[inside].T, marker="o", markersize=size, alpha=alpha, gid=gid, **dots)
    if not inside.all():
        edges = np.clip(cloud[~inside], limits[:, 0], limits[:, 1])
        axes.plot(*edges.T, marker="D", markersize=2.4, alpha=0.7, gid=f"{gid} beyond", zorder=4, clip_on=False, **dots)
    if len(cloud) > 2:
        axes.add_patch(_ellipse(cloud, edgecolor=edge, gid=f"{gid} 95 %"))


def _ellipse(cloud: NDArray[np.float64], **looks: Any) -> Ellipse:
    variances, directions = np.linalg.eigh(np.cov(cloud.T))
    width, height = 2 * ELLIPSE_95 * np.sqrt(variances.clip(0))
    angle = float(np.degrees(np.arctan2(directions[1, 0], directions[0, 0])))
    return Ellipse(cloud.mean(axis=0), width, height, angle=angle, fill=False, linewidth=0.9, zorder=3, **looks)


def _inside(cloud: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all((cloud >= limits[:, 0]) & (cloud <= limits[:, 1]), axis=1)
    return inside


def _label(page: Figure, panels: list[Axes], plane: Plane) -> None:
    """Titles of the axes, once for the page: the panels share them."""
    first, last = panels[0].get_position(), panels[-1].get_position()
    right = max(axes.get_position().x1 for axes in panels)
    width, height = page.get_size_inches() * MM_PER_INCH
    across, up = (
        f"PC {number + 1} ({100 * share:.1f} % of real variance)" for number, share in enumerate(plane.explained)
    )
    page.text((first.x0 + right) / 2, last.y0 - 5.5 / height, across, va="top", ha="center")
    page.text(MARGIN / width, (first.y1 + last.y0) / 2, up, rotation=90, va="center", ha="left")


def _key(records: int, stray: bool) -> list[Line2D]:
    """What grey, dots, ellipses and diamonds are."""
    return [
        _dot(REAL_COLOUR, f"real ({records:,})"),
        _dot(colour(0), "generated"),
        Line2D([], [], color=REAL_EDGE, linewidth=0.9, label="95 % ellipse"),
        *([_dot(REAL_EDGE, "beyond the axes", marker="D", markersize=2.4)] if stray else []),
    ]


def _draw_key(page: Figure, handles: list[Line2D], left: float, top: float) -> None:
    page.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left, top),
        ncols=len(handles),
        borderaxespad=0,
        borderpad=0,
        handletextpad=0.4,
        handlelength=1.5,
        columnspacing=1.5,
        frameon=False,
        fontsize=KEY_POINTS,
    )
