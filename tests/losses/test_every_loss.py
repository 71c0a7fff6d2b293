"""What every loss owes: derivatives that are those of its number, and one line where it does not suit the targets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from interp.contracts.loss import Loss
from interp.losses.cross_entropy import cross_entropy
from interp.losses.hinge import hinge
from interp.losses.mse import mse

EXAMPLES = 5
LOSSES = [cross_entropy, hinge, mse]


def examples(n_outputs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    outputs = 2 * torch.randn(EXAMPLES, n_outputs, generator=generator, dtype=torch.float64)
    return outputs, torch.arange(EXAMPLES) % max(2, n_outputs)


def dense(of_one: Callable[[Tensor], Tensor], n_outputs: int) -> Tensor:
    """The matrix of each example, [example, output, output], from what it makes of each unit vector."""
    units = torch.eye(n_outputs, dtype=torch.float64)
    return torch.stack([of_one(unit.expand(EXAMPLES, n_outputs)) for unit in units], dim=-1)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_is_that_of_the_examples_in_their_precision(
    loss: Callable[[], Loss], n_outputs: int, dtype: torch.dtype
) -> None:
    outputs, targets = examples(n_outputs)
    each, mean = loss().per_example(outputs.to(dtype), targets), loss().mean(outputs.to(dtype), targets)
    assert each.dtype == mean.dtype == dtype
    torch.testing.assert_close(mean, each.mean())


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
        (mse, torch.zeros(EXAMPLES, 2), r"the task has \[2\] values an example, the network 3 outputs"),
    ],
)
def test_targets_that_it_is_not_for_are_refused_in_one_line(
    loss: Callable[[], Loss], targets: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        loss().per_example(examples(3)[0], targets)
    assert "\n" not in str(error.value)
