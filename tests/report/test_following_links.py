"""From a number to where it can be seen, in Chromium: the panel comes in sight, at the step, with the mark ringed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from opened_report import DESKTOP, PHONE, Report
from sample_page import (
    ABANDONED,
    KEYS,
    STEPS,
    across_page,
    losses,
    many_runs_page,
    sample_page,
    spectrum,
    table_page,
    told_spectrum,
)

from interp.figures import Points
from interp.findings import Claim, Finding
from interp.report.content import Page, RunPage, Section, Told, Variable
from interp.report.html import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.slow

RINGS = ".ring:not(.on-cursor)"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(sample_page(), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def window(browser: Browser, file: Path) -> Iterator[Report]:
    with Report(browser, file) as window:
        yield window


@pytest.fixture
def report(window: Report) -> Iterator[Report]:
    """The report, opened anew in the same window."""
    window.page.set_viewport_size(DESKTOP)
    window.page.goto("about:blank")
    window.open()
    yield window
    window.check()


def written(page: Page, folder: Path) -> Path:
    (folder / "report.html").write_text(render(page), encoding="utf-8")
    return folder / "report.html"


def number(report: Report, words: str) -> Locator:
    return report.page.locator("a[data-mark]", has_text=words).first


def follow(report: Report, words: str) -> None:
    number(report, words).click()
    report.settle()


def arrived(report: Report, panel: str) -> None:
    """Wait until the panel, or as much of it as fits, is in sight above the slider."""
    box = f"document.getElementById('{panel}').getBoundingClientRect()"
    floor = "(innerHeight - document.querySelector('.slider').offsetHeight)"
    report.until(f"{box}.top >= -1 && {box}.top + Math.min({box}.height, 250) <= {floor} + 1")
    assert report.page.evaluate("document.activeElement.id") == panel


def ringed(report: Report, panel: str) -> list[tuple[float, float]]:
    """The middles of the rings in a panel, in pixels from its plot's left and top."""
    return report.page.evaluate(
        f"""[...document.querySelectorAll("[id='{panel}'] {RINGS}")].map((ring) => {{
            const [at, plot] = [ring, ring.parentElement].map((element) => element.getBoundingClientRect());
            return [at.left + at.width / 2 - plot.left, at.top + at.height / 2 - plot.top];
        }})"""
    )


def drawn(report: Report, panel: str, trace: int, point: int) -> tuple[float, float]:
    """Where plotly drew a point of a line, in the same pixels: found in the path it drew, not in its axes."""
    return tuple(
        report.page.evaluate(
            f"""(() => {{
            const plot = document.querySelector("[id='{panel}'] .panel-plot");
            const path = plot.querySelectorAll("path.js-line")[{trace}];
            const at = {point} < 0 ? path.getTotalLength() : 0;
            const {{ x, y }} = path.getPointAtLength(at).matrixTransform(path.getScreenCTM());
            const corner = plot.getBoundingClientRect();
            return [x - corner.left, y - corner.top];
        }})()"""
        )
    )


def bar_top(report: Report, panel: str, bar: int) -> tuple[float, float]:
    return tuple(
        report.page.evaluate(
            f"""(() => {{
            const plot = document.querySelector("[id='{panel}'] .panel-plot");
            const bar = plot.querySelectorAll(".bars .point path")[{bar}].getBoundingClientRect();
            const corner = plot.getBoundingClientRect();
            return [bar.left + bar.width / 2 - corner.left, bar.top - corner.top];
        }})()"""
        )
    )


def test_a_click_on_a_number_goes_to_its_panel_and_step_and_rings_it(report: Report) -> None:
    below = int(STEPS[np.flatnonzero(losses()["test"] >= 1)[-1] + 1])
    follow(report, f"step {below:,}")
    assert report.page.url.endswith(f"#run=sample_59&step={below}&panel=sample_59-loss-0")
    assert report.step == below
    assert report.page.inner_text("#step") == f"{below:,}"
    arrived(report, "sample_59-loss-0")
    ((x, y),) = ringed(report, "sample_59-loss-0")
    (left, _), (right, _) = (drawn(report, "sample_59-loss-0", 1, end) for end in (0, -1))
    assert x == pytest.approx(left + (right - left) * below / STEPS[-1], abs=1)
    low, high = (drawn(report, "sample_59-loss-0", 1, end)[1] for end in (0, -1))
    test = np.log(losses()["test"])
    value = test[np.searchsorted(STEPS, below)]
    assert y == pytest.approx(low + (high - low) * (value - test[0]) / (test[-1] - test[0]), abs=1)


@pytest.mark.parametrize(("line", "name"), [(0, "train"), (1, "test")])
def test_each_of_two_values_at_one_step_has_its_own_ring_and_address(report: Report, line: int, name: str) -> None:
    value = losses()[name][-1]
    mantissa = f"{value:.2e}".partition("e")[0]
    follow(report, mantissa)
    (ring,) = ringed(report, "sample_59-loss-0")
    assert ring == pytest.approx(drawn(report, "sample_59-loss-0", line, -1), abs=1)
    address = report.page.url
    report.page.goto("about:blank")
    report.page.goto(address)
    report.settle()
    assert ringed(report, "sample_59-loss-0") == [pytest.approx(ring, abs=1)]


def test_labels_ring_their_bars(report: Report) -> None:
    follow(report, "frequencies 4, 11 and 23")
    arrived(report, "sample_59-embedding_dft-1")
    tops = [pytest.approx(bar_top(report, "sample_59-embedding_dft-1", key - 1), abs=1) for key in KEYS]
    assert ringed(report, "sample_59-embedding_dft-1") == tops


def test_a_label_over_training_rings_its_cell(report: Report) -> None:
    most = int(STEPS[spectrum(0)[:, ABANDONED - 1].argmax()])
    follow(report, f"step {most:,}")
    panel = "sample_59-embedding_dft-0"
    arrived(report, panel)
    ((x, y),) = ringed(report, panel)
    image = report.page.evaluate(
        f"""(() => {{
        const plot = document.querySelector("[id='{panel}'] .panel-plot");
        const [box, corner] = [plot.querySelector(".nsewdrag"), plot].map((one) => one.getBoundingClientRect());
        return [box.left - corner.left, box.top - corner.top, box.width, box.height];
    }})()"""
    )
    assert x == pytest.approx(image[0] + image[2] * most / STEPS[-1], abs=1)
    rows = spectrum(0).shape[1]
    assert y == pytest.approx(image[1] + image[3] * (1 - (ABANDONED - 0.5) / rows), abs=1)


def test_a_number_in_no_panel_leads_to_its_section_which_is_outlined(report: Report) -> None:
    words = told_spectrum(0).finding.parts
    gini = next(text for text, claim in words if claim and claim.array == "gini")
    follow(report, gini)
    assert report.page.url.endswith("#run=sample_59&step=20000&panel=sample_59-embedding_dft")
    report.until("Math.abs(document.getElementById('sample_59-embedding_dft').getBoundingClientRect().top) < 60")
    outline = "getComputedStyle(document.getElementById('sample_59-embedding_dft')).outlineStyle"
    assert report.page.evaluate(outline) == "solid"


def test_the_address_does_what_the_click_does(browser: Browser, file: Path) -> None:
    with Report(browser, file, "#run=sample_59&step=200&panel=sample_59-loss-0") as report:
        assert report.step == 200
        arrived(report, "sample_59-loss-0")
        assert len(ringed(report, "sample_59-loss-0")) == 1
        assert report.page.url.endswith("#run=sample_59&step=200&panel=sample_59-loss-0")


def test_an_address_of_no_number_of_ours_rings_the_cursor(browser: Browser, file: Path) -> None:
    with Report(browser, file, "#run=sample_59&step=6000&panel=sample_59-loss-0") as report:
        assert report.step == 6000
        arrived(report, "sample_59-loss-0")
        ring = report.page.locator("[id='sample_59-loss-0'] .ring.on-cursor").bounding_box()
        cursor = report.page.locator("[id='sample_59-loss-0'] .shapelayer path").last.bounding_box()
        assert ring["x"] + ring["width"] / 2 == pytest.approx(cursor["x"] + cursor["width"] / 2, abs=1)


def test_a_second_click_comes_back(report: Report) -> None:
    follow(report, "step 200")
    report.page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    follow(report, "step 200")
    arrived(report, "sample_59-loss-0")
    report.page.evaluate("interp.setStep(9000)")
    report.settle()
    assert ringed(report, "sample_59-loss-0") == []
    report.page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    follow(report, "step 200")
    arrived(report, "sample_59-loss-0")
    assert (report.step, len(ringed(report, "sample_59-loss-0"))) == (200, 1)
    report.page.evaluate("new Promise((done) => setTimeout(done, 800))")  # twice the pause before it writes the address
    assert "panel=sample_59-loss-0" in report.page.url


def test_the_slider_takes_the_ring_away_and_writes_its_own_address(report: Report) -> None:
    follow(report, "step 200")
    assert number(report, "step 200").get_attribute("aria-current") == "location"
    report.press("ArrowRight")
    assert ringed(report, "sample_59-loss-0") == []
    assert report.page.locator(".pointed, .ringed, a[aria-current]").count() == 0
    report.until("location.hash === '#step=400'")


def test_back_and_forward_follow(report: Report) -> None:
    report.page.evaluate("interp.setStep(9000)")
    report.until("location.hash === '#step=9000'")
    follow(report, "step 200")
    follow(report, "frequencies 4, 11 and 23")
    assert report.step == 20_000
    report.page.go_back()
    report.until("interp.step() === 200")
    report.settle()
    assert len(ringed(report, "sample_59-loss-0")) == 1
    assert ringed(report, "sample_59-embedding_dft-1") == []
    report.page.go_back()
    report.until("interp.step() === 9000")
    report.settle()
    assert report.page.locator(RINGS).count() == 0
    report.page.go_forward()
    report.until("interp.step() === 200")


def test_back_to_the_opening_is_the_end(report: Report) -> None:
    follow(report, "step 200")
    report.page.go_back()
    report.until("interp.step() === 20000")
    report.settle()
    assert report.page.locator(RINGS).count() == 0


def test_links_are_followed_by_keyboard_and_say_where_they_lead(report: Report) -> None:
    link = number(report, "step 200")
    assert link.get_attribute("title") == "Loss, step 200"
    report.page.focus("#theme")
    report.press("Tab")
    assert report.page.evaluate("document.activeElement.textContent") == "step 200"
    assert report.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    report.press("Enter")
    arrived(report, "sample_59-loss-0")
    assert report.step == 200
    report.press("Tab")
    assert report.page.evaluate("document.activeElement.closest('figure').id") == "sample_59-loss-0"


def test_with_reduced_motion_nothing_glides(browser: Browser, file: Path) -> None:
    with Report(browser, file, reduced_motion="reduce") as report:
        number(report, "step 200").evaluate("(link) => link.click()")
        report.settle()
        box = report.page.locator("[id='sample_59-loss-0']").bounding_box()
        assert 0 <= box["y"] <= DESKTOP["height"] - 250
        ring = "getComputedStyle(document.querySelector('.ring')).animationName"
        assert report.page.evaluate(ring) == "none"


def test_a_ring_stays_on_its_point_in_another_theme_and_another_window(report: Report) -> None:
    follow(report, f"{losses()['test'][-1]:.2e}".partition("e")[0])
    report.page.click("#theme")
    report.settle()
    assert ringed(report, "sample_59-loss-0") == [pytest.approx(drawn(report, "sample_59-loss-0", 1, -1), abs=1)]
    report.page.set_viewport_size(PHONE)
    report.until("interp.panels['sample_59-loss-0'].gd.clientWidth < 390")
    report.settle()
    assert ringed(report, "sample_59-loss-0") == [pytest.approx(drawn(report, "sample_59-loss-0", 1, -1), abs=1)]
    report.page.evaluate("localStorage.clear()")


def test_a_number_of_another_run_shows_that_run(browser: Browser, tmp_path: Path) -> None:
    with Report(browser, written(many_runs_page(), tmp_path)) as report:
        link = report.page.locator(".overview a[href^='#run=late']").first
        link.click()
        report.until("document.querySelector('.run:not([hidden])').id === 'late'")
        report.settle()
        arrived(report, "late-loss-0")
        assert len(ringed(report, "late-loss-0")) == 1
        address = report.page.url
        report.page.goto("about:blank")
        report.page.goto(address)
        report.settle()
        assert report.page.locator(".run:visible").get_attribute("id") == "late"
        assert len(ringed(report, "late-loss-0")) == 1
        report.page.select_option("#run", label="sample_59")
        report.until("location.hash.startsWith('#run=sample_59&step=')")
        assert report.page.locator(".pointed").count() == 0


def test_a_number_of_all_runs_together_is_ringed_too(browser: Browser, tmp_path: Path) -> None:
    page = replace(many_runs_page(), findings=across_page().findings, across=across_page().across)
    for shown in (across_page(), page):
        with Report(browser, written(shown, tmp_path)) as report:
            report.page.click("a[href='#run=across&step=20000&panel=across-all_losses-0&mark=2']")
            report.settle()
            report.until("document.activeElement.id === 'across-all_losses-0'")
            (ring,) = ringed(report, "across-all_losses-0")
            assert ring == pytest.approx(drawn(report, "across-all_losses-0", 1, -1), abs=1)


def test_a_number_of_a_table_rings_its_cell(browser: Browser, tmp_path: Path) -> None:
    with Report(browser, written(table_page(), tmp_path), viewport=PHONE) as report:
        follow(report, "40")
        row = report.page.locator(".ring-cell")
        assert row.count() == 1
        assert row.inner_text().startswith("metric number 40 of")
        report.until("document.activeElement.id === 'run-tables-2'")
        box = "document.querySelector('.table-box').getBoundingClientRect()"
        cell = "document.querySelector('.ring-cell').getBoundingClientRect()"
        report.until(f"{cell}.top >= {box}.top && {cell}.bottom <= {box}.bottom + 1")


def test_a_label_that_one_can_choose_is_chosen(browser: Browser, tmp_path: Path) -> None:
    labels = {"step": [0, 100], "freq": [4, 11], "number": [0, 1, 2]}
    values = xr.DataArray(np.arange(12.0).reshape(2, 2, 3), labels, name="x")
    panel = Points("Circle", values, values + 1, choice="freq").draw()
    claim = Claim("x", "step", {"freq": 11}, "max", step=100, value=11.0, panel="Circle")
    told = Told("circle", Finding("It reaches {most} there.", {"most": claim}, chapter="answer"))
    variable = Variable("x", tuple(labels), values.values, {name: list(one) for name, one in labels.items()})
    section = Section("circle", "Circle", "", "", (), "", (panel,), (variable,))
    run = RunPage("run", (), (told,), (), np.array([0, 100]), (section,))
    with Report(browser, written(sample_page(run), tmp_path)) as report:
        follow(report, "11")
        assert report.page.locator("#run-circle-0 .panel-choice").evaluate("(one) => one.value") == "1"
        assert json.loads(number(report, "11").get_attribute("data-mark")) == {"value": 11.0, "labels": [11]}
        assert report.page.evaluate("document.activeElement.id") == "run-circle-0"
