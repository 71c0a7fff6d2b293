"""What measures of results are called on: a number or a word of every run of a sweep, by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import interp
from interp.errors import InterpError, NothingToSay
from interp.recipes.asks import asks
from interp.results.of_members import OfMembers, answers, check
from tests.checkpoints.test_sweep import RECIPE, plant

AXES = {"seed": [0, 1, 2], "weight_decay": [0.1, 1]}


def of_members() -> OfMembers:
    step = [0, 10, 20]
    values = np.arange(18.0).reshape(3, 2, 3)
    values[0, 0, 2] = values[1, 1] = np.nan
    words = np.array([["a", "b"], ["", "a"], ["b", "b"]])
    counts = np.array([[1, -1], [2, 3], [4, 5]])
    yes = np.array([[True, False], [False, False], [True, True]])
    dims = ("seed", "weight_decay")
    result = xr.Dataset(
        {
            "loss": ((*dims, "step"), values, {"units": "nats"}),
            "word": (dims, words),
            "count": (dims, counts),
            "yes": (dims, yes),
            "power": ((*dims, "freq"), np.ones((3, 2, 4))),
            "share": ((*dims, "step", "stage"), np.stack([values, values + 100], axis=-1)),
        },
        {**AXES, "step": step, "stage": ["neurons", "all logits"]},
    )
    return OfMembers(AXES, {"mine": result}, {"other": "there is no order"})


def test_a_number_of_each_step_is_that_of_the_last_step_that_has_one():
    found = of_members().of("mine.loss")
    expected = [[1, 5], [8, np.nan], [14, 17]]
    np.testing.assert_array_equal(found.values, expected)
    assert found.dims == ("seed", "weight_decay")
    assert found.attrs["units"] == "nats"


def test_a_field_with_one_axis_more_is_asked_at_a_place_of_it():
    np.testing.assert_array_equal(of_members().of("mine.share[all logits]").values, of_members().of("mine.loss") + 100)
    with pytest.raises(InterpError, match=r"mine\.share has no neuron; did you mean 'neurons'\?"):
        of_members().of("mine.share[neuron]")
    with pytest.raises(InterpError, match="is neither an axis of the sweep"):
        of_members().of("mine.loss[neurons]")


def test_before_anything_is_measured_any_place_of_an_axis_may_be_asked_for():
    table = {"paper_table": {"rows": {"one": {"paper": 1, "take": "median", "of": "mechanism.explained[clock]"}}}}
    check(asks(["mechanism", table]), AXES)
    table["paper_table"]["rows"]["one"]["of"] = "mechanism.explaned[clock]"
    with pytest.raises(InterpError, match="is neither an axis of the sweep"):
        check(asks(["mechanism", table]), AXES)


def test_an_axis_is_the_label_of_each_run():
    np.testing.assert_array_equal(of_members().of("weight_decay").values, [[0.1, 1]] * 3)
    np.testing.assert_array_equal(of_members().of("seed").values, [[0, 0], [1, 1], [2, 2]])


def test_what_is_not_there_is_blank():
    results = of_members()
    np.testing.assert_array_equal(results.of("mine.count").values, [[1, np.nan], [2, 3], [4, 5]])
    assert results.of("mine.word").values.tolist() == [["a", "b"], ["", "a"], ["b", "b"]]
    np.testing.assert_array_equal(results.of("mine.yes").values, [[1, 0], [0, 0], [1, 1]])


def test_members_are_named_in_the_order_of_the_arrays():
    results = of_members()
    assert results.members()[:3] == ["seed=0, weight_decay=0.1", "seed=0, weight_decay=1", "seed=1, weight_decay=0.1"]
    chosen = results.where({"seed": [0, 2], "weight_decay": 1.0})
    assert np.array(results.members())[chosen.ravel()].tolist() == [
        "seed=0, weight_decay=1",
        "seed=2, weight_decay=1",
    ]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda results: results.of("mine.lss"), "did you mean 'mine.loss'"),
        (lambda results: results.of("mine.power"), "with one value a run or a step"),
        (lambda results: results.of("weight_dcay"), "did you mean 'weight_decay'"),
        (lambda results: results.numbers("mine.word"), "mine.word is a word of each run; expected a number"),
        (lambda results: results.where({"sed": 0}), "no axis 'sed'; did you mean 'seed'"),
        (lambda results: results.where({"seed": 7}), "seed has no 7"),
    ],
)
def test_what_no_run_has_is_refused_with_what_there_is(ask, message):
    with pytest.raises(InterpError, match=message):
        ask(of_members())


def test_a_measure_that_says_nothing_has_no_numbers():
    with pytest.raises(NothingToSay, match="other has nothing to say: there is no order"):
        of_members().of("other.loss")


def test_a_mistaken_name_is_told_before_anything_is_measured():
    wanted = asks(["loss", {"scatter": {"x": "weight_decay", "y": "loss.tset_loss"}}])
    with pytest.raises(InterpError, match=r"scatter: 'loss.tset_loss' is neither .*did you mean 'loss.test_loss'"):
        check(wanted, AXES)
    check(asks(["outcome", {"scatter": {"x": "seed", "y": "outcome.test_step", "colour": "outcome.phase"}}]), AXES)


def test_of_several_sweeps_a_name_that_one_of_them_has_is_refused_by_none():
    wanted = asks([{"scatter": {"x": "alpha", "y": "weight_decay"}}])
    with pytest.raises(InterpError, match="'alpha' is neither an axis of the sweep"):
        check(wanted, AXES)
    check(wanted, AXES, {**AXES, "alpha": [0.5, 1]})
    with pytest.raises(InterpError, match="'alpha' is neither"):
        check(wanted, AXES, {"seed": [0]})
    assert answers(wanted, {}, AXES, among_others=True) == {}
    with pytest.raises(InterpError, match="'alpha' is neither"):
        answers(wanted, {}, AXES)


def test_over_a_sweep_they_stand_beside_what_they_look_at(tmp_path: Path):
    for seed in range(3):
        plant(tmp_path / f"seed={seed}", seed, "0.1", "x+y")
    recipe = RECIPE.replace("OPERATION", "x+y").replace("DECAY", "0.1").replace("SEED", "0")
    (tmp_path / "run.yaml").write_text(recipe + "grid: {training.seed: 0..3}\n")
    sweep = interp.open_run(tmp_path)
    found = interp.over_steps(["weight_norm", {"scatter": {"x": "seed", "y": "weight_norm.total"}}], sweep)
    norms = [float(run.final.measure("weight_norm").total) for run in sweep]
    assert found.scatter.x.values.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found.scatter.y.values, norms)
    assert (int(found.scatter.points), int(found.scatter.runs)) == (3, 4)
    with pytest.raises(InterpError, match="compares the runs of a sweep"):
        interp.over_steps({"scatter": {"x": "seed", "y": "seed"}}, sweep.run(seed=0))
