"""Accuracy under attack, against the closed form of linear classifiers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from interp.errors import NothingToSay
from tests.planted import linear_perceptron
from tests.told import summary

COUNT, SIZE = 60, 5
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(COUNT, SIZE, generator=GENERATOR)
TRAIN = np.arange(COUNT) < 40


def linear(on_vectors, W, b, targets, scale=1.0, name="run"):
    """A linear classifier, whose outputs may be so large that the gradient of its cross-entropy is 0."""
    arrays = {"inputs": INPUTS.numpy(), "targets": np.asarray(targets), "train": TRAIN}
    weights = {0: linear_perceptron(scale * W, scale * b)}
    return on_vectors(arrays, weights, name=name, widths=[SIZE], biases="all")[0]


def withstands(W, b, targets, epsilon, low=-np.inf, high=np.inf):
    """Whether each example stays right in its box: z_y - z_k has its least in a corner, coordinate by coordinate."""
    x = INPUTS.double()
    z, y = x @ W + b, torch.as_tensor(targets)
    apart = W[:, y].T[:, :, None] - W[None]  # [example, coordinate, class]
    lower, upper = (x - epsilon).clamp(min=low) - x, (x + epsilon).clamp(max=high) - x
    worst = torch.minimum(apart * lower[:, :, None], apart * upper[:, :, None]).sum(dim=1)
    least = z.gather(1, y[:, None]) - z + worst
    return (least > 0).scatter(1, y[:, None], True).all(dim=1).numpy()  # the class itself is not ahead of itself


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_of_a_linear_classifier_it_is_the_margin_over_the_l1_norm(on_vectors, classes, scale):
    W, b = torch.randn(SIZE, classes, generator=GENERATOR).double(), torch.randn(classes, generator=GENERATOR).double()
    targets = (INPUTS.double() @ W + b).argmax(dim=1)
    targets[::7] = (targets[::7] + 1) % classes  # some are wrong anyway
    checkpoint = linear(on_vectors, W, b, targets, scale)
    for epsilon in (0.05, 0.2, 0.5):
        found = checkpoint.measure("adversarial_accuracy", epsilon=epsilon)
        right = withstands(W, b, targets, epsilon)
        assert (found.train, found.test) == (right[TRAIN].mean(), right[~TRAIN].mean())
        assert found.train_se == found.test_se == 0  # all were looked at
    assert 0 < right.mean() < 1
    assert found.unmoved_train == pytest.approx(float((torch.arange(40) % 7 != 0).double().mean()))


def test_of_one_output_the_sign_answers(make_run, tmp_path):
    w, b = torch.randn(SIZE, 1, generator=GENERATOR).double(), torch.tensor([0.3]).double()
    z = (INPUTS.double() @ w + b)[:, 0]
    targets = (z > 0).long()
    np.savez(tmp_path / "data.npz", inputs=INPUTS.numpy(), targets=targets.numpy(), train=TRAIN)
    task = {"examples": {"file": str(tmp_path / "data.npz"), "n_outputs": 1}}
    model = {"perceptron": {"widths": [SIZE], "biases": "all"}}
    checkpoint = make_run({0: linear_perceptron(w, b)}, task, model)[0]
    right = z.abs() > 0.1 * w.abs().sum()
    assert 0 < right[~TRAIN].double().mean() < 1
    assert checkpoint.measure("adversarial_accuracy", epsilon=0.1).test == float(right[~TRAIN].double().mean())


def test_steps_too_short_for_the_box_reach_as_far_as_they_go(on_vectors):
    W, b = torch.randn(SIZE, 2, generator=GENERATOR).double(), torch.zeros(2).double()
    targets = (INPUTS.double() @ W).argmax(dim=1)
    checkpoint = linear(on_vectors, W, b, targets)
    short = checkpoint.measure("adversarial_accuracy", epsilon=5.0, iterations=3, step_size=0.1).train
    assert short == withstands(W, b, targets, 0.3)[TRAIN].mean()


def test_in_range_nothing_is_moved_beyond_the_inputs(on_vectors):
    W, b = torch.randn(SIZE, 3, generator=GENERATOR).double(), torch.zeros(3).double()
    targets = (INPUTS.double() @ W).argmax(dim=1)
    found = linear(on_vectors, W, b, targets).measure("adversarial_accuracy", epsilon=2.0, in_range=True)
    right = withstands(W, b, targets, 2.0, float(INPUTS.min()), float(INPUTS.max()))
    assert found.train == right[TRAIN].mean()


def test_a_sample_has_the_error_of_a_share_of_a_finite_set(on_vectors):
    W, b = torch.randn(SIZE, 2, generator=GENERATOR).double(), torch.zeros(2).double()
    found = linear(on_vectors, W, b, (INPUTS.double() @ W).argmax(dim=1)).measure(
        "adversarial_accuracy", epsilon=0.4, examples=30
    )
    share = found.train
    assert found.train_se == pytest.approx(math.sqrt(share * (1 - share) / 29 * (1 - 30 / 40)))
    assert found.test_se == 0


def test_values_have_no_right_answers(on_vectors):
    arrays = {"inputs": INPUTS.numpy(), "targets": INPUTS[:, :1].numpy(), "train": TRAIN}
    weights = {0: linear_perceptron(torch.ones(SIZE, 1), torch.zeros(1))}
    run = on_vectors(arrays, weights, widths=[SIZE], biases="all")
    with pytest.raises(NothingToSay, match="asks for values, not for classes"):
        run[0].measure("adversarial_accuracy")


def test_the_nearest_code_answers_as_the_largest_output_does(make_run):
    """Of the images of digits, by their classes and by one-hot vectors."""
    found = []
    for targets, loss in (("class", "cross_entropy"), ("one_hot", "mse")):
        task, model = {"images": {"n_train": 60, "n_test": 40, "targets": targets}}, {"perceptron": {"widths": [12]}}
        weights = make_run({}, task, model, f"empty {targets}", loss).architecture.initial(3)
        asked = make_run({0: weights}, task, model, targets, loss)[0].measure("adversarial_accuracy", epsilon=0.01)
        found.append((asked.train, asked.test, asked.unmoved_train))
    assert found[0] == found[1]
    assert found[0][0] > 0


def test_when_half_are_right_and_when_they_stay_so_is_told(on_vectors):
    """The readout begins turned round, and is right from step 10 on."""
    targets = (INPUTS[:, 0] > 0).long()
    arrays = {"inputs": INPUTS.numpy(), "targets": targets.numpy(), "train": TRAIN}
    w = torch.zeros(SIZE, 2).double()
    w[0, 1] = 1
    stages = {0: -w, 10: w, 20: w}
    weights = {step: linear_perceptron(one, torch.zeros(2)) for step, one in stages.items()}
    run = on_vectors(arrays, weights, widths=[SIZE], biases="all")
    result = run.measure("adversarial_accuracy", epsilon=0.01)
    assert (float(result.known_step), float(result.robust_step), float(result.robustness_delay)) == (10, 10, 0)
    far = run.measure("adversarial_accuracy", epsilon=3.0)
    assert np.isnan(float(far.robust_step))
    told = summary("adversarial_accuracy", far).sentence
    assert told == (
        "The share of the test examples that stay right when each number is moved by 3 stays at 0%; half of them are "
        "right by step 10, and moved at none."
    )
