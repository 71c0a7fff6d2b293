"""Draws of nβ (L(w) - L(w*)) from the posterior about a checkpoint.

By HMC: from w* every chain settles (`interp.maths.hamiltonian`), in units of the prior's standard deviation at first.
Where there are gradients enough all settle again, in units in which each weight is as wide as they saw it:
√(variance of its slope / variance of the weight) is the precision of a Gaussian that has both. Then they draw.

By SGLD: half of the chains go by steps of ε, half by ε/2, on batches. What a step errs by grows with ε, so that twice
the mean of the second half less that of the first is free of it, to first order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import NothingToSay
from interp.maths.chains import Mean, doubtful_r_hat, mean_of, r_hat, split
from interp.maths.hamiltonian import Dynamics, Place, Settled, normal, settled, trajectory
from interp.summaries import number

Weights = Float[Tensor, " weight"]
FIRST_STEP = 0.02
METRIC_FROM = 200
"""From so many gradients before the draws on, half of them find the units in which the others are."""
QUARTER = math.pi / 2
"""A trajectory goes no further: after a quarter of a period a Gaussian's draw does not depend on the last."""
PRECISE = 0.05
"""By so many nats the energies of float32 and float64 may differ at the end of a chain."""


@dataclass(frozen=True)
class Posterior:
    """exp(-nβ L(w) - γ/2 ‖w - w*‖²)."""

    loss: Callable[[Weights], tuple[float, Weights]]
    """L and its slope over all examples, of weights in either precision."""
    at: Weights
    """w*, float64."""
    n_beta: float
    precision: float
    """γ."""
    dtype: torch.dtype = torch.float64
    """In which L is computed."""

    @property
    def lowest(self) -> float:
        """L(w*)."""
        return self.loss(self.at.to(self.dtype))[0]

    def dynamics(self, scale: Weights) -> Dynamics:
        """The same of q, w = w* + scale·q, as a potential beside a Gaussian of variance 1."""
        held = self.precision * scale.square() - 1  # what the prior is beyond that Gaussian

        def potential(q: Weights) -> tuple[float, Weights]:
            value, slope = self.loss((self.at + scale * q).to(self.dtype))
            beyond = held * q
            return self.n_beta * value + float(beyond @ q) / 2, self.n_beta * scale * slope.double() + beyond

        return Dynamics(potential)

    def risen(self, place: Place, scale: Weights) -> float:
        """nβ L(w) at a place of those dynamics."""
        beyond = (self.precision * scale.square() - 1) @ place.q.square() / 2
        return place.potential - float(beyond)


@dataclass(frozen=True)
class Effort:
    """How much is sampled."""

    chains: int
    warm_up: int
    """Gradients before a chain's first draw."""
    draws: int
    """Draws of a chain."""
    leapfrog: int
    """Gradients from one draw to the next; steps, by SGLD."""


@dataclass(frozen=True)
class Drawn:
    """What the chains say of the coefficient."""

    mean: Mean
    step: float
    """Their step, the mean over the chains: by HMC in units of the posterior's widths, by SGLD ε."""
    accepted: float
    """Share of trajectories accepted; 1 by SGLD, which tests nothing."""


def by_hmc(posterior: Posterior, effort: Effort, seed: int) -> Drawn:
    """Raises NothingToSay where the chains do not come together, or the loss overflows."""
    values, accepted, lowest = [], 0, posterior.n_beta * posterior.lowest
    generators = [torch.Generator().manual_seed(seed + chain) for chain in range(effort.chains)]
    try:
        scale, begun = _settled(posterior, effort.warm_up, generators)
        if posterior.dtype == torch.float32 and not _agrees(posterior, scale * begun[0].place.q):
            return by_hmc(replace(posterior, dtype=torch.float64), effort, seed)
        dynamics = posterior.dynamics(scale)
        for chain, generator in zip(begun, generators, strict=True):
            place, step = chain.place, min(chain.step, QUARTER / effort.leapfrog)
            for _ in range(effort.draws):
                place, moved = trajectory(dynamics, place, step, effort.leapfrog, generator)
                accepted += moved
                values.append(posterior.risen(place, scale) - lowest)
    except FloatingPointError as error:
        raise NothingToSay("the loss overflows about these weights") from error
    drawn = np.array(values).reshape(effort.chains, effort.draws)
    _come_together(drawn, "more warm_up, draws or leapfrog")
    return Drawn(mean_of(drawn), float(np.mean([chain.step for chain in begun])), accepted / drawn.size)


def _settled(posterior: Posterior, gradients: int, generators: list[torch.Generator]) -> tuple[Weights, list[Settled]]:
    """The units of each weight, and where each chain begins to draw, by which step."""
    scale = torch.full_like(posterior.at, (posterior.precision or 1.0) ** -0.5)
    twice = gradients >= METRIC_FROM
    dynamics = posterior.dynamics(scale)
    start = dynamics.at(torch.zeros_like(posterior.at))
    first = gradients // 2 if twice else gradients
    found = [settled(dynamics, start, FIRST_STEP, first, generator) for generator in generators]
    if not twice:
        return scale, found
    spread, pull = (torch.stack([getattr(one, name) for one in found]).sum(dim=0) for name in ("spread", "pull"))
    wide = (spread / pull).pow(0.25)
    wide = torch.where(wide.isfinite() & (wide > 0), wide, 1.0)
    scale = scale * wide
    dynamics = posterior.dynamics(scale)
    places = [dynamics.at(one.place.q / wide) for one in found]
    pairs = zip(places, generators, strict=True)
    return scale, [settled(dynamics, place, FIRST_STEP, gradients - first, generator) for place, generator in pairs]


def _agrees(posterior: Posterior, moved: Weights) -> bool:
    """Whether float64 says what float32 does of how far the loss has risen so far from the checkpoint."""
    exact, quick = replace(posterior, dtype=torch.float64), posterior
    weights = posterior.at + moved
    gained = [one.n_beta * (one.loss(weights.to(one.dtype))[0] - one.lowest) for one in (exact, quick)]
    return abs(gained[0] - gained[1]) <= PRECISE


def _come_together(drawn: Float[np.ndarray, "chain draw"], more: str) -> None:
    """Raises NothingToSay where the chains, each in halves, are further apart than their draws explain."""
    halves = split(drawn)
    found, most = r_hat(halves), doubtful_r_hat(*halves.shape)
    if not math.isfinite(found):
        raise NothingToSay("the chains stay where they are, or go where the loss is no number; give another precision")
    if found > most:
        raise NothingToSay(
            f"the chains have not come to equilibrium: split R-hat is {number(found, 3)}, above {number(most, 3)}; "
            f"give {more}"
        )


@dataclass(frozen=True)
class Batches:
    """L on examples drawn at random."""

    loss: Callable[[Weights, Tensor], tuple[float, Weights]]
    """The value and its slope at any weights, on the examples of these places."""
    examples: int
    batch: int

    def drawn(self, generator: torch.Generator) -> Tensor:
        if self.batch >= self.examples:
            return torch.arange(self.examples)
        return torch.randint(self.examples, (self.batch,), generator=generator)


def by_sgld(posterior: Posterior, batches: Batches, step: float, effort: Effort, seed: int) -> Drawn:
    """Raises NothingToSay where the chains diverge, do not come together, or both step sizes do not agree."""
    halves = []
    for part, size in enumerate((step, step / 2)):
        chains = effort.chains // 2
        chain = [_sgld_chain(posterior, batches, size, effort, seed + part * chains + one) for one in range(chains)]
        drawn = np.array(chain)
        _come_together(drawn, "more warm_up or draws")
        halves.append(mean_of(drawn))
    whole, half = halves
    value, se = 2 * half.value - whole.value, math.hypot(2 * half.se, whole.se)
    if abs(whole.value - half.value) > DISAGREES * abs(value) + 2 * math.hypot(whole.se, half.se):
        raise NothingToSay(
            f"the steps are too large: {number(whole.value, 3)} by step_size {number(step)} and "
            f"{number(half.value, 3)} by half of it; give a smaller one, and more draws"
        )
    low, high = (value - 2 * se * max(1.0, _wide(halves)), value + 2 * se * max(1.0, _wide(halves)))
    effective = min(one.effective for one in halves)
    return Drawn(Mean(value, se, low, high, effective, max(one.r_hat for one in halves)), step, 1.0)


DISAGREES = 0.25
"""By this share of the coefficient the two sizes of steps may differ."""


def _wide(halves: list[Mean]) -> float:
    """By how much Student's interval is wider than two standard errors, for the fewer effective draws."""
    fewer = min(halves, key=lambda one: one.effective)
    return (fewer.high - fewer.low) / (4 * fewer.se) if fewer.se else 1.0


def _sgld_chain(posterior: Posterior, batches: Batches, step: float, effort: Effort, seed: int) -> list[float]:
    """The draws of one chain: after every `leapfrog` steps what the next batch has lost beside the checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    moved, found, at = torch.zeros_like(posterior.at), [], posterior.at.to(posterior.dtype)
    for update in range(effort.warm_up + effort.draws * effort.leapfrog):
        rows = batches.drawn(generator)
        value, slope = batches.loss((posterior.at + moved).to(posterior.dtype), rows)
        if not math.isfinite(value):
            raise NothingToSay(f"a chain has diverged by steps of {number(step)}; give a smaller step_size")
        if update >= effort.warm_up and (update - effort.warm_up) % effort.leapfrog == 0:
            found.append(posterior.n_beta * (value - batches.loss(at, rows)[0]))
        force = posterior.n_beta * slope.double() + posterior.precision * moved
        moved = moved - step / 2 * force + math.sqrt(step) * normal(moved, generator)
    return found
