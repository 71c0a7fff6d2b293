r"""The action of one neuron's overlap with its teacher's direction, solved together with what is left of the target.

A committee machine f(x) = Σ_i a_i erf(w_i·x) of N neurons is drawn from its posterior with noise σ² on n examples of
H1(w*·x) + ε H3(w*·x), Var(a) = σ_a²/N, Var(w) = σ_w²/d. On average it leaves b H1 + c H3 of the target. Each neuron
then has an overlap q = w·w* with a density ∝ exp(-S(q)), and the neurons together leave so much of the target again:

    S(q) = d [q²/(2σ_w²) - (2u/π) (q²/D) (b - 2c q²/D)²],  D = 1 + 2(σ_w² + q²),  u = n² σ_a²/(σ⁴ d N)
    (b, √6 c) = (σ²/n) (Q + σ²/n)⁻¹ (1, √6 ε),
    Q = σ_a² ⟨2q²/(πD)⟩, -σ_a² ⟨8q⁴/(√6 π D²)⟩ beside the diagonal, and σ_a² ⟨8q⁶/(3πD³)⟩.

The factor σ²/n of the second line is not in the paper's appendix A.3; without it b and c would not be 1 and ε where
nothing is learnt. The three entries of Q are the paper's; the square of a neuron's overlap with H1 is 4q²/(πD), twice
the first (Rubin et al. 2023, arXiv 2310.03789).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

FARTHEST, PLACES = 2.5, 1_001
"""The overlaps over which the action is averaged."""
SOLVED, NUDGE = 1e-9, 1e-6
ROUNDS, HALVINGS = 100, 20
DAMPED, DAMPING, LONGER = 150, 0.01, 6
"""Each time it goes so often by so much of the gap, at last so many times as often, and then by Newton's method."""
WARMEST, COOLINGS = 1.0, 20
"""From so much noise it is followed down to the noise asked for, in so many steps."""


@dataclass(frozen=True)
class Setting:
    """A committee machine and what it is drawn from."""

    d: int
    neurons: int
    examples: int
    sigma_w2: float
    sigma_a2: float
    epsilon: float
    noise: float
    """σ²."""

    @property
    def u(self) -> float:
        """The effective interaction."""
        return self.examples**2 * self.sigma_a2 / (self.noise**2 * self.d * self.neurons)

    def action(self, q: Float[np.ndarray, " place"], b: float, c: float) -> Float[np.ndarray, " place"]:
        """S(q)."""
        square = np.square(q)
        D = 1 + 2 * (self.sigma_w2 + square)
        pull = 2 * self.u / math.pi * square / D * np.square(b - 2 * c * square / D)
        return self.d * (square / (2 * self.sigma_w2) - pull)

    def left(self, q: Float[np.ndarray, " place"], share: Float[np.ndarray, " place"]) -> tuple[float, float]:
        """b and c, where neurons have the overlaps q with these probabilities."""
        square = np.square(q)
        D = 1 + 2 * (self.sigma_w2 + square)
        first, both, second = (
            float((share * term).sum()) / math.pi
            for term in (2 * square / D, -8 / math.sqrt(6) * square**2 / D**2, 8 / 3 * square**3 / D**3)
        )
        Q = self.sigma_a2 * np.array([[first, both], [both, second]])
        ridge = self.noise / self.examples
        b, c = ridge * np.linalg.solve(Q + ridge * np.eye(2), [1, math.sqrt(6) * self.epsilon])
        return float(b), float(c) / math.sqrt(6)


@dataclass(frozen=True)
class Solution:
    b: float
    c: float
    q: Float[np.ndarray, " place"]
    density: Float[np.ndarray, " place"]

    def beyond(self, overlap: float) -> float:
        """The probability that |q| is larger."""
        far = np.abs(self.q) > overlap
        return float(self.density[far].sum() / self.density.sum())


@functools.lru_cache(maxsize=64)
def solved(setting: Setting) -> Solution:
    """The b and c that the neurons' overlaps leave, and the density of overlaps that these give.

    Where much noise leaves all, b = 1 and c = ε nearly, and from there the solution is followed as the noise falls. It
    is remembered, for every checkpoint of a run has the same.
    Raises ArithmeticError where it is lost.
    """
    q, found = np.linspace(-FARTHEST, FARTHEST, PLACES), np.array([1.0, setting.epsilon])
    for noise in np.geomspace(max(WARMEST, setting.noise), setting.noise, COOLINGS):
        gap = _gap(replace(setting, noise=float(noise)), q)
        for _ in range(DAMPED if noise > setting.noise else LONGER * DAMPED):
            found = found + DAMPING * gap(found)
    found = _root(_gap(setting, q), found)
    b, c = (float(one) for one in found)
    return Solution(b, c, q, _density(setting.action(q, b, c)))


Left = Float[np.ndarray, "left"]
"""b and c."""


def _gap(setting: Setting, q: Float[np.ndarray, " place"]) -> Callable[[Left], Left]:
    """b and c -> how far those that their overlaps leave are from them."""

    def gap(left: Left) -> Left:
        density = _density(setting.action(q, *left))
        return np.array(setting.left(q, density / density.sum())) - left

    return gap


def _root(gap: Callable[[Left], Left], start: Left) -> Left:
    """Where the gap is 0, by Newton's method, with steps that are halved until the gap gets smaller."""
    at, now = start, gap(start)
    for _ in range(ROUNDS):
        if np.abs(now).max() < SOLVED:
            return at
        slope = np.stack([(gap(at + NUDGE * one) - now) / NUDGE for one in np.eye(2)], axis=1)
        step = -np.linalg.solve(slope, now)
        for _ in range(HALVINGS):
            there = gap(at + step)
            if np.abs(there).max() < np.abs(now).max():
                break
            step = step / 2
        at, now = at + step, there
    raise ArithmeticError("the equations of b and c have not been solved")


def _density(action: Float[np.ndarray, " place"]) -> Float[np.ndarray, " place"]:
    """exp(-S), which integrates to 1 over the places."""
    weight = np.exp(action.min() - action)
    return weight / (weight.sum() * 2 * FARTHEST / (PLACES - 1))
