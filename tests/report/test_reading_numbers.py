"""Numbers are whole on a phone, on a screen and on paper; no name of a line takes the room of another's curve."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from opened_report import DESKTOP, PHONE, Report
from sample_page import HOSTILE, across_page, losses, many_runs_page, sample_page, table_page, wide_table

from interp.report.html import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
WINDOWS = [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")]
THEMES = ["light", "dark"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reading")
    pages = {"one": sample_page(), "many": many_runs_page(), "across": across_page(), "tables": table_page()}
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(render(page), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def phone(browser: Browser, folder: Path) -> Iterator[Report]:
    with Report(browser, folder / "tables.html", viewport=PHONE) as report:
        yield report


def value_of(text: str) -> float:
    return float(text.translate(SUPERSCRIPTS).replace(",", "").replace("×10", "e"))


def test_on_a_phone_every_cell_of_a_table_can_be_scrolled_to_and_is_whole(phone: Report) -> None:
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = phone.page.locator(".table-box")
    assert box.evaluate("(box) => box.scrollWidth > box.clientWidth && box.scrollHeight > box.clientHeight")
    assert box.evaluate("(box) => box.getBoundingClientRect().right") <= PHONE["width"]
    unreachable = box.evaluate(
        """(box) => {
        const wrong = [];
        for (const cell of box.querySelectorAll("td, thead th")) {
            cell.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
            const [seen, at] = [box.getBoundingClientRect(), cell.getBoundingClientRect()];
            const isCut = cell.scrollWidth > cell.clientWidth + 1;
            const isBeyond = at.right > seen.right + 1 || at.bottom > seen.bottom + 1;
            const isBefore = at.left < seen.left - 1 || at.top < seen.top - 1;
            if (isCut || isBeyond || isBefore) wrong.push(cell.textContent);
        }
        box.scrollTo({ top: 0, left: 0, behavior: "instant" });
        return wrong;
    }"""
    )
    assert unreachable == []


def test_every_cell_says_its_value(phone: Report) -> None:
    columns = wide_table().columns
    rows = phone.page.locator(".table-box tbody tr").evaluate_all(
        "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    assert len(rows) == 50
    for place, (_, *cells) in enumerate(rows):
        for text, array in zip(cells, columns.values(), strict=True):
            value = array.values[place]
            if isinstance(value, str):
                assert text.replace("−", "-") == value
            else:
                assert value_of(text) == pytest.approx(value, rel=5e-7)
            assert not re.search(r"(^|[^\w])-\d", text), f"{text} has a hyphen for a minus sign"


def test_columns_of_numbers_stand_to_the_right_in_figures_of_one_width(phone: Report) -> None:
    styles = phone.page.locator(".table-box tbody tr").first.evaluate(
        "(row) => [...row.cells].map((cell) => [getComputedStyle(cell).textAlign, "
        "getComputedStyle(cell).fontVariantNumeric])"
    )
    words = (0, 1 + list(wide_table().columns).index("verdict"))
    assert [align for align, _ in styles] == ["left" if place in words else "right" for place in range(len(styles))]
    assert all("tabular-nums" in figures for _, figures in styles)


def test_a_marked_row_has_its_accent_and_texts_are_only_texts(phone: Report) -> None:
    rows = phone.page.locator(".table-box tbody tr")
    cells = [rows.nth(place).locator("td").first for place in (3, 4)]
    colours = [cell.evaluate("(cell) => getComputedStyle(cell).color") for cell in cells]
    assert colours == ["rgb(176, 65, 46)", "rgb(27, 31, 39)"]
    assert rows.nth(48).locator("th").inner_text() == HOSTILE
    assert rows.nth(49).locator("th").inner_text() == "<b>last</b>"


def test_a_table_scrolls_by_keyboard_without_moving_the_slider(phone: Report) -> None:
    box = phone.page.locator(".table-box")
    box.focus()
    step = phone.step
    phone.page.keyboard.press("ArrowRight")
    phone.until("document.querySelector('.table-box').scrollLeft > 0")
    phone.page.keyboard.press("ArrowLeft")
    phone.until("document.querySelector('.table-box').scrollLeft === 0")
    assert phone.step == step


def test_a_table_is_complete_without_a_script(browser: Browser, folder: Path) -> None:
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "tables.html").as_uri())
    assert page.locator(".table-box tbody tr").count() == 50
    assert page.locator(".table-box tbody tr").last.is_visible()
    context.close()


def test_a_table_gives_its_numbers_as_a_file(phone: Report) -> None:
    with phone.page.expect_download() as download:
        phone.page.click("#run-tables-2 .panel-data")
    assert download.value.suggested_filename == "tables.csv"


@pytest.mark.parametrize("window", WINDOWS)
def test_on_paper_every_row_and_every_digit_is_there(browser: Browser, folder: Path, window: dict) -> None:
    with Report(browser, folder / "tables.html", viewport=window) as report:
        report.page.set_viewport_size({"width": 680, "height": 980})  # A4 less its margins
        report.page.emulate_media(media="print")
        report.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        box = report.page.locator(".table-box")
        heights = box.evaluate("(box) => [box.scrollHeight, box.clientHeight, box.querySelector('table').offsetHeight]")
        assert heights[0] <= heights[1] + 1
        cells = box.locator("th, td").evaluate_all(
            "(cells) => cells.map((cell) => [cell.innerText, cell.getBoundingClientRect().left, "
            "cell.getBoundingClientRect().right, cell.scrollWidth - cell.clientWidth])"
        )
        assert len(cells) == 51 * 13
        for text, left, right, cut in cells:
            assert left >= 0, text
            assert right <= 681, text
            assert cut <= 1, text
        report.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert box.locator("table").evaluate("(table) => Number(table.style.zoom)") == 1


def test_a_long_table_goes_on_on_the_next_page(browser: Browser, folder: Path, tmp_path: Path) -> None:
    """Rows are drawn as text in the file's streams: as many pages more as the rows need."""
    with Report(browser, folder / "tables.html", viewport=PHONE) as report:
        whole = report.page.pdf(path=tmp_path / "whole.pdf", prefer_css_page_size=True)
        report.page.evaluate("document.querySelectorAll('.table-box tbody tr').forEach((row) => row.remove())")
        bare = report.page.pdf(path=tmp_path / "bare.pdf", prefer_css_page_size=True)
    assert glyphs(whole) - glyphs(bare) > 50 * 12 * 4


def glyphs(pdf: bytes) -> int:
    """How many glyphs a file of Chromium's shows, from its uncompressed streams: pairs of bytes in <…> strings."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    shown = 0
    for stream in streams:
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        shown += sum(len(text) // 4 for text in re.findall(rb"<([0-9A-Fa-f]+)>", content))
    return shown


# Names of lines


def widths(report: Report) -> dict[str, float]:
    """Title -> pixels between the axes of each panel, as drawn."""
    return report.page.evaluate(
        """Object.fromEntries(
            [...document.querySelectorAll(".panel-plot")].filter((plot) => plot.clientWidth).map((plot) => [
                plot.closest("figure").getAttribute("aria-label"),
                plot.querySelector(".nsewdrag").getBoundingClientRect().width,
            ]),
        )"""
    )


@pytest.mark.parametrize("name", ["one", "many", "across", "tables"])
def test_on_a_phone_no_curve_is_squeezed(browser: Browser, folder: Path, name: str) -> None:
    with Report(browser, folder / f"{name}.html", viewport=PHONE) as report:
        assert report.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        found = widths(report)
        assert found
        for title, width in found.items():
            assert width >= 280, title


def test_on_a_phone_names_stand_above_the_plot_in_the_colours_of_the_lines(phone: Report) -> None:
    names = phone.page.locator("#run-tables-0 .line-names span")
    assert names.all_inner_texts() == ["loss where the mirror was never seen", "train"]
    colours = names.locator("i").evaluate_all("(all) => all.map((one) => getComputedStyle(one).backgroundColor)")
    drawn = phone.page.locator("#run-tables-0 path.js-line").evaluate_all(
        "(lines) => lines.map((line) => getComputedStyle(line).stroke)"
    )
    assert colours == drawn
    top = phone.page.locator("#run-tables-0 .panel-plot").bounding_box()["y"]
    for box in (name.bounding_box() for name in names.all()):
        assert box["y"] + box["height"] <= top + 1
        assert box["x"] + box["width"] <= PHONE["width"]
    assert phone.page.locator("#run-tables-0 .annotation-text", has_text="train").count() == 0


def test_on_a_desk_a_long_name_takes_room_from_its_own_row_only(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "tables.html") as report:
        found = widths(report)
        texts = report.page.locator("#run-tables-0 .annotation-text").evaluate_all(
            "(texts) => texts.map((text) => [text.getBoundingClientRect().right, "
            "text.closest('.panel-plot').getBoundingClientRect().right])"
        )
        assert texts
        assert all(right <= edge + 1 for right, edge in texts)
        assert found["Named at length"] < 1080 - 60 - 200
        assert found["Named shortly"] > 1080 - 60 - 90
        for title, width in found.items():
            full = {"Named": 1080, "Half": 522, "Third": 336}[title.split()[0]]
            assert width >= 0.6 * full, title
        assert report.page.locator("#run-tables-6 .line-names").is_visible()  # longer than a quarter of the panel
        assert report.page.locator("#run-tables-1 .line-names").is_hidden()


def test_names_follow_the_window(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "tables.html", viewport={"width": 600, "height": 800}) as report:
        assert report.page.locator("#run-tables-1 .line-names").is_hidden()
        assert report.page.locator("#run-tables-1 .annotation-text").count() == 2
        report.page.set_viewport_size({"width": 599, "height": 800})
        report.until("document.querySelector('#run-tables-1 .names-above, #run-tables-1.names-above')")
        report.settle()
        assert report.page.locator("#run-tables-1 .line-names").is_visible()
        assert report.page.locator("#run-tables-1 .annotation-text").count() == 0


# For every reader

CONTRAST = """(() => {
    const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const light = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map((value) => channel(value / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = light(getComputedStyle(document.body).backgroundColor);
    const poor = [];
    for (const element of document.querySelectorAll("main *, .slider *")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || element.closest(".panel-plot") || !element.checkVisibility()) continue;
        const text = light(getComputedStyle(element).color);
        const [high, low] = [Math.max(text, paper), Math.min(text, paper)];
        if ((high + 0.05) / (low + 0.05) < 4.5) poor.push(element.outerHTML.slice(0, 120));
    }
    return poor;
})()"""


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_can_be_told_from_the_paper(browser: Browser, folder: Path, theme: str) -> None:
    for name in ("one", "tables"):
        with Report(browser, folder / f"{name}.html", color_scheme=theme, viewport=PHONE) as report:
            assert report.page.evaluate(CONTRAST) == []


def test_what_is_expected_stands_apart_and_what_was_found_leads(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "one.html") as report:
        section = report.page.locator("#sample_59-embedding_dft")
        order = section.evaluate("(one) => [...one.querySelectorAll('.finding, .claim')].map((each) => each.className)")
        assert order == ["finding", "claim"]
        found, expected = (
            section.locator(f".{name}").evaluate(
                "(one) => ['color', 'fontSize'].map((key) => getComputedStyle(one)[key])"
            )
            for name in ("finding", "claim")
        )
        assert (found[0], expected[0]) == ("rgb(27, 31, 39)", "rgb(92, 99, 112)")
        sizes = [float(size.removesuffix("px")) for size in (found[1], expected[1])]
        leading = report.page.locator(".findings").first.evaluate("(one) => parseFloat(getComputedStyle(one).fontSize)")
        assert leading > sizes[0] > sizes[1]
        assert section.locator(".claim").inner_text().startswith("Expected: ")


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", ["one", "many", "across", "tables"])
def test_axe_has_nothing_to_say(browser: Browser, folder: Path, name: str, theme: str, window: dict) -> None:
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    axe = (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    with Report(browser, folder / f"{name}.html", color_scheme=theme, viewport=window) as report:
        unfold = "document.querySelectorAll('details:not(.panel-table)').forEach((one) => { one.open = true; })"
        report.page.evaluate(f"{unfold}; document.querySelector('.panel-table').open = true")
        report.page.locator("a[data-mark]").first.click()
        report.settle()
        report.until("document.querySelector('.table-view tbody tr')")
        # without plotly's thousands of nodes
        found = report.page.evaluate(f"{axe}; axe.run({{ exclude: [['.main-svg']] }})")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []


def test_the_numbers_behind_a_plot_are_written_as_in_sentences(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "one.html", viewport=PHONE) as report:
        report.open_table("sample_59-loss-0")
        rows = report.page.locator("#sample_59-loss-0 .table-view tbody tr")
        for row, values in zip(rows.all(), losses().values(), strict=True):
            step, text = row.locator("td").all_inner_texts()
            assert step == "20,000"
            assert "×10⁻" in text
            assert value_of(text) == pytest.approx(values[-1], rel=1e-4)
        assert rows.first.locator("th").get_attribute("scope") == "row"
        report.open_table("sample_59-embedding_dft-2")
        circle = report.page.locator("#sample_59-embedding_dft-2 .table-view td").all_inner_texts()
        assert any("−" in text for text in circle)
        assert not any("-" in text for text in circle)
        assert np.isfinite([value_of(text) for text in circle if text]).all()
