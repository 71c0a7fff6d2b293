"""What every loss owes: derivatives that are those of its number, and one line where it does not suit the targets."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.contracts.loss import Loss
from interp.errors import NothingToSay
from interp.losses.cross_entropy import cross_entropy
from interp.losses.hinge import hinge
from interp.losses.logistic import logistic
from interp.losses.mse import mse
from interp.losses.stablemax import stablemax

EXAMPLES = 5
LOSSES = [cross_entropy, hinge, mse]
CONVEX = [
    *((loss, n) for loss in LOSSES for n in (1, 3)),
    (logistic, 1),
    (lambda: logistic(0.1, 1.2), 1),
    (lambda: cross_entropy("examples_and_classes"), 3),
    (lambda: hinge("examples_and_classes"), 3),
    (lambda: mse("examples"), 3),
    (lambda: mse(centred=True), 3),
]
OF_ONE = [*CONVEX, (stablemax, 3)]


def examples(n_outputs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    outputs = 2 * torch.randn(EXAMPLES, n_outputs, generator=generator, dtype=torch.float64)
    return outputs, torch.arange(EXAMPLES) % max(2, n_outputs)


def dense(of_one: Callable[[Tensor], Tensor], n_outputs: int) -> Tensor:
    """The matrix of each example, [example, output, output], from what it makes of each unit vector."""
    units = torch.eye(n_outputs, dtype=torch.float64)
    return torch.stack([of_one(unit.expand(EXAMPLES, n_outputs)) for unit in units], dim=-1)


@pytest.mark.parametrize(("loss", "n_outputs"), CONVEX)
@pytest.mark.parametrize("by", ["itself", "automatic differentiation"])
def test_slope_curvature_and_root_are_those_of_its_number(loss: Callable[[], Loss], n_outputs: int, by: str) -> None:
    outputs, targets = examples(n_outputs)
    found = (loss().derivatives if by == "itself" else super(type(loss()), loss()).derivatives)(outputs, targets)
    slope = torch.func.jacrev(lambda z: loss().per_example(z, targets).sum())(outputs)
    hessian = torch.func.hessian(lambda z: loss().per_example(z, targets).sum())(outputs)
    own = torch.stack([hessian[i, :, i] for i in range(EXAMPLES)])  # [example, output, output]
    torch.testing.assert_close(found.slope, slope)
    torch.testing.assert_close(dense(found.curved, n_outputs), own)
    root = dense(found.root, n_outputs)
    torch.testing.assert_close(root @ root.mT, own, rtol=1e-7, atol=1e-9)


def test_stablemax_has_the_slope_and_curvature_of_its_number_and_no_root() -> None:
    outputs, targets = examples(3)
    found = stablemax().derivatives(outputs, targets)
    hessian = torch.func.hessian(lambda z: stablemax().per_example(z, targets).sum())(outputs)
    torch.testing.assert_close(dense(found.curved, 3), torch.stack([hessian[i, :, i] for i in range(EXAMPLES)]))
    with pytest.raises(NothingToSay, match="is not convex in the outputs"):
        found.root(outputs)


def test_stablemax_is_minus_the_logarithm_of_its_share() -> None:
    z = np.array([[-3.0, 0.0, 2.5], [1e4, -1e4, 7.0]])
    s = np.where(z >= 0, z + 1, 1 / (1 - np.minimum(z, 0)))
    expected = -np.log(s[[0, 1], [2, 1]] / s.sum(axis=1))
    found = stablemax().per_example(torch.from_numpy(z), torch.tensor([2, 1]))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_the_mean_over_the_classes_too_is_a_kth_and_centred_targets_sum_to_nothing() -> None:
    outputs, targets = examples(3)
    onehot = np.eye(3)[targets]
    z = outputs.numpy()
    log_softmax = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    own = cross_entropy("examples_and_classes").mean(outputs, targets)
    assert float(own) == pytest.approx(-(onehot * log_softmax).mean(), rel=1e-13)  # as in PAIR's code
    centred = mse("examples", centred=True).per_example(outputs, targets)
    np.testing.assert_allclose(centred, ((z - (onehot - 1 / 3)) ** 2).sum(axis=1), rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("loss", "n_outputs"), OF_ONE)
def test_the_mean_is_that_of_the_examples_in_their_precision(
    loss: Callable[[], Loss], n_outputs: int, dtype: torch.dtype
) -> None:
    outputs, targets = examples(n_outputs)
    each, mean = loss().per_example(outputs.to(dtype), targets), loss().mean(outputs.to(dtype), targets)
    assert each.dtype == mean.dtype == dtype
    torch.testing.assert_close(mean, each.mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("loss", "n_outputs"), OF_ONE)
def test_the_slope_that_is_written_for_training_is_that_of_the_mean(
    loss: Callable[[], Loss], n_outputs: int, dtype: torch.dtype
) -> None:
    outputs, targets = examples(n_outputs)
    leaf = (20 * outputs).to(dtype).requires_grad_()
    (expected,) = torch.autograd.grad(loss().mean(leaf, targets), leaf)
    at, slope = leaf.detach(), torch.full_like(expected, torch.nan)
    write = loss().slope_writer(targets, at)
    for _ in range(2):
        assert math.isfinite(write(at, slope))
        torch.testing.assert_close(slope, expected)
    for value in (torch.nan, torch.inf, -torch.inf):
        wrong = at.clone()
        wrong[0, -1], wrong[1, -1] = value, -value
        finite = math.isfinite(loss().mean(wrong, targets).item())
        assert math.isfinite(write(wrong, slope)) == finite


@pytest.mark.parametrize(
    ("loss", "targets", "message"),
    [
        (
            cross_entropy,
            torch.zeros(EXAMPLES),
            "cross_entropy is for targets that are one class .* values: take .* mse",
        ),
        (hinge, torch.zeros(EXAMPLES), "hinge is for targets that are one class .* values"),
        (cross_entropy, torch.zeros(EXAMPLES, 2, dtype=torch.long), r"of shape \[2\] an example"),
        (
            logistic,
            torch.zeros(EXAMPLES).long(),
            "logistic is for networks of one output, and this has 3: take",
        ),
        (lambda: mse(centred=True), torch.zeros(EXAMPLES, 3), "centred is for classes with an output each"),
        (mse, torch.zeros(EXAMPLES, 2), r"the task has \[2\] values an example, the network 3 outputs"),
    ],
)
def test_targets_that_it_is_not_for_are_refused_in_one_line(
    loss: Callable[[], Loss], targets: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        loss().per_example(examples(3)[0], targets)
    assert "\n" not in str(error.value)
