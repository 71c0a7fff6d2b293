"""Several runs on one page: what became of each, their curves, and what their recipes do not share."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.recipes.asks import asks
from interp.results.account import findings
from interp.results.computing import Request, compute
from interp.results.over_steps import working
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.awkward_runs import BANK
from tests.measures.test_loss import knows_only, table_network
from tests.test_every_sentence import CHECKS, what_is_told_of_an_earlier_end_says_so

TASK = {"p": 7, "frac_train": 0.5}
TABLE = modular_arithmetic(**TASK)
TRAIN = TABLE.train
NOTHING = torch.zeros(49, dtype=torch.bool)
STAGES = {
    "grokking": {0: NOTHING, 10: TRAIN, 20: TRAIN, 30: ~NOTHING},
    "knowing": {0: NOTHING, 5: TRAIN, 40: TRAIN},
}


def runs_of(make_run, **task):
    """Runs that know these pairs at these steps."""
    made = []
    for place, (name, stages) in enumerate(STAGES.items()):
        networks = {
            step: table_network(knows_only(modular_arithmetic(**TASK), known)) for step, known in stages.items()
        }
        options = TASK | (task if place else {})
        weights = {step: weights for step, (weights, _) in networks.items()}
        made.append(make_run(weights, {"modular_arithmetic": options}, networks[0][1], name))
    return tuple(made)


def compared(measure: str, runs, folder: Path):
    with working(folder, "an analysis", 1) as executor:
        (found,) = compute([Request(tuple(asks(measure)), runs, folder, across=True)], executor, 1)
    return found[measure]


def test_verdicts_are_those_that_each_run_has_alone(make_run, tmp_path):
    runs = runs_of(make_run)
    found = compared("verdicts", runs, tmp_path / "kept")
    for run in runs:
        here, alone = found.sel(run=run.name), run.measure("outcome")
        for name in ("outcome", "phase", "loss_class"):
            assert str(here[name].values) == str(alone[name].values)
        assert float(here.test_accuracy) == float(run.final.measure("loss").test_accuracy)
        np.testing.assert_equal(float(here.delay), float(run.measure("delay").delay))
    assert found.outcome.values.tolist() == ["grokked", "memorised"]
    assert found.delay.values[0] == 20
    assert math.isnan(found.delay.values[1])
    (told,) = findings("verdicts", found)
    assert told.text == "Of 2 runs 1 grokked and 1 knew the training examples alone."


def test_curves_stand_at_the_steps_of_their_own_run(make_run, tmp_path):
    runs = runs_of(make_run)
    found = compared("learning_curves", runs, tmp_path / "kept")
    assert found.checkpoint_step.values.tolist() == [0, 5, 10, 20, 30, 40]
    for run in runs:
        alone = run.measure("loss")
        for name in ("train_accuracy", "test_accuracy", "train_loss", "test_loss"):
            curve = found[name].sel(run=run.name).dropna("checkpoint_step")
            assert curve.checkpoint_step.values.tolist() == run.steps
            np.testing.assert_array_equal(curve.values, alone[name].values)
        np.testing.assert_array_equal(
            found.weight_norm.sel(run=run.name).dropna("checkpoint_step").values,
            run.measure("weight_norm").total.values,
        )


def test_lines_are_straight_between_a_runs_own_checkpoints_and_end_with_it(make_run, tmp_path):
    from interp.measures.learning_curves import figure

    panels = {panel.title: panel for panel in figure(compared("learning_curves", runs_of(make_run), tmp_path / "kept"))}
    lines = panels["Train accuracy of every run"].arrays
    np.testing.assert_allclose(lines["knowing"].values, [0, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(lines["grokking"].values, [0, 0.5, 1, 1, 1, math.nan])


def test_the_options_that_differ_are_told_with_their_values(make_run, tmp_path):
    from interp.measures.recipe_differences import figure

    found = compared("recipe_differences", runs_of(make_run, seed=3, frac_train=0.4), tmp_path / "kept")
    (table,) = figure(found)
    values = {run: dict(zip(column.option.values, column.values, strict=True)) for run, column in table.columns.items()}
    assert values == {
        "grokking": {"task.frac_train": "0.5", "task.seed": "0"},
        "knowing": {"task.frac_train": "0.4", "task.seed": "3"},
    }
    (told,) = findings("recipe_differences", found)
    assert "differ in 2 options of " in told.text
    assert told.text.endswith("task.frac_train and task.seed.")


def test_runs_of_one_recipe_have_no_table_of_differences(make_run, tmp_path):
    from interp.measures.recipe_differences import figure

    found = compared("recipe_differences", runs_of(make_run), tmp_path / "kept")
    assert figure(found) == []
    assert [one.text for one in findings("recipe_differences", found)] == ["All runs have the same recipe."]


PAIRS = (
    ("sparse parity", "two test examples"),
    ("grokked at once", "one checkpoint"),
    ("train set unknown", "train set unknown"),
)


@pytest.mark.slow
@pytest.mark.parametrize("names", PAIRS, ids=" and ".join)
def test_every_sentence_about_two_runs_of_the_bank_is_so(names: tuple[str, str], tmp_path: Path):
    """Records are recomputed from the arrays, and sentences have the form that those about one run have."""
    runs = tuple(BANK[name](tmp_path / place) for name, place in zip(names, ("first", "second"), strict=True))
    told = {}
    for measure in ("verdicts", "learning_curves", "recipe_differences"):
        found = compared(measure, runs, tmp_path / "kept" / measure)
        assert found.sizes["run"] == 2
        told[measure] = found, findings(measure, found)
    assert told["recipe_differences"][1]
    known = bool((told["verdicts"][0].outcome != "").any())
    assert bool(told["verdicts"][1]) == known == ("train set unknown" not in names)
    for check in CHECKS:
        if check is not what_is_told_of_an_earlier_end_says_so:  # these arrays have no steps
            check(told)
