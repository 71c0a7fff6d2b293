"""Squared errors and margins against what PyTorch computes, or a line of arithmetic."""

from __future__ import annotations

import torch

from interp.losses.hinge import hinge
from interp.losses.mse import mse

CLASSES = torch.tensor([0, 2, 1, 1])


def outputs(n: int) -> torch.Tensor:
    return torch.randn(4, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_squared_error_of_classes_is_against_one_hot_rows() -> None:
    z = outputs(3)
    expected = torch.nn.functional.mse_loss(z, torch.eye(3, dtype=torch.float64)[CLASSES])
    torch.testing.assert_close(mse().mean(z, CLASSES), expected)


def test_the_squared_error_of_values_is_against_the_values() -> None:
    z, y = outputs(3), outputs(3).flip(0).float()
    torch.testing.assert_close(mse().mean(z, y), torch.nn.functional.mse_loss(z, y.double()))
    torch.testing.assert_close(mse().per_example(z[:, :1], y[:, 0]), (z[:, 0] - y[:, 0].double()) ** 2)


def test_the_squared_error_of_one_output_is_against_minus_and_plus_one() -> None:
    z = torch.tensor([[3.0], [3.0]])
    torch.testing.assert_close(mse().per_example(z, torch.tensor([0, 1])), torch.tensor([16.0, 4.0]))


def test_one_output_lacks_what_its_margin_is_under_one() -> None:
    z = torch.tensor([[2.0], [0.25], [0.25], [-3.0]])
    assert hinge().per_example(z, torch.tensor([1, 1, 0, 0])).tolist() == [0, 0.75, 1.25, 0]


def test_several_outputs_lack_what_the_right_one_is_under_the_largest_other_plus_one() -> None:
    z = torch.tensor([[5.0, 1.0, 4.5], [1.0, 3.0, 0.0], [1.0, 2.0, 7.0]])
    assert hinge().per_example(z, torch.tensor([0, 1, 1])).tolist() == [0.5, 0, 6]


def test_it_does_not_move_what_is_right_by_the_margin() -> None:
    z = torch.tensor([[5.0, 1.0], [1.0, 1.5]])
    assert hinge().derivatives(z, torch.tensor([0, 1])).slope.tolist() == [[0, 0], [1, -1]]
