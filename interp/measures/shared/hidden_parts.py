"""What of the neurons' activations depends on a alone, on b alone or on the answer alone, by irrep."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.measures.shared.composed import Composed
from interp.measures.shared.irreps import power


@dataclass(frozen=True)
class HiddenParts:
    """Squares are summed over all pairs, not divided by their number."""

    power: dict[str, Float[Tensor, "irrep neuron"]]
    """The square of each irrep's functions of "a", of "b" and of "ab", the answer, of each neuron, centred."""
    variance: Float[Tensor, " neuron"]
    """The square of all that varies; 0 of a neuron that varies by no more than the rounding of its mean."""
    by_answer: Float[Tensor, "answer neuron"]
    """The mean over each answer's pairs, not centred."""
    largest: Float[Tensor, ""]
    """The largest activation."""


def hidden_parts(order: Composed, checkpoint: Checkpoint) -> HiddenParts:
    """Raises NothingToSay where the network has no last hidden layer of neurons, or its activations overflow."""
    n, tables = order.n, {}
    square = largest = torch.zeros((), dtype=torch.float64)
    for block in order.blocks(checkpoint):
        post = block.neurons  # [answer, a, neuron]
        if not tables:
            tables = {name: post.new_zeros(n, post.shape[2]) for name in ("a", "b", "ab")}
        tables["a"] += post.sum(0)
        tables["b"].index_add_(0, block.partner.flatten(), post.flatten(0, 1))
        tables["ab"][block.answers] = post.sum(1)
        square = square + torch.linalg.vector_norm(post, dim=(0, 1)).square()
        largest = torch.maximum(largest, post.abs().max())
    tables = {name: table / n for name, table in tables.items()}
    mean = tables["ab"].mean(0)
    variance = (square - (n * mean).square()).clamp_min(0)
    variance = variance.where(variance > 1e-20 * square, 0.0)
    varying = {name: n * power(order.group, table - mean) * (variance > 0) for name, table in tables.items()}
    return HiddenParts(varying, variance, tables["ab"], largest)
