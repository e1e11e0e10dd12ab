"""The report in a real browser: it sorts, filters, opens runs, fits a phone, is legible in the dark, and prints."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mibench.benchmark.report.build import report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BOARD = "#boards section.board >> nth=0"

CONTRAST = """() => {
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const linear = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let worst = [99, ""];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || ["SCRIPT", "OPTION"].includes(element.tagName)) continue;
    const both = [luminance(getComputedStyle(element).color), luminance(behind(element))];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < worst[0]) worst = [ratio, `${element.tagName} ${element.className}: ${element.textContent}`];
  }
  return worst;
}"""
"""The lowest contrast between a text and what lies behind it, and where."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[browser]'"
    )
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"there is no Chromium here: none of {', '.join(NAMES)} is on the path")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Browser, records: list[dict[str, Any]], tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Opens the report; afterwards there must have been no complaint, and nothing fetched but the file."""
    file = tmp_path / "report.html"
    said: list[str] = []
    pages: list[Page] = []

    def open_(text: str = "", **looks: Any) -> Page:
        file.write_text(text or report(records, (), figures=False), encoding="utf-8")
        page = browser.new_page(reduced_motion="reduce", **looks)
        pages.append(page)
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda problem: said.append(f"error: {problem}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: said.append(request.url))
        page.goto(file.as_uri())
        return page

    yield open_
    assert [line for line in said if not line.startswith("data:,")] == [file.as_uri()] * len(pages)
    for page in pages:
        page.close()


def names(page: Page, table: str = BOARD) -> list[str]:
    """What the lines of each visible row are called."""
    found: list[str] = page.locator(table).evaluate(
        """(table) => {
          const seen = (inside, what) => [...inside.querySelectorAll(what)].filter((one) => one.checkVisibility());
          return seen(table, "tbody").map((row) => seen(row, "th").map((name) => name.innerText).join(" / "));
        }"""
    )
    return found


def test_headers_sort_by_numbers_and_words_and_back(opened: Callable[..., Page]) -> None:
    page = opened()
    before = names(page)
    assert before[0] == "SelfMIS / paper / difference"
    average = page.locator(f"{BOARD} >> thead th", has_text="Avg").first
    average.locator("button").click()
    assert average.get_attribute("aria-sort") == "descending"
    assert names(page)[-1] == "./my_net.py:My_Net1"
    average.locator("button").focus()
    page.keyboard.press("Enter")
    assert average.get_attribute("aria-sort") == "ascending"
    shown = page.locator(f"{BOARD} >> tbody > tr:first-child > td:nth-last-child(3)").all_inner_texts()
    numbers = [float(text.split()[0]) for text in shown if text != "--"]
    assert numbers == sorted(numbers)
    assert shown[-1] == "--"
    assert "SelfMIS / paper / difference" in names(page)
    page.keyboard.press("Space")
    assert average.get_attribute("aria-sort") is None
    assert names(page) == before
    page.locator(f"{BOARD} >> thead button", has_text="Method").click()
    assert [name.split(" /")[0].split(":")[0] for name in names(page)] == [
        "./my_net.py",
        *["ECGFounder"] * 3,
        *["SelfMIS"] * 2,
    ]


def test_filters_leave_what_fits_and_say_how_much(opened: Callable[..., Page]) -> None:
    page = opened()
    form = page.locator("#boards form")
    everything = form.locator("output").inner_text()
    form.get_by_label("Train %").select_option("25")
    assert {name.split(" / ")[0] for name in names(page)} == {"SelfMIS", "ECGFounder"}
    assert len(names(page)) == 2
    form.get_by_role("button").click()
    assert form.locator("output").inner_text() == everything

    form.get_by_role("searchbox").fill("founder random")
    assert names(page) == ["ECGFounder"]
    form.get_by_role("searchbox").fill("nobody")
    assert form.locator("output").inner_text().endswith("nothing fits the filter")
    assert page.locator("#boards section.board:visible").count() == 0
    form.get_by_role("button").click()

    form.get_by_label("Data").select_option("demo")
    assert page.locator("#boards h3:visible").all_inner_texts() == ["Linear probe on demo"]
    form.get_by_role("button").click()
    form.get_by_label("Anchors").uncheck()
    assert page.locator("#boards tbody th:visible", has_text="Zero mask").count() == 0
    form.get_by_label("The paper's lines").uncheck()
    assert page.locator("tr.beneath:visible").count() == 0
    assert page.locator("#boards td small:visible").count() > 50
    form.get_by_label("Intervals").uncheck()
    assert page.locator("#boards td small:visible").count() == 0


def test_a_run_opens_to_all_of_its_settings_and_keeps_them_when_sorted(opened: Callable[..., Page]) -> None:
    page = opened()
    first = page.locator("#runs tbody").first
    button = first.locator("button")
    button.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    told = first.locator(".details").inner_text()
    for words in ("epochs", "settings.epochs", "mimic-iv-ecg", "0123456789abcdef" * 4, "12.5"):
        assert words in told
    page.locator("#runs thead button", has_text="Seed").click()
    assert page.locator("#runs tbody", has=page.locator(".details")).locator("button").inner_text() == "SelfMIS"
    button = page.locator("#runs [aria-expanded=true]")
    button.click()
    assert page.locator(".details:visible").count() == 0
    page.locator("#runs form").get_by_label("Status").select_option("failed")
    assert len(names(page, "#runs")) == 1


def test_a_long_table_shows_its_beginning_until_asked(
    opened: Callable[..., Page], make_record: Callable[..., Any]
) -> None:
    many = [{**make_record(protocol="pretrain", seed=seed), "metrics": None} for seed in range(210)]
    page = opened(report(many, (), figures=False))
    assert page.locator("#runs tbody:visible").count() == 200
    page.locator("#runs thead button", has_text="Seed").click()
    assert page.locator("#runs tbody").first.locator("td").nth(4).inner_text() == "209"
    page.get_by_role("button", name="Show 10 more").click()
    assert page.locator("#runs tbody:visible").count() == 210
    assert page.locator(".rest:visible").count() == 0


def test_a_phone_scrolls_tables_and_never_the_page(opened: Callable[..., Page]) -> None:
    page = opened(viewport={"width": 360, "height": 740})
    page.locator("#runs .more").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("document.body.scrollWidth") <= 360
    wide = page.locator(f"{BOARD} >> .wide")
    assert wide.evaluate("box => box.scrollWidth > box.clientWidth")
    wide.evaluate("box => { box.scrollLeft = 400 }")
    left = wide.evaluate("box => box.getBoundingClientRect().left")
    name = page.locator(f"{BOARD} >> tbody th").first
    assert name.evaluate("cell => cell.getBoundingClientRect().left") == pytest.approx(left, abs=1)
    assert page.evaluate("scrollX") == 0


def test_every_text_stands_out_in_the_light_and_in_the_dark_and_it_prints(opened: Callable[..., Page]) -> None:
    page = opened()
    page.locator("#runs .more").first.click()
    colours = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ratio, where = page.evaluate(CONTRAST)
        assert ratio >= 4.5, (scheme, where)
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2
    page.emulate_media(media="print")
    assert page.locator("form:visible, nav:visible").count() == 0
    assert page.locator("#runs .wide").evaluate("box => getComputedStyle(box).overflowX") == "visible"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf().startswith(b"%PDF")


def test_names_that_are_scripts_do_nothing(opened: Callable[..., Page], make_record: Callable[..., Any]) -> None:
    hostile = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    record = make_record(0.7, method=hostile, title=hostile, weights_name=hostile, options={"</script>": hostile})
    page = opened(report([record], (hostile,), figures=False))
    page.locator("#runs .more").first.click()
    assert hostile in page.locator("#runs .details").inner_text()
    assert page.title() == "mibench report"
    assert page.locator("img").count() == 0


def test_without_scripts_everything_can_be_read(opened: Callable[..., Page]) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("form:visible").count() == 0
    assert page.locator("#boards tbody:visible").count() > 10
    assert page.locator("#runs tbody:visible").count() == 10
