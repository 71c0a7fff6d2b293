"""Langevin dynamics: gradient descent with noise, which draws networks from a posterior."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from interp.contracts.optimiser import Column, Rows, UpdateRule
from interp.optimisers.shared.prior import Prior, variances


def langevin(
    lr: PositiveFloat = 1e-3, temperature: NonNegativeFloat = 1e-4, prior: Prior = None, seed: NonNegativeInt = 0
) -> Langevin:
    r"""w ← w - lr·(∇L + T·w/s²) + √(2·lr·T)·ε, with T the temperature, s² the prior's variance and ε from N(0, 1).

    As lr goes to 0, the weights are in the long run distributed as exp(-L(w)/T) times a Gaussian of variance s²: the
    posterior of a network that was seen with noise. L is the mean loss, so that Rubin et al.'s noise variance σ² in
    Σ(y - f)²/(2σ²) over n examples is T = 2σ²/n with the loss mse. In their networks s² is σ_w²/d for the first
    weights and σ_a²/N for the last: `prior: {"mlp.W_in": 0.0033, "unembed.W_U": 1e-5}`, by patterns of names; a number
    is that of all weights, and without a prior there is no pull to 0. Their paper prints a noise of 2σ, which does not
    go with its prior; the scale here is derived: with L = h·w²/2 the variance settles at T/(h·(1 - lr·h/2)).

    Paper: Rubin et al. 2023, arXiv 2310.03789
    """
    pairs = tuple(prior.items()) if isinstance(prior, dict) else prior
    return Langevin(lr, temperature, pairs, seed)


@dataclass(frozen=True)
class Langevin(UpdateRule):
    lr: float
    temperature: float
    prior: tuple[tuple[str, float], ...] | float | None
    """Variances by pattern, or one for all."""
    seed: int

    @property
    def draws(self) -> int | None:
        return self.seed

    @property
    def operations(self) -> Hashable:
        return self.prior

    def check(self, weights: Iterable[str]) -> None:
        self._variances(weights)

    def _variances(self, weights: Iterable[str]) -> dict[str, float | None]:
        prior = dict(self.prior) if isinstance(self.prior, tuple) else self.prior
        return variances("langevin", prior, weights)

    def numbers(self, update: int, rate: float) -> tuple[float, ...]:  # noqa: ARG002 (the same at every update)
        """The learning rate, it times the temperature, and the scale of the noise."""
        eta = self.lr * rate
        return eta, eta * self.temperature, math.sqrt(2 * eta * self.temperature)

    def move(self, rows: Rows, *numbers: Column) -> None:
        eta, eta_T, noise = numbers
        first, second = rows.scratch
        pull = torch.mul(rows.weights, eta_T, out=first)
        for name, variance in self._variances(rows.parts).items():
            pull[:, rows.parts[name]].mul_(1 / variance if variance else 0.0)
        rows.weights.sub_(pull).sub_(torch.mul(rows.gradients, eta, out=second))
        rows.weights.add_(rows.draw_normal(first.zero_()).mul_(noise))
