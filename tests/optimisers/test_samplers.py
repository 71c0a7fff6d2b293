"""Langevin dynamics and Hamiltonian Monte Carlo against distributions that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.errors import InterpError
from interp.optimisers.hmc import hmc
from interp.optimisers.langevin import langevin
from tests.optimisers.rows import advance, rows

CURVATURES = (0.5, 1.0, 3.0)


@pytest.mark.parametrize("prior", [None, 0.4])
def test_langevin_s_variance_on_a_quadratic_is_the_one_that_its_step_settles_at(prior: float | None) -> None:
    """Of w ← w - η k w + √(2ηT) ε the variance is v = (1 - ηk)² v + 2ηT, with k the curvature and the prior's pull."""
    lr, temperature, width = 0.2, 0.3, 4_000
    rule = langevin(lr, temperature, prior)
    stacked = rows(rule, members=len(CURVATURES), width=width)
    h = torch.tensor(CURVATURES, dtype=torch.float64)[:, None]
    advance([rule] * len(CURVATURES), stacked, range(300), of=lambda w, _: h * w)
    for row, curvature in zip(stacked.weights, CURVATURES, strict=True):
        k = curvature + (temperature / prior if prior else 0)
        expected = 2 * temperature / (k * (2 - lr * k))
        assert float(row.var()) == pytest.approx(expected, rel=5 * (2 / width) ** 0.5)
        assert float(row.mean()) == pytest.approx(0, abs=5 * (expected / width) ** 0.5)


def test_a_prior_s_pattern_that_names_no_weight_is_refused_with_those_there_are() -> None:
    rule = langevin(prior={"frist": 1.0})
    with pytest.raises(InterpError, match="'frist', and no weight is named so; did you mean 'first'"):
        advance([rule] * 3, rows(rule), range(1))


def drawn(sampler_of: dict[str, Tensor], matrix: Tensor, count: int, **options: object) -> np.ndarray:
    """The weights after each trajectory, where the loss is wᵀ A w/2 over all weights together."""
    for weight in sampler_of.values():
        weight.grad = torch.zeros_like(weight)
    sampler = hmc(sampler_of, **options)  # pyright: ignore[reportArgumentType]

    def evaluate() -> float:
        w = torch.cat([weight.flatten() for weight in sampler_of.values()])
        slope, start = matrix @ w, 0
        for weight in sampler_of.values():
            weight.grad.copy_(slope[start : start + weight.numel()].view_as(weight))  # pyright: ignore
            start += weight.numel()
        return float(w @ matrix @ w) / 2

    found = []
    for _ in range(count):
        evaluate()
        sampler.update(evaluate, 1.0)
        found.append(torch.cat([weight.flatten() for weight in sampler_of.values()]).clone())
    assert 0.6 < int(sampler.state()["accepted"]) / count <= 1
    return torch.stack(found).numpy()


@pytest.mark.parametrize("leapfrog", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_hmc_draws_from_a_gaussian_with_its_prior_however_coarse_the_path(leapfrog: int) -> None:
    A = torch.tensor([[2.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 0.5]], dtype=torch.float64)
    temperature, variances = 0.5, (0.3, 0.3, 2.0)
    weights = {"a": torch.zeros(2, dtype=torch.float64), "b": torch.zeros(1, dtype=torch.float64)}
    draws = drawn(
        weights, A, 3_000, step_size=0.7, leapfrog=leapfrog, temperature=temperature, prior={"a": 0.3, "b": 2.0}
    )
    expected = np.linalg.inv(A.numpy() / temperature + np.diag([1 / v for v in variances]))
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.1 * np.diag(expected).max())


def test_a_resumed_sampler_draws_what_it_would_have_drawn() -> None:
    A = torch.eye(2, dtype=torch.float64)
    one, other = ({"w": torch.ones(2, dtype=torch.float64)} for _ in range(2))
    whole = drawn(one, A, 6, step_size=0.3, leapfrog=3, temperature=1.0)
    again = drawn(other, A, 6, step_size=0.3, leapfrog=3, temperature=1.0)
    np.testing.assert_array_equal(whole, again)
