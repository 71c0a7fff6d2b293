"""How far a run is from its start, against the definitions in a few lines of torch."""

from __future__ import annotations

import pytest
import torch

from tests.told import summary

TASK = {"sparse_parity": {"n": 8, "k": 2, "n_train": 40, "n_test": 30, "outputs": 1}}
MODEL = {"perceptron": {"widths": [6]}}


@pytest.fixture
def run(make_run):
    shapes = make_run({}, TASK, MODEL, name="empty").architecture.shapes
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    other = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return make_run({0: weights, 5: {n: 1.5 * value for n, value in weights.items()}, 9: other}, TASK, MODEL)


def test_the_kernel_is_that_of_the_test_examples_and_is_held_against_the_targets(run):
    found = run[9].measure("lazy_rich")
    task = run.task
    x, y = task.inputs[~task.train].double(), 2.0 * task.targets[~task.train] - 1
    weights = {name: value.double() for name, value in run[9].weights.items()}
    jacobian = torch.func.jacrev(lambda w: run.architecture.activations(w, x)["logits"][:, 0])(weights)
    J = torch.cat([one.reshape(len(x), -1) for one in jacobian.values()], dim=1)
    K = J @ J.T
    torch.testing.assert_close(found.kernel, K)
    y = y.double()
    assert found.alignment == pytest.approx(float(y @ K @ y / (K.norm() * y @ y)), rel=1e-9)


def test_weights_half_as_large_again_have_moved_by_half(run):
    found = [run[step].measure("lazy_rich") for step in (0, 5)]
    assert found[0].weight_change == found[0].kernel_change == 0
    assert found[1].weight_change == pytest.approx(0.5, rel=1e-6)


def test_how_far_it_went_is_told(run):
    told = summary("lazy_rich", run.measure("lazy_rich")).sentence
    assert told.startswith("The distance of the weights from their start, over the norm that they had there, goes from")
