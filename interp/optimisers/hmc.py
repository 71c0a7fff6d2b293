"""Hamiltonian Monte Carlo: each update is a trajectory, which is accepted or not, so that the draws are exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from interp.contracts.optimiser import Evaluate
from interp.maths.hamiltonian import Dynamics, trajectory
from interp.maths.landscape import flattened, unflattened
from interp.optimisers.shared.prior import Prior, variances


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
    without a prior are in units of 1. Under the prior alone a step is exact, a turn by `step_size` radians, so that
    only the loss asks for small ones. The step of each trajectory is drawn within 20% of it, for a path as long as a
    period of the weights would end where it began. `temperature` and `prior` are those of `langevin`.

    It is for full batches, whose loss is the same at each gradient, and for float64: energies are differences of L/T.

    Formula: H = L/T + \sum_i \frac{w_i^2}{2 s_i^2} + \sum_i \frac{u_i^2}{2}, \quad \dot w_i = s_i u_i, \quad
        \dot u_i = -s_i \, \partial_i (L/T) - w_i/s_i

    Paper: Neal 2011, arXiv 1206.1901; Shahbaba et al. 2014, arXiv 1106.5941; Rubin et al. 2023, arXiv 2310.03789
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
        """Go a trajectory, or back to where it began."""
        scale = self._of_each(lambda variance: math.sqrt(variance or 1.0))
        held = self._of_each(lambda variance: 1.0 if variance else 0.0)
        before = flattened(self._weights).detach()

        def potential(q: Tensor) -> tuple[float, Tensor]:
            self._place(q * scale)
            loss = evaluate()
            return loss / self._temperature, self._gradient() * scale / self._temperature

        dynamics = Dynamics(potential, held)
        step, start = self._step_size * rate, dynamics.at(before / scale)
        end, moved = trajectory(dynamics, start, step, self._leapfrog, self._generator)
        self._place(end.q * scale if moved else before)
        self._trajectories += 1
        self._accepted += moved

    def _of_each(self, number: Callable[[float | None], float]) -> Tensor:
        """A number of each weight, by the variance of its prior."""
        return flattened(
            {name: torch.full_like(weight, number(self._variance[name])) for name, weight in self._weights.items()}
        )

    def _place(self, flat: Tensor) -> None:
        """Put the weights where a flat vector of them all says."""
        parts = unflattened(flat, {name: weight.shape for name, weight in self._weights.items()})
        for name, weight in self._weights.items():
            weight.data.copy_(parts[name])

    def _gradient(self) -> Tensor:
        gradients = {name: weight.grad for name, weight in self._weights.items()}
        return flattened({name: one for name, one in gradients.items() if one is not None})

    def state(self) -> dict[str, Tensor]:
        counts = {"trajectories": self._trajectories, "accepted": self._accepted}
        return {"generator": self._generator.get_state(), **{name: torch.tensor(n) for name, n in counts.items()}}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._generator.set_state(state["generator"])
        self._trajectories, self._accepted = int(state["trajectories"]), int(state["accepted"])
