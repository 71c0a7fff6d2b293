"""Hamiltonian Monte Carlo: each update is a trajectory, which is accepted or not, so that the draws are exact."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from interp.contracts.optimiser import Evaluate
from interp.optimisers.shared.prior import Prior, variances

JITTER = 0.2


def hmc(
    weights: Mapping[str, Tensor],
    step_size: PositiveFloat = 0.05,
    leapfrog: PositiveInt = 20,
    temperature: PositiveFloat = 1e-4,
    prior: Prior = None,
    seed: NonNegativeInt = 0,
) -> HMC:
    r"""Draw from exp(-L(w)/T) times the prior, as `langevin` does in the limit of small steps, here without error.

    An update draws velocities, follows the weights through `leapfrog` steps, each with a gradient over the examples of
    the update, and goes back where the energy that its finite steps have gained is refused (Metropolis). Positions and
    velocities are in units of the prior's standard deviation, so that one `step_size` suits all weights; weights
    without a prior are in units of 1. The step of each trajectory is drawn within 20% of `step_size`, for a path as
    long as a period of the weights would end where it began. `temperature` and `prior` are those of `langevin`.

    It is for full batches, whose loss is the same at each gradient, and for float64: energies are differences of L/T.

    Formula: H = L/T + \sum_i \frac{w_i^2}{2 s_i^2} + \sum_i \frac{u_i^2}{2}, \quad \dot w_i = s_i u_i, \quad
        \dot u_i = -s_i \, \partial_i (L/T) - w_i/s_i

    Paper: Neal 2011, arXiv 1206.1901; Rubin et al. 2023, arXiv 2310.03789
    """
    return HMC(weights, step_size, leapfrog, temperature, variances("hmc", prior, weights), seed)


class HMC:
    """The sampler of one network: `MovesAlone` of the contract."""

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        step_size: float,
        leapfrog: int,
        temperature: float,
        variance: Mapping[str, float | None],
        seed: int,
    ) -> None:
        self._weights, self._variance = weights, variance
        self._step_size, self._leapfrog, self._temperature = step_size, leapfrog, temperature
        self._generator = torch.Generator().manual_seed(seed)
        self._trajectories, self._accepted = 0, 0

    def update(self, evaluate: Evaluate, rate: float) -> None:
        step = self._step_size * rate * (1 + JITTER * (2 * self._uniform() - 1))
        start = {name: weight.detach().clone() for name, weight in self._weights.items()}
        velocity = {
            name: torch.randn(weight.shape, generator=self._generator, dtype=weight.dtype)
            for name, weight in start.items()
        }
        before = self._potential(evaluate()) + _kinetic(velocity)
        self._kick(velocity, step / 2)
        for number in range(self._leapfrog):
            for name, weight in self._weights.items():
                weight.add_(velocity[name], alpha=step * self._scale(name))
            loss = evaluate()
            self._kick(velocity, step if number + 1 < self._leapfrog else step / 2)
        after = self._potential(loss) + _kinetic(velocity)
        self._trajectories += 1
        if math.isfinite(after) and self._uniform() < math.exp(min(before - after, 0.0)):
            self._accepted += 1
            return
        for name, weight in self._weights.items():
            weight.copy_(start[name])

    def _uniform(self) -> float:
        return float(torch.rand((), generator=self._generator, dtype=torch.float64))

    def _scale(self, name: str) -> float:
        """The standard deviation of the prior; 1 without."""
        return math.sqrt(self._variance[name] or 1.0)

    def _kick(self, velocity: Mapping[str, Tensor], step: float) -> None:
        """Change the velocities by what the potential's slope at the present weights does in a time `step`."""
        for name, weight in self._weights.items():
            assert weight.grad is not None
            velocity[name].sub_(weight.grad, alpha=step * self._scale(name) / self._temperature)
            if self._variance[name]:
                velocity[name].sub_(weight.detach(), alpha=step / self._scale(name))

    def _potential(self, loss: float) -> float:
        of_prior = (
            float(weight.detach().double().square().sum()) / (2 * variance)
            for name, weight in self._weights.items()
            if (variance := self._variance[name])
        )
        return loss / self._temperature + math.fsum(of_prior)

    def state(self) -> dict[str, Tensor]:
        counts = {"trajectories": self._trajectories, "accepted": self._accepted}
        return {"generator": self._generator.get_state(), **{name: torch.tensor(n) for name, n in counts.items()}}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._generator.set_state(state["generator"])
        self._trajectories, self._accepted = int(state["trajectories"]), int(state["accepted"])


def _kinetic(velocity: Mapping[str, Tensor]) -> float:
    return math.fsum(float(one.double().square().sum()) / 2 for one in velocity.values())
