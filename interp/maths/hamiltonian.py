r"""Hamiltonian dynamics, which draw from exp(-U) where U is known by its values and its slope.

U(q) = V(q) + Σ_i h_i q_i²/2: what a Gaussian of variance 1 holds has h_i = 1, what is free h_i = 0. Under the Gaussian
alone positions and velocities turn in circles, so a step turns exactly, and only V costs energy (Shahbaba et al. 2014):
most weights of a network are held by nothing but their prior, and a step need not be small for their sake.

1. `leapfrog` is half a kick by -∇V, a turn, and half a kick.
2. `settled` brings a place near those that are drawn often, and finds the step that suits them, by a motion with
   friction and noise whose step follows its own error: it tests nothing, so it wastes no step and is not exact.
3. `trajectory` goes several steps from fresh velocities, and back to where it began where Metropolis' test refuses the
   energy that they gained: so its draws are exact, whatever the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Vector = Float[Tensor, " place"]
Potential = Callable[[Vector], tuple[float, Vector]]
"""q -> V(q) and its slope ∇V(q), which are not finite where V overflows."""

JITTER = 0.2
"""A trajectory's step is drawn within this share: a path as long as a period would end where it began."""
HOPELESS = 1_000.0
"""A trajectory that has gained so much energy is not followed further: its chance is e to the minus that."""
MEMORY = 12
"""Steps after which friction has brought a velocity down to 1/e."""
ERROR = 0.5
"""The energy that one step of `settled` may gain or lose: its step grows below, shrinks above."""
UNDONE = 5.0
"""A step that errs by so many times as much is taken back."""
MOST_UNDONE = 60
"""So many in a row, with a step that shrinks by half each time, and there is no step that suits."""
GROWTH, SHRINKAGE = 1.05, 0.5
WIDEST = math.pi / 2
"""The largest turn of one step."""


@dataclass(frozen=True)
class Place:
    q: Vector
    potential: float
    slope: Vector


@dataclass(frozen=True)
class Dynamics:
    """What moves: a potential, and which coordinates a Gaussian holds."""

    potential: Potential
    held: Vector | float = 1.0
    """1 where a Gaussian of variance 1 holds the coordinate, 0 where it is free; or one number for all."""

    def at(self, q: Vector) -> Place:
        return Place(q, *self.potential(q))

    def energy(self, place: Place, velocity: Vector) -> float:
        of_gaussian = (self.held * place.q.square()).sum() + velocity.square().sum()
        return place.potential + float(of_gaussian) / 2

    def leapfrog(self, place: Place, velocity: Vector, step: float) -> tuple[Place, Vector]:
        kicked = velocity - step / 2 * place.slope
        turn, along = self._turn(step)
        q = place.q + self.held * (turn - 1) * place.q + along * kicked
        kicked = kicked + self.held * ((turn - 1) * kicked - math.sin(step) * place.q)
        there = self.at(q)
        return there, kicked - step / 2 * there.slope

    def _turn(self, step: float) -> tuple[float, Vector | float]:
        """The cosine of the turn, and how far a velocity of 1 moves each coordinate."""
        return math.cos(step), self.held * math.sin(step) + (1 - self.held) * step


def trajectory(
    dynamics: Dynamics, place: Place, step: float, leapfrogs: int, generator: torch.Generator
) -> tuple[Place, bool]:
    """Return the place drawn after this one, and whether it is another: where a trajectory ends, or where it began."""
    step *= 1 + JITTER * (2 * uniform(generator) - 1)
    velocity = normal(place.q, generator)
    before, there = dynamics.energy(place, velocity), place
    gained = math.inf
    for _ in range(leapfrogs):
        there, velocity = dynamics.leapfrog(there, velocity, step)
        gained = dynamics.energy(there, velocity) - before
        if not gained < HOPELESS:
            break
    accepted = math.isfinite(gained) and uniform(generator) < math.exp(min(-gained, 0.0))
    return (there, True) if accepted else (place, False)


@dataclass(frozen=True)
class Settled:
    place: Place
    step: float
    """A quarter of the steps of the second half are smaller: a trajectory has to do with the steepest of its way."""
    spread: Vector
    """Variance of each coordinate in the second half."""
    pull: Vector
    """Variance of each one's slope of U there."""


def settled(dynamics: Dynamics, place: Place, step: float, gradients: int, generator: torch.Generator) -> Settled:
    """Move from `place` with friction and noise, with as many gradients, at first with steps of this size.

    Raises FloatingPointError where no step is small enough for V to stay finite.
    """
    velocity, steps, undone = normal(place.q, generator), [], 0
    moments = torch.zeros(4, len(place.q)).to(place.q)
    for number in range(gradients):
        there, moved = dynamics.leapfrog(place, velocity, step)
        error = abs(dynamics.energy(there, moved) - dynamics.energy(place, velocity))
        if not error < UNDONE * ERROR:
            undone += 1
            if undone == MOST_UNDONE:
                raise FloatingPointError("no step is small enough")
            step *= SHRINKAGE
            continue
        place, undone = there, 0
        if 2 * number >= gradients:
            steps.append(step)
            slope = place.slope + dynamics.held * place.q
            moments += torch.stack([place.q, place.q.square(), slope, slope.square()])
        kept = math.exp(-1 / MEMORY)
        velocity = kept * moved + math.sqrt(1 - kept**2) * normal(place.q, generator)
        step = min(step * min(GROWTH, (ERROR / max(error, 1e-12)) ** (1 / 6)), WIDEST)
    q, q2, slope, slope2 = moments / max(len(steps), 1)
    suits = sorted(steps)[len(steps) // 4] if steps else step
    return Settled(place, suits, q2 - q.square(), slope2 - slope.square())


def normal(like: Vector, generator: torch.Generator) -> Vector:
    """Independent draws from N(0, 1), on the CPU's generator, as many and of the type."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)


def uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))
