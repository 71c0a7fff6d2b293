"""Logits as waves of the answer: what lies at each frequency.

`mean` [answer, c] is the table of logits averaged over the n pairs of each answer. cos w_k(a+b) and sin w_k(a+b)
depend on the answer a+b alone, w_k = 2πk/n, so all these projections are functions of that table. Frequencies are
0…n//2; at 0 there is nothing: the constant is not a wave. For even n the last has one direction, (-1)^x.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from interp.maths import fourier
from interp.maths.rounding import beyond


def waves(n: int) -> tuple[Float[Tensor, "n freq"], Float[Tensor, "n freq"]]:
    """cos w_k x and sin w_k x for x and k, zero at k = 0. float64."""
    x, k = torch.arange(n)[:, None], torch.arange(n // 2 + 1)
    angle = 2 * math.pi * ((k * x) % n).double() / n
    sines = angle.sin() * (2 * k != n)  # exactly zero there
    return angle.cos() * (k > 0), sines


def wave_square(n: int) -> Float[Tensor, " freq"]:
    """Σ_x cos² w_k x: n/2, and n for the alternating wave; infinite at 0, where there is no wave."""
    squares = torch.full((n // 2 + 1,), n / 2, dtype=torch.float64)
    squares[0] = torch.inf
    if n % 2 == 0:
        squares[-1] = n
    return squares


def onto_answer_waves(
    mean: Float[Tensor, "answer c"], rounding: Float[Tensor, ""] | float = 0.0
) -> Float[Tensor, "answer c freq"]:
    """The part of the logits, as functions of the pair, in cos w_k(a+b) and sin w_k(a+b): P_k Z, one row an answer.

    (P_k Z)[s, c] = (2/n) Σ_s' cos w_k(s - s') mean[s', c] (Nanda et al. 2023); an amplitude no larger than `rounding`
    is 0.
    """
    cosines, sines = waves(len(mean))
    along_cosine, along_sine = (beyond(mean.T @ wave / wave_square(len(mean)), rounding) for wave in (cosines, sines))
    return cosines[:, None] * along_cosine + sines[:, None] * along_sine


def cosine_coefficients(mean: Float[Tensor, "answer c"]) -> Float[Tensor, " freq"]:
    """α_k in logits ≈ Σ_k α_k cos w_k(a+b-c) by least squares; the cosines are orthogonal, so each stands alone."""
    n = len(mean)
    place = torch.arange(n)
    by_distance = mean[place, (place - place[:, None]) % n].sum(1)  # [g]: Σ over the pairs (s, c) with s - c = g
    cosines, _ = waves(n)
    return by_distance @ cosines / (n * wave_square(n))


def cosine_logits(coefficient: Float[Tensor, " freq"], n: int) -> Float[Tensor, "answer c freq"]:
    """α_k cos w_k(s-c), one row an answer s."""
    place = torch.arange(n)
    return (coefficient * waves(n)[0])[(place[:, None] - place) % n]


def pizza_weights(n: int) -> Float[Tensor, "difference freq"]:
    """|cos(w_k d/2)| for d = a-b: how loudly the Pizza algorithm answers a pair (Zhong et al. 2023). 1 at k = 0."""
    d, k = torch.arange(n)[:, None], torch.arange(n // 2 + 1)
    return (math.pi * ((k * d) % (2 * n)).double() / n).cos().abs()


def power_of_waves(mean: Float[Tensor, "x c"]) -> Float[Tensor, " freq"]:
    """Σ_c over all n² pairs of the squares of what cos w_k x and sin w_k x hold of the logits; 0 at k = 0.

    x is a+b, a-b, a or b, and `mean` the table averaged over the n pairs of equal x.
    """
    power = len(mean) * fourier.by_freq((fourier.basis(len(mean)).to(mean) @ mean).square().sum(1))
    power[0] = 0
    return power
