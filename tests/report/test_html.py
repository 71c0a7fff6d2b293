"""What stands in the file, read without a browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import parse_qs

import numpy as np
import pytest
from sample_page import (
    ABANDONED,
    FREQS,
    HIDDEN,
    HOSTILE,
    STEPS,
    P,
    across_page,
    many_runs_page,
    sample_page,
    sample_run,
    spectrum,
    table_page,
    wide_table,
)

from interp.figures.panel import DrawnPanel, Moving
from interp.findings import Finding
from interp.report.blocks import ArrayStore, decode
from interp.report.content import Page, RunPage, Section, Silence, Told, Variable
from interp.report.html import render
from interp.report.mathml import formula
from interp.report.panel_specs import panel_spec
from interp.report.plain_text import _final, report_text

LINKING = ("src", "href", "srcset", "action", "data", "poster", "background")


class Reader(HTMLParser):
    """Collects elements, addresses, and the texts of scripts by their id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append(tag)
        self.links += [value for name, value in attrs if name in LINKING and value]
        self.ids += [attributes["id"]] if attributes.get("id") else []
        self._script = attributes.get("id") if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def json(self, name: str) -> dict:
        return json.loads(self.scripts[name])


@pytest.fixture(scope="module")
def page() -> Reader:
    return Reader(render(sample_page()))


@pytest.fixture(scope="module")
def many() -> Reader:
    return Reader(render(many_runs_page()))


def test_nothing_is_loaded_from_elsewhere(page: Reader, many: Reader) -> None:
    for link in page.links + many.links:
        assert link.startswith("#") or link == "data:,"


def test_identifiers_are_unique_and_links_have_targets(many: Reader) -> None:
    assert len(set(many.ids)) == len(many.ids)
    places = [parse_qs(link[1:]) for link in many.links if link.startswith("#")]
    assert len(places) > 20
    for place in places:
        assert {place["run"][0], place["panel"][0]} <= set(many.ids), place


def test_a_hostile_name_is_only_text(many: Reader) -> None:
    assert "img" not in many.elements
    assert many.json("interp-data")["runs"][1]["name"] == HOSTILE


def test_every_text_of_a_page_is_escaped() -> None:
    run = sample_run()
    first = replace(
        run.sections[0],
        heading=HOSTILE,
        claim=HOSTILE,
        caption=f"{HOSTILE}\n\n`{HOSTILE}`",
        formulas=(rf"\text{{{HOSTILE}}}",),
        paper=HOSTILE,
        note=HOSTILE,
        panels=(replace(run.sections[0].panels[0], title=HOSTILE, code=HOSTILE),),
        problems=(HOSTILE, f"`{HOSTILE}`"),
    )
    findings = (
        Told("loss", Finding.without_records(f"{HOSTILE} **{HOSTILE}**")),
        Told(HOSTILE, Finding.without_records(f"{HOSTILE} `{HOSTILE}`"), is_problem=True),
    )
    silences = (Silence((HOSTILE,), HOSTILE),)
    hostile = replace(run, facts=((HOSTILE, HOSTILE),), findings=findings, sections=(first,), silences=silences)
    page = Page(HOSTILE, HOSTILE, HOSTILE, (hostile,), versions={HOSTILE: HOSTILE})
    assert "img" not in Reader(render(page)).elements


def test_equal_names_get_different_addresses() -> None:
    reader = Reader(render(sample_page(sample_run("a/b"), sample_run("a b"))))
    assert {"a-b", "a-b~2", "a-b-loss", "a-b~2-loss"} <= set(reader.ids)


def test_no_run_has_the_address_of_a_part_of_the_page() -> None:
    own = ("run", "step", "time", "theme", "play", "across")
    reader = Reader(render(sample_page(*map(sample_run, own))))
    assert len(set(reader.ids)) == len(reader.ids)
    assert {f"{name}~2" for name in own} | set(own) - {"across"} <= set(reader.ids)


def test_all_json_parses(many: Reader) -> None:
    assert {
        "interp-data",
        "interp-palette",
        "interp-group-0",
        "interp-group-2",
        "interp-group-across",
    } <= set(many.scripts)
    for text in many.scripts.values():
        json.loads(text)


def test_the_data_has_findings_and_numbers(page: Reader) -> None:
    run = page.json("interp-data")["runs"][0]
    measure = run["measures"]["embedding_dft"]
    found = {one["label"]: one for one in run["findings"]}["embedding_dft"]
    assert found["values"]["keys"] == [4, 11, 23]
    most_step = int(STEPS[spectrum(0)[:, ABANDONED - 1].argmax()])
    assert found["claims"]["most_step"]["step"] == found["values"]["most_step"] == most_step
    assert run["steps"] == STEPS.tolist()
    assert measure["claim"].startswith("The share of")
    assert measure["variables"]["key"]["coords"]["freq"] == FREQS.tolist()
    np.testing.assert_array_equal(run["measures"]["loss"]["variables"]["train"]["values"], sample_train())


def sample_train() -> np.ndarray:
    return sample_run().sections[0].variables[0].values


def test_large_variables_stand_in_a_block_or_elsewhere(page: Reader) -> None:
    measures = page.json("interp-data")["runs"][0]["measures"]
    block = page.json(measures["embedding_dft"]["variables"]["power"]["block"])
    np.testing.assert_array_equal(decode(block), spectrum(0).astype(np.float32))
    weights = measures["input_weights"]["variables"]["W_in"]
    assert weights["shape"] == [len(STEPS), P, HIDDEN]
    assert ".nc file" in weights["elsewhere"]


def test_one_bundle_and_little_else() -> None:
    html = render(sample_page())
    assert len(re.findall(r"plotly\.js v\d", html)) == 1
    assert len(html) < 7_000_000


def test_a_number_links_to_its_panel_at_its_step() -> None:
    html = render(sample_page())
    below = STEPS[np.flatnonzero(sample_run().sections[0].variables[1].values >= 1)[-1] + 1]
    assert f'<a href="#run=sample_59&amp;step={below}&amp;panel=sample_59-loss-0"' in html
    assert f">step {below:,}</a>" in html
    assert '<figure class="panel full" id="sample_59-loss-0"' in html


class Cells(HTMLParser):
    """The rows of the tables of a page, as they stand in it: (element, scope, text) of each cell."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[list[str | None]]] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self._inside = True
            self.rows[-1].append([tag, dict(attrs).get("scope"), ""])

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._inside and self.rows:
            self.rows[-1][-1][2] = f"{self.rows[-1][-1][2]}{data}"


def test_a_table_stands_in_the_page_with_all_its_rows_and_digits() -> None:
    head, *rows = Cells(render(table_page())).rows
    table = wide_table()
    assert head == [["th", "col", text] for text in ["metric", *table.columns]]
    assert len(rows) == 50
    for place, row in enumerate(rows):
        name, *cells = row
        assert name == ["th", "row", table.columns["steps"].metric.values[place]]
        for (element, _, text), array in zip(cells, table.columns.values(), strict=True):
            assert element == "td"
            assert_is(text, array.values[place])


def assert_is(text: str, value: object) -> None:
    """The text is this value, a number to seven digits with a true minus sign, a text to the letter."""
    superscripts = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
    if isinstance(value, str):
        assert text.replace("−", "-") == value
        assert "-" not in text or not text[1:2].isdigit()
    else:
        assert "-" not in text
        number = text.translate(superscripts).replace(",", "").replace("×10", "e")
        assert float(number) == pytest.approx(value, rel=5e-7)


def test_texts_of_arrays_in_a_table_are_escaped() -> None:
    reader = Reader(render(table_page()))
    assert not {"img", "b"} & set(reader.elements)


def test_a_table_is_no_plot() -> None:
    html = render(table_page())
    assert '<tr class="marked" style="color: var(--accent)"><th scope="row"><span>metric number 3 of' in html
    titles = {panel["title"] for panel in Reader(html).json("interp-group-0")["panels"]}
    assert "Named shortly" in titles
    assert "Ours and recorded" not in titles


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([-1, 1200]), "2 freq, from −1 to 1,200 nats"),
        (np.array([np.nan, np.nan]), "2 freq, no finite number"),
        (np.array(np.nan), "no number"),
        (np.array(np.inf), "infinite"),
        (np.array(12000), "12,000 nats"),
        (np.array([True, False]), "1 of 2 freq"),
    ],
)
def test_numbers_of_the_text_have_the_form_of_those_in_sentences(values: np.ndarray, told: str) -> None:
    """A true minus, and no units of what is no number."""
    assert _final(Variable("loss", ("freq",) if values.ndim else (), values, {}, units="nats")) == told


def test_the_text_ends_with_final_values() -> None:
    html = render(sample_page())
    assert re.search(r"test: [^ ]+ nats at step 20,000", html)


def test_too_many_frames_are_thinned_and_the_panel_says_so() -> None:
    values = np.random.default_rng(0).random((100, 50))
    panel = DrawnPanel("Many", {"data": [{"y": values[-1]}]}, np.arange(100), (Moving(0, "y", values),))
    spec = panel_spec(panel, store := ArrayStore(), budget=2000)
    assert spec.note == "frames every 3rd checkpoint"
    assert spec.script["steps"] == [*range(0, 100, 3)]
    block = json.loads(store.blocks()[spec.script["moving"][0]["array"]])
    np.testing.assert_allclose(decode(block), values[::3], atol=0.5 / 254)


def test_on_a_logarithmic_axis_values_keep_more_than_two_decades() -> None:
    values = np.geomspace(1e-4, 1, 300).reshape(3, 100)
    figure = {"data": [{"type": "scatter", "y": values[-1]}], "layout": {"yaxis": {"type": "log"}}}
    panel = DrawnPanel("Log", figure, np.arange(3), (Moving(0, "y", values),))
    spec = panel_spec(panel, store := ArrayStore(), budget=400)
    shown = decode(json.loads(store.blocks()[spec.script["moving"][0]["array"]]))
    np.testing.assert_allclose(shown, values[::2], rtol=0.1)
    assert spec.note == "frames every 2nd checkpoint"


def test_a_heatmap_keeps_its_colours_over_all_steps() -> None:
    values = np.array([[[0.1, 0.2]], [[0.5, -2.0]]])
    figure = {"data": [{"type": "heatmap", "z": values[-1], "colorscale": "role:diverging"}]}
    panel = DrawnPanel("Weights", figure, np.array([0, 1]), (Moving(0, "z", values),))
    trace = panel_spec(panel, ArrayStore()).script["figure"]["data"][0]
    assert (trace["zmin"], trace["zmax"]) == (-2, 2)


def test_nan_in_a_figure_is_a_gap() -> None:
    figure = {"data": [{"type": "scatter", "y": np.array([1.0, np.nan, np.inf])}]}
    script = panel_spec(DrawnPanel("Gap", figure), ArrayStore()).script
    assert script["figure"]["data"][0]["y"] == [1.0, None, None]


def test_formulas_become_mathml() -> None:
    assert formula(r"\frac{1}{2}").startswith("<math")
    assert "<mtable" in formula(r"\begin{aligned}a&=b\\c&=d\end{aligned}")


@pytest.mark.parametrize("latex", [r"\frac{a", r"\unknown{x}", "a & b", r"\href{javascript:x}{y}", r"\text{<b>}"])
def test_other_latex_stays_text(latex: str) -> None:
    assert formula(latex).startswith("<code>")


def test_a_text_over_training_is_told_as_text():
    values = np.array(["up", "down"], dtype=object)
    verdict = Variable("verdict", ("step",), values, {"step": [0, 100]})
    section = Section("own", "Own", "A claim", "", (), "", (), (verdict,))
    run = RunPage("run", (), (), (), np.array([0, 100]), (section,))
    assert "verdict: down at step 100" in render(Page("A question?", "a.yaml", "", (run,)))


def test_a_page_of_all_runs_together_says_what_they_share_and_what_was_found() -> None:
    html = render(across_page())
    reader = Reader(html)
    assert "<strong>24 runs</strong> seeds.seed=…" in html
    link = r'<a href="#run=across&amp;panel=across-all_losses"[^>]*>24</a>'
    assert re.search(rf'<p class="findings">Over {link} runs', html)
    assert "across-all_losses" in reader.ids
    assert 'class="overview"' not in html
    assert "article" not in reader.elements
    data = reader.json("interp-data")
    assert data["runs"] == []
    first, second = data["findings"]
    assert (first["sentence"], first["values"]) == ("Over 24 runs the loss is low.", {"runs": 24})
    assert second["claims"]["test"]["panel"] == "Loss"


def test_no_finding_stands_twice_on_a_page_of_several_runs() -> None:
    html = re.sub(r"<script.*?</script>|<pre.*?</pre>", "", render(many_runs_page()), flags=re.DOTALL)
    assert html.count("It knew the training set by") == 3


def test_its_text_says_the_same() -> None:
    text = report_text(across_page())
    assert "24 runs seeds.seed=…; x+y mod 31 55% of 961 pairs" in text
    assert "Over 24 runs the loss is low." in text
