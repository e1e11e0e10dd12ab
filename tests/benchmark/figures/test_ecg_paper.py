"""ECG paper: measured on the pages that were written, in pixels and points, as with a ruler."""

from __future__ import annotations

import re
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

from mibench.adapters.base import LEADS
from mibench.adapters.errors import MibenchError
from mibench.benchmark.figures.ecg_paper import draw_generation, draw_sample, generation_page
from mibench.benchmark.figures.style import house_style

RATE = 100.0
WORDS = {"title": "Record 1", "footer": "demo data: not a result"}
MM = 10
"""Pixels: a PNG has 254 to the inch."""
POINTS_PER_MM = 72 / 25.4


def step(seconds: float = 10.0) -> np.ndarray:
    """Twelve leads at 0 mV, but for lead I, which stands at 1 mV from the first second to the second one."""
    signal = np.zeros((12, round(seconds * RATE)))
    signal[0, 100:200] = 1.0
    return signal


def waves(seed: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).uniform(-1, 1, (12, 1000))


def page(real: np.ndarray, generated: dict[str, np.ndarray], **options: Any) -> Figure:
    with house_style():
        return generation_page(real, generated, RATE, **WORDS, **options)


def lines(drawn: Figure, prefix: str = "") -> list[Any]:
    """Lines of the page whose names begin with a prefix, in the order in which they were drawn."""
    return [line for line in drawn.axes[0].lines if (line.get_gid() or "").startswith(prefix)]


def runs(mask: np.ndarray) -> list[float]:
    """Centres of the runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [float(first + last - 1) / 2 for first, last in zip(edges[::2], edges[1::2], strict=True)]


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The step, written."""
    out = tmp_path_factory.mktemp("png") / "a.png"
    draw_generation(step(), {}, RATE, out, **WORDS)
    return out


def test_a_second_is_25_mm_and_a_millivolt_10_mm_on_the_png(png: Path) -> None:
    assert Image.open(png).info["dpi"] == pytest.approx((254, 254), abs=0.01)
    black = imread(png)[..., :3].max(axis=2) < 0.35
    grid_left = 16 * MM
    within = black[:, grid_left:].copy()
    upright = runs(within.sum(axis=0) > 9 * MM)
    # The calibration pulses of all rows stand above each other; then lead I rises at 1 s and falls at 2 s.
    rise, fall, up, down = upright
    assert fall - rise == pytest.approx(0.2 * 25 * MM, abs=1)
    assert down - up == pytest.approx(25 * MM, abs=1)
    assert up - (rise + 7.5 * MM) == pytest.approx(25 * MM, abs=3)  # one sample of 2.5 pixels takes the rise
    column = within[:, round((up + down) / 2)]
    low = within[:, round(down) + 20]
    first_row = min(runs(low))
    assert first_row - min(runs(column)) == pytest.approx(10 * MM, abs=1)


def test_squares_are_1_and_5_mm_on_the_png(png: Path) -> None:
    pixels = np.asarray(Image.open(png))[..., :3]
    for axis in (0, 1):
        # Where little of a row or column is white, a line runs along it.
        along = (pixels[..., 1] == 255).mean(axis=axis)
        inside = slice(30 * MM, 250 * MM) if axis == 0 else slice(40 * MM, 150 * MM)
        small = np.array(runs(along[inside] < 0.3))
        assert np.diff(small) == pytest.approx(MM, abs=0.51)
        red = (pixels[..., 1] < 0xCE).mean(axis=axis)[inside]
        large = np.array(runs(red > 0.5))
        assert np.diff(large) == pytest.approx(5 * MM, abs=0.51)
        assert len(large) >= 20


def test_the_pdf_is_as_large_as_the_page_and_true_to_scale(tmp_path: Path) -> None:
    draw_generation(step(), {}, RATE, tmp_path / "a.pdf", **WORDS)
    data = (tmp_path / "a.pdf").read_bytes()
    media = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", data)
    assert media is not None
    assert float(media[1]) / POINTS_PER_MM == pytest.approx(2 * 6 + 10 + 10 + 250 + 5, abs=1e-3)
    streams = [part for part in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL) if part[:1] == b"x"]
    text = b"\n".join(map(zlib.decompress, streams)).decode("latin-1")
    # The trace of lead I is the one path whose height is a millivolt, but for the calibration pulses of six points.
    paths = [np.array(re.findall(r"([\d.]+) ([\d.]+) [ml]\b", part), dtype=float) for part in text.split("S\n")]
    (trace,) = [path for path in paths if len(path) > 6 and np.ptp(path[:, 1]) > 1]
    assert np.ptp(trace[:, 1]) == pytest.approx(10 * POINTS_PER_MM, abs=1e-3)
    assert np.ptp(trace[:, 0]) == pytest.approx(9.99 * 25 * POINTS_PER_MM, abs=1e-3)
    pulses = [path for path in paths if len(path) == 6 and np.ptp(path[:, 0]) < 11 * POINTS_PER_MM]
    assert len(pulses) == 12
    assert np.ptp(pulses, axis=1) == pytest.approx(10 * POINTS_PER_MM, abs=1e-3)
    assert b"/Type3" not in data


def test_rows_hold_every_lead_and_every_generator_in_its_colour() -> None:
    made = {"MCMA": waves(1), "EKGAN": waves(2)}
    drawn = page(waves(0), made)
    assert [line.get_gid() for line in lines(drawn, "real ")] == [f"real {lead}" for lead in LEADS]
    for name, shade in (("real", "black"), ("MCMA", "#0072B2"), ("EKGAN", "#D55E00")):
        assert {line.get_color() for line in lines(drawn, f"{name} ")} == {shade}
        assert len(lines(drawn, f"{name} ")) == 12
        assert [line.get_color() for line in lines(drawn, f"legend {name}")] == [shade]
    assert len(lines(drawn, "calibration")) == 12
    words = [text.get_text() for text in drawn.axes[0].texts]
    assert words == [*LEADS, "real", "MCMA", "EKGAN"]
    assert "demo data: not a result" in " ".join(text.get_text() for text in drawn.findobj(match=_is_footer))


def _is_footer(artist: Any) -> bool:
    return hasattr(artist, "get_text") and artist.get_color() == "0.25"


def test_what_is_drawn_are_the_millivolts_that_were_given() -> None:
    real, made = waves(0), waves(1)
    drawn = page(real, {"MCMA": made})
    for lead, (recorded, generated) in enumerate(zip(lines(drawn, "real "), lines(drawn, "MCMA "), strict=True)):
        apart = recorded.get_ydata() - generated.get_ydata()
        assert apart == pytest.approx(10 * (real[lead] - made[lead]))
        assert np.diff(recorded.get_xdata()) == pytest.approx(25 / RATE)
        assert recorded.get_zorder() > generated.get_zorder()


def test_the_clinical_layout_shows_a_quarter_of_each_lead_and_lead_ii_beneath() -> None:
    real = waves(0)
    drawn = page(real, {"MCMA": waves(1)}, layout="clinical")
    traces = lines(drawn, "real ")
    assert [line.get_gid()[5:] for line in traces] == [*LEADS, "II"]
    assert [len(line.get_xdata()) for line in traces] == [250] * 12 + [1000]
    starts = [line.get_xdata()[0] for line in traces]
    assert np.array(starts[:12]).reshape(4, 3) - starts[12] == pytest.approx(
        np.repeat(62.5 * np.arange(4)[:, None], 3, axis=1)
    )
    v4 = traces[LEADS.index("V4")].get_ydata()
    assert np.diff(v4) == pytest.approx(10 * np.diff(real[LEADS.index("V4"), 750:]))
    assert [text.get_text() for text in drawn.axes[0].texts][:13] == [*LEADS, "II"]
    assert len(lines(drawn, "calibration")) == 4


@pytest.mark.parametrize("layout", ["rows", "clinical"])
@pytest.mark.parametrize("scale", [0.0, 0.3, 5.0])
def test_rows_never_touch_and_stay_on_the_paper(layout: Any, scale: float) -> None:
    drawn = page(waves(0, scale), {"MCMA": waves(1, scale / 2)}, layout=layout)
    pulses = [line.get_ydata() for line in lines(drawn, "calibration")]
    baselines = sorted((float(pulse[0]) for pulse in pulses), reverse=True)
    rows: dict[float, list[float]] = {baseline: [] for baseline in baselines}
    for line in [*lines(drawn, "real "), *lines(drawn, "MCMA ")]:
        values = line.get_ydata()
        row = min(baselines, key=lambda baseline: abs(baseline - (values.max() + values.min()) / 2))
        rows[row] += [values.min(), values.max()]
    for upper, lower in pairwise(baselines):
        assert min(rows[upper]) > max(*rows[lower], lower + 10)
    large = next(c for c in drawn.axes[0].collections if c.get_gid() == "grid large")
    heights = [point[1] for segment in large.get_segments() for point in segment]
    assert min(heights) < min(rows[baselines[-1]])
    assert max(heights) > max(rows[baselines[0]])
    assert set(baselines) <= set(heights), "baselines lie on large squares"


def test_the_first_seconds_are_drawn_and_said_so() -> None:
    drawn = page(waves(0), {}, seconds=2.5)
    assert {len(line.get_xdata()) for line in lines(drawn, "real ")} == {250}
    assert "the first 2.5 of 10 s" in " ".join(text.get_text() for text in drawn.findobj(match=_is_footer))


def test_a_long_record_is_cut_to_ten_seconds() -> None:
    drawn = page(np.zeros((12, 3000)), {})
    assert {len(line.get_xdata()) for line in lines(drawn, "real ")} == {1000}


def test_twelve_generators_are_told_apart() -> None:
    drawn = page(waves(0), {f"G{number}.": waves(number) for number in range(12)})
    looks = {(line.get_color(), line.get_linestyle()) for line in lines(drawn, "legend G")}
    assert len(looks) == 12


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_the_same_page_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        draw_generation(waves(0), {"MCMA": waves(1)}, RATE, tmp_path / f"{name}{suffix}", seconds=1, dpi=127, **WORDS)
    first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "b"))
    assert first == second
    assert b"atplotlib" not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_a_sample_is_small_and_true_to_scale(tmp_path: Path) -> None:
    draw_sample(waves(0, 0.5), waves(1, 0.5), RATE, tmp_path / "s.png", **WORDS)
    picture = Image.open(tmp_path / "s.png")
    assert picture.info["dpi"] == pytest.approx((127, 127), abs=0.02)
    assert picture.width == (2 * 6 + 10 + 250 + 5) * 5


def test_mathematics_in_a_title_stays_text(tmp_path: Path) -> None:
    draw_generation(step(2), {"a $x_ b$": step(2)}, RATE, tmp_path / "a.png", title="$\\frac{$", footer="$_$")
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (np.full((12, 1000), np.nan), "MCMA: lead I, II, III.* no numbers"),
        (np.zeros((11, 1000)), r"MCMA: \(12, samples\).*\(11, 1000\)"),
        (np.zeros((12, 999)), r"as long as the record.*\(12, 999\)"),
        (np.full((12, 1000), 1e6), r"up to 1e\+06 mV.*in mV\?"),
    ],
)
def test_what_no_paper_holds_is_refused(tmp_path: Path, broken: np.ndarray, sentence: str) -> None:
    with pytest.raises(MibenchError, match=sentence):
        draw_generation(waves(0), {"MCMA": broken}, RATE, tmp_path / "a.png", **WORDS)
    assert not list(tmp_path.iterdir())


def test_a_record_with_nan_names_its_leads() -> None:
    real = waves(0)
    real[7, 3] = np.nan
    with pytest.raises(MibenchError, match="the record: lead V2 holds"):
        page(real, {})


@pytest.mark.parametrize("seconds", [0.0, -1.0, 10.5, float("nan")])
def test_times_that_the_record_does_not_have_are_refused(seconds: float) -> None:
    with pytest.raises(MibenchError, match="of a record of 10 s"):
        page(waves(0), {}, seconds=seconds)


def test_too_many_generators_are_refused() -> None:
    with pytest.raises(MibenchError, match="13 generators"):
        page(waves(0), {str(number): waves(0) for number in range(13)})
