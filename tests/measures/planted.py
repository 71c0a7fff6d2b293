"""Networks whose logits, or whose neurons, are given tables over the pairs."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Planted = tuple[dict[str, Tensor], dict[str, Any]]
"""Weights, and the model they are of, as in run.yaml."""


def of_logits(table: Float[Tensor, "p p c"]) -> Planted:
    """A neuron for each pair, 1 on it and 0 elsewhere, writes the pair's logits."""
    p = len(table)
    weights = _pairs(p) | {"unembed.W_U": table.reshape(p * p, p).double()}
    return weights, {"mlp": {"d_model": p, "d_mlp": p * p, "biases": "hidden"}}


def of_neurons(tables: Float[Tensor, "p p neuron"], W_U: Float[Tensor, "neuron c"]) -> Planted:
    """Second-layer neurons that are ReLU of these tables, and idle ones up to p² of them."""
    p, _, m = tables.shape
    read, write = torch.zeros(p * p, p * p).double(), torch.zeros(p * p, p).double()
    read[:, :m], write[:m] = tables.reshape(p * p, m), W_U
    weights = _pairs(p) | {"mlp2.W_in": read, "mlp2.b_in": torch.zeros(p * p).double(), "unembed.W_U": write}
    return weights, {"mlp": {"d_model": p, "d_mlp": p * p, "n_layers": 2, "biases": "hidden"}}


def _pairs(p: int) -> dict[str, Tensor]:
    one_hot = torch.eye(p).double()
    first, second = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
    return {
        "embed_a.W_E": one_hot,
        "embed_b.W_E": one_hot,
        "mlp.W_in": torch.cat([one_hot[first].T, one_hot[second].T]),
        "mlp.b_in": -torch.ones(p * p).double(),
    }


def grid(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """a, b and c over all triples, float64."""
    a, b, c = torch.meshgrid(*[torch.arange(n).double()] * 3, indexing="ij")
    return a, b, c


def cosines(n: int, coefficients: dict[int, float], sign: int = 1) -> Float[Tensor, "a b c"]:
    """Σ α_k cos w_k(a ± b - c)"""
    a, b, c = grid(n)
    return sum(
        (alpha * torch.cos(2 * math.pi * k * (a + sign * b - c) / n) for k, alpha in coefficients.items()),
        torch.zeros(n, n, n).double(),
    )


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
