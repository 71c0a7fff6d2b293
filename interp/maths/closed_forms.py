"""The logits of the Clock and of the Pizza, and how much of a network's logits they explain.

With s the answer of a pair and d its difference (a - b where the answer is a + b), both forms are a sum over the
frequencies of an amplitude, a function of d alone, times cos w_k(s - c):

    Clock  Σ_k α_k cos w_k(s - c)        Pizza  Σ_k β_k |cos(w_k(d - δ_k)/2)| cos w_k(s - c)

α and β are not negative: a negative one would speak against the answer. So all that a least-squares fit needs is
the logits' profile: the mean coefficient of cos w_k(s - c) over the n pairs of each difference. The shift δ_k is 0
where a and b share an embedding; with two embeddings their circles need not be in step.
Zhong et al. 2023, arXiv 2306.17844.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Fit:
    """Logits of a closed form, by least squares."""

    amplitude: Float[Tensor, "freq n"]
    """The factor of cos w_k(s - c), at each difference of the operands; frequencies from 1"""
    explained: Float[Tensor, " freq"]
    """What it takes off the squared norm of the logits"""
    clock_power: Float[Tensor, " freq"]
    """Squared norm of its Clock part"""
    pizza_power: Float[Tensor, " freq"]
    """Squared norm of its Pizza part"""

    @property
    def clock_share(self) -> Float[Tensor, ""]:
        """Power of the Clock part over that of both, 1 for a Clock, 0 for a Pizza; NaN where there is neither."""
        clock, pizza = self.clock_power.sum(), self.pizza_power.sum()
        return clock / (clock + pizza)


def profile(
    logits: Float[Tensor, "a b c"], answer: Int[Tensor, "a b"], difference: Int[Tensor, "a b"]
) -> Float[Tensor, "freq n"]:
    """Coefficient of cos w_k(s - c) in the logits, at each difference, the mean over its n pairs; k from 1 to n//2."""
    n = len(answer)
    cos, sin = _waves(n)
    aligned = (logits @ cos.T) * cos.T[answer] + (logits @ sin.T) * sin.T[answer]  # [a, b, freq]
    by_difference = aligned.new_zeros(n, len(cos)).index_add_(0, difference.flatten(), aligned.flatten(0, 1))
    return (by_difference / (n * _wave_norm(n))).T


def logits(
    amplitude: Float[Tensor, "freq n"], answer: Int[Tensor, "a b"], difference: Int[Tensor, "a b"]
) -> Float[Tensor, "a b c"]:
    """Σ_k amplitude_k(d) cos w_k(s - c)."""
    cos, sin = _waves(len(answer))
    of_pair = amplitude.T[difference]  # [a, b, freq]
    return (of_pair * cos.T[answer]) @ cos + (of_pair * sin.T[answer]) @ sin


def clock(profile: Float[Tensor, "freq n"]) -> Fit:
    return _one_coefficient(profile, 1.0, 0.0)


def pizza(profile: Float[Tensor, "freq n"]) -> Fit:
    return _one_coefficient(profile, 0.0, 1.0)


def halves(profile: Float[Tensor, "freq n"]) -> Fit:
    """Clock and Pizza in equal power at every frequency: one coefficient, as each of them has."""
    return _one_coefficient(profile, 1.0, 1.0)


def both(profile: Float[Tensor, "freq n"]) -> Fit:
    """Clock and Pizza, each with a coefficient of its own."""
    of_clock, of_pizza, overlap = _products(profile)
    rest = 1 - overlap.square()
    alpha, beta = (of_clock - overlap * of_pizza) / rest, (of_pizza - overlap * of_clock) / rest
    clock_alone = of_clock > of_pizza  # where one of the two would be negative
    needs_both = (alpha > 0) & (beta > 0)
    alpha = torch.where(needs_both, alpha, of_clock * clock_alone).clamp(min=0)
    beta = torch.where(needs_both, beta, of_pizza * ~clock_alone).clamp(min=0)
    return _fit(profile, alpha, beta)


def _one_coefficient(profile: Float[Tensor, "freq n"], alpha: float, beta: float) -> Fit:
    of_clock, of_pizza, overlap = _products(profile)
    norm = alpha**2 + beta**2 + 2 * alpha * beta * overlap
    size = ((alpha * of_clock + beta * of_pizza) / norm).clamp(min=0)
    return _fit(profile, alpha * size, beta * size)


def _fit(profile: Float[Tensor, "freq n"], alpha: Float[Tensor, " freq"], beta: Float[Tensor, " freq"]) -> Fit:
    """The fit by α times the Clock and β times the Pizza, both of norm 1, at every frequency."""
    of_clock, of_pizza, overlap = _products(profile)
    clock, pizza = _forms(profile)
    explained = 2 * (alpha * of_clock + beta * of_pizza) - alpha**2 - beta**2 - 2 * alpha * beta * overlap
    return Fit(alpha[:, None] * clock + beta[:, None] * pizza, explained, alpha**2, beta**2)


def _products(
    profile: Float[Tensor, "freq n"],
) -> tuple[Float[Tensor, " freq"], Float[Tensor, " freq"], Float[Tensor, " freq"]]:
    """<Z, Clock>, <Z, Pizza> and <Clock, Pizza> over all logits, Clock and Pizza of norm 1."""
    clock, pizza = _forms(profile)
    size = _size(profile.shape[1])
    return size * (profile * clock).sum(1), size * (profile * pizza).sum(1), size * (clock * pizza).sum(1)


def _forms(profile: Float[Tensor, "freq n"]) -> tuple[Float[Tensor, "freq n"], Float[Tensor, "freq n"]]:
    """Profiles of the Clock and of the Pizza whose logits have norm 1, the Pizza shifted to where it fits best."""
    n = profile.shape[1]
    place = torch.arange(n)
    shifted = _half_waves(n)[:, (place - place[:, None]) % n]  # [freq, shift, n]
    fits = torch.einsum("ksd,kd->ks", shifted, profile)  # [freq, shift]
    closest = fits > fits.amax(1, keepdim=True) - 1e-9 * profile.abs().sum(1, keepdim=True)
    pizza = shifted[torch.arange(len(profile)), closest.int().argmax(1)]  # of shifts as good, the least
    norm = _size(n).sqrt()[:, None]
    clock = torch.ones_like(profile)
    return clock / (norm * n**0.5), pizza / (norm * pizza.norm(dim=1, keepdim=True))


def _freqs(n: int) -> Int[Tensor, " freq"]:
    return torch.arange(1, n // 2 + 1)


@functools.cache
def _waves(n: int) -> tuple[Float[Tensor, "freq n"], Float[Tensor, "freq n"]]:
    angle = 2 * math.pi * (_freqs(n)[:, None] * torch.arange(n) % n).double() / n
    return angle.cos(), angle.sin()


@functools.cache
def _half_waves(n: int) -> Float[Tensor, "freq n"]:
    """|cos(w_k d / 2)|, which has period n in d."""
    return (math.pi * (_freqs(n)[:, None] * torch.arange(n) % (2 * n)).double() / n).cos().abs()


def _wave_norm(n: int) -> Float[Tensor, " freq"]:
    """Σ_c cos² w_k(s - c)."""
    return torch.where(2 * _freqs(n) == n, n, n / 2).double()


def _size(n: int) -> Float[Tensor, " freq"]:
    """What turns a sum over d of a profile's squares into the squared norm of its logits."""
    return n * _wave_norm(n)
