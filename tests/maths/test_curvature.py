from __future__ import annotations

import weakref

import pytest
import torch

from interp.losses.cross_entropy import cross_entropy
from interp.losses.hinge import hinge
from interp.losses.mse import mse
from interp.maths.curvature import Curvature

EXAMPLES, INPUTS, HIDDEN, CLASSES = 12, 4, 5, 3


def curvature_of(logits, weights, answers, loss=cross_entropy, at=None):
    """That of the loss at `weights`, its products in the precision of `at`."""
    return Curvature(logits, weights if at is None else at, loss().derivatives(logits(weights), answers))


def data(seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(EXAMPLES, INPUTS, generator=generator, dtype=torch.float64)
    answers = torch.randint(0, CLASSES, (EXAMPLES,), generator=generator)
    weights = torch.randn(INPUTS * HIDDEN + HIDDEN * CLASSES, generator=generator, dtype=torch.float64)
    return inputs, answers, weights


def two_layers(inputs):
    def logits(weights):
        first, second = weights.split([INPUTS * HIDDEN, HIDDEN * CLASSES])
        return torch.tanh(inputs.to(weights) @ first.view(INPUTS, HIDDEN)) @ second.view(HIDDEN, CLASSES)

    return logits


def of_two_layers():
    inputs, answers, weights = data()
    logits = two_layers(inputs)
    return curvature_of(logits, weights, answers), logits, weights, answers


def softmax_part(p):
    """(1/N) (diag p - p pᵀ) of each example, as one matrix over all logits of all examples."""
    return torch.block_diag(*[torch.diag(row) - torch.outer(row, row) for row in p]) / len(p)


def test_the_curvature_of_softmax_regression_is_its_closed_form():
    inputs, answers, _ = data()
    weights = torch.randn(INPUTS * CLASSES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits = lambda w: inputs.to(w) @ w.view(INPUTS, CLASSES)  # noqa: E731
    found = curvature_of(logits, weights, answers)
    p = logits(weights).softmax(1)
    closed = sum(
        torch.kron(torch.outer(x, x), torch.diag(row) - torch.outer(row, row)) for x, row in zip(inputs, p, strict=True)
    )
    slope = p - torch.nn.functional.one_hot(answers, CLASSES)
    everything = torch.eye(len(weights), dtype=torch.float64)
    torch.testing.assert_close(found.hessian(everything), closed / EXAMPLES, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(found.gauss_newton(everything), closed / EXAMPLES, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(found.gradient, (inputs.T @ slope / EXAMPLES).flatten(), rtol=1e-12, atol=1e-15)


def test_the_hessian_of_two_layers_is_that_of_differentiating_the_plain_loss_twice():
    found, logits, weights, answers = of_two_layers()
    plain = torch.autograd.functional.hessian(lambda w: torch.nn.functional.cross_entropy(logits(w), answers), weights)
    torch.testing.assert_close(found.hessian(torch.eye(len(weights), dtype=torch.float64)), plain)


def test_the_gauss_newton_matrix_of_two_layers_is_jacobian_times_softmax_times_jacobian():
    found, logits, weights, _ = of_two_layers()
    jacobian = torch.func.jacrev(logits)(weights).flatten(0, 1)
    closed = jacobian.T @ softmax_part(logits(weights).softmax(1)) @ jacobian
    torch.testing.assert_close(found.gauss_newton(torch.eye(len(weights), dtype=torch.float64)), closed)


def test_the_root_times_its_transpose_is_the_gauss_newton_matrix():
    found, _, weights, _ = of_two_layers()
    unit = torch.eye(EXAMPLES * CLASSES, dtype=torch.float64).view(-1, EXAMPLES, CLASSES)
    rows = found.gauss_newton_root(unit)
    torch.testing.assert_close(rows.T @ rows, found.gauss_newton(torch.eye(len(weights), dtype=torch.float64)))


@pytest.mark.parametrize("loss", [mse, hinge])
def test_the_hessian_of_any_loss_is_that_of_differentiating_it_twice(loss):
    inputs, answers, weights = data()
    logits = two_layers(inputs)
    found = curvature_of(logits, weights, answers, loss)
    plain = torch.autograd.functional.hessian(lambda w: loss().mean(logits(w), answers), weights)
    torch.testing.assert_close(found.hessian(torch.eye(len(weights), dtype=torch.float64)), plain)


def test_the_gauss_newton_matrix_of_squared_errors_is_the_jacobian_times_itself():
    inputs, answers, weights = data()
    logits = two_layers(inputs)
    found = curvature_of(logits, weights, answers, mse)
    jacobian = torch.func.jacrev(logits)(weights).flatten(0, 1)
    expected = 2 / CLASSES / EXAMPLES * jacobian.T @ jacobian
    torch.testing.assert_close(found.gauss_newton(torch.eye(len(weights), dtype=torch.float64)), expected)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_float32_keeps_its_digits_where_the_answers_are_all_but_certain(scale):
    inputs, _, weights = data()
    logits, weights = two_layers(inputs), weights.clone()
    weights[INPUTS * HIDDEN :] *= scale
    answers = logits(weights).argmax(1)
    loss = torch.nn.functional.cross_entropy(logits(weights), answers)
    assert scale == 1 or loss < 1e-6
    exact = curvature_of(logits, weights, answers)
    quick = curvature_of(logits, weights, answers, at=weights.float())
    vectors = torch.randn(6, len(weights), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for matrix in ("hessian", "gauss_newton"):
        reference = getattr(exact, matrix)(vectors)
        difference = getattr(quick, matrix)(vectors.float()).double() - reference
        assert difference.norm() < 1e-4 * reference.norm()


def test_a_curvature_that_is_done_with_is_freed():
    found, *_ = of_two_layers()
    found.hessian(torch.ones(1, INPUTS * HIDDEN + HIDDEN * CLASSES, dtype=torch.float64))
    found.gauss_newton(torch.ones(1, INPUTS * HIDDEN + HIDDEN * CLASSES, dtype=torch.float64))
    graph = weakref.ref(found._gradient)
    del found
    assert graph() is None
