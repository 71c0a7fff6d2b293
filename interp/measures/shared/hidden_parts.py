"""What of the neurons' activations depends on a alone, on b alone or on the answer alone, by irrep."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.measures.shared.composed import Composed
from interp.measures.shared.irreps import power

ROWS_AT_ONCE = 1_000
"""So many rows stay in the processor's caches."""


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
        for pairs in block.pairs.split(ROWS_AT_ONCE):
            post = block.neurons[pairs[:, 0]]
            if not tables:
                tables = {name: post.new_zeros(n, post.shape[1]) for name in ("ab", "a", "b")}
            for column, table in enumerate(tables.values(), start=1):
                table.index_add_(0, pairs[:, column], post)
            square = square + post.square().sum(0)
            largest = torch.maximum(largest, post.abs().max())
    tables = {name: table / n for name, table in tables.items()}
    mean = tables["ab"].mean(0)
    variance = (square - (n * mean).square()).clamp_min(0)
    variance = variance.where(variance > 1e-20 * square, 0.0)
    varying = {name: n * power(order.group, table - mean) * (variance > 0) for name, table in tables.items()}
    return HiddenParts(varying, variance, tables["ab"], largest)


def read_out(
    neurons: Float[Tensor, "row neuron"], rows: Int[Tensor, "answer m"], readout: Float[Tensor, "neuron c"]
) -> Float[Tensor, "answer m c"]:
    """What these rows of the neurons give the logits."""
    parts = [neurons[some] @ readout for some in rows.flatten().split(ROWS_AT_ONCE)]
    return torch.cat(parts).unflatten(0, rows.shape)
