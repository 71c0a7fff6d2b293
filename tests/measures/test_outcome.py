"""What a run came to, the steps to an accuracy, and the delay: closed forms, planted runs, published ones."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from interp.errors import NothingToSay
from interp.findings import UndefinedError
from interp.measures import delay, outcome, time_to
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.measures.test_loss import knows_only, table_network
from tests.told import summary


def curves(steps, train, test, train_loss=None, test_loss=None, **bars):
    """The rows of all three measures, of accuracies and losses that are given."""
    rows = {"train_accuracy": train, "test_accuracy": test, "train_loss": train_loss, "test_loss": test_loss}
    known = {key: np.full(len(steps), math.nan) if row is None else np.array(row, float) for key, row in rows.items()}
    result = xr.Dataset({key: ("step", row) for key, row in known.items()}, {"step": list(steps)})
    with np.errstate(divide="ignore", invalid="ignore"):
        result["loss_ratio"] = ("step", known["test_loss"] / known["train_loss"])
    thresholds = dict(zip(outcome.CRITERIA, (0.99, 0.99, 2, 0.9, 0.9, 1000, 100_000, 1e-5, 1e-5, 5e4), strict=True))
    thresholds |= {key.replace("_", " "): value for key, value in bars.items()}
    result["threshold"] = (("step", "criterion"), np.tile(list(thresholds.values()), (len(steps), 1)))
    for name in ("train", "test"):
        result[f"{name}_bar"] = ("step", np.full(len(steps), thresholds[f"{name} accuracy"]))
    for name, text in (("loss_name", "cross-entropy"), ("loss_units", "nats")):
        result[name] = ("step", [text] * len(steps))
    return result.assign_coords(criterion=list(thresholds))


def joined(measure, result):
    """The rows, and what the whole run adds to them."""
    added = measure.over_run(result)
    return result.assign({key: xr.DataArray(value) for key, value in vars(added).items()})


def logistic(steps, middle, width):
    return 1 / (1 + np.exp(-(np.asarray(steps) - middle) / width))


STEPS = np.arange(0, 20_001, 100)


def test_the_steps_to_an_accuracy_of_logistic_curves_are_those_of_their_inverse():
    """acc = 1/(1 + exp(-(t - m)/w)) is r at m + w ln(r/(1 - r)); the checkpoint is the next hundred."""
    result = curves(STEPS, logistic(STEPS, 630, 50), logistic(STEPS, 9_120, 400))
    for bar in (0.6, 0.9, 0.99):
        result["train_bar"][:], result["test_bar"][:] = bar, bar
        exact = {"train": 630 + 50 * math.log(bar / (1 - bar)), "test": 9_120 + 400 * math.log(bar / (1 - bar))}
        times, lag = time_to.over_run(result), delay.over_run(result)
        for name, moment in exact.items():
            assert getattr(times, f"{name}_step") == 100 * math.ceil(moment / 100)
            assert getattr(times, f"{name}_not_yet") < moment <= getattr(times, f"{name}_step")
        assert lag.at_least < exact["test"] - exact["train"] < lag.at_most
        assert lag.delay == times.test_step - times.train_step
        assert not lag.censored


def test_what_is_not_reached_is_censored_at_the_last_step():
    result = curves(STEPS, logistic(STEPS, 630, 50), np.full(len(STEPS), 0.3))
    times, lag = time_to.over_run(result), delay.over_run(result)
    assert (times.train_censored, times.test_censored, times.last_step) == (False, True, 20_000)
    assert math.isnan(times.test_step)
    assert math.isnan(lag.delay)
    assert lag.censored
    assert lag.at_least == 20_000 - times.train_step
    assert math.isnan(lag.at_most)
    for measure in (time_to, delay):
        said = measure.summary(joined(measure, result)).text
        assert "never were 99% of the test examples right within its 20,000 steps, at best 30.0%" in said
    assert "The delay is more than 19,100 steps" in delay.summary(joined(delay, result)).text


@pytest.mark.parametrize(
    ("train", "test", "found"),
    [
        ([0, 1, 1, 1, 1], [0, 0, 0, 1, 1], "grokked"),  # known at 100, not yet at 200
        ([0, 1, 1, 1, 1], [0, 0, 1, 1, 1], "generalised"),  # 100 and 200: two checkpoints in a row
        ([0, 1, 1, 1, 1], [0, 1, 1, 1, 1], "generalised"),
        ([0, 0, 1, 1, 1], [0, 1, 1, 1, 1], "generalised"),
        ([0, 0.5, 0.5, 0.6, 0.6], [0, 1, 1, 1, 1], "generalised"),  # noise that is not learnt
        ([1, 1, 1, 1, 1], [1, 1, 1, 1, 1], "generalised"),
        ([0, 1, 1, 1, 1], [0, 0, 0, 0.98, 0.98], "memorised"),
        ([0, 0, 0.5, 0.98, 0.98], [0, 0, 0, 0, 0.3], "neither"),
    ],
)
def test_outcomes_of_accuracies(train, test, found):
    result = joined(outcome, curves(range(0, 500, 100), train, test))
    assert str(result.outcome.values) == found
    assert bool(result.outcome_censored) == (found in ("memorised", "neither"))
    assert {"neither": "learnt neither"}.get(found, found) in outcome.summary(result)[0].text


def test_training_examples_that_are_known_no_more_are_told():
    """So that who reads that it memorised does not take it to know them still."""
    result = curves(range(0, 500, 100), [0, 1, 1, 1, 0.83], [0, 0, 0, 0.5, 0.5])
    for said in (outcome.summary(joined(outcome, result))[0], time_to.summary(joined(time_to, result))):
        assert "of the training examples were right by step 100" in said.text
        assert "but only 83.0% are at the end; never were 99% of the test examples right" in said.text


def test_a_sentence_that_begins_with_never_begins_with_a_capital():
    never = curves(range(0, 500, 100), np.full(5, 0.2), np.full(5, 0.1))
    assert time_to.summary(joined(time_to, never)).text.startswith("Never were 99% of the training examples right")


def test_no_delay_is_one_times_as_late():
    result = curves([0, 1000, 1010, 1020], [0, 1, 1, 1], [0, 0, 1, 1])
    said = delay.summary(joined(delay, result)).text
    assert "were right 10 steps after" in said
    assert "times as late" not in said


def test_a_delay_after_which_all_was_lost_again_says_so():
    result = curves(range(0, 500, 100), [0, 1, 1, 1, 1], [0, 0, 1, 1, 0.25])
    said = delay.summary(joined(delay, result)).text
    assert said.endswith("; at the end only 25.0% of the test examples are.")


def test_how_late_is_grokking_is_an_option():
    result = curves(range(0, 500, 100), [0, 1, 1, 1, 1], [0, 0, 0, 0, 1])
    for times, found in ((3, "grokked"), (3.1, "generalised")):  # not yet at step 300
        result["threshold"][:, 2] = times
        assert outcome.over_run(result).outcome == found


@pytest.mark.parametrize(
    ("train", "test", "last", "phase", "open_end"),
    [
        (500, 1_400, 3_000, "comprehension", False),
        (500, 1_500, 3_000, "grokking", False),  # a lag of 1,000 is one of grokking
        (500, 300, 3_000, "comprehension", False),
        (500, None, 3_000, "memorisation", True),
        (500, 100_100, 100_100, "memorisation", False),  # later than the definition waits
        (None, None, 3_000, "confusion", True),
        (None, None, 100_000, "confusion", False),
    ],
)
def test_the_phases_of_liu(train, test, last, phase, open_end):
    steps = np.arange(0, last + 1, 100)
    accuracies = [np.where(steps >= (last + 1 if at is None else at), 0.9, 0.89) for at in (train, test)]
    found = outcome.over_run(curves(steps, *accuracies))
    assert (found.phase, found.phase_censored) == (phase, open_end)
    assert found.outcome == "neither"  # 90% is less than the outcome asks for


@pytest.mark.parametrize(
    ("train", "test", "found"),
    [
        ([1, 2e-5], [1, 1e-6], "high train loss"),
        ([1, 1e-6], [1, 2e-5], "high test loss"),
        ([1e-1, 1e-5, 1e-6], [1e-1, 1e-5 * 49_999, 1e-5], "together"),
        ([1e-1, 1e-5, 1e-6], [1e-1, 1e-5 * 50_001, 1e-5], "grokking"),
        ([1, 0], [1, 0], "together"),
        ([1, 0, 0], [1, 1e-5, 0], "grokking"),  # beyond every ratio
    ],
)
def test_the_classes_of_pair(train, test, found):
    result = joined(outcome, curves(range(len(train)), None, None, train, test))
    assert str(result.loss_class.values) == found
    assert not str(result.outcome.values + result.phase.values)
    (told,) = outcome.summary(result)
    bar = f"a {found.removeprefix('high ')} above 10⁻⁵" if found.startswith("high") else "a ratio of 50,000 or more"
    assert f"its class is {found} (" in told.text
    assert bar.replace("10⁻⁵", "1×10⁻⁵ nats") in told.text


def test_one_checkpoint_tells_of_no_when():
    """Nor of what never came: nothing between is known."""
    alone = curves([5_000], [1.0], [0.3], [0.1], [2.0])
    for measure in (outcome, time_to, delay):
        with pytest.raises(UndefinedError):
            measure.summary(joined(measure, alone))


@pytest.mark.slow
def test_the_recorded_runs_of_pair_have_the_recorded_classes(reference: Path):
    """Minima and largest ratios are in the table; the classes were counted from it by the definition in the page."""
    with open(reference / "explorables" / "data__hypers_sparse_parity_v4_even.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found: Counter[str] = Counter()
    for row in rows:
        ratio, train, test = (float(row[name]) for name in ("maxRatio", "minTrainLoss", "minEvalLoss"))
        result = curves([0, 100], None, None, [ratio and test / ratio, train], [test, test])
        result["loss_ratio"][:] = [ratio, 0]
        result["train_loss"][0] = np.inf  # only the minima are recorded
        found[outcome.over_run(result).loss_class] += 1
    assert found == {"grokking": 227, "high test loss": 197, "high train loss": 71, "together": 68}


PUBLISHED = {
    "S5_MLP_seed1": ("grokked", "memorisation"),  # later than the 100,000 steps that the phases look at
    "S5_T_seed1": ("grokked", "grokking"),
    "A5_MLP_seed1": ("grokked", "grokking"),
    "D59_MLP_seed1": ("grokked", "grokking"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recorded_curves_of_published_runs(reference: Path, name: str):
    """Ten lines over the rows of the table; of the S5 perceptron LITERATURE has 161,742 for 99%."""
    with open(reference / "rep_theory" / name / "trajectory.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("train_acc", "test_acc", "train_loss", "test_loss")
    steps, *recorded = ([float(row[column]) for row in rows] for column in ("epoch", *columns))
    result = curves([int(step) for step in steps], *recorded)
    times, found, lag = (measure.over_run(result) for measure in (time_to, outcome, delay))
    for name_of_set, accuracies in zip(("train", "test"), recorded[:2], strict=True):
        first = next(step for step, share in zip(steps, accuracies, strict=True) if share >= 0.99)
        assert getattr(times, f"{name_of_set}_step") == first
    assert name != "S5_MLP_seed1" or times.test_step == 161_742
    assert (found.outcome, found.phase) == PUBLISHED[name]
    assert lag.delay == times.test_step - times.train_step > 1_000


# Runs.


def planted_run(make_run, stages, **options):
    """A run that knows these pairs at these steps."""
    task = {"p": 7, "frac_train": 0.5, **options}
    networks = {step: table_network(knows_only(modular_arithmetic(**task), known)) for step, known in stages.items()}
    weights = {step: weights for step, (weights, _) in networks.items()}
    return make_run(weights, {"modular_arithmetic": task}, next(iter(networks.values()))[1])


@pytest.mark.slow
def test_a_planted_run_that_groks(make_run):
    task = modular_arithmetic(p=7, frac_train=0.5)
    everything = torch.ones(49, dtype=torch.bool)
    run = planted_run(make_run, {0: ~everything, 10: task.train, 20: task.train, 30: everything, 40: everything})
    found = run.measure("outcome")
    assert str(found.outcome.values) == "grokked"
    assert str(found.phase.values) == "comprehension"  # 20 steps are no 1,000
    assert str(run.measure("outcome", phase_lag=20).phase.values) == "grokking"
    assert str(run.measure("outcome", times=2.5).outcome.values) == "generalised"
    said = summary("outcome", found)
    assert "It grokked: 99% of the training examples were right by step 10; 99% of" in said.sentence
    assert "by step 30, not yet at step 20, 2 times as late at least" in said.sentence
    assert float(run.measure("delay").delay) == 20
    assert (float(run.measure("delay").at_least), float(run.measure("delay").at_most)) == (10, 30)


def test_what_a_run_lost_again_is_told(make_run):
    task = modular_arithmetic(p=7, frac_train=0.5)
    everything = torch.ones(49, dtype=torch.bool)
    run = planted_run(make_run, {0: ~everything, 10: everything, 20: task.train})
    end = float(run.final.measure("loss").test_accuracy)
    said = summary("outcome", run.measure("outcome"))
    assert "It generalised: " in said.sentence
    assert said.values["test_accuracy"] == end
    assert end == 0
    assert "but only 0% are at the end" in said.sentence


@pytest.mark.slow
def test_thresholds_of_a_run_are_options(make_run):
    task = modular_arithmetic(p=7, frac_train=0.5)
    some = task.train.clone()
    some[task.train.nonzero()[:3]] = False
    run = planted_run(make_run, {0: torch.zeros(49, dtype=torch.bool), 10: some, 20: task.train})
    share = 1 - 3 / int(task.train.sum())
    assert float(run.measure("time_to").train_step) == 20
    assert float(run.measure("time_to", train_accuracy=share).train_step) == 10
    assert float(run.measure("time_to", test_accuracy=1.0).test_step) != 0


@pytest.mark.slow
def test_a_task_of_values_has_a_class_and_no_outcome(tmp_path: Path):
    import interp

    folder = tmp_path / "checkpoints" / "values"
    folder.mkdir(parents=True)
    x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
    np.savez(folder / "data.npz", inputs=x, targets=x**2, train=np.arange(8) % 2 == 0)
    (folder / "run.yaml").write_text(
        "task: {examples: {file: data.npz}}\nmodel: {perceptron: {widths: [4]}}\n"
        "training: {steps: 4, optimiser: adamw, loss: mse, save: {every: 2}}\n"
    )
    from interp.train import train

    train(folder)
    run = interp.open_run(folder)
    for measure in ("time_to", "delay"):
        with pytest.raises(NothingToSay, match="values, not for classes"):
            run.measure(measure)
    found = run.measure("outcome")
    assert not str(found.outcome.values)
    assert str(found.loss_class.values) == "high train loss"
    assert "high train loss" in summary("outcome", found).sentence


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"split": "unknown"}, "nobody knows which examples"), ({"frac_train": 1.0}, "there are no test examples")],
)
def test_without_a_split_or_test_examples_there_is_no_outcome(make_run, options, reason):
    run = planted_run(make_run, {0: torch.ones(49, dtype=torch.bool)}, **options)
    for measure in ("outcome", "delay"):
        with pytest.raises(NothingToSay, match=reason):
            run.measure(measure)


def test_a_run_trained_on_every_pair_has_a_time_to_its_training_examples(make_run):
    everything = torch.ones(49, dtype=torch.bool)
    found = planted_run(make_run, {0: ~everything, 5: everything}, frac_train=1.0).measure("time_to")
    assert float(found.train_step) == 5
    assert not bool(found.test_censored)
    assert "there are no test examples" in summary("time_to", found).sentence


@pytest.mark.slow
def test_the_shipped_runs():
    """By `loss` the small run knew its training pairs by 500 and all others at 6,300; so the README's picture shows."""
    import interp

    run = interp.open_run(Path(interp.__file__).parents[1] / "checkpoints" / "modular_addition_small")
    steps = [0, 400, 500, 600, 1000, 6000, 6250, 6300, 9000]
    results = interp.over_steps(["time_to", "delay", "outcome"], run, steps=steps)
    assert (float(results.time_to.train_step), float(results.time_to.test_step)) == (500, 6300)
    assert float(results.delay.delay) == 5800
    verdicts = [str(results.outcome[name].values) for name in ("outcome", "phase", "loss_class")]
    assert verdicts == ["grokked", "grokking", "grokking"]
