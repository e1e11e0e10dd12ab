"""Pages and files: words that fit, places that cannot be written, matplotlib left as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from mibench.adapters.errors import MibenchError
from mibench.benchmark.commands.figure import command
from mibench.benchmark.figures.style import blank, check_out, house_style, save, text_width, wrap


@settings(max_examples=50, deadline=None)
@given(st.text("aiW .$_-", max_size=80), st.floats(5, 60))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: float) -> None:
    with house_style():
        lines = wrap(text, width, 8.0)
        assert all(text_width(line, 8.0) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_no_break_space_holds() -> None:
    with house_style():
        width = text_width("name: FID", 8.0) + 1
        assert wrap("name: FID\N{NO-BREAK SPACE}3", width, 8.0) == ["name:", "FID\N{NO-BREAK SPACE}3"]


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.svg", ".png"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MibenchError, match=r"\.png or \.pdf"):
        check_out(tmp_path / name)


def test_places_where_no_file_can_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for out in (tmp_path / "file" / "a.png", tmp_path / "folder.png"):
        with pytest.raises(MibenchError, match=r"choose another"):
            save(blank(10, 10), out, title="", dpi=50)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_folders_are_made_and_upper_case_will_do(tmp_path: Path) -> None:
    save(blank(10, 10), tmp_path / "new" / "A.PNG", title="A", dpi=50)
    assert (tmp_path / "new" / "A.PNG").read_bytes().startswith(b"\x89PNG")


def test_the_house_style_is_the_same_whatever_the_user_has_set(tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 31.0, "text.color": "red", "savefig.transparent": True}):
        with house_style():
            assert matplotlib.rcParams["text.color"] == "black"
            assert not matplotlib.rcParams["savefig.transparent"]
        assert matplotlib.rcParams["font.size"] == 31.0


def test_pictures_need_no_screen_and_no_global_figures() -> None:
    program = (
        "import sys; import mibench.benchmark.figures.ecg_paper, mibench.benchmark.figures.latent_space; "
        "print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("picture", ["generation", "latent"])
def test_a_wrong_ending_is_refused_before_anything_is_generated(picture: str) -> None:
    answer = CliRunner().invoke(command, [picture, "--method", "mcma", "fir-ridge", "--out", "a.bmp"])
    assert isinstance(answer.exception, MibenchError)
    assert "a.bmp" in str(answer.exception)


@pytest.mark.parametrize(
    ("picture", "options"),
    [("generation", ("--record", "--layout", "--seconds")), ("latent", ("--classifier-weights",))],
)
def test_help_says_what_there_is(picture: str, options: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(command, [picture, "--help"])
    assert answer.exit_code == 0
    for option in (*options, "--method", "--no-pass-through", "--weights", f"mibench figure {picture}"):
        assert option in answer.output
