"""The report in Chromium: what one sees follows the slider, the address, the theme and the window."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from opened_report import DESKTOP, PHONE, Report
from sample_page import (
    CIRCLES,
    PHASES,
    STEPS,
    across_page,
    circles,
    losses,
    many_runs_page,
    sample_page,
    spectrum,
    table_page,
    weights,
)

from interp.figures import Bars, Density, Heatmap
from interp.figures.panel import DrawnPanel, Moving
from interp.report.content import RunPage, Section
from interp.report.html import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OPENING = 20_000  # the end, of which the findings speak
LOSS, OVER_TIME, BARS, CIRCLE, GINI, WEIGHTS = (
    "loss-0",
    *(f"embedding_dft-{n}" for n in range(4)),
    "input_weights-0",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "one.html").write_text(render(sample_page()), encoding="utf-8")
    (folder / "many.html").write_text(render(many_runs_page()), encoding="utf-8")
    (folder / "across.html").write_text(render(across_page()), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def window(browser: Browser, folder: Path) -> Iterator[Report]:
    with Report(browser, folder / "one.html") as window:
        yield window


@pytest.fixture
def report(window: Report) -> Iterator[Report]:
    """The report, opened anew in the same window: far quicker than a new one."""
    window.page.set_viewport_size(DESKTOP)
    window.page.evaluate("localStorage.clear()")
    window.open()
    yield window
    window.check()


def frame(step: int) -> int:
    return int(np.searchsorted(STEPS, step))


def assert_shows(report: Report, step: int, circle: int = 0) -> None:
    """Every panel shows this step."""
    at = frame(step)
    assert report.step == step
    assert [report.cursor(panel) for panel in (LOSS, OVER_TIME, GINI)] == [step] * 3
    np.testing.assert_allclose(report.shown(BARS, "data[0].y"), spectrum(0)[at], rtol=1e-6)
    np.testing.assert_allclose(report.shown(CIRCLE, "data[0].x"), circles(0)[at, circle, :, 0], rtol=1e-6)
    np.testing.assert_allclose(report.shown(CIRCLE, "data[0].y"), circles(0)[at, circle, :, 1], rtol=1e-6)
    frames = weights(0)[::2]
    half_level = np.ptp(frames) / 65_534 / 2
    np.testing.assert_allclose(report.shown(WEIGHTS, "data[0].z"), frames[at // 2], atol=half_level * 1.001)


def test_it_opens_at_the_end_of_the_run(report: Report) -> None:
    assert_shows(report, OPENING)
    slider = report.page.get_by_role("slider", name="training step")
    assert slider.input_value() == slider.get_attribute("max") == str(len(STEPS) - 1)
    assert report.page.inner_text("#step") == "20,000"
    assert report.page.text_content(".printed-step") == "at step 20,000"
    phases = report.page.locator(".phases i").all()
    assert [phase.get_attribute("title") for phase in phases] == [phase.name for phase in PHASES]


@pytest.mark.slow
def test_it_opens_at_the_end_without_phases_and_with_any_steps(browser: Browser, tmp_path: Path) -> None:
    run = replace(sample_page().runs[0], name="run", phases=(), steps=STEPS[:-7:3])
    with Report(browser, written(tmp_path, run)) as report:
        assert report.step == int(STEPS[:-7:3][-1])


def test_ten_arrows_move_every_panel_ten_checkpoints(report: Report) -> None:
    report.press(*["ArrowLeft"] * 10)
    assert_shows(report, OPENING - 2000)
    report.press(*["ArrowRight"] * 3)
    assert_shows(report, OPENING - 1400)


def test_shift_leaps_and_home_and_end_go_to_the_ends(report: Report) -> None:
    report.press("Shift+ArrowLeft")
    assert report.step == OPENING - 2000
    report.press("Shift+ArrowRight")
    assert report.step == OPENING
    report.press("Home")
    assert_shows(report, 0)
    report.press("End")
    assert_shows(report, 20_000)


def test_the_address_opens_a_step(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "one.html", "#step=9990") as report:
        assert_shows(report, 10_000)
        report.page.evaluate("location.hash = '#step=4000'")
        report.until("interp.step() === 4000")
        report.settle()
        assert_shows(report, 4000)


def test_the_address_follows_the_slider(report: Report) -> None:
    report.page.evaluate("interp.setStep(6000)")
    report.until("location.hash === '#step=6000'")
    report.press("ArrowRight")
    report.until("location.hash !== '#step=6000'")
    assert report.page.url == f"{report.address}#step=6200"


def test_space_plays_and_pauses(report: Report) -> None:
    report.press("Home")
    report.page.keyboard.press("Space")
    report.until("interp.step() >= 1000")
    report.page.keyboard.press("Space")
    report.settle()
    stopped = report.step
    assert 1000 <= stopped < 20_000
    assert report.page.get_attribute("#play", "aria-label") == "play"
    assert_shows(report, stopped)


def test_play_stops_at_the_end(report: Report) -> None:
    report.page.evaluate("interp.setStep(19000)")
    report.page.click("#play")
    report.until("document.getElementById('play').ariaPressed === 'false'")
    assert report.step == 20_000


def test_the_slider_says_its_step(report: Report) -> None:
    slider = report.page.get_by_role("slider", name="training step")
    assert slider.get_attribute("aria-valuetext") == "step 20,000"
    slider.focus()
    report.press("ArrowDown")
    assert report.page.inner_text("#step") == "19,800"


def test_a_choice_shows_another_circle(report: Report) -> None:
    report.page.select_option(f"#sample_59-{CIRCLE} .panel-choice", label=f"frequency {CIRCLES[2]}")
    report.settle()
    assert_shows(report, OPENING, circle=2)


def test_a_click_in_a_time_plot_moves_the_slider(report: Report) -> None:
    box = report.page.locator(f"#sample_59-{LOSS} .nsewdrag").bounding_box()
    report.page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    report.until("interp.step() === 5000")
    report.settle()
    assert_shows(report, 5000)


def test_time_plots_share_their_axis(report: Report) -> None:
    for panel in (LOSS, OVER_TIME, GINI):
        assert report.shown(panel, "layout.xaxis.range") == [0, 20_000]
    left, right = ([report.shown(panel, f"layout.margin.{side}") for panel in (LOSS, OVER_TIME)] for side in "lr")
    assert len(set(left)) == len(set(right)) == 1


def test_phases_are_named_above_the_first_time_plot_only(report: Report) -> None:
    texts = "layout.annotations?.map(annotation => annotation.text) ?? []"
    assert {"fitting", "plateau", "generalised"} <= set(report.shown(LOSS, texts))
    assert report.shown(GINI, texts) == []


def test_the_theme_recolours_plots_and_page(report: Report) -> None:
    def colours() -> tuple:
        body = report.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return (
            report.shown(LOSS, "data[0].line.color"),
            report.shown(OVER_TIME, "data[0].colorscale[0][1]"),
            body,
        )

    assert colours() == ("#0072B2", "#FDFDFB", "rgb(253, 253, 251)")
    report.page.click("#theme")
    report.settle()
    assert colours() == ("#56A8DC", "#14171C", "rgb(20, 23, 28)")
    assert_shows(report, OPENING)
    report.page.reload()
    report.settle()
    assert colours()[0] == "#56A8DC"


@pytest.mark.slow
def test_the_theme_follows_the_system(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "one.html", color_scheme="dark") as report:
        assert report.shown(LOSS, "data[0].line.color") == "#56A8DC"


@pytest.mark.slow
def test_a_phone_needs_no_sideways_scrolling(browser: Browser, folder: Path) -> None:
    for name in ("one.html", "many.html"):
        with Report(browser, folder / name, viewport=PHONE) as report:
            assert report.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert report.page.locator("#time").bounding_box()["width"] > 150


def test_panels_follow_the_window(report: Report) -> None:
    report.page.set_viewport_size(PHONE)
    report.until("interp.panels['sample_59-loss-0'].gd.clientWidth < 390")
    report.settle()
    assert report.shown(LOSS, "layout.width") == report.shown(LOSS, "clientWidth")
    assert report.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_data_button_gives_the_numbers(report: Report, tmp_path: Path) -> None:
    table = saved(report, f"#sample_59-{LOSS} .panel-data", tmp_path)
    assert list(table[0]) == ["step", "train", "test", "restricted"]
    assert [int(row["step"]) for row in table] == STEPS.tolist()
    for name, values in losses().items():
        assert [float(row[name]) for row in table] == values.tolist()


def test_several_tables_are_offered_one_by_one(report: Report, tmp_path: Path) -> None:
    report.page.click(f"#sample_59-{BARS} .panel-data")
    table = saved(report, f"#sample_59-{BARS} .panel-files button >> text=power", tmp_path)
    assert list(table[0]) == ["step", "freq", "power"]
    values = np.array([row["power"] for row in table], dtype=np.float32).reshape(spectrum(0).shape)
    np.testing.assert_array_equal(values, spectrum(0).astype(np.float32))


def saved(report: Report, selector: str, folder: Path) -> list[dict[str, str]]:
    with report.page.expect_download() as download:
        report.page.click(selector)
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.slow
def test_the_code_button_shows_and_copies_the_lines(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "one.html", permissions=["clipboard-read", "clipboard-write"]) as report:
        report.page.click(f"#sample_59-{LOSS} .panel-code")
        lines = report.page.inner_text(f"#sample_59-{LOSS} .panel-lines")
        report.page.wait_for_selector("text=copied")
        assert 'run.show("loss")' in lines
        assert report.page.evaluate("navigator.clipboard.readText()") == lines


def test_the_table_has_the_step_one_looks_at(report: Report) -> None:
    report.open_table(f"sample_59-{BARS}")
    report.press("Home")
    rows = report.page.locator(f"#sample_59-{BARS} tbody tr")
    cells = rows.nth(3).locator("th, td").all_inner_texts()
    assert cells[0] == "4"
    assert float(cells[-1]) == pytest.approx(spectrum(0)[0, 3], rel=1e-4)
    report.open_table(f"sample_59-{LOSS}")
    assert report.page.locator(f"#sample_59-{LOSS} tbody tr").count() == 3


@pytest.mark.slow
def test_a_click_on_a_heading_sorts_a_table_by_what_its_cells_say(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "table.html"
    file.write_text(render(table_page()), encoding="utf-8")
    with Report(browser, file) as report:
        numbers = np.geomspace(1e-9, 1e9, 50) * np.where(np.arange(50) % 3, 1, -1)
        for descending in (False, True):
            report.page.click(".table-box th >> text=column 0")
            steps = report.page.locator(".table-box tbody td:last-child").all_inner_texts()
            places = np.argsort(-numbers if descending else numbers)
            assert [int(step.replace(",", "")) for step in steps] == (1000 * places).tolist()
        report.page.click(".table-box th >> text=verdict")
        verdicts = report.page.locator(".table-box tbody tr").all_inner_texts()
        assert ["agrees" in row for row in verdicts] == [True] * 40 + [False] * 10


@pytest.mark.slow
def test_a_density_follows_the_slider_on_axes_that_do_not(browser: Browser, tmp_path: Path) -> None:
    places = {"step": [0, 100], "bin": [0, 1, 2]}
    middles = xr.DataArray([[-0.5, 0.0, 0.5], [-1.0, 0.0, 1.0]], places, name="weight")
    heights = xr.DataArray([[0.5, 1.0, 0.5], [1.0, 0.0, 1e-3]], places)
    fitted = xr.DataArray([[0.4, 1.2, 0.4], [0.9, 0.2, 2e-3]], places)
    curves = {"mixture": (middles / 2, fitted), "component 1": (middles, fitted.where(fitted.step > 0))}
    panel = Density("Weights", middles, heights, curves).draw()
    section = Section("density", "Density", "", "", (), "", (panel,), ())
    run = RunPage("run", (), (), (), np.array([0, 100]), (section,))
    with Report(browser, written(tmp_path, run), "#step=0") as report:
        values = [f"data[{place}].y" for place in range(3)]
        ranges = [report.shown("density-0", f"layout.{axis}.range", "run") for axis in ("xaxis", "yaxis")]
        np.testing.assert_allclose(report.shown("density-0", values[0], "run"), heights[0], rtol=1e-6)
        np.testing.assert_allclose(report.shown("density-0", values[1], "run"), fitted[0], rtol=1e-6)
        assert np.isnan(np.array(report.shown("density-0", values[2], "run"), float)).all()
        report.open_table("run-density-0")
        assert "histogram\t−0.5\t0.5" in report.page.locator("#run-density-0 tbody tr").all_inner_texts()
        report.press("ArrowRight")
        np.testing.assert_allclose(report.shown("density-0", values[0], "run"), [1.0, 0.0, 1e-3], rtol=1e-6)
        np.testing.assert_allclose(report.shown("density-0", values[2], "run"), fitted[1], rtol=1e-6)
        np.testing.assert_allclose(report.shown("density-0", "data[0].x", "run"), [-1, 0, 1], rtol=1e-6)
        np.testing.assert_allclose(report.shown("density-0", "data[1].x", "run"), [-0.5, 0, 0.5], rtol=1e-6)
        assert [report.shown("density-0", f"layout.{axis}.range", "run") for axis in ("xaxis", "yaxis")] == ranges
        assert report.page.locator("#run-density-0 .bars path").count() == 3


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_names_along_the_axes_of_a_matrix_are_whole(browser: Browser, tmp_path: Path, size: dict) -> None:
    """Chromium tells where each name stands: within the drawing, and none on another of its axis."""
    names = ["trivial", "alternating_sign", *(f"s6_16d_{n}" for n in range(10))]
    square = xr.DataArray(np.eye(12), coords={"row": names, "column": names})
    rows = xr.DataArray(np.ones((2, 12)), coords={"step": [0, 100], "row": names})
    panels = (
        Heatmap("Square", square, "column", "row").draw(),
        Heatmap("Over time", rows, "step", "row").draw(),
        Bars("Bars", rows).draw(),
    )
    run = RunPage("run", (), (), (), np.array([0, 100]), (Section("names", "Names", "", "", (), "", panels, ()),))
    with Report(browser, written(tmp_path, run), viewport=size) as report:
        for place, axes in ((0, "xy"), (1, "y"), (2, "x")):
            plot = report.page.locator(f"#run-names-{place} .main-svg").first.bounding_box()
            for axis in axes:
                texts = report.page.locator(f"#run-names-{place} .{axis}tick text").all()
                boxes = [text.bounding_box() for text in texts]
                assert len(boxes) == 12
                for side, extent in (("x", "width"), ("y", "height")):
                    assert min(box[side] for box in boxes) >= plot[side] - 1
                    ends = [box[side] + box[extent] for box in boxes]
                    assert max(ends) <= plot[side] + plot[extent] + 1
                if axis == "x":
                    title = report.page.locator(f"#run-names-{place} .xtitle")
                    top = title.bounding_box()["y"] if title.count() else np.inf
                    assert max(box["y"] + box["height"] for box in boxes) <= top + 1
                    starts = sorted((box["x"], box["x"] + box["width"]) for box in boxes)
                    assert all(end <= start + 1 for (_, end), (start, _) in pairwise(starts))


def test_headings_are_in_order(report: Report) -> None:
    levels = report.page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.slow
def test_one_run_is_shown_at_a_time(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "many.html") as report:
        assert report.page.locator(".run:visible").count() == 1
        report.page.select_option("#run", label="late")
        report.settle()
        assert report.page.locator(".run:visible").get_attribute("id") == "late"
        assert report.step == 20_000  # from the end of one to that of the other
        report.page.evaluate("interp.setStep(15000)")
        report.settle()
        np.testing.assert_allclose(report.shown(BARS, "data[0].y", "late"), spectrum(2)[frame(15_000)], rtol=1e-6)
        report.until("location.hash === '#run=late&step=15000'")
        report.page.select_option("#run", label="sample_59")
        assert report.step == 15_000


@pytest.mark.slow
def test_an_address_opens_a_run_or_its_section(browser: Browser, folder: Path) -> None:
    with Report(browser, folder / "many.html", "#run=late&step=7000") as report:
        assert (report.page.locator(".run:visible").get_attribute("id"), report.step) == ("late", 7000)
        report.page.evaluate("location.hash = '#sample_59-embedding_dft'")
        report.page.wait_for_selector("#sample_59-embedding_dft", state="visible")
        report.settle()


@pytest.mark.slow
def test_roles_and_gaps_may_move(browser: Browser, tmp_path: Path) -> None:
    roles = np.array([["role:accent", "role:quiet"], ["role:quiet", "role:accent"]])
    cells = np.array([[[0.0, np.nan]], [[1.0, 2.0]]])
    bars = {"type": "bar", "x": [1, 2], "y": [3, 4], "marker": {"color": roles[-1].tolist()}}
    heatmap = {"type": "heatmap", "z": cells[-1], "colorscale": "role:sequential"}
    steps = np.array([0, 100])
    panels = (
        DrawnPanel("Roles", {"data": [bars]}, steps, (Moving(0, "marker.color", roles),)),
        DrawnPanel("Gaps", {"data": [heatmap]}, steps, (Moving(0, "z", cells),)),
    )
    section = Section("one", "One", "", "", (), "", panels, ())
    with Report(browser, written(tmp_path, RunPage("run", (), (), (), steps, (section,))), "#step=0") as report:
        assert report.shown("one-0", "data[0].marker.color", "run") == ["#B0412E", "#B9BDC9"]
        np.testing.assert_array_equal(report.shown("one-1", "data[0].z", "run"), cells[0])
        report.press("ArrowRight")
        assert report.shown("one-0", "data[0].marker.color", "run") == ["#B9BDC9", "#B0412E"]
        np.testing.assert_array_equal(report.shown("one-1", "data[0].z", "run"), cells[1])


@pytest.mark.slow
@pytest.mark.parametrize("steps", [[], [500]])
def test_without_a_second_checkpoint_there_is_no_slider(browser: Browser, tmp_path: Path, steps: list[int]) -> None:
    still = DrawnPanel("Still", {"data": [{"type": "scatter", "y": [1, 2]}]}, np.array([]))
    bare = Section("bare", "Bare", "", "", (), "", (), (), "Nothing to draw.")
    section = Section("one", "One", "", "", (), "", (still,), ())
    run = RunPage("run", (), (), (), np.array(steps, dtype=int), (section, bare))
    with Report(browser, written(tmp_path, run)) as report:
        report.press("ArrowRight", "End", "Space")
        assert report.shown("one-0", "data[0].y", "run") == [1, 2]
        assert not report.page.is_visible(".slider")
        report.open_table("run-one-0")
        assert report.page.locator("#run-one-0 tbody tr").count() == 2


def written(folder: Path, run: RunPage) -> Path:
    file = folder / "report.html"
    file.write_text(render(sample_page(run)), encoding="utf-8")
    return file


@pytest.mark.slow
def test_paper_gets_the_light_theme_and_the_step(browser: Browser, folder: Path, tmp_path: Path) -> None:
    with Report(browser, folder / "one.html", color_scheme="dark") as report:
        colour = "interp.panels['sample_59-loss-0'].gd.data[0].line.color"
        report.page.evaluate(f"addEventListener('beforeprint', () => {{ window.paper = {colour} }})")
        report.page.pdf(path=tmp_path / "report.pdf")
        assert report.page.evaluate("window.paper") == "#0072B2"
        report.page.emulate_media(media="print")
        assert report.page.inner_text(".printed-step") == "at step 20,000"
        assert not report.page.is_visible(".slider")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fragment",
    ["#run=%zz", *(pytest.param(each, marks=pytest.mark.slow) for each in ("#100%", "#step=%", "#step=", "#step=abc"))],
)
def test_an_address_that_means_nothing_opens_the_report_all_the_same(browser: Browser, folder: Path, fragment: str):
    with Report(browser, folder / "one.html", fragment) as report:
        assert report.step == OPENING


@pytest.mark.slow
@pytest.mark.parametrize(
    "window_size", [pytest.param(DESKTOP, id="desktop", marks=pytest.mark.slow), pytest.param(PHONE, id="phone")]
)
def test_a_page_of_all_runs_together_is_drawn_without_a_slider(browser: Browser, folder: Path, window_size: dict):
    with Report(browser, folder / "across.html", viewport=window_size) as report:
        assert report.page.locator(".slider").is_hidden()
        assert report.page.locator("#across .panel-plot .main-svg").count() > 0
        report.page.click("#theme")
        report.settle()
        assert report.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
