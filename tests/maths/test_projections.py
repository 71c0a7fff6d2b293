"""Against unit vectors over all pairs and triples, written out."""

from __future__ import annotations

import math

import pytest
import torch

from interp.maths import projections
from tests.tables import grid, noise, onto_waves


def by_answer(n: int) -> torch.Tensor:
    place = torch.arange(n)
    return (place[:, None] - place) % n


@pytest.mark.parametrize("n", [7, 8])
def test_the_projection_of_the_mean_is_that_of_the_logits(n: int) -> None:
    table = noise(n)
    mean = table[torch.arange(n), by_answer(n)].mean(1)
    found = projections.onto_answer_waves(mean)
    assert found.shape == (n, n, n // 2 + 1)
    assert not found[..., 0].any()
    sums = (torch.arange(n)[:, None] + torch.arange(n)) % n
    for k in range(1, n // 2 + 1):
        torch.testing.assert_close(found[sums][..., k], onto_waves(table, [k]), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n", [7, 8])
def test_all_projections_and_the_mean_make_the_table(n: int) -> None:
    mean = noise(n)[0]
    whole = projections.onto_answer_waves(mean).sum(-1) + mean.mean(0)
    torch.testing.assert_close(whole, mean, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n", [7, 8])
def test_coefficients_are_those_of_least_squares_over_all_triples(n: int) -> None:
    a, b, c = grid(n)
    table = noise(n)
    waves = [torch.cos(2 * math.pi * k * (a + b - c) / n).flatten() for k in range(1, n // 2 + 1)]
    expected = torch.linalg.lstsq(torch.stack(waves, 1), table.flatten()[:, None]).solution[:, 0]
    found = projections.cosine_coefficients(table[torch.arange(n), by_answer(n)].mean(1))
    torch.testing.assert_close(found, torch.cat([torch.zeros(1), expected]).double(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("n", [7, 8])
def test_cosine_logits_are_the_cosines_of_the_answer_less_c(n: int) -> None:
    coefficient = torch.arange(n // 2 + 1).double()
    found = projections.cosine_logits(coefficient, n)
    s, c = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    for k in range(n // 2 + 1):
        expected = k * torch.cos(2 * math.pi * k * (s - c).double() / n)
        torch.testing.assert_close(found[..., k], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [7, 8])
def test_pizza_weights_do_not_depend_on_how_a_difference_is_written(n: int) -> None:
    k = torch.arange(n // 2 + 1).double()
    for d in range(n):
        for same in (d, d - n, d + n):
            expected = torch.cos(2 * math.pi * k / n * same / 2).abs()
            torch.testing.assert_close(projections.pizza_weights(n)[d], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [7, 8])
def test_the_power_of_the_waves_is_that_of_the_projections(n: int) -> None:
    table = noise(n)
    found = projections.power_of_waves(table[torch.arange(n), by_answer(n)].mean(1))
    expected = [0.0] + [float(onto_waves(table, [k]).square().sum()) for k in range(1, n // 2 + 1)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)
