"""Tables of logits over the pairs, [a, b, c], and what is asked of them worked out in the plainest way."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def grid(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """a, b and c over all triples, float64."""
    a, b, c = torch.meshgrid(*[torch.arange(n).double()] * 3, indexing="ij")
    return a, b, c


def noise(n: int, seed: int = 0, size: float = 1.0) -> Float[Tensor, "a b c"]:
    return size * torch.randn(n, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def losses(table: Float[Tensor, "p p c"], sign: int = 1) -> Float[Tensor, "p p"]:
    """-log softmax at a ± b, in the plainest way."""
    n = len(table)
    place = torch.arange(n)
    answers = (place[:, None] + sign * place) % n
    return torch.nn.functional.cross_entropy(table.reshape(-1, n), answers.flatten(), reduction="none").view(n, n)


def onto_waves(table: Float[Tensor, "p p c"], freqs: list[int], sign: int = 1) -> Float[Tensor, "p p c"]:
    """The projection of each logit on cos w_k(a ± b) and sin w_k(a ± b), by the unit vectors over the pairs."""
    n = len(table)
    a, b, _ = (axis[:, :, 0] for axis in grid(n))
    found = torch.zeros_like(table)
    for k in freqs:
        for shape in (torch.cos, torch.sin):
            wave = shape(2 * math.pi * k * (a + sign * b) / n)
            if wave.norm() > 1e-6:  # sin of the alternating wave is nothing
                unit = wave / wave.norm()
                found += unit[:, :, None] * torch.einsum("ab,abc->c", unit, table)
    return found
