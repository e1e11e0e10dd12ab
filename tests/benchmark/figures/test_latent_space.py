"""The latent space: the plane against a plain SVD, and what stands on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from mibench.adapters.errors import MibenchError
from mibench.benchmark.figures.latent_space import draw_latent, latent_page, principal_plane, view
from mibench.benchmark.figures.style import COLOURS, house_style

WORDS = {"title": "40 test records", "footer": "demo data: not a result"}


def cloud(seed: int, records: int = 40, width: int = 8, shift: float = 0.0) -> np.ndarray:
    spread = 1 / np.arange(1, width + 1)
    return np.random.default_rng(seed).normal(size=(records, width)) * spread + shift


def page(real: np.ndarray, generated: dict[str, np.ndarray], fid: float = 1.5) -> Figure:
    with house_style():
        return latent_page(real, generated, dict.fromkeys(generated, fid), **WORDS)


def marked(axes: Any, name: str) -> list[Any]:
    return [line for line in axes.lines if line.get_gid() == name]


@pytest.mark.parametrize(("records", "width"), [(40, 8), (6, 30), (2, 5), (30, 2)])
def test_the_plane_is_that_of_a_plain_svd(records: int, width: int) -> None:
    real = cloud(0, records, width)
    plane = principal_plane(real)
    _, singular, axes = np.linalg.svd(real - real.mean(axis=0), full_matrices=False)
    kept = min(2, records - 1)  # two records span a line: their second axis is any
    assert np.abs((plane.axes @ axes[:2].T)[:kept, :kept]) == pytest.approx(np.eye(kept), abs=1e-8)
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=1e-12)
    assert plane.explained == pytest.approx(singular[:2] ** 2 / (singular**2).sum(), abs=1e-12)
    for axis in plane.axes:
        assert axis[np.abs(axis).argmax()] > 0


def test_the_sign_of_the_axes_does_not_depend_on_the_order_of_the_records() -> None:
    real = cloud(0)
    assert principal_plane(real[::-1]).axes == pytest.approx(principal_plane(real).axes, abs=1e-9)


def test_each_generator_has_a_panel_with_the_real_records_in_grey() -> None:
    real = cloud(0)
    made = {"MCMA": cloud(1, shift=0.5), "EKGAN": cloud(2), "Real leads": real}
    drawn = page(real, made)
    plane = principal_plane(real)
    assert len(drawn.axes) == 3
    for number, (axes, features) in enumerate(zip(drawn.axes, made.values(), strict=True)):
        for name, shade, values in (("real", "0.72", real), ("generated", COLOURS[number], features)):
            points = np.concatenate([line.get_xydata() for line in axes.lines if line.get_gid().startswith(name)])
            assert {line.get_color() for line in axes.lines if line.get_gid().startswith(name)} == {shade}
            placed = plane.project(values)
            shown = np.clip(placed, *np.transpose([axes.get_xlim(), axes.get_ylim()]))
            assert np.sort(points, axis=0) == pytest.approx(np.sort(shown, axis=0))
        assert axes.get_xlim() == drawn.axes[0].get_xlim()
        assert axes.get_ylim() == drawn.axes[0].get_ylim()


def test_fid_stands_with_its_name_and_the_variance_with_its_axis() -> None:
    real = cloud(0)
    drawn = page(real, {"MCMA": cloud(1)}, fid=1234.5)
    (text,) = drawn.axes[0].get_legend().get_texts()
    assert text.get_text().replace("\N{NO-BREAK SPACE}", " ") == "MCMA: FID 1,234"
    first, second = principal_plane(real).explained
    words = [text.get_text() for text in drawn.texts]
    assert f"PC 1 ({100 * first:.1f} % of real variance)" in words
    assert f"PC 2 ({100 * second:.1f} % of real variance)" in words


@pytest.mark.parametrize(
    ("fid", "shown"), [(0.0, "0"), (3e-12, "3e-12"), (0.01234, "0.0123"), (1.5, "1.50"), (25.0, "25.0"), (250.4, "250")]
)
def test_three_digits_of_fid_are_shown(fid: float, shown: str) -> None:
    drawn = page(cloud(0), {"MCMA": cloud(1)}, fid=fid)
    (text,) = drawn.axes[0].get_legend().get_texts()
    assert text.get_text().split("\N{NO-BREAK SPACE}")[-1] == shown


def test_the_ellipse_holds_95_per_cent_of_a_normal_cloud() -> None:
    real = np.random.default_rng(0).normal(size=(20000, 2)) @ np.array([[2.0, 0.7], [0.0, 0.5]])
    axes = page(real, {"MCMA": real[:5]}).axes[0]
    ellipse = next(patch for patch in axes.patches if isinstance(patch, Ellipse) and patch.get_gid() == "real 95 %")
    placed = principal_plane(real).project(real)
    turn = np.radians(ellipse.angle)
    turned = (placed - ellipse.center) @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    inside = ((turned / [ellipse.width / 2, ellipse.height / 2]) ** 2).sum(axis=1) <= 1
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_stray_records_stand_at_the_edge_and_shrink_nothing() -> None:
    real = cloud(0, 200)
    made = cloud(1, 200)
    tame = page(real, {"MCMA": made}).axes[0].get_xlim()
    made[:2] *= 1e6
    axes = page(real, {"MCMA": made}).axes[0]
    assert np.ptp(axes.get_xlim()) < 1.5 * np.ptp(tame)
    (stray,) = marked(axes, "generated beyond")
    edges = stray.get_xydata()
    assert len(edges) >= 2
    at_edge = [x in axes.get_xlim() or y in axes.get_ylim() for x, y in edges]
    assert all(at_edge)


def test_one_broken_generator_leaves_the_others_readable() -> None:
    real = cloud(0)[:, :2]
    alone, beside = view(real, []), view(real, [real * 1e9])
    assert np.ptp(beside, axis=1).max() < 3.5 * np.ptp(alone, axis=1).max()


@pytest.mark.parametrize(("panels", "across"), [(1, 1), (2, 2), (4, 4), (5, 3), (9, 3), (12, 4)])
def test_panels_share_the_page(panels: int, across: int) -> None:
    drawn = page(cloud(0), {f"Generator {number}": cloud(number) for number in range(panels)})
    places = [axes.get_position() for axes in drawn.axes]
    assert len({round(place.x0, 6) for place in places}) == across
    assert all(place.x0 > 0 and place.x1 < 1 and place.y0 > 0 and place.y1 < 1 for place in places)
    # One unit is as long upwards as it is across, or distances in the picture would lie.
    width, height = drawn.get_size_inches()
    for axes, place in zip(drawn.axes, places, strict=True):
        assert place.width * width / np.ptp(axes.get_xlim()) == pytest.approx(
            place.height * height / np.ptp(axes.get_ylim())
        )


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_the_same_page_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        draw_latent(cloud(0), {"MCMA": cloud(1)}, {"MCMA": 1.0}, tmp_path / f"{name}{suffix}", **WORDS)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("real", "made", "sentence"),
    [
        (cloud(0, 1), cloud(1, 1), "two real records"),
        (cloud(0, 40, 1), cloud(1, 40, 1), "two features"),
        (np.ones((40, 8)), cloud(1), "the same features"),
        (cloud(0), cloud(1, 40, 7), r"MCMA: \(40, 7\) cannot be drawn beside \(40, 8\)"),
        (cloud(0), np.full((40, 8), np.nan), "MCMA: some features are no numbers"),
        (cloud(0) * np.inf, cloud(1), "the real records: some features are no numbers"),
    ],
)
def test_what_has_no_latent_space_is_refused(tmp_path: Path, real: np.ndarray, made: np.ndarray, sentence: str) -> None:
    with pytest.raises(MibenchError, match=sentence):
        draw_latent(real, {"MCMA": made}, {"MCMA": 1.0}, tmp_path / "a.png", **WORDS)
    assert not list(tmp_path.iterdir())


def test_no_generator_is_refused() -> None:
    with pytest.raises(MibenchError, match="no generator"):
        page(cloud(0), {})
