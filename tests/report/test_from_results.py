"""What a page says of runs that cannot show everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from interp.checkpoints import Run
from interp.models.transformer import transformer
from interp.report import from_results
from interp.report.content import Section
from interp.results import over_steps
from interp.tasks.modular_arithmetic import modular_arithmetic

TASK = {"p": 7}
MODEL = {"d_model": 8, "n_heads": 2, "d_mlp": 16}


@pytest.fixture
def section(make_run: Callable[..., Run]) -> Callable[..., Section]:
    """The section on the losses of a run of fresh weights."""

    def made(steps: list[int], at: Any = "all", **task: Any) -> Section:
        weights = transformer(modular_arithmetic(**TASK), **MODEL).initial(0)
        run = make_run(dict.fromkeys(steps, weights), {"modular_arithmetic": {**TASK, **task}}, {"transformer": MODEL})
        asks = over_steps.asks(["loss"])
        found = {"loss": over_steps.over_steps("loss", run, at)}
        return from_results.page("", "", "", asks, {"run": (run, found)}, {}).runs[0].sections[0]

    return made


def test_one_checkpoint_has_no_curves_but_its_numbers(section: Callable[..., Section]):
    alone = section([5])
    assert alone.panels == ()
    assert alone.note.startswith("There is one checkpoint: Loss, Accuracy would need more.")
    assert "loss on all examples" in alone.note


def test_two_checkpoints_have_curves_and_nothing_to_excuse(section: Callable[..., Section]):
    both = section([5, 6])
    assert [panel.drawing.title for panel in both.panels] == ["Loss", "Accuracy"]
    assert both.note == ""


def test_how_many_checkpoints_were_measured_is_said_where_it_is_not_all(section: Callable[..., Section]):
    assert section([5, 6, 7, 8, 9], at=[5, 9]).note == "Measured at 2 of the 5 checkpoints."


def test_where_checkpoints_were_measured_more_closely_is_said(section: Callable[..., Section]):
    closely = section([*range(10)], at=[0, 4, 5, 6, 9]).note
    assert closely == "Measured at 5 of the 10 checkpoints, most closely from step 4 to 6."


def test_an_unknown_split_is_said_where_its_numbers_are_missing(section: Callable[..., Section]):
    unknown = section([5, 6], split="unknown")
    assert unknown.note.startswith("Which pairs were trained on is unknown, so there are no numbers for `train_loss`")
    assert "`all_loss`" not in unknown.note


def test_what_all_runs_share_is_told_once(make_run: Callable[..., Run]):
    """Their names up to where they differ; their numbers of checkpoints differ and are not told."""
    weights = transformer(modular_arithmetic(**TASK), **MODEL).initial(0)
    task, model = {"modular_arithmetic": {**TASK, "frac_train": 0.5}}, {"transformer": MODEL}
    runs = [make_run(dict.fromkeys(range(n + 1), weights), task, model, name=f"seed={n}") for n in (1, 2)]
    asks = over_steps.asks([{"sharpness_accuracy": {"draws": 1, "subspace_dim": 1}}])
    across = {"sharpness_accuracy": over_steps.of_runs(asks[0], runs, None)}
    page = from_results.page("", "", "", asks, {}, across, runs)
    assert page.runs == ()
    assert page.facts[0] == ("2 runs", "seed=…")
    assert ("x+y mod 7", "49% of 49 pairs") in page.facts
    assert not any("checkpoints" in strong for strong, _ in page.facts)
    assert page.findings[0].label == "sharpness_accuracy"
    assert page.findings[0].sentence.replace("**", "") in from_results.text(page)
