"""What a page says of runs that cannot show everything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from interp.checkpoints import Run
from interp.figures import Curves
from interp.measures import loss
from interp.models.transformer import transformer
from interp.recipes.analysis_recipe import Analysis
from interp.recipes.asks import asks
from interp.report import from_results, write
from interp.report.blocks import ArrayStore
from interp.report.content import Page, Section
from interp.report.html import render
from interp.report.machine_readable import report_data
from interp.report.plain_text import findings_text, report_text
from interp.results.account import Silent
from interp.results.over_steps import over_steps
from interp.tasks.modular_arithmetic import modular_arithmetic

TASK = {"p": 7}
MODEL = {"d_model": 8, "n_heads": 2, "d_mlp": 16}


def analysis(*measures: Any) -> Analysis:
    return Analysis(Path("analyses/a.yaml"), "A question?", "", (), "all", tuple(asks(measures)))


@pytest.fixture
def section(make_run: Callable[..., Run]) -> Callable[..., Section]:
    """The section on the losses of a run of fresh weights."""

    def made(steps: list[int], at: Any = "all", **task: Any) -> Section:
        weights = transformer(modular_arithmetic(**TASK), **MODEL).initial(0)
        run = make_run(dict.fromkeys(steps, weights), {"modular_arithmetic": {**TASK, **task}}, {"transformer": MODEL})
        found = {"loss": over_steps("loss", run, at)}
        return from_results.page(analysis("loss"), [(run, found)], {}, [run]).runs[0].sections[0]

    return made


def test_one_checkpoint_has_no_curves_but_its_numbers(section: Callable[..., Section]):
    alone = section([5])
    assert alone.panels == ()
    assert alone.note.startswith("There is one checkpoint: Loss, Accuracy would need more.")
    assert "loss on all examples" in alone.note
    assert "NaN" not in alone.note


@pytest.mark.parametrize(
    ("end", "told"), [("diverged", "It diverged: its loss was not finite at step 4."), ("stopped", "early, at step 4,")]
)
def test_a_training_that_ended_early_is_told(tmp_path: Path, end: str, told: str):
    """A run that diverged leaves the checkpoints before alone, which look like those of a short one."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "ended.json").write_text(json.dumps({"end": end, "step": 4}))
    run = SimpleNamespace(training=object(), path=tmp_path)
    assert told in from_results._early_end(run)[0]
    (tmp_path / "weights" / "ended.json").unlink()
    assert from_results._early_end(run) == []


def test_two_checkpoints_have_curves_and_nothing_to_excuse(section: Callable[..., Section]):
    both = section([5, 6])
    assert [panel.title for panel in both.panels] == ["Loss", "Accuracy"]
    assert both.note == ""


def test_how_many_checkpoints_were_measured_is_said_where_it_is_not_all(section: Callable[..., Section]):
    assert section([5, 6, 7, 8, 9], at=[5, 9]).note == "Measured at 2 of the 5 checkpoints."


def test_where_checkpoints_were_measured_more_closely_is_said(section: Callable[..., Section]):
    closely = section([*range(10)], at=[0, 4, 5, 6, 9]).note
    assert closely == "Measured at 5 of the 10 checkpoints, most closely from step 4 to 6."


def test_only_what_is_about_the_split_is_missing_for_want_of_it(make_run: Callable[..., Run]):
    weights = transformer(modular_arithmetic(**TASK), **MODEL).initial(0)
    run = make_run({5: weights}, {"modular_arithmetic": {**TASK, "split": "unknown"}}, {"transformer": MODEL})
    small, empty = (xr.DataArray([value], dims="step") for value in (1.688e-7, np.nan))
    result = xr.Dataset({"train_loss": empty, "norm_factor": empty, "all_loss": small}, {"step": [5]})
    note = from_results.page(analysis("loss"), [(run, {"loss": result})], {}, [run]).runs[0].sections[0].note
    assert "unknown, so there are no numbers for `train_loss`. No numbers for `norm_factor`." in note


def test_an_unknown_split_is_said_where_its_numbers_are_missing(section: Callable[..., Section]):
    unknown = section([5, 6], split="unknown")
    assert unknown.note.startswith("The train and test examples are unknown, so there are no numbers for `train_loss`")
    assert "`all_loss`" not in unknown.note


def test_what_all_runs_share_is_told_once(make_run: Callable[..., Run], tmp_path: Path):
    """Their names up to where they differ; their numbers of checkpoints differ and are not told."""
    weights = transformer(modular_arithmetic(**TASK), **MODEL).initial(0)
    task, model = {"modular_arithmetic": {**TASK, "frac_train": 0.5}}, {"transformer": MODEL}
    runs = [make_run(dict.fromkeys(range(n + 1), weights), task, model, name=f"seed={n}") for n in (1, 2)]
    asked = analysis({"sharpness_accuracy": {"draws": 1, "subspace_dim": 1}})
    page = write.report(asked, runs, tmp_path / "page.html")
    assert page.runs == ()
    assert page.facts[0] == ("2 runs", "seed=…")
    assert ("x+y mod 7", "49% of 49 pairs") in page.facts
    assert not any("checkpoints" in strong for strong, _ in page.facts)
    assert page.findings[0].label == "sharpness_accuracy"
    assert page.findings[0].sentence in findings_text(page)


# What says nothing, and what fails.


@pytest.fixture
def losses(make_run: Callable[..., Run]) -> tuple[Run, Any]:
    """A run of fresh weights, and the result of its losses."""
    weights = transformer(modular_arithmetic(**TASK), **MODEL).initial(0)
    run = make_run(dict.fromkeys([5, 6], weights), {"modular_arithmetic": TASK}, {"transformer": MODEL})
    return run, over_steps("loss", run)


def page_of(run: Run, results: dict[str, Any]) -> Page:
    return from_results.page(analysis(*results), [(run, results)], {}, [run])


def test_measures_that_say_nothing_stand_in_one_list_by_their_reasons(losses: tuple[Run, Any]):
    run, result = losses
    order, heads = "the task has no cyclic order of its operands", "the network has no attention"
    silent = {name: Silent(name, name, order) for name in ("key_freqs", "circuit")}
    results = {
        "loss": result,
        **silent,
        "attention_spectrum": Silent("attention_spectrum", "attention_spectrum", heads),
    }
    page = page_of(run, results)
    assert [section.label for section in page.runs[0].sections] == ["loss"]
    html = render(page)
    assert f"<code>key_freqs</code>, <code>circuit</code>: {order}." in html
    assert f"<code>attention_spectrum</code>: {heads}." in html
    assert html.count("Nothing to say here</h2>") == 1
    for text in (report_text(page), findings_text(page)):
        assert f"Nothing to say here: key_freqs, circuit: {order}." in text
    data = report_data(page, ArrayStore())["runs"][0]
    assert data["nothing_to_say"] == {"key_freqs": order, "circuit": order, "attention_spectrum": heads}
    assert list(data["measures"]) == ["loss"]


def test_a_measure_silent_at_some_steps_says_where_and_why(losses: tuple[Run, Any]):
    run, result = losses
    silent = result.where(result.step > 5).assign_attrs(nothing_to_say="the network is too new (at 1 step)")
    (section,) = page_of(run, {"loss": silent}).runs[0].sections
    assert section.note.startswith("There are no numbers at 1 of 2 steps: the network is too new (at 1 step).")


@pytest.mark.parametrize("broken", ["figure", "summary"])
def test_a_mistake_in_what_a_measure_tells_leaves_the_page_and_is_told_in_its_place(
    losses: tuple[Run, Any], monkeypatch: pytest.MonkeyPatch, broken: str
):
    def fails(_: Any) -> Any:
        return 1 / 0

    run, result = losses
    monkeypatch.setattr(loss, broken, fails)
    page = page_of(run, {"loss": result})
    (problem,) = page.problems
    assert problem.startswith(f"The {broken} of `loss` could not be made (interp/measures/loss.py): ZeroDivisionError:")
    (section,) = page.runs[0].sections
    assert {variable.name for variable in section.variables} == set(result.data_vars)
    assert (section.panels == ()) == (broken == "figure")
    assert any(finding.is_problem for finding in page.runs[0].findings) == (broken == "summary")
    assert "division by zero" in " ".join(report_text(page).split())
    assert report_data(page, ArrayStore())["problems"] == [problem]
    assert '<span class="problem">' in (html := render(page)) or '<p class="problem">' in html
    assert "ZeroDivisionError" in html


def test_the_place_of_a_mistake_is_its_line_in_the_measure(losses: tuple[Run, Any]):
    run, result = losses
    (problem,) = page_of(run, {"loss": result.drop_vars("train_loss")}).runs[0].sections[0].problems
    assert re.search(r"\(interp/measures/loss\.py:\d+\): AttributeError: .*train_loss", problem)


def test_one_panel_that_cannot_be_drawn_leaves_the_others(losses: tuple[Run, Any], monkeypatch: pytest.MonkeyPatch):
    def figure(result: Any) -> list[Curves]:
        return [Curves("Good", {"train": result.train_loss}), Curves("Bad", {})]

    run, result = losses
    monkeypatch.setattr(loss, "figure", figure)
    (section,) = page_of(run, {"loss": result}).runs[0].sections
    assert ([panel.title for panel in section.panels], len(section.problems)) == (["Good"], 1), section.problems
    assert section.problems[0].startswith("The panel 'Bad' could not be made (interp/measures/loss.py): StopIteration")


@pytest.mark.parametrize("told", [3, [3], {"sentence": "words"}])
def test_a_summary_that_is_none_is_refused(losses: tuple[Run, Any], monkeypatch: pytest.MonkeyPatch, told: Any):
    run, result = losses
    monkeypatch.setattr(loss, "summary", lambda _: told)
    assert "return an interp.findings.Finding, a list of them" in page_of(run, {"loss": result}).problems[0]


def test_a_plain_sentence_is_told_among_the_details(losses: tuple[Run, Any], monkeypatch: pytest.MonkeyPatch):
    run, result = losses
    monkeypatch.setattr(loss, "summary", lambda _: "It has **{3}** layers.")
    page = page_of(run, {"loss": result})
    (told,) = page.runs[0].findings
    assert (told.sentence, told.finding.chapter, page.problems) == ("It has {3} layers.", "details", ())
    assert "It has <strong>{3}</strong> layers." in render(page)


@pytest.mark.parametrize("made", [lambda _: ["a picture"], lambda _: 3])
def test_a_figure_of_other_things_is_refused(losses: tuple[Run, Any], monkeypatch: pytest.MonkeyPatch, made: Any):
    run, result = losses
    monkeypatch.setattr(loss, "figure", made)
    (problem,) = page_of(run, {"loss": result}).problems
    assert problem.startswith("The figure of `loss` could not be made (interp/measures/loss.py): TypeError")
