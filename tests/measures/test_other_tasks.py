"""What the measures of losses and examples say of tasks that are not of two operands, and under other losses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr

from interp.checkpoints import Checkpoint, open_run
from interp.contracts.task import Task
from interp.errors import NothingToSay
from interp.files.checkpoint_blocks import CheckpointBlocks
from interp.losses.cross_entropy import cross_entropy
from interp.losses.hinge import hinge
from interp.losses.mse import mse
from interp.measures import loss, pair_trace
from interp.results import account
from interp.tasks.modular_arithmetic import modular_arithmetic
from tests.told import summary

TRAIN = torch.tensor([True, True, False, False])


def parity(targets=(1, 0, 1, 0), train=TRAIN):
    """Two classes told apart by the sign of one output."""
    return Task("parity", torch.zeros(4, 3), torch.tensor(targets), 1, train)


class checkpoint(Checkpoint):  # noqa: N801 (called as if it were read from a run)
    """A checkpoint whose outputs are given."""

    task = logits = loss = None  # in the place of the properties

    def __init__(self, task, outputs, trained_with=None):
        self.task, self.logits, self.loss = task, torch.tensor(outputs).double(), trained_with or cross_entropy()

    def blocks(self):
        yield torch.arange(len(self.task)), {"logits": self.logits}


def test_one_output_has_the_logistic_loss_and_answers_by_its_sign():
    found = loss.loss(checkpoint(parity(), [[2.0], [-1.0], [-3.0], [0.5]]))
    expected = np.log1p(np.exp([-2.0, -1.0, 3.0, 0.5]))
    assert float(found.train_loss) == pytest.approx(expected[:2].mean(), rel=1e-12)
    assert float(found.test_loss) == pytest.approx(expected[2:].mean(), rel=1e-12)
    assert [float(share) for share in (found.train_accuracy, found.test_accuracy, found.all_accuracy)] == [1, 0, 0.5]
    assert found.novel_loss is None
    assert found.novel_accuracy is None


@pytest.mark.parametrize(("trained_with", "expected"), [(hinge(), [0, 0, 4, 1.5]), (mse(), [1, 0, 16, 2.25])])
def test_the_loss_is_the_one_that_the_run_was_trained_with(trained_with, expected):
    found = loss.loss(checkpoint(parity(), [[2.0], [-1.0], [-3.0], [0.5]], trained_with))
    assert float(found.all_loss) == pytest.approx(np.mean(expected), rel=1e-12)
    assert (found.loss_name, found.loss_units) == (trained_with.name, "")


def test_values_are_neither_right_nor_wrong():
    task = Task("a function", torch.zeros(4, 3), torch.tensor([[0.5], [1.0], [2.0], [0.0]]), 1, TRAIN)
    found = loss.loss(checkpoint(task, [[0.0], [0.0], [0.0], [0.0]], mse()))
    assert float(found.train_loss) == pytest.approx((0.25 + 1) / 2)
    assert found.train_accuracy is found.test_accuracy is found.all_accuracy is None


def over_two_steps(trained_with, accuracy):
    numbers = {f"{name}_loss": ("step", [2.0, 0.5]) for name in ("train", "test", "all", "novel")}
    shares = {f"{name}_accuracy": ("step", accuracy) for name in ("train", "test", "all", "novel")}
    told = {"loss_name": ("step", ["", trained_with.name]), "loss_units": ("step", ["", trained_with.units])}
    return xr.Dataset(numbers | shares | told, {"step": [0, 100]})


def test_panels_say_which_loss_they_show_where_it_is_not_cross_entropy():
    usual, other = (loss.figure(over_two_steps(one, [0.0, 0.5])) for one in (cross_entropy(), hinge()))
    assert [panel.title for panel in usual] == ["Loss", "Accuracy"]
    assert [panel.title for panel in other] == ["Loss (hinge loss)", "Accuracy"]
    units = [panel.draw().figure["layout"]["yaxis"]["title"]["text"] for panel in (usual[0], other[0])]
    assert units == ["nats", ""]


def test_without_accuracies_the_losses_are_told():
    result = over_two_steps(mse(), [np.nan, np.nan])
    assert [panel.title for panel in loss.figure(result)] == ["Loss (mean squared error)"]
    told = summary("loss", result)
    assert told.sentence == (
        "The loss (mean squared error) ends at 0.5 on the training examples and 0.5 on the test examples."
    )
    assert told.phases == ()


def test_the_trace_of_examples_has_their_confidence_by_the_logistic_function():
    found = pair_trace.pair_trace(checkpoint(parity(), [[2.0], [-1.0], [-3.0], [0.5]]))
    assert found.right.tolist() == [True, True, False, False]
    assert found.trained.tolist() == TRAIN.tolist()
    expected = 1 / (1 + np.exp([-2.0, -1.0, 3.0, 0.5]))
    assert found.confidence.numpy() == pytest.approx(expected, rel=1e-6)


def test_the_trace_of_pairs_and_of_examples_tell_the_same_of_the_same_answers():
    task = modular_arithmetic(p=5, frac_train=0.4)
    outputs = torch.randn(25, 5, generator=torch.Generator().manual_seed(0)).tolist()
    of_pairs = pair_trace.pair_trace(checkpoint(task, outputs))
    plain = Task("the same", task.inputs, task.targets, task.n_outputs, task.train)
    of_examples = pair_trace.pair_trace(checkpoint(plain, outputs))
    for name in ("right", "confidence", "trained"):
        assert torch.equal(getattr(of_pairs, name).flatten(), getattr(of_examples, name))


def test_examples_are_told_from_when_they_stay_right():
    right = np.array([[True, False, True], [False, False, True], [True, True, True]])
    given = {
        "right": (("step", "example"), right),
        "confidence": (("step", "example"), right / 2 + 0.25),
        "trained": (("step", "example"), np.array([[False, False, True]] * 3)),
    }
    result = xr.Dataset(given, {"step": [0, 10, 20], "example": [0, 1, 2]})
    kept = pair_trace.over_run(result)
    assert kept.right_from.tolist() == [20, 20, 0]
    result["right_from"] = ("example", kept.right_from)
    for name in ("examined", "kept", "forgotten", "all_right_from", "train_right_from", "test_right_from"):
        result[name] = getattr(kept, name)
    told = summary("pair_trace", result)
    expected = {"right": 3, "all": 3, "test_step": 20, "train_step": 0, "last_step": 20, "forgotten": 0}
    assert told.values == expected
    assert "Each of the 3 examples is right from step 20 on" in told.sentence
    for panel in pair_trace.figure(result):
        assert panel.draw().figure["data"]


def test_an_example_is_forgotten_only_where_it_was_known():
    """Of ten others, nine are right at step 10, of which two are lost; a lucky guess at step 0 counts as nothing."""
    right = np.zeros((3, 12), bool)
    right[:, :2] = True  # those trained on
    right[0, 11] = right[1, 2:11] = right[2, 4:11] = True
    given = {
        "right": (("step", "example"), right),
        "confidence": (("step", "example"), right / 2 + 0.25),
        "trained": (("step", "example"), np.array([[True] * 2 + [False] * 10] * 3)),
    }
    kept = pair_trace.over_run(xr.Dataset(given, {"step": [0, 10, 20], "example": range(12)}))
    assert kept.forgotten == 2


@pytest.fixture(scope="module")
def of_parity(tmp_path_factory):
    """A run of a deep perceptron on strings of bits."""
    folder = tmp_path_factory.mktemp("parity")
    task = {"sparse_parity": {"n": 8, "k": 2, "n_train": 60, "n_test": 40}}
    (folder / "run.yaml").write_text(json.dumps({"task": task, "model": {"perceptron": {"widths": [10, 9]}}}))
    store = CheckpointBlocks(folder / "weights")
    for step in (0, 10):
        initial = open_run(folder).architecture.initial(step)
        store.save(step, {name: weight.numpy() for name, weight in initial.items()})
    return open_run(folder)


@pytest.mark.parametrize(
    "measure", ["complexity", "keskar_sharpness", "loss", "pair_trace", "sam_sharpness", "spectral", "weight_norm"]
)
def test_what_needs_no_operands_has_numbers_panels_and_a_sentence(of_parity, measure):
    result = of_parity.measure(measure)
    assert not account.blank_steps(result).any()
    panels = account.panels(measure, result)
    titles = [panel.title for panel in panels]
    assert titles
    assert len(set(titles)) == len(titles)
    for panel in panels:
        assert panel.draw().figure["data"]
    told = summary(measure, result)
    assert told.sentence.endswith(".")
    assert "nan" not in told.sentence


def test_each_layer_has_its_own_curve(of_parity):
    _, by_parameter = account.panels("weight_norm", of_parity.measure("weight_norm"))
    names = [line["name"] for line in by_parameter.draw().figure["data"]]
    assert names == ["mlp.0.W_in", "mlp.0.b_in", "mlp.1.W_in", "mlp.1.b_in", "W_U"]


@pytest.mark.parametrize("measure", ["embedding_dft", "gradient_symmetricity", "key_freqs", "restricted_loss"])
def test_what_needs_operands_says_so_in_one_line(of_parity, measure):
    with pytest.raises(NothingToSay, match=r"^the task is not one of two operands"):
        of_parity.measure(measure)
